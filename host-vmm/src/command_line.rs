//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::check::Wish;
use crate::settings::SettingsError;
use crate::settings::{Effective, LogFormat, ProcessSettings, Setting};

mod devices;
mod fleet;
mod machine;
mod process;
mod rmm;

pub use fleet::{Memory, Probe, Ps, Stop};
pub use machine::{MachineArguments, RealmArguments};
pub use process::ProcessArguments;
pub use rmm::Rmm;

/// Runs Realms and ordinary virtual machines on an arm64 Linux host.
#[derive(Parser, Debug)]
#[command(
    name = "host-vmm",
    version,
    max_term_width = 100,
    after_help = "\
Exit codes:
  0  the guest switched itself off; or what was asked for is done
  1  the guest was started and could not go on
  2  the command line, or a file that it names, cannot be used; nothing was started
  3  this host cannot run the machine (device node, permission, RMM, memory); nothing was started
  4  ended from outside, by a signal, at the terminal or at the control socket
  5  the guest restarted itself, and --on-reset exit was given
  6  no such machine, no answer from it, or not what was asked (ps, probe, stop, memory)
  7  it was told to end and is still there (stop)
  8  a thread made a system call that it does not need: a bug, or an attack"
)]
pub struct Arguments {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a machine until it switches itself off
    ///
    /// The guest's serial port is on the terminal. Messages about the machine go to standard error,
    /// the initial measurement of a Realm among them; it is the one that `host-vmm measure` prints for
    /// the same options.
    Run(Box<Run>),
    /// Print the initial measurement (RIM) that a Realm will have, without launching it
    ///
    /// Takes the options of `run`, and works on any machine. Only what is measured counts: kernel,
    /// initial RAM disk and command line, memory, vCPUs, number of virtio devices, hash algorithm, and
    /// what the Realm has of the CPU.
    Measure(Box<Measure>),
    /// Print what `run` would use for the same options, and where each value comes from
    ///
    /// The result is a file for --config: each value, with its origin behind it. Nothing is started,
    /// and only the file of --config and that of a personalization value are read.
    Config(Box<Config>),
    /// Say whether this host can run a machine, and what to do if it cannot
    ///
    /// Takes the options of `run`; without any, the machine is a Realm with everything as it is by
    /// default. Nothing is started. Each line is good, bad or unknown; the exit code is 0 if all are
    /// good, and else 3.
    Check(Box<Check>),
    /// List the machines that run with --run-dir
    ///
    /// A machine that is `gone` has left its socket behind: its process was killed.
    Ps(Ps),
    /// Ask a machine whether it is live or ready
    ///
    /// Says nothing if it is, and else ends with exit code 6: for probes of an orchestrator.
    Probe(Probe),
    /// Tell machines to end, and wait until they have
    ///
    /// As by a signal: vCPUs stop where they are, devices finish what they do. The guest is not asked;
    /// have it switch itself off if it shall end in order.
    Stop(Stop),
    /// Show what the RMM has counted since the machine has booted, and its latest events
    ///
    /// Calls of the host by command and result, exits of vCPUs of Realms, faults that Realms were
    /// given, and what there is now, of all CPUs; then CPUs and Realms that came and went, and calls
    /// that failed. Nothing of what is in a Realm is among it. For administrators, on hosts with the
    /// Realm kernel module.
    Rmm(Rmm),
    /// Give a guest more or less memory while it runs, or show what it has
    ///
    /// For machines that were started with --balloon. A guest that is to have less gives back what it
    /// can do without, block by block, and the host can use that; one that is to have more gets up to
    /// what it was started with. It comes to its target as far as it can, and has it over restarts.
    Memory(Memory),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  host-vmm completions bash > ~/.local/share/bash-completion/completions/host-vmm"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What `run` is given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  host-vmm run --realm --kernel vmlinuz --initrd initrd.img --memory 1G --cpus 2
  host-vmm run --realm --kernel vmlinuz --initrd initrd.img --cmdline 'console=ttyS0 root=/dev/vda' \\
      --disk root.img --disk data.img,readonly --hash sha-512 --personalization-value tenant-7
  host-vmm run --config web-7.toml --memory 2G             # all in a file, but for the memory
  host-vmm run --kernel vmlinuz --initrd initrd.img        # an ordinary machine, by KVM")]
pub struct Run {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArguments,
    /// How it is run.
    #[command(flatten)]
    pub process: ProcessArguments,
    /// The same as --log-format json
    #[arg(long, conflicts_with = "log_format")]
    pub json: bool,
}

impl Run {
    /// How messages are written, as far as the command line says it.
    pub fn log_format(&self) -> Option<LogFormat> {
        let json = self.json.then_some(LogFormat::Json);
        json.or(self.process.log_format)
    }

