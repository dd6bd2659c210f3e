//! Measurements of a Realm, computed as the RMM does (DEN0137, chapter A7): what the initial
//! measurement will be when a Realm is made of known parts, and what extensible measurements
//! become.
//!
//! ```
//! use attestation_token::HashAlgorithm;
//! use attestation_token::rim::{Content, Rec, Realm, RealmParameters};
//!
//! let mut realm = Realm::new(&RealmParameters {
//!     ipa_width: 40,
//!     breakpoints: 1,
//!     watchpoints: 1,
//!     ..RealmParameters::new(HashAlgorithm::Sha256)
//! })
//! .unwrap();
//! realm.init_ripas(0x8000_0000, 0x8020_0000, 2).unwrap();
//! realm.data(0x8000_0000, Content::Measured(&[0; 4096])).unwrap();
//! realm.data(0x8000_1000, Content::Unmeasured).unwrap();
//! realm.rec(&Rec { pc: 0x8000_0000, gprs: [0x8800_0000, 0, 0, 0, 0, 0, 0, 0] });
//! assert_eq!(
//!     realm.initial_measurement().to_string(),
//!     "b9b5d8c138ec4679863edde30a82dc51a1af50fcd526dfec569e276a8b8b0778"
//! );
//! ```

use core::fmt;

use sha2::{Digest as _, Sha256, Sha512};

use crate::algorithm::HashAlgorithm;
use crate::claims::HashValue;

/// Bytes of a granule, and of the parameter structures.
pub const GRANULE_BYTES: usize = 4096;

/// Bytes of a measurement inside the RMM; those of SHA-256 have zeroes behind them.
const MEASUREMENT_BYTES: usize = 64;
/// Bytes of a measurement descriptor.
const DESCRIPTOR_BYTES: usize = 256;

/// Table entries of one range.
const MAX_ENTRIES: u64 = 1 << 24;

const DESCRIPTOR_TYPE: usize = 0;
const DESCRIPTOR_LENGTH: usize = 0x8;
const DESCRIPTOR_RIM: usize = 0x10;
const DESCRIPTOR_SPECIFIC: usize = 0x50;

/// Why something cannot be part of a Realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RimError {
    /// RMMs hash with SHA-256 or SHA-512.
    HashAlgorithm,
    /// An address or a length that is not a multiple of what it has to be.
    Alignment,
    /// A range that is empty or outside the Realm's address space.
    Range,
    /// A level that no range is mapped at.
    Level,
    /// More table entries than anybody waits for: 64 GiB of pages.
    TooMany,
    /// More bytes than an extension may have (64).
    TooLong,
}

impl fmt::Display for RimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HashAlgorithm => "a Realm is measured with sha-256 or sha-512",
            Self::Alignment => "an address that is not a multiple of the size at its level",
            Self::Range => "a range that is empty or outside the Realm's address space",
            Self::Level => "a level that is not 1, 2 or 3",
            Self::TooMany => "more table entries than 64 GiB of pages have",
            Self::TooLong => "more than 64 bytes",
        })
    }
}

impl core::error::Error for RimError {}

/// What a Realm is measured with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    const fn from_algorithm(algorithm: HashAlgorithm) -> Result<Self, RimError> {
        match algorithm {
            HashAlgorithm::Sha256 => Ok(Self::Sha256),
            HashAlgorithm::Sha384 => Err(RimError::HashAlgorithm),
            HashAlgorithm::Sha512 => Ok(Self::Sha512),
        }
    }

    /// The hash of parts, with zeroes behind it.
    fn of(self, parts: &[&[u8]]) -> [u8; MEASUREMENT_BYTES] {
        let mut measurement = [0; MEASUREMENT_BYTES];
        match self {
            Self::Sha256 => {
                let mut hash = Sha256::new();
                for part in parts {
                    hash.update(part);
                }
                measurement[..32].copy_from_slice(&hash.finalize());
            }
            Self::Sha512 => {
                let mut hash = Sha512::new();
                for part in parts {
                    hash.update(part);
                }
                measurement.copy_from_slice(&hash.finalize());
            }
        }
        measurement
    }

    /// A measurement without the zeroes behind it, as tokens have it.
    fn trim(self, measurement: &[u8; MEASUREMENT_BYTES]) -> HashValue {
        match self {
            Self::Sha256 => {
                let mut hash = [0; 32];
                hash.copy_from_slice(&measurement[..32]);
                HashValue::from(hash)
            }
            Self::Sha512 => HashValue::from(*measurement),
        }
    }
}

