//! Which architecture features the CPU has, as far as a world switch must know, and what of them
//! the lower levels may use.
#![allow(unsafe_code)]

use crate::registers::{execute, field, read_register, write_register};

/// A feature with EL2 registers of its own; the value is a bit number. From [`FIRST_RARE`] on are
/// those that QEMU's CPUs do not have by default: a world switch asks for all of them at once.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Feature {
    PointerAuthentication,
    HostExtensions,
    FineGrainedTraps,
    ActivityMonitorTraps,
    ExtendedHypervisorConfiguration,
    PhysicalCounterOffset,
    ReliabilityExtension,
    SoftwareContextNumber,
    NestedVirtualization2,
    MemoryTagging,
    TraceFilter,
    FineGrainedTraps2,
    TranslationControl2,
    Stage1PermissionIndirection,
    Stage2PermissionIndirection,
    PermissionOverlay,
    GuardedControlStack,
    SystemControl2,
    MemoryPartitioning,
}

/// The first feature that a CPU in QEMU rarely has.
pub(crate) const FIRST_RARE: Feature = Feature::MemoryTagging;

/// The features of the CPU, as a set of [`Feature`].
#[derive(Clone, Copy)]
pub(crate) struct Features(pub(crate) u64);

impl Features {
    pub(crate) const fn has(self, feature: Feature) -> bool {
        self.0 >> feature as u32 & 1 != 0
    }

    /// Reads the ID registers of this CPU.
    pub(crate) fn of_this_cpu() -> Self {
        let isar1 = read_register!("id_aa64isar1_el1");
        let isar2 = read_register!("s3_0_c0_c6_2");
        let mmfr0 = read_register!("id_aa64mmfr0_el1");
        let mmfr1 = read_register!("id_aa64mmfr1_el1");
        let mmfr2 = read_register!("s3_0_c0_c7_2");
        let mmfr3 = read_register!("s3_0_c0_c7_3");
        let pfr0 = read_register!("id_aa64pfr0_el1");
        let pfr1 = read_register!("id_aa64pfr1_el1");
        let dfr0 = read_register!("id_aa64dfr0_el1");
        let authentication = [field(isar1, 4), field(isar1, 8), field(isar2, 12)];
        let csv2 = field(pfr0, 56);
        let found = [
            (
                Feature::PointerAuthentication,
                authentication.iter().any(|algorithm| *algorithm != 0),
            ),
            (Feature::HostExtensions, field(mmfr1, 8) != 0),
            (Feature::FineGrainedTraps, field(mmfr0, 56) != 0),
            (Feature::FineGrainedTraps2, field(mmfr0, 56) > 1),
            (Feature::ActivityMonitorTraps, field(pfr0, 44) != 0),
            (
                Feature::ExtendedHypervisorConfiguration,
                field(mmfr1, 40) != 0,
            ),
            (Feature::PhysicalCounterOffset, field(mmfr0, 60) > 1),
            (Feature::MemoryTagging, field(pfr1, 8) > 1),
            (Feature::ReliabilityExtension, field(pfr0, 28) != 0),
            (Feature::TraceFilter, field(dfr0, 40) != 0),
            (
                Feature::SoftwareContextNumber,
                csv2 > 1 || (csv2 == 1 && field(pfr1, 32) > 1),
            ),
            (Feature::NestedVirtualization2, field(mmfr2, 24) > 1),
            (
                Feature::MemoryPartitioning,
                field(pfr0, 40) != 0 || field(pfr1, 16) != 0,
            ),
            (Feature::TranslationControl2, field(mmfr3, 0) != 0),
            (Feature::Stage1PermissionIndirection, field(mmfr3, 8) != 0),
            (Feature::Stage2PermissionIndirection, field(mmfr3, 12) != 0),
            (
                Feature::PermissionOverlay,
                field(mmfr3, 16) != 0 || field(mmfr3, 20) != 0,
            ),
            (Feature::GuardedControlStack, field(pfr1, 44) != 0),
            (Feature::SystemControl2, field(mmfr3, 4) != 0),
        ];
        let bits = found
            .iter()
            .filter(|(_, present)| *present)
            .fold(0, |bits, (feature, _)| bits | 1 << *feature as u32);
        Self(bits)
    }

