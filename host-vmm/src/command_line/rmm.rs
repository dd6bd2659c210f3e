//! What the RMM has counted.

use std::path::PathBuf;

use clap::Args;

/// What `rmm` is given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  host-vmm rmm
  host-vmm rmm --events 0
  host-vmm rmm --json | jq .totals.realms
  host-vmm rmm --json | jq '.events[] | select(.event == \"call-failed\")'")]
pub struct Rmm {
    /// The device node of the Realm kernel module
    #[arg(long, value_name = "FILE", default_value = "/dev/realm")]
    pub realm_device: PathBuf,
    /// Show so many of the latest events
    #[arg(long, value_name = "NUMBER", default_value_t = 16)]
    pub events: u16,
    /// Print JSON: an object with everything
    #[arg(long)]
    pub json: bool,
}
