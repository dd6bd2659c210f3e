//! The virtual interface of the GIC while a Realm is in this CPU. The host keeps its own elsewhere
//! (DEN0137 section A6); nothing of a Realm stays behind.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering};

use rmm_core::machine::{Departure, LIST_REGISTERS};
use rmm_core::rec::layout::GIC_WORDS;

global_asm!(include_str!("gic_state/move.S"));

unsafe extern "C" {
    fn rmm_load_list_registers(from: *const u64, count: u64);
    fn rmm_save_list_registers(to: *mut u64, count: u64);
    fn rmm_load_active_priorities(from: *const AtomicU64, count: u64);
    fn rmm_save_active_priorities(to: *const AtomicU64, count: u64);
}

/// What of the GIC stays with a REC.
pub type GicWords = [AtomicU64; GIC_WORDS];

/// Word of `ICH_VMCR_EL2`.
const MACHINE_CONTROL: usize = 0;
/// First word of the active priorities, eight in all.
const ACTIVE_PRIORITIES: usize = 1;

/// What the virtual interface of this CPU is like; `None` without one.
#[derive(Clone, Copy, Debug)]
pub struct GicState(Option<Counts>);

#[derive(Clone, Copy, Debug)]
struct Counts {
    list_registers: u64,
    active_priorities: u64,
}

impl GicState {
    /// By `ICH_VTR_EL2`; zero without the system registers of a GIC. The list registers that are
    /// used are those of the first CPU, `offered`: what hosts put into others is not checked.
    pub fn new(has_registers: bool, vtr: u64, offered: u64) -> Self {
        Self(has_registers.then(|| {
            let preemption_bits = (vtr >> 26 & 7) + 1;
            Counts {
                list_registers: (vtr & 0xf).min(offered & 0xf) + 1,
                active_priorities: 1 << preemption_bits.clamp(5, 7).saturating_sub(5),
            }
        }))
    }

    /// Puts a Realm's interface into the CPU, with what the host wants of it.
    pub fn load(self, realm: &GicWords, control: u64, list_registers: &[u64; LIST_REGISTERS]) {
        let Some(counts) = self.0 else { return };
        // SAFETY: the CPU has so many registers; they concern nothing but virtual interrupts of
        // EL1. Both places have words for all of them.
        unsafe {
            rmm_load_list_registers(list_registers.as_ptr(), counts.list_registers);
            rmm_load_active_priorities(
                realm.as_ptr().add(ACTIVE_PRIORITIES),
                counts.active_priorities,
            );
            asm!(
                "msr s3_4_c12_c11_7, {machine_control}", // ICH_VMCR_EL2
                "msr s3_4_c12_c11_0, {control}", // ICH_HCR_EL2
                machine_control = in(reg) realm[MACHINE_CONTROL].load(Ordering::Relaxed),
                control = in(reg) control,
                options(nostack, preserves_flags),
            );
        }
    }

    /// Takes it out of the CPU and switches it off.
    pub fn unload(self, realm: &GicWords, departure: &mut Departure) {
        let Some(counts) = self.0 else { return };
        let (maintenance, control, machine_control): (u64, u64, u64);
        // SAFETY: as in `load`.
        unsafe {
            asm!(
                "mrs {maintenance}, s3_4_c12_c11_2", // ICH_MISR_EL2
                "mrs {control}, s3_4_c12_c11_0",
                "mrs {machine_control}, s3_4_c12_c11_7",
                "msr s3_4_c12_c11_0, xzr",
                "msr s3_4_c12_c11_7, xzr",
                maintenance = out(reg) maintenance,
                control = out(reg) control,
                machine_control = out(reg) machine_control,
                options(nostack, preserves_flags),
            );
            rmm_save_list_registers(departure.list_registers.as_mut_ptr(), counts.list_registers);
            rmm_save_active_priorities(
                realm.as_ptr().add(ACTIVE_PRIORITIES),
                counts.active_priorities,
            );
        }
        realm[MACHINE_CONTROL].store(machine_control, Ordering::Relaxed);
        departure.gic_control = control;
        departure.gic_maintenance = maintenance;
        departure.gic_machine_control = machine_control;
    }
}
