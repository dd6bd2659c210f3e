//! The instructions, on the CPU that runs this code.

use core::arch::asm;

use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, Readable};
use rmm_core::features::CpuIdentification;
use rmm_core::rtt::Invalidation;

use super::operand;

/// What `VTCR_EL2` always has: 4 KiB granules, walks inner shareable and write-back.
const BASIC: u64 = 1 << 31 // RES1
    | 1 << 30 // NSA
    | 3 << 12 // SH0
    | 1 << 10 // ORGN0
    | 1 << 8; // IRGN0
/// A shape for `VTCR_EL2` while TLBs are maintained: 40 bits from level 1. Instructions look at the
/// granule, at DS and at VS; no walk is made.
const SOME_SHAPE: u64 = 1 << 6 // SL0
    | (64 - 40); // T0SZ
const SIXTEEN_BIT_VMID: u64 = 1 << 19; // VS
/// `VTCR_EL2.DS`.
pub const LONG_ADDRESSES: u64 = 1 << 32;

/// `VTCR_EL2` without T0SZ, SL0, SL2 and DS, which depend on the Realm. `mmfr0` is
/// `ID_AA64MMFR0_EL1`.
pub fn stage_2_control(mmfr0: u64) -> u64 {
    // 52 bits of physical address are of use with DS only, but may be announced without.
    let control = BASIC | (mmfr0 & 0xf).min(6) << 16;
    if vmid_bits() == 16 {
        control | SIXTEEN_BIT_VMID
    } else {
        control
    }
}

/// Makes this CPU forget what it holds of the Realm whose VMID is in `VTTBR_EL2`, as far as stage 1
/// is part of it.
pub fn forget_on_this_cpu() {
    // SAFETY: invalidation changes no mapping.
    unsafe {
        asm!(
            "isb",
            "tlbi vmalle1",
            "dsb nsh",
            options(nostack, preserves_flags)
        );
    }
}

/// Bits of a VMID on this CPU.
pub fn vmid_bits() -> u32 {
    if ID_AA64MMFR1_EL1.get() >> 4 & 0xf == 2 {
        16
    } else {
        8
    }
}

/// How this CPU makes all CPUs forget translations of Realms.
#[derive(Clone, Copy, Debug)]
pub struct TlbMaintenance {
    /// `VTCR_EL2` for the time of an invalidation.
    control: u64,
    /// Log2 of what range instructions count addresses in; `None` without these instructions.
    range_unit: Option<u32>,
}

impl TlbMaintenance {
    /// Asks the CPU, and gives its stage 2 registers a defined value.
    pub fn of_this_cpu() -> Self {
        let id = CpuIdentification {
            mmfr0: ID_AA64MMFR0_EL1.get(),
            ..Default::default()
        };
        let mut control = stage_2_control(id.mmfr0) | SOME_SHAPE;
        let mut unit = 12;
        if id.lpa2() {
            control |= LONG_ADDRESSES;
            unit = 16;
        }
        let ranges = ID_AA64ISAR0_EL1.get() >> 56 & 0xf >= 2;
        // SAFETY: no Realm runs, so nothing is translated by these registers. What the TLB holds of
        // any Realm is from before this CPU came up, when it could not hear of invalidations.
        unsafe {
            asm!(
                "msr vtcr_el2, {control}",
                "msr vttbr_el2, xzr",
                "isb",
                "tlbi alle1",
                "dsb nsh",
                "isb",
                control = in(reg) control,
                options(nostack, preserves_flags),
            );
        }
        Self {
            control,
            range_unit: ranges.then_some(unit),
        }
    }

    /// Makes all CPUs forget translations of a Realm, after the entries were made invalid.
    pub fn invalidate(self, invalidation: &Invalidation) {
        match *invalidation {
            Invalidation::Entry { vmid, ipa } => {
                let regime = self.enter(vmid);
                let page = operand::page(ipa);
                // SAFETY: invalidation makes accesses walk again; it changes no mapping.
                // Twice for errata, see the parent module.
                unsafe {
                    asm!(
                        "tlbi ipas2e1is, {0}",
                        "dsb ish",
                        "tlbi ipas2e1is, {0}",
                        in(reg) page,
                        options(nostack, preserves_flags),
                    );
                }
                regime.forget_stage_1();
            }
            Invalidation::Table { vmid, ipa, level } => {
                let range = self
                    .range_unit
                    .and_then(|unit| operand::table(ipa, level, unit));
                let regime = self.enter(vmid);
                match range {
                    Some(range) => {
                        // SAFETY: as above. `TLBI RIPAS2E1IS` by its encoding: the assembler may
                        // not know FEAT_TLBIRANGE, which the CPU has.
                        unsafe {
                            asm!(
                                "sys #4, c8, c0, #2, {0}",
                                "dsb ish",
                                "sys #4, c8, c0, #2, {0}",
                                in(reg) range,
                                options(nostack, preserves_flags),
                            );
                        }
                        regime.forget_stage_1();
                    }
                    None => regime.forget_all(),
                }
            }
            Invalidation::Realm { vmid } => self.enter(vmid).forget_all(),
        }
    }

    /// Makes a Realm's regime the one that TLB instructions are for. `HCR_EL2.TGE` is clear
    /// (`entry.S`), or they would be for the RMM's own.
    fn enter(self, vmid: u16) -> Regime {
        let (control, base): (u64, u64);
        // SAFETY: stage 2 is not in use at EL2, so the registers only name a regime. They are put
        // back by the methods of the result. The first barrier makes entries that were changed
        // visible before anything is forgotten.
        unsafe {
            asm!(
                "dsb ishst",
                "mrs {control}, vtcr_el2",
                "mrs {base}, vttbr_el2",
                "msr vtcr_el2, {new_control}",
                "msr vttbr_el2, {new_base}",
                "isb",
                control = out(reg) control,
                base = out(reg) base,
                new_control = in(reg) self.control,
                new_base = in(reg) u64::from(vmid) << 48,
                options(nostack, preserves_flags),
            );
        }
        Regime { control, base }
    }
}

/// TLB instructions are for a Realm's regime, until one of the methods has ended that.
#[must_use]
struct Regime {
    /// `VTCR_EL2` to go back to.
    control: u64,
    /// `VTTBR_EL2` to go back to.
    base: u64,
}

impl Regime {
    /// After stage 2 entries were invalidated by address: waits, and drops what was combined from
    /// stages 1 and 2, which is not found by an intermediate physical address.
    fn forget_stage_1(self) {
        // SAFETY: invalidation changes no mapping. Twice for errata, see the parent module.
        unsafe {
            asm!(
                "dsb ish",
                "tlbi vmalle1is",
                "dsb ish",
                "tlbi vmalle1is",
                options(nostack, preserves_flags),
            );
        }
        self.leave();
    }

    /// Drops everything of the Realm.
    fn forget_all(self) {
        // SAFETY: as above.
        unsafe {
            asm!(
                "tlbi vmalls12e1is",
                "dsb ish",
                "tlbi vmalls12e1is",
                options(nostack, preserves_flags),
            );
        }
        self.leave();
    }

    /// Waits until all CPUs have forgotten, then goes back to the registers that were there.
    fn leave(self) {
        // SAFETY: the registers had these values before.
        unsafe {
            asm!(
                "dsb ish",
                "msr vtcr_el2, {control}",
                "msr vttbr_el2, {base}",
                "isb",
                control = in(reg) self.control,
                base = in(reg) self.base,
                options(nostack, preserves_flags),
            );
        }
    }
}

/// Makes writes to translation tables visible to the MMUs of all CPUs.
pub fn publish() {
    // SAFETY: barriers only order.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
}
