//! Asking the MMU what a Realm's stage 1 makes of an address.

use core::arch::global_asm;

use super::{Expected, Recoverable};

// u64 rmm_translate_of_realm(u64 address): PAR_EL1, whose own content is put back. The walk is through
// tables that the Realm chose, in memory that may be the host's: what the memory system answers it with
// is taken as an exception, which goes on at `rmm_translate_of_realm_fault`. That overwrites where the
// Realm goes on, so it is put back.
global_asm!(
    ".section .text.translate_of_realm, \"ax\"",
    ".global rmm_translate_of_realm",
    ".global rmm_translate_of_realm_walk",
    ".global rmm_translate_of_realm_walk_end",
    ".global rmm_translate_of_realm_fault",
    "rmm_translate_of_realm:",
    "    mrs x1, par_el1",
    "    mrs x2, elr_el2",
    "    mrs x3, spsr_el2",
    "rmm_translate_of_realm_walk:",
    "    at s1e1r, x0",
    "    isb",
    "rmm_translate_of_realm_walk_end:",
    "    mrs x0, par_el1",
    "    msr par_el1, x1",
    "    ret",
    "rmm_translate_of_realm_fault:",
    "    msr elr_el2, x2",
    "    msr spsr_el2, x3",
    "    msr par_el1, x1",
    "    mov x0, #1",
    "    ret",
);

unsafe extern "C" {
    fn rmm_translate_of_realm(address: u64) -> u64;
    static rmm_translate_of_realm_walk: u8;
    static rmm_translate_of_realm_walk_end: u8;
    static rmm_translate_of_realm_fault: u8;
}

pub(super) fn recoverable() -> Recoverable {
    Recoverable {
        first: &raw const rmm_translate_of_realm_walk,
        end: &raw const rmm_translate_of_realm_walk_end,
        next: &raw const rmm_translate_of_realm_fault,
        expected: Expected::OnWalksToo,
    }
}

/// The intermediate physical address of the page that an address of the Realm in this CPU is in, for a
/// read at EL1; `None` when it has none now.
pub(crate) fn of_realm(address: u64) -> Option<u64> {
    const FAILED: u64 = 1;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    // SAFETY: the regime is that of EL1, for TGE is clear. Whatever the walk meets, PAR_EL1 is put back.
    let result = unsafe { rmm_translate_of_realm(address) };
    (result & FAILED == 0).then_some(result & ADDRESS)
}