    /// `SCR_EL3` for a world: what it has is switched on, and nothing of it traps to EL3.
    pub(crate) fn scr(self, realm: bool) -> u64 {
        const NS: u64 = 1 << 0;
        const RES1: u64 = 0b11 << 4;
        const FIQ: u64 = 1 << 2;
        const HCE: u64 = 1 << 8;
        const RW: u64 = 1 << 10;
        const EEL2: u64 = 1 << 18;
        const NSE: u64 = 1 << 62;
        // Fast interrupts are of Group 0, which is the monitor's.
        let mut scr = NS | RES1 | FIQ | HCE | RW | EEL2;
        if realm {
            scr |= NSE;
        }
        let pfr1 = read_register!("id_aa64pfr1_el1");
        let sme = field(pfr1, 24) != 0;
        let tags = field(pfr1, 8) != 0;
        let fp8 = field(read_register!("s3_0_c0_c4_2"), 32) != 0;
        let enables = [
            // APK, API
            (self.has(Feature::PointerAuthentication), 0b11 << 16),
            // EnSCXT
            (self.has(Feature::SoftwareContextNumber), 1 << 25),
            // ATA
            (tags, 1 << 26),
            // FGTEn, FGTEn2
            (self.has(Feature::FineGrainedTraps), 1 << 27),
            (self.has(Feature::FineGrainedTraps2), 1 << 59),
            // ECVEn
            (self.has(Feature::PhysicalCounterOffset), 1 << 28),
            // HXEn
            (self.has(Feature::ExtendedHypervisorConfiguration), 1 << 38),
            // GCSEn
            (self.has(Feature::GuardedControlStack), 1 << 39),
            // EnTP2
            (sme, 1 << 41),
            // TCR2En, SCTLR2En, PIEn, EnFPM
            (self.has(Feature::TranslationControl2), 1 << 43),
            (self.has(Feature::SystemControl2), 1 << 44),
            (
                self.has(Feature::Stage1PermissionIndirection)
                    || self.has(Feature::Stage2PermissionIndirection)
                    || self.has(Feature::PermissionOverlay),
                1 << 45,
            ),
            (fp8, 1 << 50),
        ];
        for (present, bits) in enables {
            if present {
                scr |= bits;
            }
        }
        scr
    }

    /// Sets the EL3 registers that hold for both worlds.
    pub(crate) fn open_to_lower_levels(self) {
        const CPTR_EZ: u64 = 1 << 8;
        const CPTR_ESM: u64 = 1 << 12;
        const VECTOR_LENGTH: u64 = 0xf;
        const SMCR_FA64: u64 = 1 << 31;
        const SMCR_EZT0: u64 = 1 << 30;
        const MPAMEN: u64 = 1 << 63;
        let pfr0 = read_register!("id_aa64pfr0_el1");
        let sve = field(pfr0, 32) != 0;
        let sme = field(read_register!("id_aa64pfr1_el1"), 24);
        let full_simd_when_streaming = read_register!("s3_0_c0_c4_5") >> 63 != 0;
        let mut cptr = 0;
        if sve {
            cptr |= CPTR_EZ;
        }
        if sme != 0 {
            cptr |= CPTR_ESM;
        }
        // SAFETY: these registers say what lower levels may do; the monitor itself uses neither
        // floating point nor the features behind them.
        unsafe {
            write_register!("cptr_el3", cptr);
            write_register!("mdcr_el3", debug_configuration());
            execute!("isb");
            if sve {
                write_register!("s3_6_c1_c2_0", VECTOR_LENGTH); // ZCR_EL3
            }
            if sme != 0 {
                let mut smcr = VECTOR_LENGTH;
                if full_simd_when_streaming {
                    smcr |= SMCR_FA64;
                }
                if sme > 1 {
                    smcr |= SMCR_EZT0;
                }
                write_register!("s3_6_c1_c2_6", smcr); // SMCR_EL3
            }
            if self.has(Feature::MemoryPartitioning) {
                write_register!("s3_6_c10_c5_0", MPAMEN); // MPAM3_EL3
            }
            execute!("isb");
        }
    }

