//! What one virtual machine is to be, after the command line has been read and checked.

use std::path::PathBuf;

use clap::ValueEnum;
use thiserror::Error;

use crate::layout::{MAX_CPUS, MAX_MEMORY_BYTES, VIRTIO_SLOTS};

mod devices;
mod name;
mod numbers;
mod realm;

pub use devices::{
    Balloon, ConsoleEnd, Descriptor, Disk, GuestCid, InterfaceName, MacAddress, Net, Rng,
    TapSource, VirtioDevice, Vsock,
};
pub use name::MachineName;
pub use numbers::{CpuCount, MemorySize};
pub use realm::{HashAlgorithm, PERSONALIZATION_BYTES, PersonalizationValue, RealmOptions};

/// Command line of a guest for which nothing else was said: its console is the serial port, which
/// Debian's kernels have built in.
pub const DEFAULT_COMMAND_LINE: &str = "console=ttyS0";

/// The same for a guest that has the virtio console on the terminal. Linux shows there what has been
/// said before the console was found.
pub const VIRTIO_CONSOLE_COMMAND_LINE: &str = "console=hvc0";

/// Unit of the option `swiotlb=` of Linux.
const SWIOTLB_UNIT: u64 = 2 << 10;

/// A virtual machine, as its operator wants it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configuration {
    /// What messages call it; nothing that the guest sees.
    pub name: MachineName,
    /// What it has as a Realm; `None` is an ordinary virtual machine.
    pub realm: Option<RealmOptions>,
    /// What is started.
    pub kernel: PathBuf,
    /// What kind of file that is.
    pub program: Program,
    /// The initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
    /// RAM.
    pub memory: MemorySize,
    /// vCPUs.
    pub cpus: CpuCount,
    /// Disks, in the order in which the guest finds them.
    pub disks: Vec<Disk>,
    /// Network interfaces, in that order, too.
    pub nets: Vec<Net>,
    /// Sockets between guest and host. Linux uses one of them.
    pub vsocks: Vec<Vsock>,
    /// Random numbers.
    pub rng: Option<Rng>,
    /// Memory that moves between guest and host while the machine runs.
    pub balloon: Option<Balloon>,
    /// Where the serial port's other end is.
    pub serial: ConsoleEnd,
    /// Where the other ends of virtio consoles are.
    pub consoles: Vec<ConsoleEnd>,
    /// By what the machine is run.
    pub backend: Backend,
    /// Where the device nodes are.
    pub device_nodes: DeviceNodes,
    /// What follows when the guest restarts itself.
    pub on_reset: OnReset,
}

impl Configuration {
    /// An ordinary machine with a kernel, and nothing else that need not be there.
    pub fn new(kernel: PathBuf) -> Self {
        Self {
            name: MachineName::default(),
            realm: None,
            kernel,
            program: Program::Kernel,
            initrd: None,
            command_line: DEFAULT_COMMAND_LINE.to_owned(),
            memory: MemorySize::DEFAULT,
            cpus: CpuCount::ONE,
            disks: Vec::new(),
            nets: Vec::new(),
            vsocks: Vec::new(),
            rng: None,
            balloon: None,
            serial: ConsoleEnd::Nowhere,
            consoles: Vec::new(),
            backend: Backend::Auto,
            device_nodes: DeviceNodes::default(),
            on_reset: OnReset::Restart,
        }
    }

    /// The virtio devices by slot: consoles, disks, network interfaces, sockets, random numbers,
    /// memory that moves.
    /// Device tree and machine both take them from here.
    pub fn virtio_devices(&self) -> impl Iterator<Item = VirtioDevice<'_>> {
        let consoles = self.consoles.iter().map(VirtioDevice::Console);
        consoles
            .chain(self.disks.iter().map(VirtioDevice::Disk))
            .chain(self.nets.iter().map(VirtioDevice::Net))
            .chain(self.vsocks.iter().map(VirtioDevice::Vsock))
            .chain(self.rng.iter().map(VirtioDevice::Rng))
            .chain(self.balloon.iter().map(VirtioDevice::Balloon))
    }

    /// Bytes of the buffers by which devices reach a Realm's memory: what `swiotlb=` of the kernel's command line
    /// says, or what Debian's kernels take.
    pub fn bounce_buffers(&self) -> u64 {
        let words = self.command_line.split_whitespace();
        let mut values = words.filter_map(|word| word.strip_prefix("swiotlb="));
        let units = values.next_back().and_then(|value| {
            let digits = value.split(',').next()?;
            digits.parse::<u64>().ok()?.checked_mul(SWIOTLB_UNIT)
        });
        let memory = self.memory.bytes();
        // It cannot have more than there is.
        units.unwrap_or(memory.div_ceil(1 << 30) << 20).min(memory)
    }

    /// Checks what no part of it shows alone.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError::TooManyDevices`], [`ConfigurationError::TapTwice`],
    /// [`ConfigurationError::VsockTwice`] and [`ConfigurationError::OneTerminal`].
    pub fn check(&self) -> Result<(), ConfigurationError> {
        if self.virtio_devices().count() > VIRTIO_SLOTS {
            return Err(ConfigurationError::TooManyDevices);
        }
        for (number, net) in self.nets.iter().enumerate() {
            if self.nets[..number].iter().any(|other| other.tap == net.tap) {
                return Err(ConfigurationError::TapTwice);
            }
        }
        for (number, vsock) in self.vsocks.iter().enumerate() {
            let same = |other: &Vsock| other.socket == vsock.socket || other.cid == vsock.cid;
            if self.vsocks[..number].iter().any(same) {
                return Err(ConfigurationError::VsockTwice);
            }
        }
        let ends = self.consoles.iter().chain([&self.serial]);
        if ends.filter(|end| **end == ConsoleEnd::Terminal).count() > 1 {
            return Err(ConfigurationError::OneTerminal);
        }
        Ok(())
    }
}

