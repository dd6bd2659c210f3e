//! Parameters of a Realm, and the shape of its address space.

use rmm_abi::rmi::{HashAlgorithm, RealmParams, realm_flags};

use super::RealmError;
use crate::rmi::Features;

/// Narrowest address space, in bits.
pub(super) const NARROWEST: u8 = 32;
/// Widest address space without 52-bit addresses, in bits.
const WIDEST_PLAIN: u8 = 48;

/// Widest address space that Realms of an RMM can have, in bits.
pub fn widest_ipa_space(features: Features) -> u8 {
    let register = features.register();
    let widest = if register.lpa2 { 52 } else { WIDEST_PLAIN };
    register.ipa_width.min(widest)
}

/// Parameters of a Realm that its owner chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Configuration {
    /// SVE vector length as (bits / 128) − 1; `None` without SVE.
    pub sve_vector_length: Option<u8>,
    /// Event counters of the PMU; `None` without one.
    pub pmu_counters: Option<u8>,
    /// Breakpoints − 1, at least 1.
    pub breakpoints: u8,
    /// Watchpoints − 1, at least 1.
    pub watchpoints: u8,
    /// Of measurements.
    pub hash_algorithm: HashAlgorithm,
    /// Realm personalization value.
    pub personalization_value: [u8; 64],
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            sve_vector_length: None,
            pmu_counters: None,
            breakpoints: 1,
            watchpoints: 1,
            hash_algorithm: HashAlgorithm::Sha256,
            personalization_value: [0; 64],
        }
    }
}

impl Configuration {
    /// Whether an RMM can do it.
    pub(super) fn check(&self, features: Features) -> Result<(), RealmError> {
        let there = features.register();
        let hash = match self.hash_algorithm {
            HashAlgorithm::Sha256 => there.sha_256,
            HashAlgorithm::Sha512 => there.sha_512,
        };
        let fits = |wanted: Option<u8>, most: Option<u8>| match (wanted, most) {
            (None, _) => true,
            (Some(wanted), Some(most)) => wanted <= most,
            (Some(_), None) => false,
        };
        let possible = hash
            && fits(self.sve_vector_length, there.sve_vector_length)
            && fits(self.pmu_counters, there.pmu_counters)
            && (1..=there.breakpoints).contains(&self.breakpoints)
            && (1..=there.watchpoints).contains(&self.watchpoints);
        if possible {
            Ok(())
        } else {
            Err(RealmError::Invalid)
        }
    }

    /// Fills in a zeroed structure.
    pub(super) fn fill(&self, ipa_bits: u8, params: &mut RealmParams) {
        let shape = Shape::of(ipa_bits);
        if ipa_bits > WIDEST_PLAIN {
            params.flags |= realm_flags::LPA2;
        }
        if let Some(length) = self.sve_vector_length {
            params.flags |= realm_flags::SVE;
            params.sve_vl = length;
        }
        if let Some(counters) = self.pmu_counters {
            params.flags |= realm_flags::PMU;
            params.pmu_num_ctrs = counters;
        }
        params.s2sz = ipa_bits;
        params.num_bps = self.breakpoints;
        params.num_wps = self.watchpoints;
        params.hash_algo = self.hash_algorithm as u8;
        params.rpv = self.personalization_value;
        params.rtt_level_start = i64::from(shape.start_level);
        params.rtt_num_start = 1 << shape.start_order;
    }
}

/// The tables that an address space begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    /// Their level.
    pub(super) start_level: i8,
    /// How many, as a power of two.
    pub(super) start_order: u32,
}

impl Shape {
    /// The fewest levels with up to 16 tables side by side.
    pub(super) const fn of(ipa_bits: u8) -> Self {
        let (start_level, start_order) = match ipa_bits {
            ..=39 => (1, 0),
            40..=43 => (1, ipa_bits as u32 - 39),
            44..=WIDEST_PLAIN => (0, 0),
            _ => (-1, 0),
        };
        Self {
            start_level,
            start_order,
        }
    }
}

/// Bytes that an entry of a table of a level maps.
pub(super) fn entry_size(level: i8) -> u64 {
    let levels_below = u32::from((3 - level.clamp(-1, 3)).unsigned_abs());
    1 << (12 + 9 * levels_below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let shape = |bits| {
            let shape = Shape::of(bits);
            (shape.start_level, 1 << shape.start_order)
        };
        assert_eq!(shape(32), (1, 1));
        assert_eq!(shape(39), (1, 1));
        assert_eq!(shape(40), (1, 2));
        assert_eq!(shape(43), (1, 16));
        assert_eq!(shape(44), (0, 1));
        assert_eq!(shape(48), (0, 1));
        assert_eq!(shape(52), (-1, 1));
    }

    #[test]
    fn sizes_of_entries() {
        assert_eq!(entry_size(3), 0x1000);
        assert_eq!(entry_size(2), 0x20_0000);
        assert_eq!(entry_size(1), 0x4000_0000);
        assert_eq!(entry_size(-1), 1 << 48);
    }
}
