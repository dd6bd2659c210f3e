//! Controls of EL2 while a REC is in the CPU: what traps and what a Realm may use.

use super::registers::IdRegister;
use super::{Features, IdRegisters};

/// Bits of `HCR_EL2`.
mod hcr {
    pub(super) const VM: u64 = 1 << 0;
    pub(super) const SWIO: u64 = 1 << 1;
    pub(super) const PTW: u64 = 1 << 2;
    pub(super) const FMO: u64 = 1 << 3;
    pub(super) const IMO: u64 = 1 << 4;
    pub(super) const AMO: u64 = 1 << 5;
    pub(super) const FB: u64 = 1 << 9;
    pub(super) const BSU_INNER_SHAREABLE: u64 = 0b01 << 10;
    pub(super) const TID3: u64 = 1 << 18;
    pub(super) const TSC: u64 = 1 << 19;
    pub(super) const TIDCP: u64 = 1 << 20;
    pub(super) const TACR: u64 = 1 << 21;
    pub(super) const RW: u64 = 1 << 31;
    pub(super) const E2H: u64 = 1 << 34;
    pub(super) const TLOR: u64 = 1 << 35;
    pub(super) const TERR: u64 = 1 << 36;
    pub(super) const TEA: u64 = 1 << 37;
    pub(super) const APK: u64 = 1 << 40;
    pub(super) const API: u64 = 1 << 41;
    pub(super) const FWB: u64 = 1 << 46;
    pub(super) const TID5: u64 = 1 << 58;
}

/// Bits of `HCRX_EL2`.
mod hcrx {
    pub(super) const TALLINT: u64 = 1 << 6;
    pub(super) const MSCEN: u64 = 1 << 11;
}

/// Bits of `MDCR_EL2`.
mod mdcr {
    pub(super) const TPMCR: u64 = 1 << 5;
    pub(super) const TPM: u64 = 1 << 6;
    pub(super) const TDOSA: u64 = 1 << 10;
    pub(super) const TDRA: u64 = 1 << 11;
    pub(super) const TPMS: u64 = 1 << 14;
    pub(super) const HPMD: u64 = 1 << 17;
    pub(super) const TTRF: u64 = 1 << 19;
    pub(super) const HCCD: u64 = 1 << 23;
    pub(super) const TDCC: u64 = 1 << 27;
}

/// Bits of `HDFGRTR_EL2`; `HDFGWTR_EL2` has its counterparts in the same places.
mod debug_traps {
    pub(super) const DBGAUTHSTATUS: u64 = 1 << 6;
    pub(super) const OSECCR: u64 = 1 << 10;
    pub(super) const TRBIDR: u64 = 1 << 51;
    pub(super) const PMBIDR: u64 = 1 << 63;
}

/// `HFGRTR_EL2` and its family. Bits whose name begins with *n* trap when they are 0, and all of
/// them are: what they guard is hidden from Realms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FineGrainedTraps {
    /// `HFGRTR_EL2`.
    pub hfgrtr: u64,
    /// `HFGWTR_EL2`.
    pub hfgwtr: u64,
    /// `HFGITR_EL2`.
    pub hfgitr: u64,
    /// `HDFGRTR_EL2`.
    pub hdfgrtr: u64,
    /// `HDFGWTR_EL2`.
    pub hdfgwtr: u64,
    /// `HAFGRTR_EL2`; `None` where the CPU does not have it.
    pub hafgrtr: Option<u64>,
    /// `HFGRTR2_EL2`, `HFGWTR2_EL2`, `HFGITR2_EL2`, `HDFGRTR2_EL2` and `HDFGWTR2_EL2`, all with
    /// this value; `None` where the CPU does not have them.
    pub second: Option<u64>,
}

