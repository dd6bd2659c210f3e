//! Registers that a call must leave alone.
#![allow(unsafe_code)]

use rmm_abi::el3::fid;

use crate::exceptions::catch;
use crate::report::{Outcome, expect_equal, fail};
use crate::smc::{call, call_and_see_all};
use crate::tests::granules::Places;

/// Calls of every kind: function, first arguments, and how many registers carry results.
fn calls(places: &Places) -> [(u64, [u64; 3], usize); 9] {
    let granule = places.normal();
    [
        (fid::GTSI_DELEGATE, [granule, 0, 0], 1),
        (fid::GTSI_DELEGATE, [granule, 0, 0], 1),
        (fid::GTSI_UNDELEGATE, [granule, 0, 0], 1),
        (fid::GTSI_UNDELEGATE, [granule + 1, 0, 0], 1),
        (fid::FEATURES, [0, 0, 0], 2),
        (fid::ATTEST_GET_REALM_KEY, [0, 48, 0], 2),
        (fid::ATTEST_GET_PLATFORM_TOKEN, [0, 64, 32], 3),
        (fid::RESERVE_MEMORY, [0, 0, 0], 2),
        (0xc400_01bc, [1, 2, 3], 1),
    ]
}

pub(crate) fn general_registers(places: &Places) -> Outcome {
    for (function, arguments, results) in calls(places) {
        let mut before = [0; 31];
        for (number, register) in (0_u64..).zip(&mut before) {
            *register = 0xa5a5_0000_1234_0000 | number;
        }
        before[0] = function;
        before[1..4].copy_from_slice(&arguments);
        let after = call_and_see_all(&before);
        for number in results..31 {
            expect_equal!(
                after[number],
                before[number],
                "x{number} after {function:#x}"
            );
        }
    }
    Ok(())
}

/// One system register: how to read and write it.
struct Register {
    name: &'static str,
    read: fn() -> u64,
    write: fn(u64),
    /// Bits that may be changed without a consequence for this program.
    free: u64,
}

macro_rules! register {
    ($name:literal, $encoding:literal, $free:expr) => {
        Register {
            name: $name,
            read: || {
                let mut value = 0_u64;
                // SAFETY: reading has no effect but the value; where the CPU has no such register
                // the exception is caught.
                unsafe {
                    core::arch::asm!(concat!("mrs {}, ", $encoding), inout(reg) value,
                        options(nostack, preserves_flags));
                }
                value
            },
            write: |value| {
                // SAFETY: only bits without a consequence for this program are changed.
                unsafe {
                    core::arch::asm!(concat!("msr ", $encoding, ", {}"), "isb", in(reg) value,
                        options(nostack, preserves_flags));
                }
            },
            free: $free,
        }
    };
}

const ALL: u64 = u64::MAX;
/// Bits of a pointer to a table or vector, away from the ones that must be zero.
const POINTER: u64 = 0x0000_00ff_ffff_f000;

