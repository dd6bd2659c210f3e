//! Instruction sets. An instruction that works on registers which are switched anyway needs nothing
//! more.

use super::{Register, at_most, hidden};
use crate::cpu_view::registers::IdRegister;

pub(super) const ISAR0: Register = Register {
    name: "ID_AA64ISAR0_EL1",
    register: IdRegister::ISAR0,
    fields: &[
        at_most("RNDR", 60, 1),
        at_most("TLB", 56, 2),
        at_most("TS", 52, 2),
        at_most("FHM", 48, 1),
        at_most("DP", 44, 1),
        at_most("SM4", 40, 1),
        at_most("SM3", 36, 1),
        at_most("SHA3", 32, 1),
        at_most("RDM", 28, 1),
        hidden("TME", 24),
        at_most("ATOMIC", 20, 3),
        at_most("CRC32", 16, 1),
        at_most("SHA2", 12, 2),
        at_most("SHA1", 8, 1),
        at_most("AES", 4, 2),
    ],
};

pub(super) const ISAR1: Register = Register {
    name: "ID_AA64ISAR1_EL1",
    register: IdRegister::ISAR1,
    fields: &[
        hidden("LS64", 60),
        at_most("XS", 56, 1),
        at_most("I8MM", 52, 1),
        at_most("DGH", 48, 1),
        at_most("BF16", 44, 2),
        at_most("SPECRES", 40, 2),
        at_most("SB", 36, 1),
        at_most("FRINTTS", 32, 1),
        at_most("GPI", 28, 1),
        at_most("GPA", 24, 1),
        at_most("LRCPC", 20, 3),
        at_most("FCMA", 16, 1),
        at_most("JSCVT", 12, 1),
        // 6 has a modifier that SCTLR2_EL1 controls.
        at_most("API", 8, 5),
        at_most("APA", 4, 5),
        at_most("DPB", 0, 2),
    ],
};

pub(super) const ISAR2: Register = Register {
    name: "ID_AA64ISAR2_EL1",
    register: IdRegister::ISAR2,
    fields: &[
        at_most("ATS1A", 60, 1),
        at_most("LUT", 56, 1),
        at_most("CSSC", 52, 2),
        at_most("RPRFM", 48, 1),
        at_most("PCDPHINT", 44, 1),
        at_most("PRFMSLC", 40, 1),
        hidden("SYSINSTR_128", 36),
        hidden("SYSREG_128", 32),
        at_most("CLRBHB", 28, 1),
        at_most("PAC_frac", 24, 1),
        at_most("BC", 20, 1),
        // With HCRX_EL2.MSCEn.
        at_most("MOPS", 16, 1),
        at_most("APA3", 12, 5),
        at_most("GPA3", 8, 1),
        at_most("RPRES", 4, 1),
        at_most("WFxT", 0, 2),
    ],
};

pub(super) const ISAR3: Register = Register {
    name: "ID_AA64ISAR3_EL1",
    register: IdRegister::ISAR3,
    fields: &[
        at_most("FPRCVT", 28, 1),
        at_most("LSUI", 24, 1),
        hidden("OCCMO", 20),
        at_most("LSFE", 16, 1),
        hidden("PACM", 12),
        hidden("TLBIW", 8),
        at_most("FAMINMAX", 4, 1),
        hidden("CPA", 0),
    ],
};
