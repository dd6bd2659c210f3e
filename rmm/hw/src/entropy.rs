//! Random bits: from the CPU, or else from EL3.

use core::arch::asm;

use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, Readable};
use rmm_attest::entropy::{Entropy, EntropyError};

use crate::el3;

/// Times that a source may have nothing to give.
const MOST_ATTEMPTS: usize = 1000;

/// Random bits for one signature. Each word is freshly seeded.
///
/// # Errors
///
/// [`EntropyError`] when neither source is there, or one is that cannot be trusted.
pub fn gather() -> Result<Entropy, EntropyError> {
    let from_cpu = ID_AA64ISAR0_EL1.is_set(ID_AA64ISAR0_EL1::RNDR);
    Entropy::gather(|| {
        (0..MOST_ATTEMPTS).find_map(|_| {
            if from_cpu {
                reseeded_random()
            } else {
                el3::random()
            }
        })
    })
}

/// `RNDRRS`; `None` when the CPU could not make a number in time.
fn reseeded_random() -> Option<u64> {
    let (value, failed): (u64, u64);
    // SAFETY: the CPU has the register. Reading it changes nothing but the flags.
    unsafe {
        asm!(
            "mrs {value}, s3_3_c2_c4_1",
            "cset {failed}, eq",
            value = out(reg) value,
            failed = out(reg) failed,
            options(nomem, nostack),
        );
    }
    (failed == 0).then_some(value)
}
