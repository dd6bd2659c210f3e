//! What one virtual machine is to be, after the command line has been read and checked.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use crate::layout::{BLOCK_BYTES, MAX_CPUS, MAX_MEMORY_BYTES, VIRTIO_SLOTS};

/// Bytes of a personalization value.
pub const PERSONALIZATION_BYTES: usize = 64;

/// Command line of a guest for which nothing else was said: its console is the serial port, which
/// Debian's kernels have built in.
pub const DEFAULT_COMMAND_LINE: &str = "console=ttyS0";

/// The same for a guest that has the virtio console on the terminal. Linux shows there what has been
/// said before the console was found.
pub const VIRTIO_CONSOLE_COMMAND_LINE: &str = "console=hvc0";

/// A virtual machine, as its operator wants it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configuration {
    /// What messages call it; nothing that the guest sees.
    pub name: String,
    /// What it has as a Realm; `None` is an ordinary virtual machine.
    pub realm: Option<RealmOptions>,
    /// The kernel: an arm64 `Image`.
    pub kernel: PathBuf,
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
    /// Where the serial port's other end is.
    pub serial: ConsoleEnd,
    /// Where the other end of the virtio console is; `None` if there is no virtio console.
    pub virtio_console: Option<ConsoleEnd>,
    /// By what the machine is run.
    pub backend: Backend,
    /// Where the device nodes are.
    pub device_nodes: DeviceNodes,
    /// What follows when the guest restarts itself.
    pub on_reset: OnReset,
}

impl Configuration {
    /// The virtio devices by slot: the console if there is one, then the disks. Device tree and
    /// machine both take them from here.
    pub fn virtio_devices(&self) -> impl Iterator<Item = VirtioDevice<'_>> {
        let console = self.virtio_console.iter().map(VirtioDevice::Console);
        console.chain(self.disks.iter().map(VirtioDevice::Disk))
    }

    /// Checks what no part of it shows alone.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError::TooManyDevices`] and [`ConfigurationError::OneTerminal`].
    pub fn check(&self) -> Result<(), ConfigurationError> {
        if self.virtio_devices().count() > VIRTIO_SLOTS {
            return Err(ConfigurationError::TooManyDevices);
        }
        let terminal = Some(&ConsoleEnd::Terminal);
        if Some(&self.serial) == terminal && self.virtio_console.as_ref() == terminal {
            return Err(ConfigurationError::OneTerminal);
        }
        Ok(())
    }
}

/// What a virtio-mmio slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VirtioDevice<'a> {
    /// A console.
    Console(&'a ConsoleEnd),
    /// A disk.
    Disk(&'a Disk),
}

/// Parameters of a Realm. All but the personalization value are part of its initial measurement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RealmOptions {
    /// What the Realm is measured with.
    pub hash_algorithm: HashAlgorithm,
    /// What tokens of the Realm say, besides measurements, that it is.
    pub personalization_value: PersonalizationValue,
    /// Largest vector length, bits / 128 − 1, if the Realm has SVE.
    pub sve_vl: Option<u8>,
    /// Event counters, if the Realm has a PMU.
    pub pmu_counters: Option<u8>,
    /// Hardware breakpoints − 1, at least 1.
    pub breakpoints: u8,
    /// Hardware watchpoints − 1, at least 1.
    pub watchpoints: u8,
}

impl Default for RealmOptions {
    /// The least that a Realm can have, measured with SHA-256.
    fn default() -> Self {
        Self {
            hash_algorithm: HashAlgorithm::Sha256,
            personalization_value: PersonalizationValue::default(),
            sve_vl: None,
            pmu_counters: None,
            breakpoints: 1,
            watchpoints: 1,
        }
    }
}

/// What a Realm is measured with.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum HashAlgorithm {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    /// Its name in tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
        }
    }
}

/// The 64 bytes by which the owner of a Realm marks it; not part of the initial measurement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PersonalizationValue([u8; PERSONALIZATION_BYTES]);

impl PersonalizationValue {
    /// The value of bytes with zeroes behind them.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError::PersonalizationLength`] for more than 64 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, ConfigurationError> {
        let mut value = [0; PERSONALIZATION_BYTES];
        value
            .get_mut(..bytes.len())
            .ok_or(ConfigurationError::PersonalizationLength)?
            .copy_from_slice(bytes);
        Ok(Self(value))
    }

    /// All of it.
    pub const fn as_bytes(&self) -> &[u8; PERSONALIZATION_BYTES] {
        &self.0
    }
}

impl Default for PersonalizationValue {
    fn default() -> Self {
        Self([0; PERSONALIZATION_BYTES])
    }
}

impl fmt::Display for PersonalizationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PersonalizationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Size of a machine's RAM: a multiple of 2 MiB, and no more than [`MAX_MEMORY_BYTES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MemorySize(u64);

