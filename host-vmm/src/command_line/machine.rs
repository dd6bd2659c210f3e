//! What describes a machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, value_parser};

use super::{FileArgument, devices};
use crate::configuration::{
    Backend, ConsoleEnd, CpuCount, Disk, HashAlgorithm, MachineName, MemorySize, Net, OnReset,
    Vsock,
};
use crate::settings::file::{self, FileError};
use crate::settings::{
    BlockSettings, ConsoleSettings, Count, DeviceSettings, MachineSettings, NetSettings,
    PersonalizationSource, ProcessSettings, RealmSettings, Setting, Settings, VectorBits,
    VsockSettings,
};

/// What describes a machine.
#[derive(Args, Debug)]
pub struct MachineArguments {
    /// Where a file of settings is.
    #[command(flatten)]
    pub file: FileArgument,
    /// The machine is a Realm; --realm=false says that it is none, whatever the file has
    #[arg(
        long,
        value_name = "TRUTH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub realm: Option<bool>,
    /// What messages call the machine [default: guest]
    #[arg(long, value_name = "NAME", value_parser = value_parser!(MachineName))]
    pub name: Option<MachineName>,
    /// The kernel: an arm64 Image
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Firmware instead of a kernel: a flat image, loaded at the start of RAM and entered at its
    /// first byte with the address of the device tree in X0
    #[arg(long, value_name = "FILE")]
    pub firmware: Option<PathBuf>,
    /// The initial RAM disk
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// The kernel's command line [default: console=ttyS0; console=hvc0 if only the virtio console
    /// is on the terminal]
    #[arg(long, value_name = "TEXT")]
    pub cmdline: Option<String>,
    /// RAM, in multiples of 2 MiB [default: 512M]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<MemorySize>,
    /// vCPUs [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<CpuCount>,
    /// A virtio disk: a raw image or a block device, with ",readonly" if the guest must not write, with
    /// ",direct" past the host's page cache; can be given several times
    #[arg(
        long = "disk",
        value_name = "FILE[,readonly][,direct]",
        value_parser = OsStringValueParser::new().map(|text| devices::disk(&text))
    )]
    pub disks: Vec<Disk>,
    /// A network interface by a tap interface of the host, which is there already, or by the
    /// descriptor of one that somebody else has opened (fd=NUMBER); can be given several times
    #[arg(
        long = "net",
        value_name = "tap=NAME[,mac=ADDRESS]",
        value_parser = devices::net
    )]
    pub nets: Vec<Net>,
    /// Sockets between guest and host: the guest's address, and a Unix socket
    #[arg(
        long = "vsock",
        value_name = "cid=NUMBER,socket=PATH",
        value_parser = devices::vsock
    )]
    pub vsocks: Vec<Vsock>,
    /// A device for random numbers of the host's kernel
    #[arg(long)]
    pub rng: bool,
    /// Memory that moves between guest and host while the machine runs (host-vmm memory); in a Realm
    /// it wants a kernel module of the guest kit
    #[arg(long)]
    pub balloon: bool,
    /// Where the serial port goes: terminal, none or file=PATH [default: terminal, unless the
    /// virtio console is there]
    #[arg(long, value_name = "WHERE")]
    pub serial: Option<ConsoleEnd>,
    /// Adds a virtio console (hvc0), and says where it goes: terminal, none or file=PATH; can be
    /// given several times
    #[arg(long = "virtio-console", value_name = "WHERE")]
    pub consoles: Vec<ConsoleEnd>,
    /// By what the machine is run [default: auto]
    #[arg(long, value_enum, value_name = "NAME")]
    pub backend: Option<Backend>,
    /// Device node of the Realm kernel module [default: /dev/realm]
    #[arg(long, value_name = "FILE")]
    pub realm_device: Option<PathBuf>,
    /// Device node of KVM [default: /dev/kvm]
    #[arg(long, value_name = "FILE")]
    pub kvm_device: Option<PathBuf>,
    /// What follows when the guest restarts itself [default: restart]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub on_reset: Option<OnReset>,
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
    pub hash: Option<HashAlgorithm>,
    /// What tokens say of the Realm besides measurements, up to 64 bytes: text, hexadecimal with
    /// 0x, or @FILE
    #[arg(long, value_name = "VALUE")]
    pub personalization_value: Option<OsString>,
    /// The Realm has SVE with vectors of at most so many bits, a multiple of 128
    #[arg(long, value_name = "BITS")]
    pub sve_vl: Option<VectorBits>,
    /// The Realm has a PMU with so many event counters
    #[arg(long, value_name = "NUMBER")]
    pub pmu_counters: Option<Count<0, 31>>,
    /// Hardware breakpoints [default: 2]
    #[arg(long, value_name = "NUMBER")]
    pub breakpoints: Option<Count<2, 64>>,
    /// Hardware watchpoints [default: 2]
    #[arg(long, value_name = "NUMBER")]
    pub watchpoints: Option<Count<2, 64>>,
}

