//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::keys::{KeyFiles, KeysError};
use crate::machine::{Clock, Fault, Machine};
use crate::session::Board;
use crate::suite::{Limits, Selection};

const AFTER_HELP: &str = "\
Exit codes:
  0  everything passed
  1  a test failed, or the machine did not do what was asked for
  2  wrong use: an unknown option, a missing or unusable file, no emulator

Examples:
  emulator test --smp 4 --memory 8G
  emulator test --only granule/unaligned
  emulator run --memory 3G
  emulator demo --smp 4
  emulator evidence
  emulator boot-matrix --only 'dram/*'
  emulator bench --json
  emulator linux --interactive
  emulator load --mebibytes 256
  emulator overhead --rounds 5
  emulator kernels 6.12.95+deb12-arm64
  emulator soak --kills 20 --launches 0 --hostile 60";

const LOAD_HELP: &str = "\
Exit codes:
  0  everything arrived and was read as it was sent and written
  1  it was not, or a guest did not do what it was asked to
  2  wrong use: an unknown option, a missing file, no emulator

Examples:
  emulator load
  emulator load --mebibytes 256";

const OVERHEAD_HELP: &str = "\
A mark (!) behind a ratio says that it is above its goal; docs/overhead.md says where the cost is.

Exit codes:
  0  everything was measured, whatever the figures are
  1  a guest did not do what it was asked to
  2  wrong use: an unknown option, a missing file, no emulator

Examples:
  emulator overhead
  emulator overhead --rounds 5 --json
  emulator overhead --rounds 0          instructions alone, which are the same each time";

/// Starts the emulator, follows the report of a payload, and says how it ended.
#[derive(Debug, Parser)]
#[command(name = "emulator", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put the guest's system together: its kernel, and an initial RAM disk whose bytes follow from
    /// what is in it.
    GuestImage(GuestImageArgs),
    /// Put the host's system together: its kernel, and an initial RAM disk with the Realm kernel
    /// module, the VMM and the guest.
    HostImage(HostImageArgs),
    /// Boot the stack with a stock Debian kernel as host, run a stock Debian kernel as a Realm, and let
    /// the guest's owner verify evidence of it.
    Run(RunArgs),
    /// Boot the stack and let the test host show what it protects, for a person to follow. It ends
    /// with evidence of a Realm, which the guest owner verifies.
    Demo(DemoArgs),
    /// Verify evidence of Realms as their owner does, good and bad.
    Evidence(EvidenceArgs),
    /// Boot the RMM from boot manifests and registers of all kinds, good and bad.
    BootMatrix(BootMatrixArgs),
    /// Run the tests of a payload; after a crash or a hang the rest still runs.
    Test(TestArgs),
    /// Name the tests of the test host.
    List(MachineArgs),
    /// Count the instructions of the calls and compare them with the C reference.
    Bench(BenchArgs),
    /// Run Realms on a stock Debian kernel, several kinds of them, and see that nothing is lost.
    Realms(RealmsArgs),
    /// Use a stock Debian kernel as host long and roughly: many launches, VMMs that are killed, no memory,
    /// CPUs that go, a VMM that means harm.
    Soak(SoakArgs),
    /// Put guests under load, network both ways and disk, as an ordinary machine and as a Realm, and see that nothing
    /// is changed on its way.
    #[command(after_help = LOAD_HELP)]
    Load(LoadArgs),
    /// Compare the same guest as an ordinary machine and as a Realm, in instructions of the whole machine and in
    /// time on the wall.
    #[command(after_help = OVERHEAD_HELP)]
    Overhead(OverheadArgs),
    /// Boot several stock Debian kernels as hosts, one after the other, and run a Realm on each.
    Kernels(KernelsArgs),
    /// Boot a Linux kernel as normal world, to a shell.
    Linux(LinuxArgs),
    /// Add up the results that several runs have left, and print the closing line.
    Summary(SummaryArgs),
}