/// Values of EL2's control registers while a REC is in the CPU. `None` is a register that this CPU
/// does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapControls {
    /// `HCR_EL2`, without TWI and TWE, which the host chooses at each entry, and without virtual
    /// interrupts.
    pub hcr: u64,
    /// `HCRX_EL2`.
    pub hcrx: Option<u64>,
    /// `CPTR_EL2`, in the layout that it has with `HCR_EL2.E2H` set. Vector registers of all kinds
    /// trap.
    pub cptr: u64,
    /// `CNTHCTL_EL2`, without the masks of the timers, in the layout that it has with
    /// `HCR_EL2.E2H` set.
    pub cnthctl: u64,
    /// `ICC_SRE_EL2`, for a CPU with the system registers of a GIC: accesses of `ICC_SRE_EL1` trap.
    pub icc_sre: u64,
    /// The fine-grained traps.
    pub fine_grained: Option<FineGrainedTraps>,
    /// `MPAM2_EL2`.
    pub mpam2: Option<u64>,
    mdcr: u64,
    counters: Counters,
}

/// What `MDCR_EL2` needs to know of the PMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counters {
    /// No PMU, or one that does not follow the architecture.
    None,
    /// `MDCR_EL2.HPMN` must not be zero.
    AtLeastOne,
    /// `MDCR_EL2.HPMN` may be zero (`FEAT_HPMN0`).
    AnyNumber,
}

impl TrapControls {
    /// `MDCR_EL2.TDA`: breakpoint and watchpoint registers and `MDSCR_EL1` trap. To be cleared
    /// while those in the CPU are the Realm's.
    pub const TDA: u64 = 1 << 9;

    /// The controls for Realms on this CPU.
    pub const fn for_cpu(cpu: &IdRegisters) -> Self {
        const EL1PCTEN: u64 = 1 << 10;
        const EL1PTEN: u64 = 1 << 11;
        const TTA: u64 = 1 << 28;
        const TAM: u64 = 1 << 30;
        const SYSTEM_REGISTERS_ONLY: u64 = 0b111;
        Self {
            hcr: Self::hypervisor_configuration(cpu),
            hcrx: Self::extended_configuration(cpu),
            cptr: TTA | TAM,
            cnthctl: EL1PCTEN | EL1PTEN,
            icc_sre: SYSTEM_REGISTERS_ONLY,
            fine_grained: Self::fine_grained_traps(cpu),
            mpam2: Self::memory_partitioning(cpu),
            mdcr: Self::debug_configuration(cpu),
            counters: match cpu.field(IdRegister::DFR0, 8) {
                0 | 0xf => Counters::None,
                _ if cpu.field(IdRegister::DFR0, 60) == 0 => Counters::AtLeastOne,
                _ => Counters::AnyNumber,
            },
        }
    }

    const fn hypervisor_configuration(cpu: &IdRegisters) -> u64 {
        let mut value = hcr::VM
            | hcr::SWIO
            | hcr::PTW
            | hcr::FMO
            | hcr::IMO
            | hcr::AMO
            | hcr::FB
            | hcr::BSU_INNER_SHAREABLE
            | hcr::TID3
            | hcr::TSC
            | hcr::TIDCP
            | hcr::TACR
            | hcr::RW
            | hcr::E2H
            | hcr::TEA
            | hcr::FWB;
        let authentication = cpu.field(IdRegister::ISAR1, 4)
            | cpu.field(IdRegister::ISAR1, 8)
            | cpu.field(IdRegister::ISAR2, 12);
        if authentication != 0 {
            value |= hcr::APK | hcr::API;
        }
        if cpu.field(IdRegister::MMFR1, 16) != 0 {
            value |= hcr::TLOR;
        }
        if cpu.field(IdRegister::PFR0, 28) != 0 {
            value |= hcr::TERR;
        }
        if cpu.field(IdRegister::PFR1, 8) > 1 {
            value |= hcr::TID5;
        }
        value
    }

    const fn extended_configuration(cpu: &IdRegisters) -> Option<u64> {
        if cpu.field(IdRegister::MMFR1, 40) == 0 {
            return None;
        }
        let mut value = 0;
        if cpu.field(IdRegister::ISAR2, 16) != 0 {
            value |= hcrx::MSCEN;
        }
        if cpu.field(IdRegister::PFR1, 36) != 0 {
            value |= hcrx::TALLINT;
        }
        Some(value)
    }

