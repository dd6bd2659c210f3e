//! Reference values: what a guest owner expects of a machine and of a Realm.
//!
//! Lists of values are alternatives. Several entries for the same implementation are alternatives
//! too: known good states, of which a token has to be in one.

use alloc::string::String;
use alloc::vec::Vec;

use crate::claims::HashValue;

#[cfg(feature = "corim")]
pub mod corim;
pub mod extract;
pub mod file;

/// What is expected of machines and Realms.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ReferenceValues {
    /// Good states of machines.
    pub platforms: Vec<PlatformReference>,
    /// Good states of Realms.
    pub realms: Vec<RealmReference>,
}

impl ReferenceValues {
    /// Adds those of another file.
    pub fn extend(&mut self, other: Self) {
        self.platforms.extend(other.platforms);
        self.realms.extend(other.realms);
    }

    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.platforms.is_empty() && self.realms.is_empty()
    }
}

/// A good state of a kind of machine.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PlatformReference {
    /// A name for people.
    pub name: Option<String>,
    /// Which kind of machine; without it, any.
    pub implementation_id: Option<[u8; 32]>,
    /// Configurations of it.
    pub config: Vec<MaskedBytes>,
    /// Records of production.
    pub manufacturing_config: Vec<MaskedBytes>,
    /// All its firmware.
    pub software_components: Vec<ComponentReference>,
}

/// A good piece of firmware.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ComponentReference {
    /// Its role; without it, any.
    pub component_type: Option<String>,
    /// Its version; without it, any.
    pub version: Option<String>,
    /// Who signed it; without it, anybody.
    pub signer_id: Option<HashValue>,
    /// Measurements of it; without any, every measurement is good as long as the signer is the
    /// expected one.
    pub measurements: Vec<HashValue>,
    /// Whether it may be missing.
    pub optional: bool,
}

/// Bytes of which only those under a mask count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MaskedBytes {
    value: Vec<u8>,
    mask: Option<Vec<u8>>,
}

impl MaskedBytes {
    /// Bytes that all count.
    pub const fn exact(value: Vec<u8>) -> Self {
        Self { value, mask: None }
    }

    /// Bytes under a mask of the same length.
    pub fn masked(value: Vec<u8>, mask: Vec<u8>) -> Option<Self> {
        (value.len() == mask.len()).then_some(Self {
            value,
            mask: Some(mask),
        })
    }

    /// The bytes.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The mask, if there is one.
    pub fn mask(&self) -> Option<&[u8]> {
        self.mask.as_deref()
    }

    /// Whether `found` is equal where it counts. Other lengths never are.
    pub fn matches(&self, found: &[u8]) -> bool {
        let Some(mask) = &self.mask else {
            return self.value == found;
        };
        self.value.len() == found.len()
            && self
                .value
                .iter()
                .zip(found)
                .zip(mask)
                .all(|((value, found), mask)| value & mask == found & mask)
    }
}

/// A good state of a Realm.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RealmReference {
    /// A name for people.
    pub name: Option<String>,
    /// What it was launched with.
    pub initial_measurement: Vec<HashValue>,
    /// What it measured while it ran.
    pub extensible_measurements: [Vec<HashValue>; 4],
    /// What the host passed.
    pub personalization_value: Vec<[u8; 64]>,
}
