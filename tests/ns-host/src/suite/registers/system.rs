//! System registers: fill with patterns, call, compare, put back.

#![allow(unsafe_code)]

use realm_payload::pattern::{Kind, identify, pattern};

use crate::outcome::{Outcome, fail};
use crate::{register, smc};

/// A register, and a value that this program can live with for the time of a call.
struct System {
    name: &'static str,
    there: fn() -> bool,
    read: fn() -> u64,
    write: fn(u64),
    /// From the value that it has and a random one.
    pattern: fn(u64, u64) -> u64,
}

/// One line a register: name, encoding, whether the CPU has it, pattern.
macro_rules! registers {
    ($($name:literal $encoding:literal $there:ident $pattern:expr;)*) => {
        const REGISTERS: &[System] = &[$(System {
            name: $name,
            there: $there,
            read: || register::read!($encoding),
            // SAFETY: the patterns change nothing that this program depends on between
            // `survive`'s first write and its last: it runs at EL2 from the upper half with
            // interrupts masked and causes no exception.
            write: |value| unsafe { register::write!($encoding, value) },
            pattern: $pattern,
        },)*];
    };
}

/// Any value will do.
const fn any(_: u64, random: u64) -> u64 {
    random
}

/// These bits may be turned over; the others are as they were.
macro_rules! flip {
    ($bits:expr) => {
        |old, random| old ^ (random & ($bits))
    };
}

/// Timers: enabled but masked, so that the control bits are not all zero.
const fn masked_timer(_: u64, _: u64) -> u64 {
    3
}

