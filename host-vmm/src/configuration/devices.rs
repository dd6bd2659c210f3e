//! Devices of a machine.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::{ConfigurationError, MachineName};

/// What a virtio-mmio slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VirtioDevice<'a> {
    /// A console.
    Console(&'a ConsoleEnd),
    /// A disk.
    Disk(&'a Disk),
    /// A network interface.
    Net(&'a Net),
    /// Sockets between guest and host.
    Vsock(&'a Vsock),
    /// Random numbers.
    Rng(&'a Rng),
    /// Memory that moves.
    Balloon(&'a Balloon),
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

impl FromStr for ConsoleEnd {
    type Err = ConfigurationError;

    /// `terminal`, `none` or `file=PATH`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "terminal" => Ok(Self::Terminal),
            "none" => Ok(Self::Nowhere),
            _ => match text.strip_prefix("file=") {
                Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
                _ => Err(ConfigurationError::ConsoleEnd),
            },
        }
    }
}

impl fmt::Display for ConsoleEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminal => f.write_str("terminal"),
            Self::File(path) => write!(f, "file={}", path.display()),
            Self::Nowhere => f.write_str("none"),
        }
    }
}

/// A disk of the guest: a file, or a block device of the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disk {
    /// Where it is.
    pub path: PathBuf,
    /// The guest cannot write to it.
    pub read_only: bool,
    /// Its content does not go through the host's page cache.
    pub direct: bool,
}

/// A network interface of the guest, whose other end is a tap interface of the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Net {
    /// The tap interface.
    pub tap: TapSource,
    /// The guest's address; `None` is one that follows from the machine's name, the tap interface
    /// and the device's number.
    pub mac: Option<MacAddress>,
}

impl Net {
    /// The guest's address, of the machine's interface of this number.
    pub fn address(&self, machine: &MachineName, number: usize) -> MacAddress {
        self.mac
            .unwrap_or_else(|| MacAddress::derived(machine, &self.tap, number))
    }
}

/// Where a tap interface comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TapSource {
    /// It is there, and is opened by its name.
    Name(InterfaceName),
    /// Somebody else has opened it, and this process got its descriptor.
    Descriptor(Descriptor),
}

impl fmt::Display for TapSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Descriptor(number) => write!(f, "descriptor {}", number.get()),
        }
    }
}

/// A descriptor that this process got at its start: 3 to 2³¹ − 1. Those below are the standard
/// streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor(u32);

impl Descriptor {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for Descriptor {
    type Err = ConfigurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().ok();
        let number = number.filter(|number| (3..=i32::MAX.unsigned_abs()).contains(number));
        number.map(Self).ok_or(ConfigurationError::Descriptor)
    }
}

/// Sockets between guest and host. Connections of the host come in by a Unix socket, those of the
/// guest go to sockets whose paths have `_` and the port behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vsock {
    /// The guest's address.
    pub cid: GuestCid,
    /// The Unix socket.
    pub socket: PathBuf,
}

/// Random numbers of the host for the guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rng;

/// Memory that moves between guest and host while the machine runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Balloon;

/// Name of a network interface of the host: 1 to 15 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = ConfigurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What Linux takes, and no `%`, of which it would make a number.
        let usable = |byte: u8| byte.is_ascii_graphic() && !b"/:%".contains(&byte);
        let fits = (1..=15).contains(&text.len()) && text != "." && text != "..";
        if fits && text.bytes().all(usable) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ConfigurationError::InterfaceName)
        }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Address of a network interface: not a group's, and not zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// Its bytes.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }

    /// One that nobody else has by right, always the same for the same machine, interface of the
    /// host and number.
    fn derived(machine: &MachineName, tap: &TapSource, number: usize) -> Self {
        let digest = Sha256::digest(format!("{machine}/{tap}/{number}"));
        let mut bytes = [0; 6];
        bytes.copy_from_slice(&digest[..6]);
        // Administered locally, and of one interface.
        bytes[0] = bytes[0] & !1 | 2;
        Self(bytes)
    }
}

impl FromStr for MacAddress {
    type Err = ConfigurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            *byte = parts
                .next()
                .filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|part| u8::from_str_radix(part, 16).ok())
                .ok_or(ConfigurationError::MacAddress)?;
        }
        if parts.next().is_some() || bytes[0] & 1 != 0 || bytes == [0; 6] {
            return Err(ConfigurationError::MacAddress);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

/// Address of a guest's sockets: 3 to 2³² − 2. Those below are the hypervisor's, the loopback's and
/// the host's, the one above means any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestCid(u32);

impl GuestCid {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for GuestCid {
    type Err = ConfigurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let cid = text.parse().ok();
        let cid = cid.filter(|cid| (3..u32::MAX).contains(cid));
        cid.map(Self).ok_or(ConfigurationError::GuestCid)
    }
}

impl fmt::Display for GuestCid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces() {
        let parse = |text: &str| text.parse::<InterfaceName>().map(|name| name.to_string());
        for name in ["tap0", "a", "fifteen-bytes.1"] {
            assert_eq!(parse(name).unwrap(), name);
        }
        for text in ["", "sixteen-bytes-12", "..", "a/b", "tap%d", "a b", "täp"] {
            assert_eq!(
                parse(text),
                Err(ConfigurationError::InterfaceName),
                "{text}"
            );
        }
    }

    #[test]
    fn addresses_of_interfaces() {
        let parse = |text: &str| text.parse::<MacAddress>();
        let address = parse("52:54:00:0A:bc:01").unwrap();
        assert_eq!(address.bytes(), [0x52, 0x54, 0, 0x0a, 0xbc, 1]);
        assert_eq!(address.to_string(), "52:54:00:0a:bc:01");
        let name = |text: &str| text.parse::<MachineName>().unwrap();
        let tap = |text: &str| TapSource::Name(text.parse().unwrap());
        let derived = MacAddress::derived(&name("web"), &tap("a"), 0);
        assert_eq!(derived, MacAddress::derived(&name("web"), &tap("a"), 0));
        assert_eq!(derived.to_string().parse(), Ok(derived));
        assert_eq!(derived.bytes()[0] & 3, 2);
        for (machine, end, number) in [("web", "a", 1), ("web1", "a", 0), ("web", "b", 0)] {
            let other = MacAddress::derived(&name(machine), &tap(end), number);
            assert_ne!(derived, other);
        }
        for text in [
            "",
            "00:00:00:00:00:00",
            "01:00:00:00:00:00",
            "52:54:00:0a:bc",
            "52:54:00:0a:bc:01:02",
            "52-54-00-0a-bc-01",
            "5:54:00:0a:bc:01",
            "+2:54:00:0a:bc:01",
        ] {
            assert_eq!(parse(text), Err(ConfigurationError::MacAddress), "{text}");
        }
    }

    #[test]
    fn numbers_of_descriptors() {
        let parse = |text: &str| text.parse().map(Descriptor::get);
        assert_eq!(parse("3"), Ok(3));
        assert_eq!(parse("2147483647"), Ok(0x7fff_ffff));
        for text in ["", "2", "2147483648", "-3", "x"] {
            assert_eq!(parse(text), Err(ConfigurationError::Descriptor), "{text}");
        }
    }

    #[test]
    fn addresses_of_sockets() {
        let parse = |text: &str| text.parse().map(GuestCid::get);
        assert_eq!(parse("3"), Ok(3));
        assert_eq!(parse("4294967294"), Ok(u32::MAX - 1));
        for text in ["", "2", "4294967295", "-3", "x"] {
            assert_eq!(parse(text), Err(ConfigurationError::GuestCid), "{text}");
        }
    }
}
