//! What can be said on the command line, and what becomes of it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use attestation_token::encoding;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::configuration::{
    Backend, Configuration, ConsoleEnd, CpuCount, DEFAULT_COMMAND_LINE, DeviceNodes, Disk,
    HashAlgorithm, MemorySize, Net, OnReset, PERSONALIZATION_BYTES, PersonalizationValue,
    RealmOptions, Rng, VIRTIO_CONSOLE_COMMAND_LINE, Vsock,
};
use crate::error::{Error, OptionError};

mod devices;

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
  4  ended from outside, by a signal or at the terminal
  5  the guest restarted itself, and --on-reset exit was given"
)]
pub struct Arguments {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a machine until it switches itself off.
    Run(Box<Run>),
    /// Print the initial measurement of a Realm.
    Measure(Box<Measure>),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  host-vmm completions bash > ~/.local/share/bash-completion/completions/host-vmm"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Run a machine until it switches itself off
///
/// The guest's serial port is on the terminal. Messages about the machine go to standard error,
/// the initial measurement of a Realm among them; it is the one that `host-vmm measure` prints for
/// the same options.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  host-vmm run --realm --kernel vmlinuz --initrd initrd.img --memory 1G --cpus 2
  host-vmm run --realm --kernel vmlinuz --initrd initrd.img --cmdline 'console=ttyS0 root=/dev/vda' \\
      --disk root.img --disk data.img,readonly --hash sha-512 --personalization-value tenant-7
  host-vmm run --kernel vmlinuz --initrd initrd.img        # an ordinary machine, by KVM")]
pub struct Run {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArguments,
    /// Write messages as JSON, one object per line
    #[arg(long)]
    pub json: bool,
}

/// Print the initial measurement (RIM) that a Realm will have, without launching it
///
/// Takes the options of `run`, and works on any machine. Only what is measured counts: kernel,
/// initial RAM disk and command line, memory, vCPUs, number of virtio devices, hash algorithm, and
/// what the Realm has of the CPU.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  host-vmm measure --realm --kernel vmlinuz --initrd initrd.img --memory 1G --cpus 2
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

/// What describes a machine.
#[derive(Args, Debug)]
pub struct MachineArguments {
    /// The machine is a Realm
    #[arg(long)]
    pub realm: bool,
    /// What messages call the machine
    #[arg(long, value_name = "NAME", default_value = "guest")]
    pub name: String,
    /// The kernel: an arm64 Image
    #[arg(long, value_name = "FILE")]
    pub kernel: PathBuf,
    /// The initial RAM disk
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// The kernel's command line [default: console=ttyS0; console=hvc0 if only the virtio console
    /// is on the terminal]
    #[arg(long, value_name = "TEXT")]
    pub cmdline: Option<String>,
    /// RAM, in multiples of 2 MiB
    #[arg(long, value_name = "SIZE", default_value = "512M")]
    pub memory: MemorySize,
    /// vCPUs
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    pub cpus: CpuCount,
    /// A virtio disk: a raw image or a block device, with ",readonly" if the guest must not write;
    /// can be given several times
    #[arg(
        long = "disk",
        value_name = "FILE[,readonly]",
        value_parser = OsStringValueParser::new().map(|text| devices::disk(&text))
    )]
    pub disks: Vec<Disk>,
    /// A network interface by a tap interface of the host: tap=NAME[,mac=ADDRESS]; can be given
    /// several times
    #[arg(
        long = "net",
        value_name = "tap=NAME[,mac=ADDRESS]",
        value_parser = devices::net,
        hide = true
    )]
    pub nets: Vec<Net>,
    /// Sockets between guest and host, by a Unix socket
    #[arg(
        long = "vsock",
        value_name = "cid=NUMBER,socket=PATH",
        value_parser = devices::vsock,
        hide = true
    )]
    pub vsocks: Vec<Vsock>,
    /// A device for random numbers
    #[arg(long, hide = true)]
    pub rng: bool,
    /// Where the serial port goes: terminal, none or file=PATH [default: terminal, unless the
    /// virtio console is there]
    #[arg(long, value_name = "WHERE", value_parser = devices::console_end)]
    pub serial: Option<ConsoleEnd>,
    /// Adds a virtio console (hvc0), and says where it goes: terminal, none or file=PATH; can be
    /// given several times
    #[arg(long = "virtio-console", value_name = "WHERE", value_parser = devices::console_end)]
    pub consoles: Vec<ConsoleEnd>,
    /// By what the machine is run
    #[arg(long, value_enum, value_name = "NAME", default_value_t = BackendName::Auto)]
    pub backend: BackendName,
    /// Device node of the Realm kernel module
    #[arg(long, value_name = "FILE", default_value = "/dev/realm")]
    pub realm_device: PathBuf,
    /// Device node of KVM
    #[arg(long, value_name = "FILE", default_value = "/dev/kvm")]
    pub kvm_device: PathBuf,
    /// What follows when the guest restarts itself
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnResetName::Restart)]
    pub on_reset: OnResetName,
    /// Options for Realms.
    #[command(flatten)]
    pub realm_arguments: RealmArguments,
}

