//! What the two tokens say, and how each claim is called.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

mod map;
mod platform;
mod realm;
mod values;

pub use platform::{
    ExtensionDevice, PlatformClaims, PlatformProfile, RotPublicKeyHash, SoftwareComponent,
};
pub use realm::{LfaPolicy, MecPolicy, RealmClaims, RealmKey, RealmProfile};
pub use values::{HashValue, InstanceId, Lifecycle, LifecycleState};

pub(crate) use map::ClaimMap;
pub(crate) use platform::SOFTWARE_COMPONENTS;

/// A claim of a profile: its label in the map, and its name in DEN0137.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The key in the map.
    pub label: i64,
    /// The name that the specification gives it.
    pub name: &'static str,
}

impl Claim {
    const fn new(label: i64, name: &'static str) -> Self {
        Self { label, name }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.label)
    }
}

/// Claims as the payload of a token: one map of strict CBOR.
pub(crate) fn encode(entries: Vec<(Claim, ciborium::Value)>) -> Vec<u8> {
    let map = entries
        .into_iter()
        .map(|(claim, value)| (ciborium::Value::from(claim.label), value))
        .collect();
    encode_value(&ciborium::Value::Map(map))
}

/// An item as CBOR.
pub(crate) fn encode_value(value: &ciborium::Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail, and no value here has a type that cannot be written.
    if ciborium::into_writer(value, &mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}

/// Text for a claim.
pub(crate) fn text(text: &str) -> ciborium::Value {
    ciborium::Value::Text(String::from(text))
}

/// Bytes for a claim.
pub(crate) fn bytes(bytes: &[u8]) -> ciborium::Value {
    ciborium::Value::Bytes(bytes.to_vec())
}
