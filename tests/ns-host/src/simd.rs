//! Vector registers. No other code of this program uses them, so they hold what is put in.

#![allow(unsafe_code)]

use core::arch::global_asm;

use crate::register;

global_asm!(include_str!("asm/simd.S"));

/// Bytes of the longest vector of the architecture.
pub(crate) const LONGEST_VECTOR: usize = 256;

/// V0 to V31.
pub(crate) type Simd = [u128; 32];

/// Z0 to Z31, then P0 to P15 and the first-fault register.
#[repr(C, align(16))]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sve {
    /// Vectors, one after the other at the current length.
    pub(crate) vectors: [u8; 32 * LONGEST_VECTOR],
    /// Predicates, each an eighth of a vector.
    pub(crate) predicates: [u8; 17 * LONGEST_VECTOR / 8],
}

unsafe extern "C" {
    fn simd_load(values: *const Simd);
    fn simd_store(values: *mut Simd);
    fn sve_load(vectors: *const u8, predicates: *const u8);
    fn sve_store(vectors: *mut u8, predicates: *mut u8);
    fn sve_vector_bytes() -> usize;
}

/// Fills V0 to V31.
pub(crate) fn load(values: &Simd) {
    // SAFETY: the routine reads the values and changes registers that no other code uses.
    unsafe { simd_load(values) };
}

/// What V0 to V31 hold.
pub(crate) fn store() -> Simd {
    let mut values = [0; 32];
    // SAFETY: the routine fills the values.
    unsafe { simd_store(&raw mut values) };
    values
}

/// Whether the CPU has SVE.
pub(crate) fn has_sve() -> bool {
    register::read!("id_aa64pfr0_el1") >> 32 & 0xf != 0
}

/// Asks for the longest vectors; their length in bytes. Only with SVE.
pub(crate) fn use_longest_vectors() -> usize {
    // SAFETY: ZCR_EL2; only code of this module uses vectors.
    unsafe { register::write!("S3_4_C1_C2_0", 0xf) };
    // SAFETY: there is SVE.
    unsafe { sve_vector_bytes() }
}

impl Sve {
    /// Registers full of zeroes.
    pub(crate) const fn new() -> Self {
        Self {
            vectors: [0; 32 * LONGEST_VECTOR],
            predicates: [0; 17 * LONGEST_VECTOR / 8],
        }
    }

    /// Fills the registers. Only with SVE.
    pub(crate) fn load(&self) {
        // SAFETY: the buffers hold the longest vectors there can be.
        unsafe { sve_load(self.vectors.as_ptr(), self.predicates.as_ptr()) };
    }

    /// Reads the registers. Only with SVE.
    pub(crate) fn store(&mut self) {
        // SAFETY: as above.
        unsafe { sve_store(self.vectors.as_mut_ptr(), self.predicates.as_mut_ptr()) };
    }
}