/// The measured parameters of a Realm, as `REALM_CREATE` gets them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RealmParameters {
    /// Addresses of 52 bits (bit 0 of the flags).
    pub lpa2: bool,
    /// Vector length in the register's encoding (bits / 128 − 1), if the Realm has SVE.
    pub sve_vl: Option<u8>,
    /// Event counters, if the Realm has a PMU.
    pub pmu_counters: Option<u8>,
    /// Bits of its addresses.
    pub ipa_width: u8,
    /// Breakpoints in the register's encoding (number − 1).
    pub breakpoints: u8,
    /// Watchpoints in the register's encoding (number − 1).
    pub watchpoints: u8,
    /// What measurements are made with.
    pub hash_algorithm: HashAlgorithm,
}

impl RealmParameters {
    /// The least a Realm can have: 40 bits of address, two breakpoints and two watchpoints.
    pub const fn new(hash_algorithm: HashAlgorithm) -> Self {
        Self {
            lpa2: false,
            sve_vl: None,
            pmu_counters: None,
            ipa_width: 40,
            breakpoints: 1,
            watchpoints: 1,
            hash_algorithm,
        }
    }

    fn measure(&self, hash: Hash) -> [u8; MEASUREMENT_BYTES] {
        let flags = u64::from(self.lpa2)
            | u64::from(self.sve_vl.is_some()) << 1
            | u64::from(self.pmu_counters.is_some()) << 2;
        let mut page = [0; GRANULE_BYTES];
        put(&mut page, 0x00, flags);
        page[0x08] = self.ipa_width;
        page[0x10] = self.sve_vl.unwrap_or(0);
        page[0x18] = self.breakpoints;
        page[0x20] = self.watchpoints;
        page[0x28] = self.pmu_counters.unwrap_or(0);
        page[0x30] = u8::from(hash == Hash::Sha512);
        hash.of(&[&page])
    }
}

/// Where a vCPU that may run at once starts, as `REC_CREATE` gets it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rec {
    /// The first instruction's address.
    pub pc: u64,
    /// X0 to X7.
    pub gprs: [u64; 8],
}

/// What a page has at launch.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// These bytes, and they count.
    Measured(&'a [u8; GRANULE_BYTES]),
    /// Something that does not count.
    Unmeasured,
}

/// A Realm that is being made.
#[derive(Clone, Debug)]
pub struct Realm {
    hash: Hash,
    ipa_width: u8,
    rim: [u8; MEASUREMENT_BYTES],
}

impl Realm {
    /// A Realm after `REALM_CREATE`.
    ///
    /// # Errors
    ///
    /// [`RimError::HashAlgorithm`] for SHA-384, which RMMs do not measure with.
    pub fn new(parameters: &RealmParameters) -> Result<Self, RimError> {
        let hash = Hash::from_algorithm(parameters.hash_algorithm)?;
        Ok(Self {
            hash,
            ipa_width: parameters.ipa_width,
            rim: parameters.measure(hash),
        })
    }

    /// `RTT_INIT_RIPAS` for the range from `base` to `top`, which is mapped by table entries at
    /// `level`: 3 for pages of 4 KiB, 2 for 2 MiB, 1 for 1 GiB. One measurement is made of each
    /// entry, so the level counts, and how a range is split into commands does not.
    ///
    /// # Errors
    ///
    /// If the range is not one in the Realm, or does not begin and end with an entry. (RMMs allow
    /// a range to end inside an entry; no host does that.)
    pub fn init_ripas(&mut self, base: u64, top: u64, level: u8) -> Result<(), RimError> {
        let size = match level {
            1 => 1_u64 << 30,
            2 => 1 << 21,
            3 => 1 << 12,
            _ => return Err(RimError::Level),
        };
        if !base.is_multiple_of(size) || !top.is_multiple_of(size) {
            return Err(RimError::Alignment);
        }
        if base >= top || !self.is_inside(top - 1) {
            return Err(RimError::Range);
        }
        if (top - base) / size > MAX_ENTRIES {
            return Err(RimError::TooMany);
        }
        let mut entry = base;
        while entry < top {
            self.extend(2, |specific| {
                put(specific, 0, entry);
                put(specific, 8, entry + size);
            });
            entry += size;
        }
        Ok(())
    }