    /// The machine, and how it is run.
    ///
    /// # Errors
    ///
    /// For a file or a value that cannot be used, and values that do not go together.
    pub fn effective(mut self) -> Result<Effective, SettingsError> {
        let (format, flag) = match (self.json, self.process.log_format.take()) {
            (true, _) => (Some(LogFormat::Json), "--json"),
            (false, format) => (format, "--log-format"),
        };
        let process = self.process.settings(format, flag);
        self.machine.settings(process)?.effective(false)
    }
}

/// What `measure` is given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  host-vmm measure --realm --kernel vmlinuz --initrd initrd.img --memory 1G --cpus 2
  host-vmm measure --config web-7.toml
  host-vmm measure --kernel vmlinuz --initrd initrd.img --format toml > expected.toml
  cca-token verify --trust-anchor cpak.jwk --ref-values expected.toml token.cbor")]
pub struct Measure {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArguments,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = MeasurementForm::Hex)]
    pub format: MeasurementForm,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

impl Measure {
    /// How it is printed.
    pub fn form(&self) -> MeasurementForm {
        if self.json {
            MeasurementForm::Json
        } else {
            self.format
        }
    }

    /// The Realm; --realm may be left out.
    ///
    /// # Errors
    ///
    /// As [`Run::effective`].
    pub fn effective(self) -> Result<Effective, SettingsError> {
        self.machine
            .settings(ProcessSettings::default())?
            .effective(true)
    }
}

/// Forms of a measurement.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum MeasurementForm {
    /// The value alone, in hexadecimal
    Hex,
    /// With all that it follows from
    Json,
    /// As reference values for `cca-token verify --ref-values`
    Toml,
}

/// What `config` is given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  host-vmm config --config web-7.toml --memory 2G
  host-vmm config --realm --kernel vmlinuz --initrd initrd.img > web-7.toml
  host-vmm config --config web-7.toml --json | jq '.[] | select(.origin == \"flag\")'")]
pub struct Config {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArguments,
    /// How it is run.
    #[command(flatten)]
    pub process: ProcessArguments,
    /// Print JSON: a list of objects with key, value and origin
    #[arg(long)]
    pub json: bool,
}

impl Config {
    /// The machine, and how it is run.
    ///
    /// # Errors
    ///
    /// As [`Run::effective`].
    pub fn effective(mut self) -> Result<Effective, SettingsError> {
        let format = self.process.log_format.take();
        let process = self.process.settings(format, "--log-format");
        self.machine.settings(process)?.effective(false)
    }
}

/// What `check` is given.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  host-vmm check
  host-vmm check --config web-7.toml
  host-vmm check --realm=false
  host-vmm check --json | jq '.lines[] | select(.verdict != \"good\")'")]
pub struct Check {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArguments,
    /// Where /proc, /sys and /lib of the host are: for a container that has them elsewhere
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    pub root: PathBuf,
    /// Print JSON: an object with all lines
    #[arg(long)]
    pub json: bool,
}

impl Check {
    /// What this host is asked.
    ///
    /// # Errors
    ///
    /// As [`Run::effective`].
    pub fn wish(self) -> Result<Wish, SettingsError> {
        let from_file = self.machine.file.config.is_some();
        let mut settings = self.machine.settings(ProcessSettings::default())?;
        let files = settings.machine.kernel.is_some() || settings.machine.firmware.is_some();
        if !files {
            // It is not looked at.
            settings.machine.kernel = Some(Setting::flag("--kernel", PathBuf::new()));
        }
        let realm = !from_file && settings.machine.realm.is_none();
        Ok(Wish {
            configuration: settings.effective(realm)?.configuration,
            files,
        })
    }
}

/// Where a file of settings is.
#[derive(Args, Debug)]
pub struct FileArgument {
    /// A TOML file with settings of the machine; what the command line says counts before it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[cfg(test)]
mod tests;