/// From the command line, if it was said there.
fn flag<T>(name: &'static str, value: Option<T>) -> Option<Setting<T>> {
    value.map(|value| Setting::flag(name, value))
}

impl MachineArguments {
    /// What was said on the command line and in the file that it names, together with what was
    /// said of the process.
    pub(super) fn settings(self, process: ProcessSettings) -> Result<Settings, FileError> {
        let file = self.file.config.as_deref().map(file::read).transpose()?;
        let devices = DeviceSettings {
            consoles: consoles(self.consoles),
            blocks: self.disks.into_iter().map(block).collect(),
            nets: self.nets.into_iter().map(net).collect(),
            vsocks: self.vsocks.into_iter().map(vsock).collect(),
            rng: flag("--rng", self.rng.then_some(true)),
            balloon: flag("--balloon", self.balloon.then_some(true)),
        };
        let here = Settings {
            machine: MachineSettings {
                name: flag("--name", self.name),
                realm: flag("--realm", self.realm),
                kernel: flag("--kernel", self.kernel),
                firmware: flag("--firmware", self.firmware),
                initrd: flag("--initrd", self.initrd),
                cmdline: flag("--cmdline", self.cmdline),
                memory: flag("--memory", self.memory),
                cpus: flag("--cpus", self.cpus),
                serial: flag("--serial", self.serial),
                backend: flag("--backend", self.backend),
                realm_device: flag("--realm-device", self.realm_device),
                kvm_device: flag("--kvm-device", self.kvm_device),
                on_reset: flag("--on-reset", self.on_reset),
            },
            realm: self.realm_arguments.settings(),
            devices,
            process,
        };
        Ok(here.over(file.unwrap_or_default()))
    }
}

impl RealmArguments {
    fn settings(self) -> RealmSettings {
        let value = self.personalization_value;
        let value = value.map(|text| PersonalizationSource::new(&text, Path::new("")));
        RealmSettings {
            hash: flag("--hash", self.hash),
            personalization_value: flag("--personalization-value", value),
            sve_vl: flag("--sve-vl", self.sve_vl),
            pmu_counters: flag("--pmu-counters", self.pmu_counters),
            breakpoints: flag("--breakpoints", self.breakpoints),
            watchpoints: flag("--watchpoints", self.watchpoints),
        }
    }
}

fn consoles(ends: Vec<ConsoleEnd>) -> Vec<ConsoleSettings> {
    let console = |end| ConsoleSettings {
        to: Setting::flag("--virtio-console", end),
    };
    ends.into_iter().map(console).collect()
}

fn block(disk: Disk) -> BlockSettings {
    BlockSettings {
        path: Setting::flag("--disk", disk.path),
        read_only: flag("--disk", disk.read_only.then_some(true)),
        direct: flag("--disk", disk.direct.then_some(true)),
    }
}

fn net(net: Net) -> NetSettings {
    NetSettings {
        tap: Setting::flag("--net", net.tap),
        mac: flag("--net", net.mac),
    }
}

fn vsock(vsock: Vsock) -> VsockSettings {
    VsockSettings {
        cid: Setting::flag("--vsock", vsock.cid),
        socket: Setting::flag("--vsock", vsock.socket),
    }
}
