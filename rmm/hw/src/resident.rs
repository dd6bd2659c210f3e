//! What is the host's while a Realm is in this CPU.

use core::arch::asm;
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use rmm_core::boot::MAX_CPUS;
use rmm_core::features::CpuIdentification;
use rmm_core::machine::Departure;

use crate::debug_state::DebugState;
use crate::gic_state::GicState;
use crate::identity;
use crate::pmu_state::PmuState;
use crate::system_state::SystemState;
use crate::vector_state::{HostArea, VectorState};

/// The registers that are switched between the host and a Realm on this CPU.
#[derive(Debug)]
pub struct SwitchedState<'a> {
    pub(crate) system: SystemState,
    pub(crate) vectors: VectorState<'a>,
    pub(crate) debug: DebugState,
    pub(crate) pmu: PmuState,
    pub(crate) gic: GicState,
    /// `ZCR_EL1` of the host while vector registers are a Realm's.
    pub(crate) zcr: Cell<u64>,
    /// Breakpoints and watchpoints are a Realm's.
    pub(crate) has_realms_debug: Cell<bool>,
}

impl<'a> SwitchedState<'a> {
    /// Asks the CPU what it has.
    /// What `first` is goes for the first CPU.
    pub fn of_this_cpu(
        area: &'a HostArea,
        id: &CpuIdentification,
        first: &CpuIdentification,
    ) -> Self {
        Self {
            system: SystemState::of_this_cpu(),
            vectors: VectorState::of_this_cpu(area),
            debug: DebugState::of_this_cpu(),
            pmu: PmuState::of_this_cpu(),
            gic: GicState::new(id.has_gic_registers(), id.ich_vtr, first.ich_vtr),
            zcr: Cell::new(0),
            has_realms_debug: Cell::new(false),
        }
    }

    /// From now on a Realm's registers may be in this CPU.
    pub(crate) fn begin(&self) {
        if let Some(resident) = resident() {
            resident.store(ptr::from_ref(self).cast_mut().cast(), Ordering::Relaxed);
        }
    }

    /// All registers of this CPU are the host's again.
    pub(crate) fn end() {
        if let Some(resident) = resident() {
            resident.store(ptr::null_mut(), Ordering::Relaxed);
        }
    }

    /// Takes what there is of a Realm out of the CPU, for good, and gives the CPU back the host's.
    fn evict(&self) {
        self.gic.unload(&zeroes(), &mut Departure::default());
        if self.vectors.is_realms() && sve_is_open() {
            // SAFETY: ZCR_EL1, which does not trap now, with what it was for the host.
            unsafe {
                asm!("msr s3_5_c1_c2_0, {0}", in(reg) self.zcr.get(), options(nostack, preserves_flags));
            }
        }
        self.vectors.evict();
        if self.has_realms_debug.take() {
            self.debug.exchange_to_host(&zeroes());
        }
        if self.system.is_realms() {
            self.system.exchange_to_host(&zeroes());
        }
        self.pmu.evict();
    }
}

/// Whether SVE does not trap: the Realm in the CPU has it.
fn sve_is_open() -> bool {
    const ZEN: u64 = 0b11 << 16;
    let traps: u64;
    // SAFETY: reading the register has no effect.
    unsafe { asm!("mrs {0}, cptr_el2", out(reg) traps, options(nostack, preserves_flags)) };
    traps & ZEN == ZEN
}

fn zeroes<const WORDS: usize>() -> [AtomicU64; WORDS] {
    [const { AtomicU64::new(0) }; WORDS]
}

/// For each CPU, what is the host's while a Realm is there; null when none is.
static RESIDENT: [AtomicPtr<()>; MAX_CPUS as usize] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS as usize];

/// The entry of this CPU.
fn resident() -> Option<&'static AtomicPtr<()>> {
    RESIDENT.get(usize::try_from(identity::number()).ok()?)
}

/// An RMM that stops in the middle of a Realm leaves nothing of it in this CPU.
pub(crate) fn evict() {
    let Some(resident) = resident() else { return };
    let state = resident.swap(ptr::null_mut(), Ordering::Relaxed);
    if !state.is_null() {
        // SAFETY: the state belongs to this CPU and is on its stack below this frame, for it is
        // taken from the table before it goes. Its fields have interior mutability only.
        unsafe { &*state.cast::<SwitchedState<'_>>() }.evict();
    }
}