registers! {
    // EL0 and EL1: at EL2 with E2H they have no effect.
    "SP_EL0" "S3_0_C4_C1_0" always any;
    "SP_EL1" "S3_4_C4_C1_0" always any;
    "TPIDR_EL0" "S3_3_C13_C0_2" always any;
    "TPIDRRO_EL0" "S3_3_C13_C0_3" always any;
    "TPIDR_EL1" "S3_0_C13_C0_4" always any;
    "PAR_EL1" "S3_0_C7_C4_0" always any;
    "CSSELR_EL1" "S3_2_C0_C0_0" always flip!(0xf);
    "SCTLR_EL1" "S3_5_C1_C0_0" always any;
    "CPACR_EL1" "S3_5_C1_C0_2" always any;
    "TTBR0_EL1" "S3_5_C2_C0_0" always any;
    "TTBR1_EL1" "S3_5_C2_C0_1" always any;
    "TCR_EL1" "S3_5_C2_C0_2" always any;
    "SPSR_EL1" "S3_5_C4_C0_0" always flip!(0xf000_03c0);
    "ELR_EL1" "S3_5_C4_C0_1" always any;
    "AFSR0_EL1" "S3_5_C5_C1_0" always any;
    "AFSR1_EL1" "S3_5_C5_C1_1" always any;
    "ESR_EL1" "S3_5_C5_C2_0" always any;
    "FAR_EL1" "S3_5_C6_C0_0" always any;
    "MAIR_EL1" "S3_5_C10_C2_0" always any;
    "AMAIR_EL1" "S3_5_C10_C3_0" always any;
    "VBAR_EL1" "S3_5_C12_C0_0" always any;
    "CONTEXTIDR_EL1" "S3_5_C13_C0_1" always any;
    "CNTKCTL_EL1" "S3_5_C14_C1_0" always flip!(0x3ff);
    "CNTP_CTL_EL0" "S3_5_C14_C2_1" always masked_timer;
    "CNTP_CVAL_EL0" "S3_5_C14_C2_2" always any;
    "CNTV_CTL_EL0" "S3_5_C14_C3_1" always masked_timer;
    "CNTV_CVAL_EL0" "S3_5_C14_C3_2" always any;
    "ZCR_EL1" "S3_5_C1_C2_0" sve flip!(0xf);
    "SCXTNUM_EL0" "S3_3_C13_C0_7" context_numbers any;
    "SCXTNUM_EL1" "S3_5_C13_C0_7" context_numbers any;
    "TCR2_EL1" "S3_5_C2_C0_3" extended_translation_control flip!(0x3ff);
    "PIRE0_EL1" "S3_5_C10_C2_2" permission_indirection any;
    "PIR_EL1" "S3_5_C10_C2_3" permission_indirection any;
    // Debug: nothing is enabled.
    "MDSCR_EL1" "S2_0_C0_C2_2" always flip!(1 << 12);
    "DBGBVR0_EL1" "S2_0_C0_C0_4" always any;
    "DBGBCR0_EL1" "S2_0_C0_C0_5" always flip!(0x1e6);
    "DBGWVR0_EL1" "S2_0_C0_C0_6" always any;
    "DBGWCR0_EL1" "S2_0_C0_C0_7" always flip!(0x1e);
    "DBGBVR1_EL1" "S2_0_C0_C1_4" always any;
    "DBGBCR1_EL1" "S2_0_C0_C1_5" always flip!(0x1e6);
    "DBGWVR1_EL1" "S2_0_C0_C1_6" always any;
    "DBGWCR1_EL1" "S2_0_C0_C1_7" always flip!(0x1e);
    // Counters: none of them counts.
    "PMSELR_EL0" "S3_3_C9_C12_5" performance_monitors flip!(0x1f);
    "PMUSERENR_EL0" "S3_3_C9_C14_0" performance_monitors flip!(0xf);
    "PMCCNTR_EL0" "S3_3_C9_C13_0" performance_monitors any;
    "PMCCFILTR_EL0" "S3_3_C14_C15_7" performance_monitors flip!(3 << 30);
    "PMEVCNTR0_EL0" "S3_3_C14_C8_0" event_counter flip!(0xffff_ffff);
    "PMEVTYPER0_EL0" "S3_3_C14_C12_0" event_counter flip!(0x3ff);
    // Keys: no instruction of this program signs.
    "APIAKEYLO_EL1" "S3_0_C2_C1_0" pointer_authentication any;
    "APIAKEYHI_EL1" "S3_0_C2_C1_1" pointer_authentication any;
    "APIBKEYLO_EL1" "S3_0_C2_C1_2" pointer_authentication any;
    "APIBKEYHI_EL1" "S3_0_C2_C1_3" pointer_authentication any;
    "APDAKEYLO_EL1" "S3_0_C2_C2_0" pointer_authentication any;
    "APDAKEYHI_EL1" "S3_0_C2_C2_1" pointer_authentication any;
    "APDBKEYLO_EL1" "S3_0_C2_C2_2" pointer_authentication any;
    "APDBKEYHI_EL1" "S3_0_C2_C2_3" pointer_authentication any;
    "APGAKEYLO_EL1" "S3_0_C2_C3_0" generic_authentication any;
    "APGAKEYHI_EL1" "S3_0_C2_C3_1" generic_authentication any;
    // EL2: what only matters to lower levels, to stage 2 (off) or after an exception.
    "TPIDR_EL2" "S3_4_C13_C0_2" always any;
    "VPIDR_EL2" "S3_4_C0_C0_0" always any;
    "VMPIDR_EL2" "S3_4_C0_C0_5" always any;
    "VTTBR_EL2" "S3_4_C2_C1_0" always any;
    "VTCR_EL2" "S3_4_C2_C1_2" always any;
    "HSTR_EL2" "S3_4_C1_C1_3" always flip!(0xffff);
    "HACR_EL2" "S3_4_C1_C1_7" always any;
    "HPFAR_EL2" "S3_4_C6_C0_4" always any;
    "FAR_EL2" "S3_4_C6_C0_0" always any;
    "ESR_EL2" "S3_4_C5_C2_0" always any;
    "ELR_EL2" "S3_4_C4_C0_1" always any;
    "SPSR_EL2" "S3_4_C4_C0_0" always flip!(0xf000_03c0);
    "AFSR0_EL2" "S3_4_C5_C1_0" always any;
    "AFSR1_EL2" "S3_4_C5_C1_1" always any;
    "AMAIR_EL2" "S3_4_C10_C3_0" always any;
    "CONTEXTIDR_EL2" "S3_4_C13_C0_1" always any;
    "VBAR_EL2" "S3_4_C12_C0_0" always any;
    "SCXTNUM_EL2" "S3_4_C13_C0_7" context_numbers any;
    // Lower half: nothing is accessed there meanwhile. Of the upper half only the ASID, which
    // global mappings ignore.
    "TTBR0_EL2" "S3_4_C2_C0_0" always any;
    "TTBR1_EL2" "S3_4_C2_C0_1" always flip!(0xffff << 48);
    // Attributes 2 to 7, which no mapping uses.
    "MAIR_EL2" "S3_4_C10_C2_0" always flip!(0xffff_ffff_ffff << 16);
    // TBI0 and TBI1.
    "TCR_EL2" "S3_4_C2_C0_2" always flip!(3 << 37);
    // Traps of EL0: DZE, UCT, nTWI, nTWE, UCI.
    "SCTLR_EL2" "S3_4_C1_C0_0" always flip!(1 << 14 | 1 << 15 | 1 << 16 | 1 << 18 | 1 << 26);
    // Traps of EL1: TWI, TWE, TID1, TID2, TID3, TACR, TVM, TRVM.
    "HCR_EL2" "S3_4_C1_C1_0" always
        flip!(1 << 13 | 1 << 14 | 7 << 16 | 1 << 21 | 1 << 26 | 1 << 30);
    // TPMCR, TPM, TDCC.
    "MDCR_EL2" "S3_4_C1_C1_1" always flip!(1 << 5 | 1 << 6 | 1 << 27);
    // Trace and activity monitors.
    "CPTR_EL2" "S3_4_C1_C1_2" always flip!(1 << 28 | 1 << 30);
    // Access of EL0 and EL1 to timers.
    "CNTHCTL_EL2" "S3_4_C14_C1_0" always flip!(0xc03);
    "CNTVOFF_EL2" "S3_4_C14_C0_3" always any;
    "CNTPOFF_EL2" "S3_4_C14_C0_6" physical_offset any;
    "CNTHP_CTL_EL2" "S3_4_C14_C2_1" always masked_timer;
    "CNTHP_CVAL_EL2" "S3_4_C14_C2_2" always any;
    "CNTHV_CTL_EL2" "S3_4_C14_C3_1" always masked_timer;
    "CNTHV_CVAL_EL2" "S3_4_C14_C3_2" always any;
    "ZCR_EL2" "S3_4_C1_C2_0" sve flip!(0xf);
    "HCRX_EL2" "S3_4_C1_C2_2" extended_configuration flip!(7);
    "HFGRTR_EL2" "S3_4_C1_C1_4" fine_grained_traps any;
    "HFGWTR_EL2" "S3_4_C1_C1_5" fine_grained_traps any;
    "HFGITR_EL2" "S3_4_C1_C1_6" fine_grained_traps any;
    "HDFGRTR_EL2" "S3_4_C3_C1_4" fine_grained_traps any;
    "HDFGWTR_EL2" "S3_4_C3_C1_5" fine_grained_traps any;
    "TCR2_EL2" "S3_4_C2_C0_3" extended_translation_control flip!(1 << 4);
    // Interrupt controller: masked, and nothing is pending.
    "ICC_PMR_EL1" "S3_0_C4_C6_0" interrupt_controller flip!(0xf0);
    "ICH_HCR_EL2" "S3_4_C12_C11_0" interrupt_controller flip!(0xfe);
    "ICH_VMCR_EL2" "S3_4_C12_C11_7" interrupt_controller flip!(0xff00_0003);
    "ICH_LR0_EL2" "S3_4_C12_C12_0" interrupt_controller flip!(0x0fff_ffff);
    "ICH_AP1R0_EL2" "S3_4_C12_C9_0" interrupt_controller flip!(0xff);
}