impl MemorySize {
    /// A number of bytes.
    ///
    /// # Errors
    ///
    /// If it is not a multiple of 2 MiB, zero or too large.
    pub const fn new(bytes: u64) -> Result<Self, ConfigurationError> {
        if bytes == 0 || !bytes.is_multiple_of(BLOCK_BYTES) {
            return Err(ConfigurationError::MemoryGranularity);
        }
        if bytes > MAX_MEMORY_BYTES {
            return Err(ConfigurationError::MemoryTooLarge);
        }
        Ok(Self(bytes))
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for MemorySize {
    type Err = ConfigurationError;

    /// A number with K, M, G or T behind it (powers of 1024), or of bytes alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ConfigurationError::MemoryText;
        let (digits, shift) = match text.as_bytes().last().ok_or_else(wrong)? {
            b'K' | b'k' => (&text[..text.len() - 1], 10),
            b'M' | b'm' => (&text[..text.len() - 1], 20),
            b'G' | b'g' => (&text[..text.len() - 1], 30),
            b'T' | b't' => (&text[..text.len() - 1], 40),
            _ => (text, 0),
        };
        // `parse` alone would take a sign.
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let bytes = number
            .checked_mul(1 << shift)
            .ok_or(ConfigurationError::MemoryTooLarge)?;
        Self::new(bytes)
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.0 >> 20;
        if mebibytes.is_multiple_of(1024) {
            write!(f, "{} GiB", mebibytes >> 10)
        } else {
            write!(f, "{mebibytes} MiB")
        }
    }
}

/// How many vCPUs a machine has: 1 to [`MAX_CPUS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CpuCount(u32);

impl CpuCount {
    /// A number of vCPUs.
    ///
    /// # Errors
    ///
    /// If there are none or too many.
    pub const fn new(count: u32) -> Result<Self, ConfigurationError> {
        if count == 0 || count > MAX_CPUS {
            return Err(ConfigurationError::CpuCount);
        }
        Ok(Self(count))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for CpuCount {
    type Err = ConfigurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let count = text.parse().map_err(|_| ConfigurationError::CpuCount)?;
        Self::new(count)
    }
}

/// A disk of the guest: a file, or a block device of the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disk {
    /// Where it is.
    pub path: PathBuf,
    /// The guest cannot write to it.
    pub read_only: bool,
}

/// Where the other end of a guest's console is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConsoleEnd {
    /// Standard input and output of this process; one console at most.
    Terminal,
    /// Output is appended to a file, and there is no input.
    File(PathBuf),
    /// Output is thrown away, and there is no input.
    Nowhere,
}

/// By what a machine is run.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Backend {
    /// The first that can: for a Realm, the kernel's KVM and then the module; otherwise KVM.
    #[default]
    Auto,
    /// The Realm kernel module, for Realms.
    Module,
    /// The kernel's KVM, for ordinary machines.
    Kvm,
    /// The kernel's KVM with support for Realms of its own.
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
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OnReset {
    /// The machine is made anew from the content that was loaded at the start. A Realm gets the
    /// same initial measurement.
    #[default]
    Restart,
    /// The command ends.
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
    #[error("a machine has at most {VIRTIO_SLOTS} disks, the virtio console included")]
    TooManyDevices,
    /// Two consoles at one terminal.
    #[error("only one console can be on the terminal: send the other one elsewhere")]
    OneTerminal,
    /// Too many bytes.
    #[error("a personalization value has at most 64 bytes")]
    PersonalizationLength,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_memory() {
        let parse = |text: &str| text.parse::<MemorySize>().map(MemorySize::bytes);
        assert_eq!(parse("512M"), Ok(512 << 20));
        assert_eq!(parse("2g"), Ok(2 << 30));
        assert_eq!(parse("2048K"), Ok(2 << 20));
        assert_eq!(parse("2097152"), Ok(2 << 20));
        assert_eq!(parse("512G"), Ok(MAX_MEMORY_BYTES));
        for text in [
            "", "M", "x", "-2M", "+2M", "2 M", "2MM", "1.5G", "0x200000", "2é",
        ] {
            assert_eq!(parse(text), Err(ConfigurationError::MemoryText), "{text:?}");
        }
        for text in ["0", "0M", "1M", "3M", "2097153"] {
            assert_eq!(
                parse(text),
                Err(ConfigurationError::MemoryGranularity),
                "{text:?}"
            );
        }
        for text in ["513G", "1T", "99999999999999T", "18446744073707454464"] {
            assert_eq!(
                parse(text),
                Err(ConfigurationError::MemoryTooLarge),
                "{text:?}"
            );
        }
        assert_eq!(MemorySize(512 << 20).to_string(), "512 MiB");
        assert_eq!(MemorySize(3 << 30).to_string(), "3 GiB");
    }

    #[test]
    fn numbers_of_cpus() {
        let parse = |text: &str| text.parse::<CpuCount>().map(CpuCount::get);
        assert_eq!(parse("1"), Ok(1));
        assert_eq!(parse("512"), Ok(512));
        for text in ["", "0", "513", "-1", "two", "4294967297"] {
            assert_eq!(parse(text), Err(ConfigurationError::CpuCount), "{text:?}");
        }
    }

    #[test]
    fn personalization_values_have_zeroes_behind_them() {
        let value = PersonalizationValue::new(b"tenant").unwrap();
        assert_eq!(&value.as_bytes()[..6], b"tenant");
        assert!(value.as_bytes()[6..].iter().all(|byte| *byte == 0));
        assert_eq!(value.to_string().len(), 128);
        assert!(PersonalizationValue::new(&[1; 64]).is_ok());
        assert_eq!(
            PersonalizationValue::new(&[1; 65]),
            Err(ConfigurationError::PersonalizationLength)
        );
    }
}