    /// Gives the EL2 registers the values that a world starts with.
    pub(crate) fn reset_el2(self) {
        const HCR_RW: u64 = 1 << 31;
        const SCTLR_EL2_RES1: u64 = 0x30c5_0830;
        const SCTLR_EL1_RES1: u64 = 0x30d0_0800;
        const TCR_EL2_RES1: u64 = 1 << 31 | 1 << 23;
        // Reserved bits only: nothing traps.
        const CPTR_EL2_RES1: u64 = 0x22ff;
        const COUNTER_ACCESS: u64 = 0b11;
        const SYSTEM_REGISTER_INTERFACE: u64 = 0xf;
        let pmu = field(read_register!("id_aa64dfr0_el1"), 8);
        let counters = match pmu {
            0 | 0xf => 0,
            _ => read_register!("pmcr_el0") >> 11 & 0x1f,
        };
        let model = read_register!("midr_el1");
        let affinity = read_register!("mpidr_el1");
        // SAFETY: no lower level runs on this CPU now; EL2 starts with its MMU off.
        unsafe {
            write_register!("hcr_el2", HCR_RW);
            execute!("isb");
            write_register!("sctlr_el2", SCTLR_EL2_RES1);
            write_register!("sctlr_el1", SCTLR_EL1_RES1);
            write_register!("tcr_el2", TCR_EL2_RES1);
            write_register!("cptr_el2", CPTR_EL2_RES1);
            write_register!("mdcr_el2", counters);
            write_register!("cnthctl_el2", COUNTER_ACCESS);
            write_register!("cntvoff_el2", 0);
            write_register!("vpidr_el2", model);
            write_register!("vmpidr_el2", affinity);
            write_register!("s3_4_c12_c9_5", SYSTEM_REGISTER_INTERFACE); // ICC_SRE_EL2
            execute!("isb");
            write_register!("s3_4_c12_c11_0", 0); // ICH_HCR_EL2
            write_register!("s3_4_c12_c11_7", 0); // ICH_VMCR_EL2
            write_register!("sp_el0", 0);
            write_register!("sp_el2", 0);
            write_register!("elr_el2", 0);
            write_register!("spsr_el2", 0);
            write_register!("esr_el2", 0);
            write_register!("far_el2", 0);
            write_register!("hpfar_el2", 0);
            write_register!("hstr_el2", 0);
            write_register!("ttbr0_el2", 0);
            write_register!("mair_el2", 0);
            write_register!("vbar_el2", 0);
            write_register!("tpidr_el2", 0);
            write_register!("vttbr_el2", 0);
            write_register!("vtcr_el2", 0);
        }
        self.reset_el2_features();
    }

    fn reset_el2_features(self) {
        // SAFETY: as in `reset_el2`; each register is written only where the CPU has it.
        unsafe {
            if self.has(Feature::HostExtensions) {
                write_register!("s3_4_c2_c0_1", 0); // TTBR1_EL2
                write_register!("s3_4_c13_c0_1", 0); // CONTEXTIDR_EL2
            }
            if self.has(Feature::FineGrainedTraps) {
                write_register!("s3_4_c1_c1_4", 0); // HFGRTR_EL2
                write_register!("s3_4_c1_c1_5", 0); // HFGWTR_EL2
                write_register!("s3_4_c1_c1_6", 0); // HFGITR_EL2
                write_register!("s3_4_c3_c1_4", 0); // HDFGRTR_EL2
                write_register!("s3_4_c3_c1_5", 0); // HDFGWTR_EL2
                if self.has(Feature::ActivityMonitorTraps) {
                    write_register!("s3_4_c3_c1_6", 0); // HAFGRTR_EL2
                }
            }
            if self.has(Feature::FineGrainedTraps2) {
                write_register!("s3_4_c3_c1_2", 0); // HFGRTR2_EL2
                write_register!("s3_4_c3_c1_3", 0); // HFGWTR2_EL2
                write_register!("s3_4_c3_c1_7", 0); // HFGITR2_EL2
                write_register!("s3_4_c3_c1_0", 0); // HDFGRTR2_EL2
                write_register!("s3_4_c3_c1_1", 0); // HDFGWTR2_EL2
            }
            if self.has(Feature::ExtendedHypervisorConfiguration) {
                write_register!("s3_4_c1_c2_2", 0); // HCRX_EL2
            }
            if self.has(Feature::PhysicalCounterOffset) {
                write_register!("s3_4_c14_c0_6", 0); // CNTPOFF_EL2
            }
            if self.has(Feature::NestedVirtualization2) {
                write_register!("s3_4_c2_c2_0", 0); // VNCR_EL2
            }
            if self.has(Feature::TraceFilter) {
                write_register!("s3_4_c1_c2_1", 0); // TRFCR_EL2
            }
            if self.has(Feature::TranslationControl2) {
                write_register!("s3_4_c2_c0_3", 0); // TCR2_EL2
            }
            if self.has(Feature::GuardedControlStack) {
                write_register!("s3_4_c2_c5_0", 0); // GCSCR_EL2
            }
            if self.has(Feature::SystemControl2) {
                write_register!("s3_4_c1_c0_3", 0); // SCTLR2_EL2
            }
            if self.has(Feature::MemoryPartitioning) {
                write_register!("s3_4_c10_c5_0", 0); // MPAM2_EL2
            }
        }
    }
}