fn always() -> bool {
    true
}

/// Whether a field of an identification register has at least this value.
fn at_least(register: u64, shift: u32, value: u64) -> bool {
    register >> shift & 0xf >= value
}

fn processor_features() -> u64 {
    register::read!("id_aa64pfr0_el1")
}

fn sve() -> bool {
    at_least(processor_features(), 32, 1)
}

fn context_numbers() -> bool {
    at_least(processor_features(), 56, 2)
}

fn interrupt_controller() -> bool {
    // ICC_SRE_EL2.SRE: the registers are in use.
    at_least(processor_features(), 24, 1) && register::read!("S3_4_C12_C9_5") & 1 == 1
}

fn pointer_authentication() -> bool {
    let (features_1, features_2) = (
        register::read!("id_aa64isar1_el1"),
        register::read!("S3_0_C0_C6_2"),
    );
    at_least(features_1, 4, 1) || at_least(features_1, 8, 1) || at_least(features_2, 12, 1)
}

fn generic_authentication() -> bool {
    let (features_1, features_2) = (
        register::read!("id_aa64isar1_el1"),
        register::read!("S3_0_C0_C6_2"),
    );
    at_least(features_1, 24, 1) || at_least(features_1, 28, 1) || at_least(features_2, 8, 1)
}

fn performance_monitors() -> bool {
    let debug_features = register::read!("id_aa64dfr0_el1");
    at_least(debug_features, 8, 1) && !at_least(debug_features, 8, 0xf)
}

