//! Identification registers: what the CPU says and what Realms read.

use super::policy::{self, Field, Shown};
use super::{Features, field};

/// The 64 registers with op0 = 3, op1 = 0, `CRn` = 0.
const REGISTERS: usize = 64;

/// One identification register of EL1, by `CRm` and op2 of its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRegister(u8);

impl IdRegister {
    /// `ID_AA64PFR0_EL1`.
    pub const PFR0: Self = Self::new(4, 0);
    /// `ID_AA64PFR1_EL1`.
    pub const PFR1: Self = Self::new(4, 1);
    /// `ID_AA64PFR2_EL1`.
    pub const PFR2: Self = Self::new(4, 2);
    /// `ID_AA64ZFR0_EL1`.
    pub const ZFR0: Self = Self::new(4, 4);
    /// `ID_AA64SMFR0_EL1`.
    pub const SMFR0: Self = Self::new(4, 5);
    /// `ID_AA64FPFR0_EL1`.
    pub const FPFR0: Self = Self::new(4, 7);
    /// `ID_AA64DFR0_EL1`.
    pub const DFR0: Self = Self::new(5, 0);
    /// `ID_AA64DFR1_EL1`.
    pub const DFR1: Self = Self::new(5, 1);
    /// `ID_AA64DFR2_EL1`.
    pub const DFR2: Self = Self::new(5, 2);
    /// `ID_AA64AFR0_EL1`.
    pub const AFR0: Self = Self::new(5, 4);
    /// `ID_AA64AFR1_EL1`.
    pub const AFR1: Self = Self::new(5, 5);
    /// `ID_AA64ISAR0_EL1`.
    pub const ISAR0: Self = Self::new(6, 0);
    /// `ID_AA64ISAR1_EL1`.
    pub const ISAR1: Self = Self::new(6, 1);
    /// `ID_AA64ISAR2_EL1`.
    pub const ISAR2: Self = Self::new(6, 2);
    /// `ID_AA64ISAR3_EL1`.
    pub const ISAR3: Self = Self::new(6, 3);
    /// `ID_AA64MMFR0_EL1`.
    pub const MMFR0: Self = Self::new(7, 0);
    /// `ID_AA64MMFR1_EL1`.
    pub const MMFR1: Self = Self::new(7, 1);
    /// `ID_AA64MMFR2_EL1`.
    pub const MMFR2: Self = Self::new(7, 2);
    /// `ID_AA64MMFR3_EL1`.
    pub const MMFR3: Self = Self::new(7, 3);
    /// `ID_AA64MMFR4_EL1`.
    pub const MMFR4: Self = Self::new(7, 4);

    /// The register with these fields in its encoding, of which three bits count.
    pub const fn new(crm: u8, op2: u8) -> Self {
        Self((crm & 7) << 3 | op2 & 7)
    }

    /// Place in the order of encodings, `CRm` × 8 + op2: below 64.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The identification registers of a CPU, as EL2 reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRegisters([u64; REGISTERS]);

impl IdRegisters {
    /// Values in the order of [`IdRegister::index`]. Those with `CRm` = 0, which do not describe
    /// features, are not looked at.
    pub const fn new(values: [u64; REGISTERS]) -> Self {
        Self(values)
    }

    /// What the CPU says.
    pub const fn get(&self, register: IdRegister) -> u64 {
        self.0[register.index()]
    }

    /// A field of four bits, as the CPU says.
    pub(super) const fn field(&self, register: IdRegister, shift: u32) -> u64 {
        field(self.get(register), shift, 4)
    }
}

/// What Realms read on a CPU: [`policy`] applied to its [`IdRegisters`], once, so that a trapped
/// read has little left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealmIdRegisters([u64; REGISTERS]);

impl RealmIdRegisters {
    const SVE: u64 = 0xf << 32;
    const PMU_VERSION: u64 = 0xf << 8;
    const BREAKPOINTS: u32 = 12;
    const WATCHPOINTS: u32 = 20;

    /// Applies the policy to the registers of a CPU. What differs between Realms is left as the Realm
    /// that has most sees it.
    pub const fn of(cpu: &IdRegisters) -> Self {
        let mut values = [0; REGISTERS];
        let mut register = 0;
        while register < policy::REGISTERS.len() {
            let rules = &policy::REGISTERS[register];
            let value = cpu.get(rules.register);
            let mut number = 0;
            while number < rules.fields.len() {
                let rule = &rules.fields[number];
                values[rules.register.index()] |= shown(rule, value) << rule.shift;
                number += 1;
            }
            register += 1;
        }
        Self(values)
    }

    /// What a Realm with these features reads.
    #[inline]
    pub const fn read(&self, features: Features, register: IdRegister) -> u64 {
        const PFR0: usize = IdRegister::PFR0.index();
        const ZFR0: usize = IdRegister::ZFR0.index();
        const DFR0: usize = IdRegister::DFR0.index();
        let value = self.0[register.index()];
        match register.index() {
            PFR0 if features.sve_vector_length.is_none() => value & !Self::SVE,
            ZFR0 if features.sve_vector_length.is_none() => 0,
            DFR0 => Self::debug(value, features),
            _ => value,
        }
    }

    const fn debug(value: u64, features: Features) -> u64 {
        const fn at_most(value: u64, shift: u32, limit: u8) -> u64 {
            const MASK: u64 = 0xf;
            let (available, limit) = (field(value, shift, 4), limit as u64);
            let shown = if limit < available { limit } else { available };
            value & !(MASK << shift) | shown << shift
        }
        let value = at_most(value, Self::BREAKPOINTS, features.breakpoints);
        let value = at_most(value, Self::WATCHPOINTS, features.watchpoints);
        match features.pmu_counters {
            Some(_) => value,
            None => value & !Self::PMU_VERSION,
        }
    }
}

/// The field of a Realm, from the register of the CPU; not yet in its place.
const fn shown(rule: &Field, register: u64) -> u64 {
    const fn smaller(value: u64, limit: u8) -> u64 {
        if value < limit as u64 {
            value
        } else {
            limit as u64
        }
    }
    /// Negative values of a signed field of four bits say that something is missing.
    const NEGATIVE: u64 = 8;
    let value = field(register, rule.shift, rule.width);
    match rule.shown {
        Shown::Hidden => 0,
        Shown::HiddenSigned => (1 << rule.width) - 1,
        Shown::Always(constant) => constant as u64,
        Shown::Breakpoints | Shown::Watchpoints => value,
        Shown::AtMostSigned(_) if value >= NEGATIVE => value,
        // A PMU that does not follow the architecture is none.
        Shown::WithPmu(_) if value == 0xf => 0,
        Shown::AtMost(limit)
        | Shown::AtMostSigned(limit)
        | Shown::WithSve(limit)
        | Shown::WithPmu(limit) => smaller(value, limit),
    }
}

#[cfg(test)]
pub(crate) mod tests;
