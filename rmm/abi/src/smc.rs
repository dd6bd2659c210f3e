//! Function identifiers of the SMC calling convention (DEN0028).

/// Result of a call that nobody implements: all ones.
pub const NOT_SUPPORTED: u64 = u64::MAX;

/// Bit 16 of a function identifier: the caller holds no live SVE state (SMCCC 1.3).
/// A hint only; it is masked out before a function is looked up.
pub const SVE_HINT: u64 = 1 << 16;

/// The function identifier of a call: the low half of X0, without the SVE hint. What is in the
/// upper half means nothing (DEN0028 section 3.1).
pub const fn function_identifier(x0: u64) -> u64 {
    x0 & 0xffff_ffff & !SVE_HINT
}

/// A fast SMC64 call of the standard-service owner, which RMI, RSI and the RMM-EL3 calls all are.
pub const fn standard_service(function: u16) -> u64 {
    0xc400_0000 | function as u64
}

/// SMCCC version query, answered by EL3 (DEN0028 section 7.2).
pub const SMCCC_VERSION: u64 = 0x8000_0000;
/// SMCCC feature query, answered by EL3 (DEN0028 section 7.3).
pub const SMCCC_ARCH_FEATURES: u64 = 0x8000_0001;

/// Random bits, 64-bit registers (DEN0098 section 2.4): up to 192 of them in X3, X2 and X1.
pub const TRNG_RND64: u64 = 0xc400_0053;

/// Power State Coordination Interface, as the normal world and Realms call it (DEN0022).
pub mod psci {
    /// Interface version.
    pub const VERSION: u64 = 0x8400_0000;
    /// Suspend, SMC32.
    pub const CPU_SUSPEND_32: u64 = 0x8400_0001;
    /// Suspend, SMC64.
    pub const CPU_SUSPEND: u64 = 0xc400_0001;
    /// Switch the calling CPU off.
    pub const CPU_OFF: u64 = 0x8400_0002;
    /// Switch a CPU on, SMC32.
    pub const CPU_ON_32: u64 = 0x8400_0003;
    /// Switch a CPU on, SMC64.
    pub const CPU_ON: u64 = 0xc400_0003;
    /// Ask whether a CPU is on, SMC32.
    pub const AFFINITY_INFO_32: u64 = 0x8400_0004;
    /// Ask whether a CPU is on, SMC64.
    pub const AFFINITY_INFO: u64 = 0xc400_0004;
    /// Switch the machine off.
    pub const SYSTEM_OFF: u64 = 0x8400_0008;
    /// Reset the machine.
    pub const SYSTEM_RESET: u64 = 0x8400_0009;
    /// Ask whether a function is there.
    pub const FEATURES: u64 = 0x8400_000a;

    /// Done. Also "on" as an answer to [`AFFINITY_INFO`].
    pub const SUCCESS: i64 = 0;
    /// The CPU is off: an answer to [`AFFINITY_INFO`].
    pub const AFFINITY_OFF: i64 = 1;
    /// The CPU is on its way: an answer to [`AFFINITY_INFO`].
    pub const AFFINITY_ON_PENDING: i64 = 2;
    /// No such function.
    pub const NOT_SUPPORTED: i64 = -1;
    /// An argument is wrong.
    pub const INVALID_PARAMETERS: i64 = -2;
    /// Refused.
    pub const DENIED: i64 = -3;
    /// The CPU is on.
    pub const ALREADY_ON: i64 = -4;
    /// The CPU is on its way.
    pub const ON_PENDING: i64 = -5;
    /// Something failed inside.
    pub const INTERNAL_FAILURE: i64 = -6;
    /// No such CPU.
    pub const NOT_PRESENT: i64 = -7;
    /// The CPU is disabled.
    pub const DISABLED: i64 = -8;
    /// The entry point is not an address the caller may use.
    pub const INVALID_ADDRESS: i64 = -9;
}
