//! Registers that say how vector instructions work.

use core::arch::asm;

/// `FPCR`. The traps must be lifted.
pub(super) fn control() -> u64 {
    let value;
    // SAFETY: reading has no effect.
    unsafe { asm!("mrs {0}, s3_3_c4_c4_0", out(reg) value, options(nostack, preserves_flags)) };
    value
}

/// Writes `FPCR`. The traps must be lifted.
pub(super) fn set_control(value: u64) {
    // SAFETY: compiled code uses no floating point: the target is without.
    unsafe { asm!("msr s3_3_c4_c4_0, {0}", in(reg) value, options(nostack, preserves_flags)) };
}

/// `FPSR`. The traps must be lifted.
pub(super) fn status() -> u64 {
    let value;
    // SAFETY: reading has no effect.
    unsafe { asm!("mrs {0}, s3_3_c4_c4_1", out(reg) value, options(nostack, preserves_flags)) };
    value
}

/// Writes `FPSR`. The traps must be lifted.
pub(super) fn set_status(value: u64) {
    // SAFETY: compiled code uses no floating point.
    unsafe { asm!("msr s3_3_c4_c4_1, {0}", in(reg) value, options(nostack, preserves_flags)) };
}

/// `ZCR_EL2`.
///
/// # Safety
///
/// There must be SVE, not trapping.
pub(super) unsafe fn length() -> u64 {
    let value;
    // SAFETY: by the contract of this function; reading has no effect.
    unsafe { asm!("mrs {0}, s3_4_c1_c2_0", out(reg) value, options(nostack, preserves_flags)) };
    value
}

/// Writes `ZCR_EL2`.
///
/// # Safety
///
/// There must be SVE, not trapping. Bits of registers beyond a shorter length are lost.
pub(super) unsafe fn set_length(value: u64) {
    // SAFETY: by the contract of this function.
    unsafe {
        asm!("msr s3_4_c1_c2_0, {0}", "isb", in(reg) value, options(nostack, preserves_flags));
    }
}

/// `SVCR`.
///
/// # Safety
///
/// There must be SME, not trapping.
pub(super) unsafe fn streaming() -> u64 {
    let value;
    // SAFETY: by the contract of this function; reading has no effect.
    unsafe { asm!("mrs {0}, s3_3_c4_c2_2", out(reg) value, options(nostack, preserves_flags)) };
    value
}

/// Writes `SVCR`.
///
/// # Safety
///
/// There must be SME, not trapping. When streaming mode begins or ends, all vector registers
/// are cleared, and `FPSR` changes.
pub(super) unsafe fn set_streaming(value: u64) {
    // SAFETY: by the contract of this function.
    unsafe { asm!("msr s3_3_c4_c2_2, {0}", in(reg) value, options(nostack, preserves_flags)) };
}

/// `FA64` of `SMCR_EL2` as 1 or 0: there is a first-fault register in streaming mode. EL3 must
/// allow what the CPU has of this.
///
/// # Safety
///
/// There must be SME, not trapping.
pub(super) unsafe fn streaming_first_fault() -> u64 {
    let (control, features): (u64, u64);
    // SAFETY: by the contract of this function; reading has no effect.
    unsafe {
        asm!(
            "mrs {0}, s3_4_c1_c2_6",
            "mrs {1}, s3_0_c0_c4_5", // ID_AA64SMFR0_EL1
            out(reg) control,
            out(reg) features,
            options(nostack, preserves_flags),
        );
    }
    control >> 31 & features >> 63 & 1
}