/// The machine and what it boots.
#[derive(Debug, Clone, Args)]
pub(crate) struct MachineArgs {
    /// The emulator program.
    #[arg(long, env = "CLOISTER_QEMU", default_value = "qemu-system-aarch64")]
    pub(crate) qemu: PathBuf,
    /// The firmware at EL3, as a flat file.
    #[arg(long, default_value = "target/payloads/el3-monitor.bin")]
    pub(crate) monitor: PathBuf,
    /// The program at R-EL2, as a flat file.
    #[arg(long, default_value = "target/image/rmm.img")]
    pub(crate) rmm: PathBuf,
    /// Leave the Realm world off.
    #[arg(long, conflicts_with = "rmm")]
    pub(crate) no_rmm: bool,
    /// The program at NS-EL2, in the arm64 Linux Image format.
    #[arg(long, default_value = "target/payloads/ns-host.img")]
    pub(crate) normal_world: PathBuf,
    /// A program that starts another machine instead, for `test` and `list`: it gets the command line of the
    /// normal world behind the words --bootargs, its output is the consoles, its exit code the payload's.
    #[arg(long)]
    pub(crate) board: Option<PathBuf>,
    /// An argument for that program; may be given several times.
    #[arg(long, requires = "board", allow_hyphen_values = true)]
    pub(crate) board_argument: Vec<String>,
    /// What the test host runs inside Realms, as a flat file.
    #[arg(long, default_value = "target/payloads/realm-payload.img")]
    pub(crate) realm_payload: PathBuf,
    /// Folder of the machine's attestation key; the key is made if the folder is not there.
    #[arg(long, default_value = "development-keys")]
    pub(crate) keys: PathBuf,
    /// Boot without an attestation key: then there is no platform token.
    #[arg(long, conflicts_with = "keys")]
    pub(crate) no_keys: bool,
    /// Number of CPUs, up to 64.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) smp: u32,
    /// Size of the memory, like 512M or 8G.
    #[arg(long, default_value = "1G", value_parser = memory_size)]
    pub(crate) memory: String,
    /// Factor on every time limit, for slow machines.
    #[arg(long, env = "CLOISTER_TIME_SCALE", default_value_t = 1.0, value_parser = time_scale)]
    pub(crate) time_scale: f64,
    /// Seconds from the start to the first line of the report.
    #[arg(long, default_value_t = 60)]
    pub(crate) boot_limit: u64,
    /// Folder for the console logs.
    #[arg(long, default_value = "target/test-logs")]
    pub(crate) logs: PathBuf,
}

impl MachineArgs {
    /// The machine that these arguments describe.
    pub(crate) fn machine(&self, clock: Clock) -> Result<Machine, KeysError> {
        let attestation_key = if self.no_keys {
            None
        } else {
            Some(self.key_files()?.private)
        };
        Ok(Machine {
            qemu: self.qemu.clone(),
            monitor: self.monitor.clone(),
            rmm: (!self.no_rmm).then(|| self.rmm.clone()),
            normal_world: self.normal_world.clone(),
            initrd: Some(self.realm_payload.clone()),
            cpus: self.smp,
            memory: self.memory.clone(),
            clock,
            fault: None,
            hand_over: None,
            far_memory: Vec::new(),
            attestation_key,
        })
    }

    /// The machine of another program, if these arguments name one.
    pub(crate) fn board(&self) -> Option<Board> {
        Some(Board {
            program: self.board.clone()?,
            arguments: self.board_argument.clone(),
        })
    }

    /// The key that the machine gets, or would get.
    pub(crate) fn key_files(&self) -> Result<KeyFiles, KeysError> {
        KeyFiles::open(&self.keys)
    }

    /// The limits that these arguments set.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            scale: self.time_scale,
            boot: Duration::from_secs(self.boot_limit),
            pause: Duration::from_secs(15),
        }
    }
}

/// The guest owner's side.
#[derive(Debug, Args)]
pub(crate) struct OwnerArgs {
    /// The program that verifies; without it, the one beside this program.
    #[arg(long)]
    pub(crate) cca_token: Option<PathBuf>,
    /// Folder for what the owner has: reference values, challenge, tokens.
    #[arg(long, default_value = "target/evidence")]
    pub(crate) evidence: PathBuf,
}

