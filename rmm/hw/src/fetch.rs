//! Instruction fetches: making them see what was written.

use core::arch::asm;

use crate::layout::PAGE;
use crate::slot::Mapping;

/// What this machine needs so that fetches see what was written (`CTR_EL0`, the same on all CPUs).
#[derive(Clone, Copy, Debug)]
pub struct Fetches(u64);

impl Fetches {
    /// Asks the CPU.
    pub fn of_this_cpu() -> Self {
        let register;
        // SAFETY: reading an identification register has no effect.
        unsafe {
            asm!("mrs {0}, ctr_el0", out(reg) register, options(nomem, nostack, preserves_flags));
        };
        Self(register)
    }

    /// Whether data has to be cleaned to where fetches look (`IDC` is clear).
    pub const fn needs_clean(self) -> bool {
        self.0 & 1 << 28 == 0
    }

    /// Whether instruction caches have to be invalidated (`DIC` is clear).
    pub const fn needs_invalidation(self) -> bool {
        self.0 & 1 << 29 == 0
    }
}

/// The smallest line of a data cache, so that no CPU's lines are missed.
const LINE: u64 = 16;

/// Cleans a mapped granule to the point of unification.
pub fn clean(granule: &Mapping<'_>) {
    let end = granule.address() + PAGE;
    let mut line = granule.address();
    while line < end {
        // SAFETY: cleaning a line of a mapped granule changes no value.
        unsafe { asm!("dc cvau, {0}", in(reg) line, options(nostack, preserves_flags)) };
        line += LINE;
    }
    // SAFETY: barriers only order.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
}

/// Invalidates the instruction caches of all CPUs.
pub fn invalidate_all() {
    // SAFETY: instructions are fetched again; none changes.
    unsafe {
        asm!(
            "ic ialluis",
            "dsb ish",
            "isb",
            options(nostack, preserves_flags)
        );
    };
}
