//! Fields of `ICH_LR<n>_EL2`.

/// An interrupt of the machine is behind it.
pub(crate) const HARDWARE: u64 = 1 << 61;
/// Group 1.
pub(crate) const GROUP_1: u64 = 1 << 60;
/// Its end is told by a maintenance interrupt.
pub(crate) const END_OF_INTERRUPT: u64 = 1 << 41;
/// Pending.
pub(crate) const PENDING: u64 = 1 << 62;
/// Active.
pub(crate) const ACTIVE: u64 = 1 << 63;
/// Both; neither: not valid.
pub(crate) const STATE: u64 = PENDING | ACTIVE;
/// Number of the virtual interrupt.
pub(crate) const NUMBER: u64 = 0xffff_ffff;

/// A pending interrupt of group 1.
pub(crate) const fn pending(number: u64) -> u64 {
    PENDING | GROUP_1 | 0xa0 << 48 | number
}

/// An active interrupt of group 1.
pub(crate) const fn active(number: u64) -> u64 {
    ACTIVE | GROUP_1 | 0xa0 << 48 | number
}
