//! Processor features.

use super::Shown::{Always, AtMostSigned, WithSve};
use super::{Field, Register, at_most, field, hidden, hidden_bit};
use crate::cpu_view::registers::IdRegister;

pub(super) const PFR0: Register = Register {
    name: "ID_AA64PFR0_EL1",
    register: IdRegister::PFR0,
    fields: &[
        at_most("CSV3", 60, 1),
        // From 2 on there are context numbers (SCXTNUM_ELx), which are not switched.
        at_most("CSV2", 56, 1),
        hidden("RME", 52),
        at_most("DIT", 48, 1),
        hidden("AMU", 44),
        hidden("MPAM", 40),
        hidden("SEL2", 36),
        field("SVE", 32, WithSve(1)),
        // From 3 on there is more syndrome than DISR_EL1.
        at_most("RAS", 28, 2),
        // The virtual CPU interface is that of version 3.
        at_most("GIC", 24, 1),
        field("AdvSIMD", 20, AtMostSigned(1)),
        field("FP", 16, AtMostSigned(1)),
        hidden("EL3", 12),
        hidden("EL2", 8),
        // AArch64 only.
        field("EL1", 4, Always(1)),
        field("EL0", 0, Always(1)),
    ],
};

pub(super) const PFR1: Register = Register {
    name: "ID_AA64PFR1_EL1",
    register: IdRegister::PFR1,
    fields: &[
        hidden("PFAR", 60),
        hidden("DF2", 56),
        hidden("MTEX", 52),
        hidden("THE", 48),
        hidden("GCS", 44),
        hidden("MTE_frac", 40),
        hidden("NMI", 36),
        // 2 has context numbers.
        at_most("CSV2_frac", 32, 1),
        hidden("RNDR_trap", 28),
        hidden("SME", 24),
        hidden("MPAM_frac", 16),
        at_most("RAS_frac", 12, 1),
        hidden("MTE", 8),
        // The bit is in PSTATE and SCTLR_EL1.
        at_most("SSBS", 4, 2),
        at_most("BT", 0, 1),
    ],
};

pub(super) const PFR2: Register = Register {
    name: "ID_AA64PFR2_EL1",
    register: IdRegister::PFR2,
    fields: &[
        hidden("FPMR", 32),
        hidden("UINJ", 16),
        hidden("GCIE", 12),
        hidden("MTEFAR", 8),
        hidden("MTESTOREONLY", 4),
        hidden("MTEPERM", 0),
    ],
};

const fn with_sve(name: &'static str, shift: u32, limit: u8) -> Field {
    field(name, shift, WithSve(limit))
}

/// All of it works on the registers that SVE has anyway.
pub(super) const ZFR0: Register = Register {
    name: "ID_AA64ZFR0_EL1",
    register: IdRegister::ZFR0,
    fields: &[
        with_sve("F64MM", 56, 1),
        with_sve("F32MM", 52, 1),
        with_sve("F16MM", 48, 1),
        with_sve("I8MM", 44, 1),
        with_sve("SM4", 40, 1),
        with_sve("SHA3", 32, 1),
        with_sve("B16B16", 24, 2),
        with_sve("BF16", 20, 2),
        with_sve("BitPerm", 16, 1),
        with_sve("EltPerm", 12, 1),
        with_sve("AES", 4, 3),
        with_sve("SVEver", 0, 3),
    ],
};

pub(super) const SMFR0: Register = Register {
    name: "ID_AA64SMFR0_EL1",
    register: IdRegister::SMFR0,
    fields: &[
        hidden_bit("FA64", 63),
        hidden_bit("LUTv2", 60),
        hidden("SMEver", 56),
        hidden("I16I64", 52),
        hidden_bit("F64F64", 48),
        hidden("I16I32", 44),
        hidden_bit("B16B16", 43),
        hidden_bit("F16F16", 42),
        hidden_bit("F8F16", 41),
        hidden_bit("F8F32", 40),
        hidden("I8I32", 36),
        hidden_bit("F16F32", 35),
        hidden_bit("B16F32", 34),
        hidden_bit("BI32I32", 33),
        hidden_bit("F32F32", 32),
        hidden_bit("SF8FMA", 30),
        hidden_bit("SF8DP4", 29),
        hidden_bit("SF8DP2", 28),
        hidden_bit("SBitPerm", 25),
        hidden_bit("AES", 24),
        hidden_bit("SFEXPA", 23),
        hidden_bit("STMOP", 16),
        hidden_bit("SMOP4", 0),
    ],
};

/// What these instructions do is controlled by FPMR, which is not switched.
pub(super) const FPFR0: Register = Register {
    name: "ID_AA64FPFR0_EL1",
    register: IdRegister::FPFR0,
    fields: &[
        hidden_bit("F8CVT", 31),
        hidden_bit("F8FMA", 30),
        hidden_bit("F8DP4", 29),
        hidden_bit("F8DP2", 28),
        hidden_bit("F8MM8", 27),
        hidden_bit("F8MM4", 26),
        hidden_bit("F8E4M3", 1),
        hidden_bit("F8E5M2", 0),
    ],
};
