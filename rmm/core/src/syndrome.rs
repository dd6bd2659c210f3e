//! Fields of `ESR_ELx` (Arm ARM, "Exception Syndrome Register").

/// Where the exception class begins.
pub(crate) const CLASS_SHIFT: u32 = 26;
/// EC.
pub(crate) const EXCEPTION_CLASS: u64 = 0x3f << CLASS_SHIFT;
/// IL: the instruction has 32 bits, or its size does not matter.
pub(crate) const INSTRUCTION_LENGTH: u64 = 1 << 25;
/// ISV: the fields on the access are valid.
pub(crate) const SYNDROME_VALID: u64 = 1 << 24;
/// SAS: log2 of the bytes of the access.
pub(crate) const ACCESS_SIZE: u64 = 0b11 << 22;
/// SSE: the value is sign-extended.
pub(crate) const SIGN_EXTEND: u64 = 1 << 21;
/// SF: the register has 64 bits.
pub(crate) const SIXTY_FOUR_BIT: u64 = 1 << 15;
/// SET: state of the CPU after a synchronous external abort.
pub(crate) const ERROR_TYPE: u64 = 0b11 << 11;
/// `FnV`: `FAR_ELx` holds nothing.
pub(crate) const FAULT_ADDRESS_NOT_VALID: u64 = 1 << 10;
/// EA.
pub(crate) const EXTERNAL: u64 = 1 << 9;
/// CM: a cache maintenance instruction.
pub(crate) const CACHE_MAINTENANCE: u64 = 1 << 8;
/// S1PTW: an access by a walk of stage 1.
pub(crate) const STAGE_1_WALK: u64 = 1 << 7;
/// `WnR`.
pub(crate) const WRITE: u64 = 1 << 6;
/// DFSC, IFSC.
pub(crate) const FAULT_STATUS: u64 = 0x3f;
/// TI: which instruction was trapped, `WFI`, `WFE`, `WFIT`, `WFET`.
pub(crate) const TRAPPED_INSTRUCTION: u64 = 0b11;
/// The instruction was `WFIT` or `WFET`.
pub(crate) const WITH_TIMEOUT: u64 = 0b10;
/// IDS of an `SError`.
pub(crate) const IMPLEMENTATION_DEFINED_SYNDROME: u64 = 1 << 24;
/// AET of an `SError`.
pub(crate) const ASYNCHRONOUS_ERROR_TYPE: u64 = 0b111 << 10;

/// `WFI`, `WFE` and the like.
pub(crate) const WAIT: u64 = 0x01;
/// Advanced SIMD and floating point.
pub(crate) const SIMD: u64 = 0x07;
/// `HVC`.
pub(crate) const HYPERVISOR_CALL: u64 = 0x16;
/// `SMC`.
pub(crate) const SECURE_MONITOR_CALL: u64 = 0x17;
/// `MSR`, `MRS`, `SYS`.
pub(crate) const SYSTEM_ACCESS: u64 = 0x18;
/// SVE.
pub(crate) const SVE: u64 = 0x19;
/// Instruction abort from a lower level.
pub(crate) const INSTRUCTION_ABORT_LOWER: u64 = 0x20;
/// Data abort from a lower level.
pub(crate) const DATA_ABORT_LOWER: u64 = 0x24;

/// Fault status of a synchronous external abort on the access itself.
pub(crate) const SYNCHRONOUS_EXTERNAL_ABORT: u64 = 0x10;

/// The exception class of a syndrome.
pub(crate) const fn class_of(syndrome: u64) -> u64 {
    syndrome >> CLASS_SHIFT & 0x3f
}

/// A syndrome of nothing but a class.
pub(crate) const fn class(class: u64) -> u64 {
    class << CLASS_SHIFT
}

/// Whether an abort came from the memory system: on the access, or on a walk.
pub(crate) const fn is_external_abort(syndrome: u64) -> bool {
    matches!(syndrome & FAULT_STATUS, 0x10 | 0x13..=0x17)
}

/// Whether an abort is a translation fault.
pub(crate) const fn is_translation_fault(syndrome: u64) -> bool {
    matches!(syndrome & FAULT_STATUS, 0x04..=0x07 | 0x2b)
}

/// Whether `HPFAR_EL2` belongs to an abort: address size, translation and access flag faults, and any
/// fault on a walk of stage 1. Otherwise it is left over from an earlier one.
pub(crate) const fn has_fault_ipa(syndrome: u64) -> bool {
    syndrome & STAGE_1_WALK != 0 || matches!(syndrome & FAULT_STATUS, 0x00..=0x0b | 0x29 | 0x2b)
}
