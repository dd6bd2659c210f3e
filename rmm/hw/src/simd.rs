//! Borrowing the vector registers.
//!
//! EL3 does not switch them, so what they hold is the host's, or a Realm's. The RMM keeps them
//! trapped; code that needs some lifts the traps for a moment, saves what it is going to write
//! and puts it back.

use core::arch::asm;

use aarch64_cpu::registers::{ID_AA64PFR0_EL1, ID_AA64PFR1_EL1, Readable};

/// Fields of `CPTR_EL2` with host extensions that let vector instructions run.
pub(crate) const FLOATING_POINT: u64 = 3 << 20; // FPEN
pub(crate) const SVE: u64 = 3 << 16; // ZEN
pub(crate) const SME: u64 = 3 << 24; // SMEN

/// `ZCR_EL2` that asks for the longest vectors that EL3 allows; with [`ALL_INSTRUCTIONS`] also
/// `SMCR_EL2` for streaming mode.
pub(crate) const LONGEST: u64 = 0xf;
/// `SMCR_EL2.FA64`: streaming mode has all instructions, if EL3 allows that.
const ALL_INSTRUCTIONS: u64 = 1 << 31;

/// `SVCR.SM`: vector registers are those of streaming mode.
pub(crate) const STREAMING: u64 = 1;

/// What this CPU's vector registers are.
#[derive(Clone, Copy, Debug)]
pub struct VectorUnit {
    sve: bool,
    sme: bool,
}

impl VectorUnit {
    /// Asks the CPU, and makes its vectors as long as they get. To be called when the CPU comes up.
    ///
    /// After that the length is left alone, but for a Realm's time. Where EL3 gives each world a
    /// `ZCR_EL2`, that of the RMM stays at the longest, so that saving a register saves all of it.
    /// Where the worlds share it, it says how much of a register its user can reach, and no more
    /// needs to be saved. `SMCR_EL2` is the same for streaming mode.
    pub fn of_this_cpu() -> Self {
        let unit = Self {
            sve: ID_AA64PFR0_EL1.get() >> 32 & 0xf != 0,
            sme: ID_AA64PFR1_EL1.get() >> 24 & 0xf != 0,
        };
        if let Some(_open) = unit.open() {
            if unit.sve {
                // SAFETY: there is SVE and it does not trap. Longer vectors lose nothing.
                unsafe {
                    asm!("msr s3_4_c1_c2_0, {0}", "isb", in(reg) LONGEST, options(nostack, preserves_flags));
                }
            }
            if unit.sme {
                // SAFETY: there is SME and it does not trap. Longer vectors lose nothing.
                unsafe {
                    asm!(
                        "msr s3_4_c1_c2_6, {0}",
                        "isb",
                        in(reg) LONGEST | ALL_INSTRUCTIONS,
                        options(nostack, preserves_flags),
                    );
                }
            }
        }
        unit
    }

    /// Whether there are registers longer than 128 bits.
    pub fn has_sve(self) -> bool {
        self.sve
    }

    /// Whether there is streaming mode.
    pub fn has_sme(self) -> bool {
        self.sme
    }

    /// Fields of `CPTR_EL2` that trap what this CPU has.
    pub(crate) fn fields(self) -> u64 {
        let mut fields = FLOATING_POINT;
        if self.sve {
            fields |= SVE;
        }
        if self.sme {
            fields |= SME;
        }
        fields
    }

    /// Lifts the traps until the result is dropped. `None` in streaming mode, in which most vector
    /// instructions do not exist.
    pub fn open(self) -> Option<OpenVectorUnit> {
        let allowed = self.fields();
        let traps: u64;
        // SAFETY: lifting traps changes nothing for code that uses no vector registers, which is
        // all compiled code: the target is without them.
        unsafe {
            asm!(
                "mrs {traps}, cptr_el2",
                "orr {allowed}, {allowed}, {traps}",
                "msr cptr_el2, {allowed}",
                "isb",
                traps = out(reg) traps,
                allowed = inout(reg) allowed => _,
                options(nostack, preserves_flags),
            );
        }
        let open = OpenVectorUnit { traps };
        if self.sme && streaming() {
            return None;
        }
        Some(open)
    }
}

/// Vector instructions can be executed while this lives.
#[derive(Debug)]
#[must_use = "dropping it sets the traps again"]
pub struct OpenVectorUnit {
    /// `CPTR_EL2` to go back to.
    traps: u64,
}

impl Drop for OpenVectorUnit {
    fn drop(&mut self) {
        // SAFETY: back to the traps that held before.
        unsafe {
            asm!("msr cptr_el2, {0}", "isb", in(reg) self.traps, options(nostack, preserves_flags));
        }
    }
}

/// Whether the CPU is in streaming mode. SME must not trap.
fn streaming() -> bool {
    let mode: u64;
    // SAFETY: reading SVCR has no effect.
    unsafe { asm!("mrs {0}, s3_3_c4_c2_2", out(reg) mode, options(nostack, preserves_flags)) };
    mode & STREAMING != 0
}

/// Longest SVE vector that EL3 lets the Realm world have, in bits; zero without SVE and in
/// streaming mode.
pub fn longest_vector() -> u64 {
    let unit = VectorUnit::of_this_cpu();
    let Some(_open) = unit.open().filter(|_| unit.sve) else {
        return 0;
    };
    let bytes: u64;
    // SAFETY: there is SVE and it does not trap. The instruction writes no vector register.
    unsafe {
        asm!(
            ".arch_extension sve",
            "rdvl {0}, #1",
            out(reg) bytes,
            options(nomem, nostack, preserves_flags),
        );
    }
    bytes * 8
}
