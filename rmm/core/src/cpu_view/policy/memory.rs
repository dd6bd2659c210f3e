//! Memory model. What only stage 2 or EL2 has does not exist for a Realm.

use super::Shown::AtMostSigned;
use super::{Register, at_most, field, hidden};
use crate::cpu_view::registers::IdRegister;

pub(super) const MMFR0: Register = Register {
    name: "ID_AA64MMFR0_EL1",
    register: IdRegister::MMFR0,
    fields: &[
        // 2 is an offset that EL2 has.
        at_most("ECV", 60, 1),
        hidden("FGT", 56),
        at_most("EXS", 44, 1),
        hidden("TGRAN4_2", 40),
        hidden("TGRAN64_2", 36),
        hidden("TGRAN16_2", 32),
        field("TGRAN4", 28, AtMostSigned(1)),
        field("TGRAN64", 24, AtMostSigned(0)),
        at_most("TGRAN16", 20, 2),
        at_most("BIGENDEL0", 16, 1),
        hidden("SNSMEM", 12),
        at_most("BIGEND", 8, 1),
        at_most("ASIDBITS", 4, 2),
        // 7 needs translation tables of 128-bit entries.
        at_most("PARANGE", 0, 6),
    ],
};

pub(super) const MMFR1: Register = Register {
    name: "ID_AA64MMFR1_EL1",
    register: IdRegister::MMFR1,
    fields: &[
        at_most("ECBHB", 60, 1),
        at_most("CMOW", 56, 1),
        at_most("TIDCP1", 52, 1),
        at_most("nTLBPA", 48, 1),
        at_most("AFP", 44, 1),
        hidden("HCX", 40),
        at_most("ETS", 36, 3),
        at_most("TWED", 32, 1),
        hidden("XNX", 28),
        at_most("SpecSEI", 24, 1),
        at_most("PAN", 20, 3),
        hidden("LO", 16),
        // 2 gives bits of entries to the memory system, with a meaning that only the machine knows.
        at_most("HPDS", 12, 1),
        hidden("VH", 8),
        hidden("VMIDBits", 4),
        // From 3 on TCR2_EL1 controls it.
        at_most("HAFDBS", 0, 2),
    ],
};

pub(super) const MMFR2: Register = Register {
    name: "ID_AA64MMFR2_EL1",
    register: IdRegister::MMFR2,
    fields: &[
        at_most("E0PD", 60, 1),
        hidden("EVT", 56),
        at_most("BBM", 52, 2),
        at_most("TTL", 48, 1),
        hidden("FWB", 40),
        at_most("IDS", 36, 1),
        at_most("AT", 32, 1),
        at_most("ST", 28, 1),
        hidden("NV", 24),
        // The format of CCSIDR_EL1, which does not trap.
        at_most("CCIDX", 20, 1),
        // 2 needs translation tables of 128-bit entries.
        at_most("VARange", 16, 1),
        at_most("IESB", 12, 1),
        // Of AArch32 only.
        hidden("LSM", 8),
        at_most("UAO", 4, 1),
        at_most("CnP", 0, 1),
    ],
};

pub(super) const MMFR3: Register = Register {
    name: "ID_AA64MMFR3_EL1",
    register: IdRegister::MMFR3,
    fields: &[
        at_most("Spec_FPACC", 60, 1),
        hidden("ADERR", 56),
        hidden("SDERR", 52),
        hidden("ANERR", 44),
        hidden("SNERR", 40),
        hidden("D128_2", 36),
        hidden("D128", 32),
        hidden("MEC", 28),
        hidden("AIE", 24),
        hidden("S2POE", 20),
        hidden("S1POE", 16),
        hidden("S2PIE", 12),
        hidden("S1PIE", 8),
        hidden("SCTLRX", 4),
        hidden("TCRX", 0),
    ],
};

pub(super) const MMFR4: Register = Register {
    name: "ID_AA64MMFR4_EL1",
    register: IdRegister::MMFR4,
    fields: &[
        hidden("SRMASK", 44),
        hidden("E3DSE", 36),
        hidden("RMEGDI", 28),
        hidden("E2H0", 24),
        hidden("NV_frac", 20),
        hidden("FGWTE3", 16),
        hidden("HACDBS", 12),
        hidden("ASID2", 8),
        hidden("EIESB", 4),
        hidden("PoPS", 0),
    ],
};