fn event_counter() -> bool {
    // PMCR_EL0.N
    performance_monitors() && register::read!("S3_3_C9_C12_0") >> 11 & 0x1f > 0
}

fn physical_offset() -> bool {
    at_least(register::read!("id_aa64mmfr0_el1"), 60, 2)
}

fn fine_grained_traps() -> bool {
    at_least(register::read!("id_aa64mmfr0_el1"), 56, 1)
}

fn extended_configuration() -> bool {
    at_least(register::read!("id_aa64mmfr1_el1"), 40, 1)
}

fn extended_translation_control() -> bool {
    at_least(register::read!("S3_0_C0_C7_3"), 0, 1)
}

fn permission_indirection() -> bool {
    at_least(register::read!("S3_0_C0_C7_3"), 8, 1)
}

/// More than there are registers above.
const CAPACITY: usize = 128;
const _: () = assert!(REGISTERS.len() <= CAPACITY);

/// What the registers hold; zero for those that the CPU does not have.
fn read_all(there: &[bool; CAPACITY]) -> [u64; CAPACITY] {
    let mut values = [0; CAPACITY];
    for ((value, register), there) in values.iter_mut().zip(REGISTERS).zip(there) {
        if *there {
            *value = (register.read)();
        }
    }
    values
}

/// Makes an SMC with a pattern in each register and fails when one of them has changed.
pub(crate) fn survive(function: u64, argument: u64) -> Outcome {
    let what = function ^ argument;
    survive_call(
        what,
        |_| false,
        || {
            smc::call(function, &[argument]);
        },
    )
}

/// Makes a call with a pattern in each register but some, and fails when one of them has changed.
/// The call itself may use the stack, but no other memory that is not in the image.
pub(in crate::suite) fn survive_call(
    seed: u64,
    leave_out: impl Fn(&str) -> bool,
    call: impl FnOnce(),
) -> Outcome {
    let [low, high, ..] = seed.to_le_bytes();
    let seed = u16::from_le_bytes([low, high]);
    let mut there = [false; CAPACITY];
    for (there, register) in there.iter_mut().zip(REGISTERS) {
        *there = !leave_out(register.name) && (register.there)();
    }
    let saved = read_all(&there);
    for (index, ((register, there), old)) in REGISTERS.iter().zip(there).zip(saved).enumerate() {
        let value = (register.pattern)(old, pattern(seed, Kind::Host, index));
        if there {
            (register.write)(value);
        }
    }
    let before = read_all(&there);
    call();
    let after = read_all(&there);
    for ((register, there), old) in REGISTERS.iter().zip(there).zip(saved).rev() {
        if there {
            (register.write)(old);
        }
    }
    for (index, register) in REGISTERS.iter().enumerate() {
        if after[index] != before[index] {
            return fail!(
                "{} of the host was {:#x} before the call and is {:#x} after it, {:?}",
                register.name,
                before[index],
                after[index],
                identify(after[index])
            );
        }
    }
    Ok(())
}