    const fn fine_grained_traps(cpu: &IdRegisters) -> Option<FineGrainedTraps> {
        let generation = cpu.field(IdRegister::MMFR0, 56);
        if generation == 0 {
            return None;
        }
        // What stays away from a Realm even while the debug registers are its own.
        let mut read = debug_traps::OSECCR | debug_traps::DBGAUTHSTATUS;
        if cpu.field(IdRegister::DFR0, 32) != 0 {
            read |= debug_traps::PMBIDR;
        }
        if cpu.field(IdRegister::DFR0, 44) != 0 {
            read |= debug_traps::TRBIDR;
        }
        Some(FineGrainedTraps {
            hfgrtr: 0,
            hfgwtr: 0,
            hfgitr: 0,
            hdfgrtr: read,
            hdfgwtr: debug_traps::OSECCR,
            hafgrtr: if cpu.field(IdRegister::PFR0, 44) != 0 {
                Some(0)
            } else {
                None
            },
            second: if generation > 1 { Some(0) } else { None },
        })
    }

    const fn memory_partitioning(cpu: &IdRegisters) -> Option<u64> {
        const TRAPMPAM1EL1: u64 = 1 << 48;
        const TRAPMPAM0EL1: u64 = 1 << 49;
        const TIDR: u64 = 1 << 58;
        match (
            cpu.field(IdRegister::PFR0, 40),
            cpu.field(IdRegister::PFR1, 16),
        ) {
            (0, 0) => None,
            // Version 1.0 has another trap for MPAMIDR_EL1, if any.
            (_, 0) => Some(TRAPMPAM1EL1 | TRAPMPAM0EL1),
            _ => Some(TRAPMPAM1EL1 | TRAPMPAM0EL1 | TIDR),
        }
    }

    /// Buffers of profiles and traces are EL2's (E2PB, E2TB), and events of other threads are not
    /// counted (MTPME): all of these are 0.
    const fn debug_configuration(cpu: &IdRegisters) -> u64 {
        let mut value = mdcr::TDOSA | mdcr::TDRA | Self::TDA;
        if cpu.field(IdRegister::DFR0, 32) != 0 {
            value |= mdcr::TPMS;
        }
        if cpu.field(IdRegister::DFR0, 40) != 0 {
            value |= mdcr::TTRF;
        }
        if cpu.field(IdRegister::MMFR0, 56) != 0 {
            value |= mdcr::TDCC;
        }
        match cpu.field(IdRegister::DFR0, 8) {
            0..=3 | 0xf => {}
            4 | 5 => value |= mdcr::HPMD,
            _ => value |= mdcr::HPMD | mdcr::HCCD,
        }
        value
    }

    /// Event counters that a Realm can reach on a CPU with so many (`PMCR_EL0.N` as EL2 reads it):
    /// those below, which must be its own while it runs. It is one more than the Realm asked for if
    /// that is none and the CPU cannot do so.
    pub const fn event_counters(&self, features: Features, implemented: u8) -> u8 {
        match (features.pmu_counters, self.counters) {
            (None, _) | (_, Counters::None) => 0,
            (Some(0), Counters::AtLeastOne) if implemented > 0 => 1,
            (Some(counters), _) if counters > implemented => implemented,
            (Some(counters), _) => counters,
        }
    }

    /// `MDCR_EL2` for a Realm on a CPU with so many event counters (`PMCR_EL0.N` as EL2 reads it).
    /// Without a PMU for the Realm all counters are below HPMN, and none can be reached.
    pub const fn mdcr(&self, features: Features, implemented: u8) -> u64 {
        const HPMN: u8 = 0x1f;
        let (traps, counters) = match (features.pmu_counters, self.counters) {
            (_, Counters::None) => (0, 0),
            (None, _) => (mdcr::TPM | mdcr::TPMCR, implemented),
            (Some(_), _) => (0, self.event_counters(features, implemented)),
        };
        self.mdcr | traps | (counters & HPMN) as u64
    }
}

#[cfg(test)]
mod tests;