/// What a machine starts with.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Program {
    /// A kernel: an arm64 `Image`.
    #[default]
    Kernel,
    /// Firmware: the bytes of the file from the start of RAM on, entered at the first one.
    Firmware,
}

/// By what a machine is run.
#[derive(Clone, Copy, PartialEq, Eq, Default, ValueEnum, Debug)]
pub enum Backend {
    /// For a Realm the kernel's KVM if it can, else the Realm kernel module; otherwise KVM
    #[default]
    Auto,
    /// The Realm kernel module
    Module,
    /// The kernel's KVM, for ordinary machines
    Kvm,
    /// The kernel's KVM, for Realms
    KvmCca,
}

/// Device nodes of the back-ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceNodes {
    /// Of the Realm kernel module.
    pub realm: PathBuf,
    /// Of KVM.
    pub kvm: PathBuf,
}

impl Default for DeviceNodes {
    fn default() -> Self {
        Self {
            realm: "/dev/realm".into(),
            kvm: "/dev/kvm".into(),
        }
    }
}

/// What follows when a guest restarts itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, ValueEnum, Debug)]
pub enum OnReset {
    /// The machine is made anew from the files as they were at the start
    #[default]
    Restart,
    /// The command ends with exit code 5
    Exit,
}

/// Why a machine cannot be as somebody wants it.
#[derive(Clone, Copy, PartialEq, Eq, Error, Debug)]
pub enum ConfigurationError {
    /// Not a size.
    #[error("not a size: write a number with M or G behind it, such as 512M")]
    MemoryText,
    /// Not whole blocks.
    #[error("memory comes in multiples of 2 MiB: write a size such as 512M")]
    MemoryGranularity,
    /// More than any machine gets.
    #[error("a machine has at most {} GiB of memory", MAX_MEMORY_BYTES >> 30)]
    MemoryTooLarge,
    /// None or too many.
    #[error("a machine has 1 to {MAX_CPUS} vCPUs")]
    CpuCount,
    /// More virtio devices than slots.
    #[error(
        "a machine has at most {VIRTIO_SLOTS} virtio devices: consoles, disks and so on together"
    )]
    TooManyDevices,
    /// No name of a machine.
    #[error(
        "a machine's name has 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or digit"
    )]
    Name,
    /// Not where a console goes.
    #[error("write terminal, none or file=PATH")]
    ConsoleEnd,
    /// No name of an interface.
    #[error("not the name of a network interface: 1 to 15 letters, digits, dots and dashes")]
    InterfaceName,
    /// No number of a descriptor.
    #[error("the descriptor of an opened tap interface is a number from 3 to 2147483647")]
    Descriptor,
    /// A network interface without its other end, or with two.
    #[error("a network interface needs either tap or fd")]
    TapOrDescriptor,
    /// Two network interfaces with one other end.
    #[error("each network interface needs a tap interface of its own")]
    TapTwice,
    /// Two vsock devices with one socket, or one address of the guest.
    #[error("each vsock needs a socket and an address of the guest of its own")]
    VsockTwice,
    /// No address of an interface.
    #[error("not the address of one network interface: write it as 52:54:00:12:34:56")]
    MacAddress,
    /// No address of a guest.
    #[error("the address of a guest is a number from 3 to 4294967294")]
    GuestCid,
    /// Two consoles at one terminal.
    #[error("only one console can be on the terminal: send the other one elsewhere")]
    OneTerminal,
    /// Too many bytes.
    #[error("a personalization value has at most 64 bytes")]
    PersonalizationLength,
}
