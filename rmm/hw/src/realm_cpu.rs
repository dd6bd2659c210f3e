//! The controls of EL2 that make this CPU a Realm's: traps, translation, identity.
//!
//! EL3 keeps all of these registers for each world, so most of them are written once, when the CPU
//! comes up.

use core::arch::asm;
use core::cell::Cell;

use aarch64_cpu::registers::{MIDR_EL1, Readable};
use rmm_core::cpu_view::{Features, IdRegisters, RealmIdRegisters, TrapControls};
use rmm_core::features::CpuIdentification;
use rmm_core::machine::{Configuration, DebugRegisters};
use rmm_core::rtt::Stage2;

use crate::tlb;

const TRAP_WFI: u64 = 1 << 13;
const TRAP_WFE: u64 = 1 << 14;
/// `HCR_EL2.VSE`.
const VIRTUAL_SERROR: u64 = 1 << 8;

/// Writes a system register by its encoding.
macro_rules! write_register {
    ($encoding:expr, $value:expr) => {
        asm!(concat!("msr ", $encoding, ", {0}"), in(reg) $value, options(nostack, preserves_flags))
    };
}

macro_rules! read_register {
    ($encoding:expr) => {{
        let value: u64;
        asm!(concat!("mrs {0}, ", $encoding), out(reg) value, options(nostack, preserves_flags));
        value
    }};
}

/// How this CPU runs Realms.
#[derive(Debug)]
pub struct RealmCpu {
    controls: TrapControls,
    /// What Realms read of its identification.
    pub identification: RealmIdRegisters,
    /// Event counters.
    counters: u8,
    has_reliability: bool,
    /// `MDCR_EL2` now.
    debug_control: Cell<u64>,
    /// `VTCR_EL2` without what depends on the Realm.
    translation: u64,
}

impl RealmCpu {
    /// Prepares this CPU.
    pub fn of_this_cpu(cpu: &CpuIdentification) -> Self {
        let counters = (cpu.pmcr >> 11 & 0x1f) as u8;
        let id = id_registers();
        let controls = TrapControls::for_cpu(&id);
        let debug_control = controls.mdcr(Features::default(), counters);
        let mmfr0 = id.get(rmm_core::cpu_view::IdRegister::MMFR0);
        // SAFETY: each register is there (`TrapControls`), and none concerns code at EL2 except
        // CPTR, which traps what the RMM does not use. The RMM is not entered by a Realm yet.
        unsafe {
            write_register!("hcr_el2", controls.hcr);
            if let Some(hcrx) = controls.hcrx {
                write_register!("s3_4_c1_c2_2", hcrx);
            }
            write_register!("cptr_el2", controls.cptr);
            write_register!("mdcr_el2", debug_control);
            write_register!("hstr_el2", 0_u64);
            write_register!("cnthctl_el2", controls.cnthctl);
            write_register!("cntvoff_el2", 0_u64);
            if mmfr0 >> 60 > 1 {
                write_register!("s3_4_c14_c0_6", 0_u64); // CNTPOFF_EL2
            }
            if id.get(rmm_core::cpu_view::IdRegister::PFR0) >> 24 & 0xf != 0 {
                write_register!("s3_4_c12_c9_5", controls.icc_sre); // ICC_SRE_EL2
            }
            write_register!("vpidr_el2", MIDR_EL1.get());
            if let Some(traps) = controls.fine_grained {
                write_register!("s3_4_c1_c1_4", traps.hfgrtr);
                write_register!("s3_4_c1_c1_5", traps.hfgwtr);
                write_register!("s3_4_c1_c1_6", traps.hfgitr);
                write_register!("s3_4_c3_c1_4", traps.hdfgrtr);
                write_register!("s3_4_c3_c1_5", traps.hdfgwtr);
                if let Some(activity) = traps.hafgrtr {
                    write_register!("s3_4_c3_c1_6", activity);
                }
                if let Some(second) = traps.second {
                    write_register!("s3_4_c3_c1_2", second); // HFGRTR2_EL2
                    write_register!("s3_4_c3_c1_3", second); // HFGWTR2_EL2
                    write_register!("s3_4_c3_c1_0", second); // HDFGRTR2_EL2
                    write_register!("s3_4_c3_c1_1", second); // HDFGWTR2_EL2
                    write_register!("s3_4_c3_c1_7", second); // HFGITR2_EL2
                }
            }
            if let Some(partitioning) = controls.mpam2 {
                write_register!("s3_4_c10_c5_0", partitioning);
            }
            asm!("isb", options(nostack, preserves_flags));
        }
        Self {
            identification: RealmIdRegisters::of(&id),
            counters,
            has_reliability: id.get(rmm_core::cpu_view::IdRegister::PFR0) >> 28 & 0xf != 0,
            debug_control: Cell::new(debug_control),
            translation: tlb::stage_2_control(mmfr0),
            controls,
        }
    }