/// The Linux systems of host and guest.
#[derive(Debug, Args)]
pub(crate) struct SystemArgs {
    /// Folder of the host's Image and initrd.
    #[arg(long, default_value = "target/host")]
    pub(crate) host: PathBuf,
    /// Folder of the guest's Image and initrd, for the prediction of its measurement.
    #[arg(long, default_value = "target/guest")]
    pub(crate) guest: PathBuf,
    /// The VMM as it runs on this machine, for the same; without it, the one beside this program.
    #[arg(long)]
    pub(crate) host_vmm: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
    #[command(flatten)]
    pub(crate) systems: SystemArgs,
    /// vCPUs of the Realm.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) guest_cpus: u32,
    /// Hand the host's console to a person instead. Ctrl-A X ends the emulator.
    #[arg(long)]
    pub(crate) interactive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RealmsArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    #[command(flatten)]
    pub(crate) systems: SystemArgs,
    /// Run these checks only, and those that they need: names like four-cpus. The machines on which there
    /// cannot be Realms are left out then.
    #[arg(long, value_delimiter = ',', value_parser = realms_check)]
    pub(crate) only: Vec<String>,
    /// Name of this run, for its logs and for the summary.
    #[arg(long, default_value = "realm-linux")]
    pub(crate) label: String,
    /// Keep the count in this file, for 'emulator summary'.
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    #[command(flatten)]
    pub(crate) systems: SystemArgs,
    /// MiB of a Realm that writes to all of its memory, which it must have in blocks of 2 MiB.
    #[arg(long, default_value_t = 1024)]
    pub(crate) realm_memory: u32,
    /// Launches in a row.
    #[arg(long, default_value_t = 50)]
    pub(crate) launches: u32,
    /// VMMs that are killed at any moment of their life.
    #[arg(long, default_value_t = 200)]
    pub(crate) kills: u32,
    /// Pairs of VMMs that race for the last memory.
    #[arg(long, default_value_t = 10)]
    pub(crate) races: u32,
    /// Launches without memory.
    #[arg(long, default_value_t = 10)]
    pub(crate) pressure: u32,
    /// Times that a CPU of the host goes and comes.
    #[arg(long, default_value_t = 100)]
    pub(crate) hotplugs: u32,
    /// Times that a Realm gives memory back and gets it again.
    #[arg(long, default_value_t = 40)]
    pub(crate) moves: u32,
    /// Seconds of attack by a VMM that means harm.
    #[arg(long, default_value_t = 3600)]
    pub(crate) hostile: u32,
    /// Realms as small as can be, started and ended one after the other.
    #[arg(long, default_value_t = 500)]
    pub(crate) starts: u32,
    /// Realms at once, which share the host's memory, up to 512 MiB each.
    #[arg(long, default_value_t = 10)]
    pub(crate) crowd: u32,
    /// Name of this run, for its logs and for the summary.
    #[arg(long, default_value = "soak")]
    pub(crate) label: String,
    /// Keep the count in this file, for 'emulator summary'.
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Folder of the host's Image and initrd, with what loads its guests.
    #[arg(long, default_value = "target/load")]
    pub(crate) host: PathBuf,
    /// MiB that a guest sends, receives, does both with, and does both with beside everything else.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) mebibytes: u32,
    /// Name of this run, for its logs and for the summary.
    #[arg(long, default_value = "load")]
    pub(crate) label: String,
    /// Keep the count in this file, for 'emulator summary'.
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct OverheadArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Folder of the host's Image and initrd, with what loads its guests.
    #[arg(long, default_value = "target/load")]
    pub(crate) host: PathBuf,
    /// Rounds by the clock on the wall, in each of which an ordinary machine and a Realm take turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) rounds: u32,
    /// Leave out the machine whose clock counts instructions.
    #[arg(long)]
    pub(crate) no_instructions: bool,
    /// Where the figures go, as JSON.
    #[arg(long, default_value = "target/overhead.json")]
    pub(crate) out: PathBuf,
    /// Print the figures as JSON on standard output instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
    /// Let something go wrong at EL3.
    #[arg(long, value_enum)]
    pub(crate) fault: Option<Fault>,
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
    /// A program in the place of the RMM that fetches platform tokens.
    #[arg(long, default_value = "target/payloads/el3-probe.img")]
    pub(crate) probe: PathBuf,
    /// Name of this run, for its logs and for the summary.
    #[arg(long, default_value = "evidence")]
    pub(crate) label: String,
    /// Keep the count in this file, for 'emulator summary'.
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
    /// Print a line for every test, not only for failed ones.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BootMatrixArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Run these boots only: names, or prefixes that end in '*'.
    #[arg(long, value_delimiter = ',', value_parser = test_name)]
    pub(crate) only: Vec<String>,
    /// Name of this run, for its logs and for the summary.
    #[arg(long, default_value = "boot-matrix")]
    pub(crate) label: String,
    /// Keep the count in this file, for 'emulator summary'.
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
    /// Print a line for every boot, not only for failed ones.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Run these tests only: names, or prefixes that end in '*'.
    #[arg(long, value_delimiter = ',', value_parser = test_name)]
    pub(crate) only: Vec<String>,
    /// Leave these tests out, by name.
    #[arg(long, value_delimiter = ',', value_parser = test_name)]
    pub(crate) skip: Vec<String>,
    /// Number of calls of the stress tests.
    #[arg(long)]
    pub(crate) calls: Option<u64>,
    /// Let something go wrong at EL3, and run the tests of what comes of it instead of the others.
    #[arg(long, value_enum)]
    pub(crate) fault: Option<Fault>,
    /// Whose report counts: 'ns-host', or 'el3-probe' when that was given as --rmm.
    #[arg(long, default_value = "ns-host")]
    pub(crate) speaker: String,
    /// How often the emulator may be started again after a crash or a hang.
    #[arg(long, default_value_t = 8)]
    pub(crate) restarts: u32,
    /// Name of this run, for its logs and for the summary.
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// Keep the count in this file, for 'emulator summary'.
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
    /// Print the result as JSON on standard output.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print a line for every test, not only for failed and skipped ones.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

impl TestArgs {
    /// The tests that these arguments choose.
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            only: self.only.clone(),
            skip: self.skip.clone(),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Where the figures go, as a list of {"op": name, "instructions": number}.
    #[arg(long, default_value = "target/bench.json")]
    pub(crate) out: PathBuf,
    /// Print the figures as JSON on standard output instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Count the same work on disjoint Realms from 4, 2 and 1 CPUs instead, instructions of all
    /// CPUs together for each operation. Writes no file.
    #[arg(long)]
    pub(crate) scaling: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LinuxArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// The kernel, an arm64 Image.
    #[arg(long, default_value = "target/setup/debian/vmlinuz")]
    pub(crate) kernel: PathBuf,
    /// A statically linked arm64 busybox for the initial RAM disk.
    #[arg(long, default_value = "target/setup/debian/busybox")]
    pub(crate) busybox: PathBuf,
    /// The first program of the initial RAM disk, a shell script.
    #[arg(long, default_value = "tests/linux/init")]
    pub(crate) init: PathBuf,
    /// Hand the console to a person instead of testing. Ctrl-A X ends the emulator.
    #[arg(long)]
    pub(crate) interactive: bool,
    /// Seconds from the start to the shell prompt.
    #[arg(long, default_value_t = 240)]
    pub(crate) limit: u64,
    /// Name of this run, for its logs and for the summary.
    #[arg(long, default_value = "linux")]
    pub(crate) label: String,
    /// Keep the count in this file, for 'emulator summary'.
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct GuestImageArgs {
    /// The kernel, an arm64 Image.
    #[arg(long, default_value = "target/setup/debian/vmlinuz")]
    pub(crate) kernel: PathBuf,
    /// A statically linked arm64 busybox.
    #[arg(long, default_value = "target/setup/debian/busybox")]
    pub(crate) busybox: PathBuf,
    /// Folder of the kernel's modules, not compressed.
    #[arg(long, default_value = "target/setup/guest/modules")]
    pub(crate) modules: PathBuf,
    /// The command that gets evidence.
    #[arg(long, default_value = "target/linux/realm-kit")]
    pub(crate) realm_kit: PathBuf,
    /// One end of a stream between host and guest.
    #[arg(long, default_value = "target/linux/stream-end")]
    pub(crate) stream_end: PathBuf,
    /// The kernel module by which a Realm gives memory back.
    #[arg(long, default_value = "target/guest-module/realm_memory.ko")]
    pub(crate) memory_module: PathBuf,
    /// The first program, a shell script.
    #[arg(long, default_value = "tests/linux/guest-init")]
    pub(crate) init: PathBuf,
    /// Where Image and initrd go.
    #[arg(long, default_value = "target/guest")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct HostImageArgs {
    /// The kernel, an arm64 Image.
    #[arg(long, default_value = "target/setup/debian/vmlinuz")]
    pub(crate) kernel: PathBuf,
    /// The Realm kernel module, built for that kernel.
    #[arg(long)]
    pub(crate) module: PathBuf,
    /// That kernel's module for tap interfaces.
    #[arg(long, default_value = "target/setup/guest/modules/tun.ko")]
    pub(crate) tun: PathBuf,
    /// Folder of an unpacked system with fio and iperf3: the host gets these, to load its guests with.
    #[arg(long)]
    pub(crate) load: Option<PathBuf>,
    /// Work for guests, to see what it costs.
    #[arg(long, default_value = "target/linux/workload")]
    pub(crate) workload: PathBuf,
    /// What loads guests, a shell script.
    #[arg(long, default_value = "tests/linux/host-load")]
    pub(crate) host_load: PathBuf,
    /// What they do then, a shell script.
    #[arg(long, default_value = "tests/linux/guest-load")]
    pub(crate) guest_load: PathBuf,
    #[command(flatten)]
    pub(crate) parts: HostPartsArgs,
    /// Where Image and initrd go.
    #[arg(long, default_value = "target/host")]
    pub(crate) out: PathBuf,
}

/// What is on a host whatever its kernel is.
#[derive(Debug, Args)]
pub(crate) struct HostPartsArgs {
    /// A statically linked arm64 busybox.
    #[arg(long, default_value = "target/setup/debian/busybox")]
    pub(crate) busybox: PathBuf,
    /// The VMM.
    #[arg(long, default_value = "target/linux/host-vmm")]
    pub(crate) host_vmm: PathBuf,
    /// Folder of the guest's Image and initrd.
    #[arg(long, default_value = "target/guest")]
    pub(crate) guest: PathBuf,
    /// The first program, a shell script.
    #[arg(long, default_value = "tests/linux/host-init")]
    pub(crate) init: PathBuf,
    /// What uses the host roughly, a shell script.
    #[arg(long, default_value = "tests/linux/host-soak")]
    pub(crate) soak: PathBuf,
    /// The VMM that means harm.
    #[arg(long, default_value = "target/linux/hostile-vmm")]
    pub(crate) hostile_vmm: PathBuf,
    /// One end of a stream between host and guest.
    #[arg(long, default_value = "target/linux/stream-end")]
    pub(crate) stream_end: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct KernelsArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    #[command(flatten)]
    pub(crate) parts: HostPartsArgs,
    /// Folder of the kernels: RELEASE/vmlinuz, arm64 Images.
    #[arg(long, default_value = "target/setup/kernels")]
    pub(crate) kernels: PathBuf,
    /// Folder of the Realm kernel module built for each: RELEASE/realm.ko.
    #[arg(long, default_value = "target/module")]
    pub(crate) modules: PathBuf,
    /// Name of this run, for its logs and for the summary.
    #[arg(long, default_value = "kernels")]
    pub(crate) label: String,
    /// Keep the count in this file, for 'emulator summary'.
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
    /// Releases of the kernels, as `uname -r` prints them.
    #[arg(required = true, value_parser = kernel_release)]
    pub(crate) releases: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SummaryArgs {
    /// Folder with the records.
    #[arg(long, default_value = "target/test-results")]
    pub(crate) records: PathBuf,
    /// The runs that must be there; one without a record counts as a failure.
    #[arg(required = true)]
    pub(crate) runs: Vec<String>,
    /// Print the sum as JSON on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

fn memory_size(text: &str) -> Result<String, String> {
    let digits = text.strip_suffix(['M', 'G']).unwrap_or("");
    match digits.parse::<u32>() {
        Ok(1..) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(text.to_owned()),
        _ => Err("a number with M or G behind it, like 512M or 8G".to_owned()),
    }
}

fn time_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (0.01..=1000.0).contains(&scale) => Ok(scale),
        _ => Err("a number from 0.01 to 1000".to_owned()),
    }
}

fn kernel_release(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._~".contains(&byte);
    if text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a release like 7.3.4+deb13-arm64".to_owned())
    }
}

fn realms_check(text: &str) -> Result<String, String> {
    if crate::hosting::exists(text) {
        Ok(text.to_owned())
    } else {
        Err("no such check; a run without --only names them all".to_owned())
    }
}

fn test_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'=');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("one word like family/what-is-shown, or a prefix like family/*".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn memory_sizes_are_checked() {
        for good in ["512M", "1G", "64G"] {
            assert!(memory_size(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "G",
            "0G",
            "1",
            "1T",
            "-1G",
            "+1G",
            "1G,x=y",
            "99999999999G",
        ] {
            assert!(memory_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_factors_are_checked() {
        assert!(test_name("granule/*").is_ok());
        for bad in ["", "two words", "mode=bench"] {
            assert!(test_name(bad).is_err(), "{bad}");
        }
        assert!(kernel_release("6.12.95+deb12-cloud-arm64").is_ok());
        for bad in ["", "../7.3.4", "7.3.4/x", "7 3", "arm64"] {
            assert!(kernel_release(bad).is_err(), "{bad}");
        }
        assert!(realms_check("four-cpus").is_ok() && realms_check("five-cpus").is_err());
        assert!(time_scale("2.5").is_ok());
        for bad in ["0", "NaN", "inf", "-1", "x"] {
            assert!(time_scale(bad).is_err(), "{bad}");
        }
    }
}
