//! The policy: every field of every identification register, and what Realms see of it.

mod debug;
mod instructions;
mod memory;
mod processor;

use core::fmt;

use super::registers::IdRegister;

/// What Realms see of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Zero, which says that the feature is missing, or says nothing.
    Hidden,
    /// All ones, which is how a signed field says that the feature is missing.
    HiddenSigned,
    /// This, whatever the CPU has.
    Always(u8),
    /// As the CPU, but not more than this.
    AtMost(u8),
    /// As the CPU, but not more than this; all ones and other negative values stay.
    AtMostSigned(u8),
    /// [`AtMost`](Self::AtMost) for a Realm with SVE, otherwise zero.
    WithSve(u8),
    /// [`AtMost`](Self::AtMost) for a Realm with PMU, otherwise zero, and zero for a PMU that does
    /// not follow the architecture (all ones).
    WithPmu(u8),
    /// Breakpoints of the Realm − 1.
    Breakpoints,
    /// Watchpoints of the Realm − 1.
    Watchpoints,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden => f.write_str("hidden"),
            Self::HiddenSigned => f.write_str("hidden (all ones)"),
            Self::Always(value) => write!(f, "always {value}"),
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::AtMostSigned(limit) => write!(f, "at most {limit} (signed)"),
            Self::WithSve(limit) => write!(f, "with SVE, at most {limit}"),
            Self::WithPmu(limit) => write!(f, "with PMU, at most {limit}"),
            Self::Breakpoints => f.write_str("of the Realm: breakpoints"),
            Self::Watchpoints => f.write_str("of the Realm: watchpoints"),
        }
    }
}

/// A field of an identification register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name in the Arm Architecture Reference Manual.
    pub name: &'static str,
    /// Lowest bit.
    pub shift: u32,
    /// Number of bits.
    pub width: u32,
    /// What Realms see of it.
    pub shown: Shown,
}

/// An identification register. Bits that are in none of its fields read as zero.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    /// Name in the Arm Architecture Reference Manual.
    pub name: &'static str,
    /// Its encoding.
    pub register: IdRegister,
    /// From the highest bits down.
    pub fields: &'static [Field],
}

/// Every register that shows anything. All others read as zero: reserved encodings, and the
/// registers that describe `AArch32` state.
pub const REGISTERS: [Register; 20] = [
    processor::PFR0,
    processor::PFR1,
    processor::PFR2,
    processor::ZFR0,
    processor::SMFR0,
    processor::FPFR0,
    debug::DFR0,
    debug::DFR1,
    debug::DFR2,
    debug::AFR0,
    debug::AFR1,
    instructions::ISAR0,
    instructions::ISAR1,
    instructions::ISAR2,
    instructions::ISAR3,
    memory::MMFR0,
    memory::MMFR1,
    memory::MMFR2,
    memory::MMFR3,
    memory::MMFR4,
];

/// A field of four bits, as most are.
const fn field(name: &'static str, shift: u32, shown: Shown) -> Field {
    Field {
        name,
        shift,
        width: 4,
        shown,
    }
}

const fn at_most(name: &'static str, shift: u32, limit: u8) -> Field {
    field(name, shift, Shown::AtMost(limit))
}

const fn hidden(name: &'static str, shift: u32) -> Field {
    field(name, shift, Shown::Hidden)
}

const fn hidden_bit(name: &'static str, shift: u32) -> Field {
    hidden_bits(name, shift, 1)
}

const fn hidden_bits(name: &'static str, shift: u32, width: u32) -> Field {
    Field {
        name,
        shift,
        width,
        shown: Shown::Hidden,
    }
}

#[cfg(test)]
mod tests;