/// What only a Realm has.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options for Realms")]
pub struct RealmArguments {
    /// What the Realm is measured with [default: sha-256]
    #[arg(long, value_enum, value_name = "ALGORITHM")]
    pub hash: Option<HashName>,
    /// What tokens say of the Realm besides measurements, up to 64 bytes: text, hexadecimal with
    /// 0x, or @FILE
    #[arg(long, value_name = "VALUE")]
    pub personalization_value: Option<OsString>,
    /// The Realm has SVE with vectors of at most so many bits, a multiple of 128
    #[arg(long, value_name = "BITS", value_parser = sve_vl)]
    pub sve_vl: Option<u8>,
    /// The Realm has a PMU with so many event counters
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(0..=31))]
    pub pmu_counters: Option<u8>,
    /// Hardware breakpoints [default: 2]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(2..=64))]
    pub breakpoints: Option<u8>,
    /// Hardware watchpoints [default: 2]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(2..=64))]
    pub watchpoints: Option<u8>,
}

/// Names of the back-ends.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum BackendName {
    /// For a Realm the kernel's KVM if it can, else the Realm kernel module; otherwise KVM
    Auto,
    /// The Realm kernel module
    Module,
    /// The kernel's KVM, for ordinary machines
    Kvm,
    /// The kernel's KVM, for Realms
    KvmCca,
}

/// What can follow when a guest restarts itself.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum OnResetName {
    /// The machine is made anew from the files as they were at the start
    Restart,
    /// The command ends with exit code 5
    Exit,
}

/// Names of hash algorithms.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum HashName {
    /// SHA-256
    #[value(name = "sha-256", alias = "sha256")]
    Sha256,
    /// SHA-512
    #[value(name = "sha-512", alias = "sha512")]
    Sha512,
}

impl MachineArguments {
    /// The machine that they describe, with `realm` from the command.
    ///
    /// # Errors
    ///
    /// For a value that cannot be used, and options that do not go together.
    pub fn configuration(self, realm: bool) -> Result<Configuration, Error> {
        let backend = self.backend.checked(realm)?;
        let options = self.realm_arguments.options(realm)?;
        let virtio_has_terminal = self.consoles.contains(&ConsoleEnd::Terminal);
        let serial = self.serial.unwrap_or(if virtio_has_terminal {
            ConsoleEnd::Nowhere
        } else {
            ConsoleEnd::Terminal
        });
        let command_line = self.cmdline.unwrap_or_else(|| {
            let default = if virtio_has_terminal {
                VIRTIO_CONSOLE_COMMAND_LINE
            } else {
                DEFAULT_COMMAND_LINE
            };
            default.to_owned()
        });
        let configuration = Configuration {
            name: self.name,
            realm: options,
            kernel: self.kernel,
            initrd: self.initrd,
            command_line,
            memory: self.memory,
            cpus: self.cpus,
            disks: self.disks,
            serial,
            nets: self.nets,
            vsocks: self.vsocks,
            rng: self.rng.then_some(Rng),
            consoles: self.consoles,
            backend,
            device_nodes: DeviceNodes {
                realm: self.realm_device,
                kvm: self.kvm_device,
            },
            on_reset: match self.on_reset {
                OnResetName::Restart => OnReset::Restart,
                OnResetName::Exit => OnReset::Exit,
            },
        };
        configuration.check()?;
        Ok(configuration)
    }
}

