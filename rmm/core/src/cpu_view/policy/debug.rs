//! Debug, performance monitors, trace; auxiliary features.

use super::Shown::{Always, Breakpoints, HiddenSigned, Watchpoints, WithPmu};
use super::{Register, at_most, field, hidden, hidden_bits};
use crate::cpu_view::registers::IdRegister;

pub(super) const DFR0: Register = Register {
    name: "ID_AA64DFR0_EL1",
    register: IdRegister::DFR0,
    fields: &[
        hidden("HPMN0", 60),
        hidden("ExtTrcBuff", 56),
        hidden("BRBE", 52),
        field("MTPMU", 48, HiddenSigned),
        hidden("TraceBuffer", 44),
        hidden("TraceFilt", 40),
        field("DoubleLock", 36, HiddenSigned),
        hidden("PMSVer", 32),
        // The field is the number − 1, and there is no CPU without one.
        field("CTX_CMPs", 28, Always(0)),
        hidden("SEBEP", 24),
        field("WRPs", 20, Watchpoints),
        hidden("PMSS", 16),
        field("BRPs", 12, Breakpoints),
        // From 9 on there are registers that are not switched (PMUACR_EL1 and others).
        field("PMUVer", 8, WithPmu(8)),
        hidden("TraceVer", 4),
        // From 11 on there are banks of breakpoints (MDSELR_EL1).
        at_most("DebugVer", 0, 10),
    ],
};

pub(super) const DFR1: Register = Register {
    name: "ID_AA64DFR1_EL1",
    register: IdRegister::DFR1,
    fields: &[
        hidden_bits("ABL_CMPs", 56, 8),
        hidden("DPFZS", 52),
        hidden("EBEP", 48),
        hidden("ITE", 44),
        hidden("ABLE", 40),
        hidden("PMICNTR", 36),
        hidden("SPMU", 32),
        hidden_bits("CTX_CMPs", 24, 8),
        hidden_bits("WRPs", 16, 8),
        hidden_bits("BRPs", 8, 8),
        hidden_bits("SYSPMUID", 0, 8),
    ],
};

pub(super) const DFR2: Register = Register {
    name: "ID_AA64DFR2_EL1",
    register: IdRegister::DFR2,
    fields: &[
        hidden("TRBE_EXC", 24),
        hidden("SPE_nVM", 20),
        hidden("SPE_EXC", 16),
        hidden("BWE", 4),
        hidden("STEP", 0),
    ],
};

pub(super) const AFR0: Register = Register {
    name: "ID_AA64AFR0_EL1",
    register: IdRegister::AFR0,
    fields: &[hidden_bits("IMPDEF0-IMPDEF7", 0, 32)],
};

pub(super) const AFR1: Register = Register {
    name: "ID_AA64AFR1_EL1",
    register: IdRegister::AFR1,
    fields: &[],
};
