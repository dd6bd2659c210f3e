//! Families of registers that carry patterns across exits.
//!
//! For each register there is a mask of the bits that keep what is written to them, on any CPU and
//! without a change of what the CPU does. Those bits carry the [`pattern`](fn@pattern)
//! of the register's index.

use crate::SystemRegister;
use crate::pattern::{Kind, pattern};

mod tables;

pub use tables::registers;

/// Most registers that one family has.
pub const MAXIMUM_REGISTERS: usize = 80;

/// What a CPU has of what is optional, by what its ID registers say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Breakpoints.
    pub breakpoints: u8,
    /// Watchpoints.
    pub watchpoints: u8,
    /// Event counters; `None` without a PMU.
    pub event_counters: Option<u8>,
    /// Any kind of pointer authentication, and so its keys.
    pub pointer_authentication: bool,
    /// The RAS extension, and so `DISR_EL1`.
    pub ras: bool,
    /// SVE.
    pub sve: bool,
}

/// ID registers that [`Features`] come from.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdRegisters {
    /// `ID_AA64PFR0_EL1`
    pub pfr0: u64,
    /// `ID_AA64DFR0_EL1`
    pub dfr0: u64,
    /// `ID_AA64ISAR1_EL1`
    pub isar1: u64,
    /// `ID_AA64ISAR2_EL1`
    pub isar2: u64,
}

const fn field(register: u64, lowest_bit: u32) -> u8 {
    (register >> lowest_bit & 0xf) as u8
}

impl Features {
    /// The features that ID registers show. `event_counters` is `PMCR_EL0.N`, asked for only if
    /// there is a PMU.
    pub fn new(id: &IdRegisters, event_counters: impl FnOnce() -> u8) -> Self {
        let pmu_version = field(id.dfr0, 8);
        let keys = id.isar1 & 0xff00_0ff0 | id.isar2 & 0xff00;
        Self {
            breakpoints: field(id.dfr0, 12) + 1,
            watchpoints: field(id.dfr0, 20) + 1,
            event_counters: (pmu_version != 0 && pmu_version != 0xf)
                .then(|| event_counters().min(31)),
            pointer_authentication: keys != 0,
            ras: field(id.pfr0, 28) != 0,
            sve: field(id.pfr0, 32) != 0,
        }
    }
}

/// What the bits outside of the mask are written with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OtherBits {
    /// What they hold.
    Keep,
    /// This, which they keep too: ones of it are checked.
    Set(u64),
}

/// A register of a family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CanaryRegister {
    /// Which one.
    pub register: SystemRegister,
    /// Index of its pattern in the family.
    pub index: usize,
    /// Bits that carry the pattern.
    pub mask: u64,
    /// The other bits.
    pub others: OtherBits,
    /// For registers in which only ones can be written: the register that clears bits.
    pub clear: Option<SystemRegister>,
    /// Whether a CPU may ignore writes. Then the register reads as zero.
    pub may_be_zero: bool,
}

impl CanaryRegister {
    /// What is written to the register when it holds `current`.
    pub const fn value(&self, kind: Kind, seed: u16, current: u64) -> u64 {
        let others = match self.others {
            OtherBits::Keep => current & !self.mask,
            OtherBits::Set(ones) => ones,
        };
        pattern(seed, kind, self.index) & self.mask | others
    }

    /// What a read shows of the register's own, and what it has to be. The two differ if it does
    /// not hold what [`value`](Self::value) has written.
    pub const fn compare(&self, kind: Kind, seed: u16, found: u64) -> (u64, u64) {
        let ones = match self.others {
            OtherBits::Keep => 0,
            OtherBits::Set(ones) => ones,
        };
        let expected = pattern(seed, kind, self.index) & self.mask | ones;
        if self.may_be_zero && found == 0 {
            return (expected, expected);
        }
        (found & (self.mask | ones), expected)
    }
}

#[cfg(test)]
mod tests;
