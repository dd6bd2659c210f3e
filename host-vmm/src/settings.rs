//! What has been said of a machine: in a file, on the command line, in the environment; and what
//! comes of it.
//!
//! Each value keeps where it comes from, so that an error names the place and `host-vmm config` can
//! show it. The command line counts before the environment, that before the file, and that before
//! what is so if nothing was said. Of devices the command line replaces all of a kind.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::configuration::{
    Backend, ConsoleEnd, CpuCount, GuestCid, HashAlgorithm, MacAddress, MachineName, MemorySize,
    OnReset, TapSource,
};

use crate::confinement::{Sandbox, Seccomp};

mod effective;
mod error;
pub mod file;
mod personalization;
pub mod report;

pub use effective::{Effective, ProcessOptions};
pub use error::{OptionError, SettingsError};
pub use personalization::PersonalizationSource;

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nobody has said anything.
    Default,
    /// An option of the command line.
    Flag(&'static str),
    /// A variable of the environment.
    Environment(&'static str),
    /// A line of a file.
    File {
        /// The file.
        path: Arc<Path>,
        /// The line, counted from 1.
        line: usize,
    },
}

impl Origin {
    /// What an error about a key's value begins with.
    pub fn place(&self, key: &str) -> String {
        match self {
            Self::Default => key.to_owned(),
            Self::Flag(name) | Self::Environment(name) => (*name).to_owned(),
            Self::File { .. } => format!("{self}: {key}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Flag(name) => f.write_str(name),
            Self::Environment(name) => write!(f, "${name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// A value that somebody has given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// From the command line.
    pub const fn flag(name: &'static str, value: T) -> Self {
        Self {
            value,
            origin: Origin::Flag(name),
        }
    }
}

/// Defines a structure of settings of which each may be missing.
macro_rules! layer {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Default, Debug)]
        pub struct $name {
            $($(#[$doc])* pub $field: Option<Setting<$type>>,)*
        }

        impl $name {
            /// What is said here, and else what is said below.
            #[must_use]
            pub fn over(self, below: Self) -> Self {
                Self { $($field: self.$field.or(below.$field),)* }
            }
        }
    };
}

layer! {
    /// Of the machine itself.
    MachineSettings {
        /// What it is called.
        name: MachineName,
        /// Whether it is a Realm.
        realm: bool,
        /// The kernel.
        kernel: PathBuf,
        /// Firmware instead of it.
        firmware: PathBuf,
        /// The initial RAM disk.
        initrd: PathBuf,
        /// The kernel's command line.
        cmdline: String,
        /// RAM.
        memory: MemorySize,
        /// vCPUs.
        cpus: CpuCount,
        /// Where the serial port goes.
        serial: ConsoleEnd,
        /// By what it is run.
        backend: Backend,
        /// Device node of the Realm kernel module.
        realm_device: PathBuf,
        /// Device node of KVM.
        kvm_device: PathBuf,
        /// What follows when the guest restarts itself.
        on_reset: OnReset,
    }
}

layer! {
    /// Of a Realm.
    RealmSettings {
        /// What it is measured with.
        hash: HashAlgorithm,
        /// What tokens say of it besides measurements.
        personalization_value: PersonalizationSource,
        /// Bits of the longest vectors of SVE.
        sve_vl: VectorBits,
        /// Event counters of its PMU.
        pmu_counters: Count<0, 31>,
        /// Hardware breakpoints.
        breakpoints: Count<2, 64>,
        /// Hardware watchpoints.
        watchpoints: Count<2, 64>,
    }
}

layer! {
    /// Of the process that runs the machine.
    ProcessSettings {
        /// What is said about the machine: a filter of `tracing`.
        log: String,
        /// How it is said.
        log_format: LogFormat,
        /// Where events of the machine's life are written to.
        audit_log: PathBuf,
        /// The folder of the control socket.
        run_dir: PathBuf,
        /// What becomes of a system call that is not needed.
        seccomp: Seccomp,
        /// What else the process does without.
        sandbox: Sandbox,
    }
}

/// Of a virtio console.
#[derive(Debug)]
pub struct ConsoleSettings {
    /// Where it goes.
    pub to: Setting<ConsoleEnd>,
}

/// Of a disk.
#[derive(Debug)]
pub struct BlockSettings {
    /// Its file.
    pub path: Setting<PathBuf>,
    /// The guest cannot write to it.
    pub read_only: Option<Setting<bool>>,
    /// It does not go through the host's page cache.
    pub direct: Option<Setting<bool>>,
}

/// Of a network interface.
#[derive(Debug)]
pub struct NetSettings {
    /// Its tap interface.
    pub tap: Setting<TapSource>,
    /// The guest's address.
    pub mac: Option<Setting<MacAddress>>,
}

/// Of sockets between guest and host.
#[derive(Debug)]
pub struct VsockSettings {
    /// The guest's address.
    pub cid: Setting<GuestCid>,
    /// The Unix socket.
    pub socket: Setting<PathBuf>,
}

/// Devices by their kind.
#[derive(Default, Debug)]
pub struct DeviceSettings {
    /// Virtio consoles.
    pub consoles: Vec<ConsoleSettings>,
    /// Disks.
    pub blocks: Vec<BlockSettings>,
    /// Network interfaces.
    pub nets: Vec<NetSettings>,
    /// Sockets between guest and host.
    pub vsocks: Vec<VsockSettings>,
    /// Random numbers.
    pub rng: Option<Setting<bool>>,
    /// Memory that moves.
    pub balloon: Option<Setting<bool>>,
}

impl DeviceSettings {
    /// What is said here, and of kinds of which nothing is said here what is said below.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        fn either<T>(here: Vec<T>, below: Vec<T>) -> Vec<T> {
            if here.is_empty() { below } else { here }
        }
        Self {
            consoles: either(self.consoles, below.consoles),
            blocks: either(self.blocks, below.blocks),
            nets: either(self.nets, below.nets),
            vsocks: either(self.vsocks, below.vsocks),
            rng: self.rng.or(below.rng),
            balloon: self.balloon.or(below.balloon),
        }
    }
}

/// All that has been said.
#[derive(Default, Debug)]
pub struct Settings {
    /// Of the machine itself.
    pub machine: MachineSettings,
    /// Of a Realm.
    pub realm: RealmSettings,
    /// Of devices.
    pub devices: DeviceSettings,
    /// Of this process.
    pub process: ProcessSettings,
}

impl Settings {
    /// What is said here, and else what is said below.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            machine: self.machine.over(below.machine),
            realm: self.realm.over(below.realm),
            devices: self.devices.over(below.devices),
            process: self.process.over(below.process),
        }
    }
}

