//! Fields of `CPTR_EL2` with host extensions that trap vector instructions of EL2, EL1 and EL0,
//! unless all their bits are set. The other fields stay as they are.

use core::arch::asm;

use crate::simd::{FLOATING_POINT, SME, SVE, VectorUnit};

/// Lifts the traps for everything that the CPU has.
pub(super) fn lift(unit: VectorUnit) {
    change(0, unit.fields());
}

/// Lifts the traps for a Realm: floating point, and SVE if it has that.
pub(super) fn set_for_realm(sve: bool) {
    let lifted = if sve {
        FLOATING_POINT | SVE
    } else {
        FLOATING_POINT
    };
    change(FLOATING_POINT | SVE | SME, lifted);
}

/// Sets all traps.
pub(super) fn set() {
    change(FLOATING_POINT | SVE | SME, 0);
}

fn change(clear: u64, set: u64) {
    // SAFETY: compiled code uses no vector registers, so it does not matter to it whether they
    // trap. Realms run only after the traps are set for them.
    unsafe {
        asm!(
            "mrs {traps}, cptr_el2",
            "bic {traps}, {traps}, {clear}",
            "orr {traps}, {traps}, {set}",
            "msr cptr_el2, {traps}",
            "isb",
            traps = out(reg) _,
            clear = in(reg) clear,
            set = in(reg) set,
            options(nostack, preserves_flags),
        );
    }
}
