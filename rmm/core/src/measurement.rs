//! Measurements: hashes over what the host builds a Realm from (DEN0137 chapter A7; reference,
//! section 9).
//!
//! Everything that is hashed is a whole number of blocks of either algorithm, in words of memory:
//! a parameter structure, a page, or a 256-byte descriptor.

use core::sync::atomic::{AtomicU64, Ordering};

use rmm_abi::rmi::HashAlgorithm;

use crate::Machine;
use crate::machine::WORDS_PER_GRANULE;

/// Words of a measurement.
pub(crate) const MEASUREMENT_WORDS: usize = 8;

/// A measurement: 64 bytes, of which SHA-256 uses the first 32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Measurement([u64; MEASUREMENT_WORDS]);

/// Initial hash values (FIPS 180-4, section 5.3).
const SHA_256_START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const SHA_512_START: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

const SHA_256_BLOCK_WORDS: usize = 8;
const SHA_512_BLOCK_WORDS: usize = 16;

impl Measurement {
    pub(crate) const ZERO: Self = Self([0; MEASUREMENT_WORDS]);

    pub(crate) const fn from_words(words: [u64; MEASUREMENT_WORDS]) -> Self {
        Self(words)
    }

    pub(crate) const fn words(&self) -> [u64; MEASUREMENT_WORDS] {
        self.0
    }

    /// The hash of whole blocks.
    pub(crate) fn of<M: Machine>(
        machine: &M,
        algorithm: HashAlgorithm,
        data: &[AtomicU64],
    ) -> Self {
        debug_assert!(data.len().is_multiple_of(SHA_512_BLOCK_WORDS));
        let bits = data.len() as u64 * u64::from(u64::BITS);
        match algorithm {
            HashAlgorithm::Sha256 => {
                let mut state = SHA_256_START;
                machine.sha256(&mut state, data);
                machine.sha256(&mut state, &padding::<SHA_256_BLOCK_WORDS>(bits));
                let mut words = [0; MEASUREMENT_WORDS];
                for (word, pair) in words.iter_mut().zip(state.as_chunks::<2>().0) {
                    let [low, high] = pair.map(|half| u64::from(half.swap_bytes()));
                    *word = low | high << 32;
                }
                Self(words)
            }
            HashAlgorithm::Sha512 => {
                let mut state = SHA_512_START;
                machine.sha512(&mut state, data);
                machine.sha512(&mut state, &padding::<SHA_512_BLOCK_WORDS>(bits));
                Self(state.map(u64::swap_bytes))
            }
        }
    }

    /// The RIM after something was added to the Realm: the hash of a measurement descriptor.
    pub(crate) fn extended<M: Machine>(
        &self,
        machine: &M,
        algorithm: HashAlgorithm,
        addition: &Addition,
    ) -> Self {
        const DESCRIPTOR_BYTES: u64 = 0x100;
        const WORDS: usize = 0x100 / 8;
        const RIM: usize = 0x10 / 8;
        const SPECIFIC: usize = 0x50 / 8;

        let mut words = [0_u64; WORDS];
        words[1] = DESCRIPTOR_BYTES;
        words[RIM..RIM + MEASUREMENT_WORDS].copy_from_slice(&self.0);
        let specific = &mut words[SPECIFIC..];
        words[0] = match addition {
            Addition::Data {
                ipa,
                flags,
                content,
            } => {
                specific[0] = *ipa;
                specific[1] = *flags;
                specific[2..2 + MEASUREMENT_WORDS].copy_from_slice(&content.0);
                0
            }
            Addition::Rec { content } => {
                specific[..MEASUREMENT_WORDS].copy_from_slice(&content.0);
                1
            }
            Addition::Ripas { base, top } => {
                specific[0] = *base;
                specific[1] = *top;
                2
            }
        };
        Self::of(machine, algorithm, &words.map(AtomicU64::new))
    }

    /// The hash of a page-sized structure in which only some words are measured: pairs of position
    /// and value.
    pub(crate) fn of_parameters<M: Machine>(
        machine: &M,
        algorithm: HashAlgorithm,
        fields: &[(usize, u64)],
    ) -> Self {
        let page = [const { AtomicU64::new(0) }; WORDS_PER_GRANULE];
        for &(word, value) in fields {
            page[word].store(value, Ordering::Relaxed);
        }
        Self::of(machine, algorithm, &page)
    }
}

/// What a Realm gained.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Addition {
    /// A page.
    Data {
        ipa: u64,
        flags: u64,
        content: Measurement,
    },
    /// A runnable REC.
    Rec { content: Measurement },
    /// A range whose RIPAS became RAM.
    Ripas { base: u64, top: u64 },
}

/// The block that ends a message of `bits` bits that fills its blocks: a one, zeroes, the length.
/// Words are memory words, so big-endian numbers are swapped.
fn padding<const WORDS: usize>(bits: u64) -> [AtomicU64; WORDS] {
    core::array::from_fn(|word| {
        AtomicU64::new(match word {
            0 => 0x80,
            word if word == WORDS - 1 => bits.swap_bytes(),
            _ => 0,
        })
    })
}