impl BackendName {
    fn checked(self, realm: bool) -> Result<Backend, Error> {
        let wrong = |option, error| Err(Error::Option { option, error });
        match (self, realm) {
            (Self::Auto, _) => Ok(Backend::Auto),
            (Self::Module, true) => Ok(Backend::Module),
            (Self::KvmCca, true) => Ok(Backend::KvmCca),
            (Self::Kvm, false) => Ok(Backend::Kvm),
            (Self::Kvm, true) => wrong("--backend kvm", OptionError::OnlyForOrdinaryMachines),
            (Self::Module, false) => wrong("--backend module", OptionError::BackendForRealms),
            (Self::KvmCca, false) => wrong("--backend kvm-cca", OptionError::BackendForRealms),
        }
    }
}

impl RealmArguments {
    fn options(self, realm: bool) -> Result<Option<RealmOptions>, Error> {
        if !realm {
            let given = [
                ("--hash", self.hash.is_some()),
                (
                    "--personalization-value",
                    self.personalization_value.is_some(),
                ),
                ("--sve-vl", self.sve_vl.is_some()),
                ("--pmu-counters", self.pmu_counters.is_some()),
                ("--breakpoints", self.breakpoints.is_some()),
                ("--watchpoints", self.watchpoints.is_some()),
            ];
            return match given.into_iter().find(|(_, given)| *given) {
                Some((option, _)) => Err(Error::Option {
                    option,
                    error: OptionError::OnlyForRealms,
                }),
                None => Ok(None),
            };
        }
        let least = RealmOptions::default();
        let personalization_value = match self.personalization_value {
            Some(text) => personalization_value(&text).map_err(|error| Error::Option {
                option: "--personalization-value",
                error,
            })?,
            None => least.personalization_value,
        };
        // clap has seen to it that numbers are at least 2.
        let encoded = |number: Option<u8>, least: u8| number.map_or(least, |n| n.saturating_sub(1));
        Ok(Some(RealmOptions {
            hash_algorithm: match self.hash {
                None => least.hash_algorithm,
                Some(HashName::Sha256) => HashAlgorithm::Sha256,
                Some(HashName::Sha512) => HashAlgorithm::Sha512,
            },
            personalization_value,
            sve_vl: self.sve_vl,
            pmu_counters: self.pmu_counters,
            breakpoints: encoded(self.breakpoints, least.breakpoints),
            watchpoints: encoded(self.watchpoints, least.watchpoints),
        }))
    }
}

/// The encoding of a vector length in bits.
fn sve_vl(text: &str) -> Result<u8, &'static str> {
    let bits: u16 = text.parse().unwrap_or(0);
    if !(128..=2048).contains(&bits) || !bits.is_multiple_of(128) {
        return Err("a multiple of 128 from 128 to 2048 is wanted");
    }
    u8::try_from(bits / 128 - 1).map_err(|_| "too large")
}

/// Text, hexadecimal with 0x, or the content of @FILE.
fn personalization_value(text: &OsStr) -> Result<PersonalizationValue, OptionError> {
    let bytes = text.as_bytes();
    if let Some(path) = bytes.strip_prefix(b"@") {
        let path = Path::new(OsStr::from_bytes(path));
        let mut content = Vec::new();
        // One more, so that what is too long is seen to be.
        let result = File::open(path).and_then(|file| {
            file.take(PERSONALIZATION_BYTES as u64 + 1)
                .read_to_end(&mut content)
        });
        result.map_err(|error| OptionError::File {
            path: path.into(),
            error,
        })?;
        return Ok(PersonalizationValue::new(&content)?);
    }
    if bytes.starts_with(b"0x") {
        let value = text.to_str().and_then(encoding::from_hex);
        return Ok(PersonalizationValue::new(
            &value.ok_or(OptionError::Hexadecimal)?,
        )?);
    }
    Ok(PersonalizationValue::new(bytes)?)
}

#[cfg(test)]
mod tests;