/// How messages are written.
#[derive(Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Debug)]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// JSON, one object per line
    Json,
}

/// A number from `LEAST` to `MOST`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count<const LEAST: u8, const MOST: u8>(u8);

impl<const LEAST: u8, const MOST: u8> Count<LEAST, MOST> {
    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl<const LEAST: u8, const MOST: u8> std::str::FromStr for Count<LEAST, MOST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().ok();
        let number = number.filter(|number| (LEAST..=MOST).contains(number));
        number
            .map(Self)
            .ok_or_else(|| format!("a number from {LEAST} to {MOST} is wanted"))
    }
}

/// Length of vectors in bits: a multiple of 128 from 128 to 2048.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VectorBits(u16);

impl VectorBits {
    /// The number of bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// As the RMM has it: bits / 128 − 1.
    pub fn encoded(self) -> u8 {
        u8::try_from(self.0 / 128 - 1).unwrap_or(u8::MAX)
    }
}

impl std::str::FromStr for VectorBits {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bits: u16 = text.parse().unwrap_or(0);
        if !(128..=2048).contains(&bits) || !bits.is_multiple_of(128) {
            return Err("a multiple of 128 from 128 to 2048 is wanted");
        }
        Ok(Self(bits))
    }
}

#[cfg(test)]
mod tests;