/// `MDCR_EL3`: self-hosted debug and the PMU for lower levels; statistical profiling and trace
/// buffers for the normal world only.
fn debug_configuration() -> u64 {
    const NSPB_NORMAL: u64 = 0b11 << 12;
    const SDD: u64 = 1 << 16;
    const SCCD: u64 = 1 << 23;
    const NSTB_NORMAL: u64 = 0b11 << 24;
    const MTPME: u64 = 1 << 28;
    const MCCD: u64 = 1 << 34;
    let dfr0 = read_register!("id_aa64dfr0_el1");
    let mut mdcr = SDD;
    // Cycles at EL3 are not counted where the PMU can leave them out.
    if matches!(field(dfr0, 8), 6..=0xe) {
        mdcr |= SCCD;
    }
    if matches!(field(dfr0, 8), 7..=0xe) {
        mdcr |= MCCD;
    }
    if field(dfr0, 48) == 1 {
        mdcr |= MTPME;
    }
    if field(dfr0, 32) != 0 {
        mdcr |= NSPB_NORMAL;
    }
    if field(dfr0, 44) != 0 {
        mdcr |= NSTB_NORMAL;
    }
    mdcr
}

/// Bits of physical address of the CPU.
pub(crate) fn physical_address_bits() -> u32 {
    const BITS: [u32; 8] = [32, 36, 40, 42, 44, 48, 52, 56];
    let range = field(read_register!("id_aa64mmfr0_el1"), 0);
    BITS.get(el3_monitor::index(range)).copied().unwrap_or(32)
}

/// Whether the CPU has the Realm Management Extension.
pub(crate) fn has_realm_management() -> bool {
    field(read_register!("id_aa64pfr0_el1"), 52) != 0
}

/// Does work on secrets with PSTATE.DIT set, where the CPU has it: no instruction takes longer for
/// one value than for another.
pub(crate) fn with_independent_timing<R>(work: impl FnOnce() -> R) -> R {
    const DIT: u64 = 1 << 24;
    if field(read_register!("id_aa64pfr0_el1"), 48) == 0 {
        return work();
    }
    let before = read_register!("s3_3_c4_c2_5");
    // SAFETY: the bit changes how long instructions take, nothing else.
    unsafe { write_register!("s3_3_c4_c2_5", DIT) };
    let result = work();
    // SAFETY: as above.
    unsafe { write_register!("s3_3_c4_c2_5", before) };
    result
}

/// Random bits from the CPU, for keys: the generator is seeded afresh for them (`RNDRRS`). `None`
/// when it has no generator, or that gives none.
pub(crate) fn random() -> Option<u64> {
    const ATTEMPTS: usize = 1000;
    if field(read_register!("id_aa64isar0_el1"), 60) == 0 {
        return None;
    }
    for _ in 0..ATTEMPTS {
        let (value, failed): (u64, u64);
        // SAFETY: the register is there; it sets the Z flag when it has no random bits.
        unsafe {
            core::arch::asm!(
                "mrs {value}, s3_3_c2_c4_1",
                "cset {failed}, eq",
                value = out(reg) value,
                failed = out(reg) failed,
                options(nomem, nostack)
            );
        }
        if failed == 0 {
            return Some(value);
        }
    }
    None
}
