//! Identification registers: what Realms read of them.

use super::policy::{self, Field, Shown};
use super::registers::{IdRegister, IdRegisters, REGISTERS};
use super::{Features, field};

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
