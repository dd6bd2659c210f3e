//! The compression functions by the CPU's instructions.

use core::arch::global_asm;
use core::sync::atomic::AtomicU64;

use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, Readable};

use super::{SHA256_BLOCK, SHA512_BLOCK, portable};
use crate::simd::VectorUnit;

global_asm!(
    include_str!("vectors.S"),
    include_str!("sha256.S"),
    include_str!("sha512.S"),
    options(raw)
);

unsafe extern "C" {
    fn rmm_sha256(state: *mut [u32; 8], blocks: *const AtomicU64, count: u64, sve: u64);
    fn rmm_sha512(state: *mut [u64; 8], blocks: *const AtomicU64, count: u64, sve: u64);
}

/// How this CPU computes digests.
#[derive(Clone, Copy, Debug)]
pub struct Sha {
    unit: VectorUnit,
    has_sha256: bool,
    has_sha512: bool,
}

impl Sha {
    /// Asks the CPU.
    pub fn of_this_cpu() -> Self {
        let sha2 = ID_AA64ISAR0_EL1.get() >> 12 & 0xf;
        Self {
            unit: VectorUnit::of_this_cpu(),
            has_sha256: sha2 >= 1,
            has_sha512: sha2 >= 2,
        }
    }

    /// Runs the compression function of SHA-256 over whole blocks of eight words.
    pub fn sha256(self, state: &mut [u32; 8], blocks: &[AtomicU64]) {
        debug_assert!(blocks.len().is_multiple_of(SHA256_BLOCK), "whole blocks");
        let count = (blocks.len() / SHA256_BLOCK) as u64;
        let open = if self.has_sha256 && count != 0 {
            self.unit.open()
        } else {
            None
        };
        match open {
            // SAFETY: the CPU has the instructions and they do not trap. `count` blocks are in
            // `blocks`. The routine leaves vector registers as they were.
            Some(_open) => unsafe {
                rmm_sha256(state, blocks.as_ptr(), count, self.unit.has_sve().into());
            },
            None => portable::sha256(state, blocks),
        }
    }

    /// Runs the compression function of SHA-512 over whole blocks of sixteen words.
    pub fn sha512(self, state: &mut [u64; 8], blocks: &[AtomicU64]) {
        debug_assert!(blocks.len().is_multiple_of(SHA512_BLOCK), "whole blocks");
        let count = (blocks.len() / SHA512_BLOCK) as u64;
        let open = if self.has_sha512 && count != 0 {
            self.unit.open()
        } else {
            None
        };
        match open {
            // SAFETY: as in `sha256`.
            Some(_open) => unsafe {
                rmm_sha512(state, blocks.as_ptr(), count, self.unit.has_sve().into());
            },
            None => portable::sha512(state, blocks),
        }
    }
}
