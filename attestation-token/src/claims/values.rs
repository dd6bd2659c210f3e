//! Values that claims have.

use core::fmt;

/// A hash value: 32, 48 or 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HashValue {
    bytes: [u8; 64],
    length: u8,
}

impl HashValue {
    /// A hash value with these bytes, if that many can be one.
    pub fn from_slice(value: &[u8]) -> Option<Self> {
        let length = match value.len() {
            32 => 32,
            48 => 48,
            64 => 64,
            _ => return None,
        };
        let mut bytes = [0; 64];
        bytes[..value.len()].copy_from_slice(value);
        Some(Self { bytes, length })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl From<[u8; 32]> for HashValue {
    fn from(value: [u8; 32]) -> Self {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&value);
        Self { bytes, length: 32 }
    }
}

impl From<[u8; 48]> for HashValue {
    fn from(value: [u8; 48]) -> Self {
        let mut bytes = [0; 64];
        bytes[..48].copy_from_slice(&value);
        Self { bytes, length: 48 }
    }
}

impl From<[u8; 64]> for HashValue {
    fn from(bytes: [u8; 64]) -> Self {
        Self { bytes, length: 64 }
    }
}

impl fmt::Display for HashValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.as_bytes())
    }
}

impl fmt::Debug for HashValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.as_bytes())
    }
}

/// Identifier of an instance: 0x01 and 32 bytes (a RAND UEID of RFC 9711).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId([u8; 33]);

impl InstanceId {
    /// The only kind of UEID that CCA uses.
    const RAND: u8 = 1;

    /// The identifier with these 33 bytes, if the first is 0x01.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes = <[u8; 33]>::try_from(bytes).ok()?;
        (bytes[0] == Self::RAND).then_some(Self(bytes))
    }

    /// The identifier with these bytes behind 0x01.
    pub fn from_random(random: [u8; 32]) -> Self {
        let mut bytes = [Self::RAND; 33];
        bytes[1..].copy_from_slice(&random);
        Self(bytes)
    }

    /// All 33 bytes.
    pub fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

/// The lifecycle claim: a state in bits 15 to 8, the rest is the implementation's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lifecycle(pub u16);

/// States of a platform's life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LifecycleState {
    /// 0x0000 to 0x00ff.
    Unknown,
    /// 0x1000 to 0x10ff.
    AssemblyAndTest,
    /// 0x2000 to 0x20ff.
    RotProvisioning,
    /// 0x3000 to 0x30ff: the only state in which nobody can look into a Realm.
    Secured,
    /// 0x4000 to 0x40ff.
    NonPlatformRotDebug,
    /// 0x5000 to 0x50ff.
    RecoverablePlatformRotDebug,
    /// 0x6000 to 0x60ff.
    Decommissioned,
}

impl LifecycleState {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::AssemblyAndTest,
        Self::RotProvisioning,
        Self::Secured,
        Self::NonPlatformRotDebug,
        Self::RecoverablePlatformRotDebug,
        Self::Decommissioned,
    ];

    /// The name that policies and outputs use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::AssemblyAndTest => "assembly-and-test",
            Self::RotProvisioning => "rot-provisioning",
            Self::Secured => "secured",
            Self::NonPlatformRotDebug => "non-platform-rot-debug",
            Self::RecoverablePlatformRotDebug => "recoverable-platform-rot-debug",
            Self::Decommissioned => "decommissioned",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl Lifecycle {
    /// The state, or nothing for numbers that belong to none.
    pub const fn state(self) -> Option<LifecycleState> {
        Some(match self.0 >> 8 {
            0x00 => LifecycleState::Unknown,
            0x10 => LifecycleState::AssemblyAndTest,
            0x20 => LifecycleState::RotProvisioning,
            0x30 => LifecycleState::Secured,
            0x40 => LifecycleState::NonPlatformRotDebug,
            0x50 => LifecycleState::RecoverablePlatformRotDebug,
            0x60 => LifecycleState::Decommissioned,
            _ => return None,
        })
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.state().map_or("no known state", LifecycleState::name);
        write!(f, "{name} ({:#06x})", self.0)
    }
}

pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
