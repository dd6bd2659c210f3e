//! What this CPU is: its number, its identification registers.

use core::arch::asm;

use aarch64_cpu::registers::{
    ID_AA64DFR0_EL1, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, ID_AA64PFR0_EL1, Readable,
};
use rmm_core::features::CpuIdentification;

use crate::simd;

/// Set in `TPIDR_EL2` once this CPU has reported its boot; the CPU's number is below.
const SERVING: u64 = 1 << 63;

fn thread_pointer() -> u64 {
    let value;
    // SAFETY: the register is the RMM's own; reading it has no effect.
    unsafe { asm!("mrs {0}, tpidr_el2", out(reg) value, options(nostack, preserves_flags)) };
    value
}

/// Number of this CPU, as EL3 counts.
pub fn number() -> u64 {
    thread_pointer() & !SERVING
}

/// Whether this CPU has reported its boot, so that EL3 waits for replies and not for a boot code.
pub fn is_serving() -> bool {
    thread_pointer() & SERVING != 0
}

/// From now on [`is_serving`]. Entry from EL3 starts over.
pub fn set_serving() {
    let value = thread_pointer() | SERVING;
    // SAFETY: only this module gives the register's content a meaning.
    unsafe { asm!("msr tpidr_el2, {0}", in(reg) value, options(nostack, preserves_flags)) };
}

/// Bits of the physical addresses that this CPU implements.
pub fn physical_address_bits() -> u8 {
    CpuIdentification {
        mmfr0: ID_AA64MMFR0_EL1.get(),
        ..Default::default()
    }
    .physical_address_bits()
}

/// Reads the identification registers of this CPU.
pub fn identify() -> CpuIdentification {
    let mut id = CpuIdentification {
        mmfr0: ID_AA64MMFR0_EL1.get(),
        mmfr1: ID_AA64MMFR1_EL1.get(),
        pfr0: ID_AA64PFR0_EL1.get(),
        dfr0: ID_AA64DFR0_EL1.get(),
        ..Default::default()
    };
    if id.has_gic_registers() {
        // SAFETY: the CPU has these registers. ICH_VTR_EL2 needs the system register interface of
        // the GIC switched on, which is how the RMM uses it; EL3 keeps the host's setting.
        unsafe {
            asm!(
                "msr icc_sre_el2, {sre}",
                "isb",
                "mrs {vtr}, ich_vtr_el2",
                "mrs {ctlr}, icc_ctlr_el1",
                sre = in(reg) 0xf_u64,
                vtr = out(reg) id.ich_vtr,
                ctlr = out(reg) id.icc_ctlr,
                options(nostack),
            );
        }
    }
    if id.has_pmu() {
        // SAFETY: as above; the CPU has a PMU.
        unsafe { asm!("mrs {0}, pmcr_el0", out(reg) id.pmcr, options(nomem, nostack)) };
    }
    id.sve_vector_bits = simd::longest_vector();
    id
}
