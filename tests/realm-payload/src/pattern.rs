//! Values by which a register shows whose it is.
//!
//! A pattern is a function of a seed, a family of registers and an index in the family. It looks
//! random in every bit, and still it can be read back: [`identify`] tells whose a value is, so a
//! register that turns up in a wrong place names its origin.

/// Families of registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Kind {
    /// X0 to X30, by number.
    General = 0,
    /// V0 to V31: two words each, the lower first. Then the registers of
    /// [`canary::registers`](crate::canary::registers).
    Fpsimd = 1,
    /// Z0 to Z31, P0 to P15 and FFR: see [`vector_index`] and [`predicate_index`]. Then system
    /// registers, as above.
    Sve = 2,
    /// Registers of EL1 and EL0 that keep what is written to them.
    System = 3,
    /// Registers of EL1 that each exception changes.
    Exception = 4,
    /// Keys of pointer authentication.
    PointerAuthentication = 5,
    /// Breakpoints, watchpoints and what belongs to them.
    Debug = 6,
    /// Counters and what belongs to them.
    Pmu = 7,
    /// EL1 timers.
    Timers = 8,
    /// Registers of a host call, by number.
    HostCall = 9,
    /// For the host's own use.
    Host = 10,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::General,
        Self::Fpsimd,
        Self::Sve,
        Self::System,
        Self::Exception,
        Self::PointerAuthentication,
        Self::Debug,
        Self::Pmu,
        Self::Timers,
        Self::HostCall,
        Self::Host,
    ];

    /// The kind behind an encoding.
    pub fn from_encoding(encoding: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u64 == encoding)
    }
}

/// Words of a vector of the longest length (2048 bits).
pub const VECTOR_WORDS: usize = 32;
/// Words of a predicate of the longest length.
pub const PREDICATE_WORDS: usize = 4;
/// Number by which the first-fault register is known beside P0 to P15.
pub const FIRST_FAULT: usize = 16;

/// Index of a word of Z`number` in [`Kind::Sve`].
pub const fn vector_index(number: usize, word: usize) -> usize {
    number * VECTOR_WORDS + word
}

/// Index of a word of P`number` in [`Kind::Sve`].
pub const fn predicate_index(number: usize, word: usize) -> usize {
    32 * VECTOR_WORDS + number * PREDICATE_WORDS + word
}

/// What a pattern says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Chosen by the test, one per owner of registers.
    pub seed: u16,
    /// Family of the register.
    pub kind: Kind,
    /// Which one of the family.
    pub index: u16,
}

/// In the highest 24 bits of each word before it is mixed: a value that is no pattern passes for one
/// with a probability of 2⁻²⁴ at most.
const TAG: u64 = 0x00c1_0157_u64 << 40;
const FIRST_FACTOR: u64 = 0xff51_afd7_ed55_8ccd;
const SECOND_FACTOR: u64 = 0xc4ce_b9fe_1a85_ec53;

/// The number whose product with an odd `factor` is 1 modulo 2⁶⁴ (Newton's iteration: each step
/// doubles the bits that are right, and an odd number is its own inverse modulo 8).
const fn inverse(factor: u64) -> u64 {
    let mut inverse = factor;
    let mut bits = 3;
    while bits < 64 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(factor.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

const FIRST_INVERSE: u64 = inverse(FIRST_FACTOR);
const SECOND_INVERSE: u64 = inverse(SECOND_FACTOR);

/// The pattern of a register. `index` counts modulo 2¹⁶.
#[expect(
    clippy::cast_possible_truncation,
    reason = "no family has that many registers"
)]
pub const fn pattern(seed: u16, kind: Kind, index: usize) -> u64 {
    let mut word = TAG | (seed as u64) << 24 | (kind as u64) << 16 | index as u16 as u64;
    word ^= word >> 33;
    word = word.wrapping_mul(FIRST_FACTOR);
    word ^= word >> 33;
    word = word.wrapping_mul(SECOND_FACTOR);
    word ^ word >> 33
}

/// Whose a value is; `None` if it is not a pattern.
pub fn identify(value: u64) -> Option<Origin> {
    // A shift by more than half the width undoes itself.
    let mut word = value ^ value >> 33;
    word = word.wrapping_mul(SECOND_INVERSE);
    word ^= word >> 33;
    word = word.wrapping_mul(FIRST_INVERSE);
    word ^= word >> 33;
    if word >> 40 != TAG >> 40 {
        return None;
    }
    let [index_low, index_high, kind, seed_low, seed_high, ..] = word.to_le_bytes();
    Some(Origin {
        seed: u16::from_le_bytes([seed_low, seed_high]),
        kind: Kind::from_encoding(u64::from(kind))?,
        index: u16::from_le_bytes([index_low, index_high]),
    })
}

/// Bytes that FFR holds: ones up to somewhere, then zeros, which is the only shape that it takes.
/// `bits` is the number of bits of a predicate.
pub const fn first_fault_byte(seed: u16, bits: usize, byte: usize) -> u8 {
    // The remainder fits any size because it is at most `bits`.
    #[expect(clippy::cast_possible_truncation, reason = "at most `bits`")]
    let ones =
        (pattern(seed, Kind::Sve, predicate_index(FIRST_FAULT, 0)) % (bits as u64 + 1)) as usize;
    let here = ones.saturating_sub(byte * 8);
    if here >= 8 { 0xff } else { (1 << here) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_tells_its_origin() {
        for kind in Kind::ALL {
            for (seed, index) in [(0, 0), (1, 30), (0xffff, 0xffff), (0x1234, 1091)] {
                let value = pattern(seed, kind, usize::from(index));
                assert_eq!(identify(value), Some(Origin { seed, kind, index }));
            }
        }
    }

    #[test]
    fn what_is_no_pattern_has_no_origin() {
        let value = pattern(7, Kind::System, 3);
        for bit in 0..64 {
            assert_eq!(identify(value ^ 1 << bit), None, "bit {bit}");
        }
        for value in [0, 1, u64::MAX, 0x4000_0000, 0xc400_0190] {
            assert_eq!(identify(value), None, "{value:#x}");
        }
    }

    #[test]
    fn patterns_differ_in_any_half() {
        let mut halves = std::collections::HashSet::new();
        for seed in 0..8 {
            for index in 0..64 {
                let value = pattern(seed, Kind::General, index);
                assert!(halves.insert(value & 0xffff_ffff));
                assert!(halves.insert(value >> 32));
            }
        }
    }

    #[test]
    fn the_first_fault_register_is_ones_then_zeros() {
        let mut lengths = std::collections::HashSet::new();
        for seed in 0..200 {
            let bytes: Vec<u8> = (0..8)
                .map(|byte| first_fault_byte(seed, 64, byte))
                .collect();
            let value = u64::from_le_bytes(bytes.try_into().unwrap());
            assert!(value == u64::MAX || (value + 1).is_power_of_two());
            lengths.insert(value.trailing_ones());
        }
        assert!(lengths.len() > 40, "{lengths:?}");
    }

    #[test]
    fn indices_of_vectors_and_predicates_do_not_meet() {
        assert_eq!(
            vector_index(31, VECTOR_WORDS - 1) + 1,
            predicate_index(0, 0)
        );
        assert_eq!(
            predicate_index(1, 0) - predicate_index(0, 0),
            PREDICATE_WORDS
        );
    }
}
