//! Commands about machines that run.

use std::path::PathBuf;

use clap::Args;

use crate::configuration::{MachineName, MemorySize};
use crate::fleet::Question;
use crate::run_directory;

/// What `ps` is given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  host-vmm ps
  host-vmm ps web-7 --json | jq -r '.[0].rim'")]
pub struct Ps {
    /// Only these; it is an error (6) if one of them is not there
    #[arg(value_name = "NAME")]
    pub names: Vec<MachineName>,
    /// The folder of their control sockets
    #[arg(long, value_name = "FOLDER", default_value = run_directory::DEFAULT)]
    pub run_dir: PathBuf,
    /// Print JSON: a list of what each machine says of itself
    #[arg(long)]
    pub json: bool,
}

/// What `probe` is given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  host-vmm probe live web-7
  host-vmm probe ready web-7 --run-dir /run/machine")]
pub struct Probe {
    /// What it is asked
    #[arg(value_name = "QUESTION")]
    pub question: Question,
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: MachineName,
    /// The folder of its control socket
    #[arg(long, value_name = "FOLDER", default_value = run_directory::DEFAULT)]
    pub run_dir: PathBuf,
}

/// What `memory` is given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  host-vmm memory web-7
  host-vmm memory web-7 512M
  host-vmm memory web-7 2G --wait 60")]
pub struct Memory {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: MachineName,
    /// What its guest shall have, a multiple of 2 MiB
    #[arg(value_name = "SIZE")]
    pub target: Option<MemorySize>,
    /// The folder of its control socket
    #[arg(long, value_name = "FOLDER", default_value = run_directory::DEFAULT)]
    pub run_dir: PathBuf,
    /// Wait so long until it has that; it is an error (6) if it has not
    #[arg(long, value_name = "SECONDS")]
    pub wait: Option<u32>,
    /// Print JSON: what it shall have, and what it has, in bytes
    #[arg(long)]
    pub json: bool,
}

/// What `stop` is given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  host-vmm stop web-7
  host-vmm stop web-7 web-8 --timeout 5 --kill")]
pub struct Stop {
    /// Their names
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<MachineName>,
    /// The folder of their control sockets
    #[arg(long, value_name = "FOLDER", default_value = run_directory::DEFAULT)]
    pub run_dir: PathBuf,
    /// Seconds that they have
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u32,
    /// Kill those that are there then
    #[arg(long)]
    pub kill: bool,
    /// Print JSON: a list of names with what has become of them
    #[arg(long)]
    pub json: bool,
}