    /// `DATA_CREATE`: a page with content.
    ///
    /// # Errors
    ///
    /// If there can be no page at `ipa`.
    pub fn data(&mut self, ipa: u64, content: Content<'_>) -> Result<(), RimError> {
        if !ipa.is_multiple_of(GRANULE_BYTES as u64) {
            return Err(RimError::Alignment);
        }
        if !self.is_inside(ipa) {
            return Err(RimError::Range);
        }
        let (flags, hash) = match content {
            Content::Measured(page) => (1, self.hash.of(&[page])),
            Content::Unmeasured => (0, [0; MEASUREMENT_BYTES]),
        };
        self.extend(0, |specific| {
            put(specific, 0, ipa);
            put(specific, 8, flags);
            specific[16..16 + MEASUREMENT_BYTES].copy_from_slice(&hash);
        });
        Ok(())
    }

    /// `REC_CREATE` of a vCPU that may run at once. Those that may not are not measured.
    pub fn rec(&mut self, rec: &Rec) {
        const RUNNABLE: u64 = 1;
        let mut page = [0; GRANULE_BYTES];
        put(&mut page, 0, RUNNABLE);
        put(&mut page, 0x200, rec.pc);
        for (index, value) in rec.gprs.into_iter().enumerate() {
            put(&mut page, 0x300 + 8 * index, value);
        }
        let hash = self.hash.of(&[&page]);
        self.extend(1, |specific| {
            specific[..MEASUREMENT_BYTES].copy_from_slice(&hash);
        });
    }

    /// What the initial measurement is if nothing else comes.
    pub fn initial_measurement(&self) -> HashValue {
        self.hash.trim(&self.rim)
    }

    /// Whether an address is in the protected half of the address space.
    fn is_inside(&self, ipa: u64) -> bool {
        ipa >> (u32::from(self.ipa_width).clamp(1, 64) - 1) == 0
    }

    fn extend(&mut self, kind: u64, fill: impl FnOnce(&mut [u8])) {
        let mut descriptor = [0; DESCRIPTOR_BYTES];
        put(&mut descriptor, DESCRIPTOR_TYPE, kind);
        put(&mut descriptor, DESCRIPTOR_LENGTH, DESCRIPTOR_BYTES as u64);
        descriptor[DESCRIPTOR_RIM..DESCRIPTOR_SPECIFIC].copy_from_slice(&self.rim);
        fill(&mut descriptor[DESCRIPTOR_SPECIFIC..]);
        self.rim = self.hash.of(&[&descriptor]);
    }
}

/// An extensible measurement.
#[derive(Clone, Debug)]
pub struct ExtensibleMeasurement {
    hash: Hash,
    value: [u8; MEASUREMENT_BYTES],
}

impl ExtensibleMeasurement {
    /// An extensible measurement before anything was measured.
    ///
    /// # Errors
    ///
    /// [`RimError::HashAlgorithm`] for SHA-384.
    pub fn new(algorithm: HashAlgorithm) -> Result<Self, RimError> {
        Ok(Self {
            hash: Hash::from_algorithm(algorithm)?,
            value: [0; MEASUREMENT_BYTES],
        })
    }

    /// `RSI_MEASUREMENT_EXTEND`: the hash of the old value and the new one, each as 64 bytes with
    /// zeroes behind it. (Monitors derived from TF-RMM hash both without the zeroes.)
    ///
    /// # Errors
    ///
    /// [`RimError::TooLong`] if there are more than 64 bytes.
    pub fn extend(&mut self, value: &[u8]) -> Result<(), RimError> {
        let mut image = [0; MEASUREMENT_BYTES];
        image
            .get_mut(..value.len())
            .ok_or(RimError::TooLong)?
            .copy_from_slice(value);
        self.value = self.hash.of(&[&self.value, &image]);
        Ok(())
    }

    /// The value, as a token has it.
    pub fn value(&self) -> HashValue {
        self.hash.trim(&self.value)
    }
}

/// Writes a number as memory has it.
fn put(bytes: &mut [u8], offset: usize, value: u64) {
    bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests;