/// EL2's registers, and those of EL1 and EL0 that EL3 has no business with.
const REGISTERS: &[Register] = &[
    register!("SP_EL0", "sp_el0", ALL),
    register!("SP_EL1", "sp_el1", ALL),
    register!("TPIDR_EL0", "tpidr_el0", ALL),
    register!("TPIDR_EL1", "tpidr_el1", ALL),
    register!("TPIDR_EL2", "tpidr_el2", ALL),
    register!("ELR_EL1", "elr_el1", ALL),
    register!("VBAR_EL1", "vbar_el1", POINTER & !0x7ff),
    register!("TTBR0_EL1", "ttbr0_el1", POINTER),
    register!("MAIR_EL1", "mair_el1", ALL),
    register!("CONTEXTIDR_EL1", "contextidr_el1", 0xffff_ffff),
    register!("ESR_EL2", "esr_el2", 0xffff_ffff),
    register!("FAR_EL2", "far_el2", ALL),
    register!("HPFAR_EL2", "hpfar_el2", POINTER),
    register!("ELR_EL2", "elr_el2", ALL),
    register!("SPSR_EL2", "spsr_el2", 0xf000_0000),
    register!("HCR_EL2", "hcr_el2", 1 << 18 | 1 << 19),
    register!("SCTLR_EL2", "sctlr_el2", 0),
    register!("TTBR0_EL2", "ttbr0_el2", POINTER),
    register!("TTBR1_EL2", "s3_4_c2_c0_1", POINTER),
    register!("TCR_EL2", "tcr_el2", 0x3f),
    register!("MAIR_EL2", "mair_el2", ALL),
    register!("AMAIR_EL2", "amair_el2", 0),
    register!("VBAR_EL2", "vbar_el2", 0),
    register!("VTTBR_EL2", "vttbr_el2", POINTER),
    register!("VTCR_EL2", "vtcr_el2", 0x3f),
    register!("CPTR_EL2", "cptr_el2", 1 << 10 | 1 << 30),
    register!("MDCR_EL2", "mdcr_el2", 1 << 5 | 1 << 6 | 1 << 9),
    register!("HSTR_EL2", "hstr_el2", 0x8),
    register!("HACR_EL2", "hacr_el2", 0),
    register!("ACTLR_EL2", "actlr_el2", 0),
    register!("CNTHCTL_EL2", "cnthctl_el2", 0b11),
    register!("CNTVOFF_EL2", "cntvoff_el2", ALL),
    register!("VPIDR_EL2", "vpidr_el2", 0xffff_ffff),
    register!("VMPIDR_EL2", "vmpidr_el2", 0xff_0000_ffff),
    register!("CONTEXTIDR_EL2", "s3_4_c13_c0_1", 0xffff_ffff),
    register!("HFGRTR_EL2", "s3_4_c1_c1_4", 0xff),
    register!("HFGWTR_EL2", "s3_4_c1_c1_5", 0x1f),
    register!("HFGITR_EL2", "s3_4_c1_c1_6", 0xff),
    register!("HDFGRTR_EL2", "s3_4_c3_c1_4", 0xff),
    register!("HDFGWTR_EL2", "s3_4_c3_c1_5", 0x3f),
    register!("HCRX_EL2", "s3_4_c1_c2_2", 1 << 4 | 1 << 10),
    register!("CNTPOFF_EL2", "s3_4_c14_c0_6", ALL),
    register!("VDISR_EL2", "s3_4_c12_c1_1", 0x1fff),
    register!("VSESR_EL2", "s3_4_c5_c2_3", 0x1fff),
    register!("SCXTNUM_EL2", "s3_4_c13_c0_7", ALL),
    register!("VNCR_EL2", "s3_4_c2_c2_0", POINTER),
    register!("ICH_VMCR_EL2", "s3_4_c12_c11_7", 1 << 9),
    register!("APIAKeyLo_EL1", "s3_0_c2_c1_0", ALL),
    register!("APIAKeyHi_EL1", "s3_0_c2_c1_1", ALL),
    register!("APIBKeyLo_EL1", "s3_0_c2_c1_2", ALL),
    register!("APDAKeyLo_EL1", "s3_0_c2_c2_0", ALL),
    register!("APDBKeyHi_EL1", "s3_0_c2_c2_3", ALL),
    register!("APGAKeyHi_EL1", "s3_0_c2_c3_1", ALL),
];

pub(crate) fn system_registers(places: &Places) -> Outcome {
    for register in REGISTERS {
        // What the CPU does not have cannot be lost.
        let Ok(original) = catch(register.read) else {
            continue;
        };
        let mut taken = 0;
        for pattern in [0xa5a5_a5a5_a5a5_a5a5, 0x5a5a_5a5a_5a5a_5a5a] {
            let wanted = original & !register.free | pattern & register.free;
            (register.write)(wanted);
            let before = (register.read)();
            taken |= before & register.free;
            for (function, [x1, x2, x3], _) in calls(places) {
                call(function, [x1, x2, x3, 0]);
                let after = (register.read)();
                if after != before {
                    (register.write)(original);
                    fail!(
                        "{} after {function:#x}: {before:#x} became {after:#x}",
                        register.name
                    );
                }
            }
        }
        (register.write)(original);
        if register.free != 0 && taken == 0 {
            fail!("{} takes no pattern, so this shows nothing", register.name);
        }
    }
    Ok(())
}