    /// Sets the controls for a REC.
    pub fn enter(&self, configuration: &Configuration) {
        let mut hcr = self.controls.hcr;
        if configuration.trap_wfi {
            hcr |= TRAP_WFI;
        }
        if configuration.trap_wfe {
            hcr |= TRAP_WFE;
        }
        if let Some(syndrome) = configuration.serror
            && self.has_reliability
        {
            hcr |= VIRTUAL_SERROR;
            // SAFETY: the CPU has the register; it says what a virtual SError will be reported as.
            unsafe { write_register!("s3_4_c5_c2_3", syndrome) };
        }
        let stage2 = &configuration.stage2;
        // SAFETY: these registers concern EL1 and EL0 only. The tables are those of the Realm whose
        // REC is about to run.
        unsafe {
            write_register!("hcr_el2", hcr);
            write_register!("vtcr_el2", self.translation | shape(stage2));
            write_register!("vttbr_el2", base(stage2));
            write_register!("vmpidr_el2", configuration.mpidr);
        }
        let mut control = self.controls.mdcr(configuration.features, self.counters);
        if configuration.debug != DebugRegisters::Trapped {
            control &= !TrapControls::TDA;
        }
        self.set_debug_control(control);
        if configuration.forget_translations {
            // For the Realm's VMID, which has just been set.
            tlb::forget_on_this_cpu();
        }
    }

    /// Ends that. Whether a virtual `SError` is still to be taken.
    pub fn leave(&self) -> bool {
        // SAFETY: as in `enter`. No tables are named any more: those of the Realm may be gone when
        // this CPU next runs one.
        let hcr = unsafe {
            write_register!("vttbr_el2", 0_u64);
            read_register!("hcr_el2")
        };
        hcr & VIRTUAL_SERROR != 0
    }

    /// Event counters that are switched for a Realm with a PMU: all, also those that are not the
    /// Realm's, for at least one emulator lets it reach counters that `MDCR_EL2.HPMN` hides.
    pub fn event_counters(&self) -> u32 {
        self.counters.into()
    }

    /// Lets a REC use breakpoints and watchpoints until it leaves.
    pub fn open_debug(&self) {
        self.set_debug_control(self.debug_control.get() & !TrapControls::TDA);
    }

    /// Takes them from the REC again.
    pub fn close_debug(&self) {
        self.set_debug_control(self.debug_control.get() | TrapControls::TDA);
    }

    fn set_debug_control(&self, control: u64) {
        if self.debug_control.replace(control) != control {
            // SAFETY: traps of EL1 and EL0, and which counters are theirs.
            unsafe { write_register!("mdcr_el2", control) };
        }
    }

    /// Keeps the timers from interrupting, or lets them.
    pub fn mask_timers(&self, virtual_timer: bool, physical_timer: bool) {
        let mask = u64::from(virtual_timer) << 18 | u64::from(physical_timer) << 19;
        // SAFETY: whether timers of EL1 interrupt is nothing that the RMM's code depends on.
        unsafe { write_register!("cnthctl_el2", self.controls.cnthctl | mask) };
    }

    /// Lets the REC take an `SError`.
    pub fn inject_serror(&self, syndrome: u64) {
        // SAFETY: a virtual SError is taken by EL1 only; VSESR is there with RAS.
        unsafe {
            if self.has_reliability {
                write_register!("s3_4_c5_c2_3", syndrome);
            }
            write_register!("hcr_el2", read_register!("hcr_el2") | VIRTUAL_SERROR);
        }
    }
}

/// The fields of `VTCR_EL2` that depend on the Realm.
fn shape(stage2: &Stage2) -> u64 {
    const SHIFT_OF_SL0: u32 = 6;
    const SL2: u64 = 1 << 33;
    let width = 64 - u64::from(stage2.ipa_width);
    let start = match stage2.start_level {
        -1 => SL2,
        0 => 2 << SHIFT_OF_SL0,
        1 => 1 << SHIFT_OF_SL0,
        2 => 0,
        _ => 3 << SHIFT_OF_SL0,
    };
    let long_addresses = if stage2.lpa2 { tlb::LONG_ADDRESSES } else { 0 };
    width | start | long_addresses
}

/// `VTTBR_EL2`. Tables lie below 48 bits, so the high bits of a long address are zero.
fn base(stage2: &Stage2) -> u64 {
    u64::from(stage2.vmid) << 48 | stage2.base.get()
}

/// The identification registers of this CPU.
fn id_registers() -> IdRegisters {
    macro_rules! rows {
        ($($crm:literal),*) => {
            [$(row!($crm)),*]
        };
    }
    macro_rules! row {
        ($crm:literal) => {
            [
                read_register!(concat!("s3_0_c0_c", $crm, "_0")),
                read_register!(concat!("s3_0_c0_c", $crm, "_1")),
                read_register!(concat!("s3_0_c0_c", $crm, "_2")),
                read_register!(concat!("s3_0_c0_c", $crm, "_3")),
                read_register!(concat!("s3_0_c0_c", $crm, "_4")),
                read_register!(concat!("s3_0_c0_c", $crm, "_5")),
                read_register!(concat!("s3_0_c0_c", $crm, "_6")),
                read_register!(concat!("s3_0_c0_c", $crm, "_7")),
            ]
        };
    }
    // SAFETY: reading identification registers has no effect; those without a meaning are zero.
    let [r4, r5, r6, r7] = unsafe { rows!("4", "5", "6", "7") };
    let mut values = [0; 64];
    for (row, registers) in [r4, r5, r6, r7].into_iter().enumerate() {
        values[8 * (4 + row)..][..8].copy_from_slice(&registers);
    }
    IdRegisters::new(values)
}
