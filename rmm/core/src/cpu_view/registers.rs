//! The identification registers of a CPU.

use super::field;

/// The 64 registers with op0 = 3, op1 = 0, `CRn` = 0.
pub(super) const REGISTERS: usize = 64;

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
