//! The registers of each family.

use super::{CanaryRegister, Features, OtherBits};
use crate::SystemRegister;
use crate::pattern::{Kind, PREDICATE_WORDS, predicate_index};

/// `(op0, op1, CRn, CRm, op2)`
type Encoding = (u8, u8, u8, u8, u8);

const fn encoding((op0, op1, crn, crm, op2): Encoding) -> SystemRegister {
    match SystemRegister::new(op0, op1, crn, crm, op2) {
        Some(register) => register,
        None => panic!("fields of an encoding are too large"),
    }
}

const fn plain(register: Encoding, mask: u64) -> CanaryRegister {
    CanaryRegister {
        register: encoding(register),
        index: 0,
        mask,
        others: OtherBits::Keep,
        clear: None,
        may_be_zero: false,
    }
}

const fn set(register: Encoding, mask: u64, others: u64) -> CanaryRegister {
    CanaryRegister {
        others: OtherBits::Set(others),
        ..plain(register, mask)
    }
}

/// A register whose contents are up to who made the CPU.
const fn implementation_defined(register: Encoding, mask: u64) -> CanaryRegister {
    CanaryRegister {
        may_be_zero: true,
        ..plain(register, mask)
    }
}

const ALL: u64 = u64::MAX;

const FPSIMD: [CanaryRegister; 2] = [
    // FPCR: AHP, DN, FZ, RMode.
    set((3, 3, 4, 4, 0), 0x07c0_0000, 0),
    // FPSR: QC and the cumulative exception bits.
    set((3, 3, 4, 4, 1), 0x0800_009f, 0),
];

const SYSTEM: [CanaryRegister; 14] = [
    // TPIDR_EL0, TPIDRRO_EL0, TPIDR_EL1
    plain((3, 3, 13, 0, 2), ALL),
    plain((3, 3, 13, 0, 3), ALL),
    plain((3, 0, 13, 0, 4), ALL),
    // CONTEXTIDR_EL1
    set((3, 0, 13, 0, 1), 0xffff_ffff, 0),
    // AFSR0_EL1, AFSR1_EL1
    implementation_defined((3, 0, 5, 1, 0), 0xffff_ffff),
    implementation_defined((3, 0, 5, 1, 1), 0xffff_ffff),
    // MAIR_EL1: the program uses attributes 0 to 2.
    plain((3, 0, 10, 2, 0), 0xffff_ffff_ff00_0000),
    // AMAIR_EL1
    implementation_defined((3, 0, 10, 3, 0), ALL),
    // PAR_EL1 of a translation that succeeded: attributes and address.
    set((3, 0, 7, 4, 0), 0xff00_ffff_ffff_f000, 1 << 11),
    // CSSELR_EL1: Level and InD.
    set((3, 2, 0, 0, 0), 0xf, 0),
    // CNTKCTL_EL1: all but the event stream's enable bit.
    set((3, 0, 14, 1, 0), 0x3fb, 0),
    // MDSCR_EL1: TDCC concerns EL0 only.
    plain((2, 0, 0, 2, 2), 1 << 12),
    // SP_EL0
    plain((3, 0, 4, 1, 0), ALL),
    // TTBR1_EL1: walks of the upper half are off.
    plain((3, 0, 2, 0, 1), 0xffff_ffff_ffff_fffe),
];

/// `DISR_EL1`: A, IDS and ISS.
const DEFERRED_INTERRUPT: CanaryRegister = set((3, 0, 12, 1, 1), 0x81ff_ffff, 0);

const EXCEPTION: [CanaryRegister; 4] = [
    // ELR_EL1
    plain((3, 0, 4, 0, 1), ALL),
    // SPSR_EL1: flags, DAIF and the exception level.
    set((3, 0, 4, 0, 0), 0xf000_03cf, 0),
    // ESR_EL1
    set((3, 0, 5, 2, 0), 0xffff_ffff, 0),
    // FAR_EL1
    plain((3, 0, 6, 0, 0), ALL),
];

const TIMERS: [CanaryRegister; 4] = [
    // CNTV_CTL_EL0: ENABLE, with IMASK always set.
    set((3, 3, 14, 3, 1), 1, 2),
    // CNTV_CVAL_EL0
    plain((3, 3, 14, 3, 2), ALL),
    // CNTP_CTL_EL0, CNTP_CVAL_EL0
    set((3, 3, 14, 2, 1), 1, 2),
    plain((3, 3, 14, 2, 2), ALL),
];

/// The lower and higher half of the APIA, APIB, APDA, APDB and APGA key.
const fn key_half(number: u8) -> CanaryRegister {
    plain((3, 0, 2, 1 + number / 4, number % 4), ALL)
}

fn keys(features: Features) -> impl Iterator<Item = CanaryRegister> {
    let count = if features.pointer_authentication {
        10
    } else {
        0
    };
    (0..count).map(key_half)
}

fn debug(features: Features) -> impl Iterator<Item = CanaryRegister> {
    let address = 0x0000_ffff_ffff_fffc;
    // E is zero in all of them. DBGBCR: LBN, SSC, HMC, PMC, and BAS with its one useful value.
    // DBGWCR: MASK, WT, LBN, SSC, HMC, BAS, LSC, PAC.
    let breakpoints = (0..features.breakpoints.min(16)).flat_map(move |n| {
        [
            set((2, 0, 0, n, 4), address, 0),
            set((2, 0, 0, n, 5), 0x000f_e006, 0x1e0),
        ]
    });
    let watchpoints = (0..features.watchpoints.min(16)).flat_map(move |n| {
        [
            set((2, 0, 0, n, 6), address, 0),
            set((2, 0, 0, n, 7), 0x1f1f_fffe, 0),
        ]
    });
    // MDCCINT_EL1: RX and TX.
    let transfer = CanaryRegister {
        may_be_zero: true,
        ..set((2, 0, 0, 2, 0), 3 << 29, 0)
    };
    breakpoints.chain(watchpoints).chain([transfer])
}

/// Registers of the PMU while it does not count: `PMCR_EL0.E` is zero.
fn pmu(features: Features) -> impl Iterator<Item = CanaryRegister> {
    let counters = features.event_counters;
    let all_counters = 1 << 31 | counters.map_or(0, |count| (1 << count.min(31)) - 1);
    let flags = |register, clear, mask| CanaryRegister {
        clear: Some(encoding(clear)),
        ..set(register, mask, 0)
    };
    let common = [
        // PMCR_EL0: DP, with LC set.
        set((3, 3, 9, 12, 0), 1 << 5, 1 << 6),
        // PMCNTENSET_EL0, PMINTENSET_EL1, PMOVSSET_EL0
        flags((3, 3, 9, 12, 1), (3, 3, 9, 12, 2), all_counters),
        flags((3, 0, 9, 14, 1), (3, 0, 9, 14, 2), all_counters),
        flags((3, 3, 9, 14, 3), (3, 3, 9, 12, 3), all_counters),
        // PMSELR_EL0: SEL
        set((3, 3, 9, 12, 5), 0x1f, 0),
        // PMUSERENR_EL0
        set((3, 3, 9, 14, 0), 0xf, 0),
        // PMCCNTR_EL0
        plain((3, 3, 9, 13, 0), ALL),
        // PMCCFILTR_EL0: P and U
        set((3, 3, 14, 15, 7), 0xc000_0000, 0),
    ];
    // PMEVCNTR<n>_EL0 and the event of PMEVTYPER<n>_EL0
    let events = (0..counters.unwrap_or(0).min(31)).flat_map(|n| {
        [
            set((3, 3, 14, 8 + n / 8, n % 8), 0xffff_ffff, 0),
            set((3, 3, 14, 12 + n / 8, n % 8), 0xffff, 0),
        ]
    });
    common
        .into_iter()
        .take(if counters.is_some() { 8 } else { 0 })
        .chain(events)
}

/// Index of the first register of a family, behind those that are no system registers.
const fn first_index(kind: Kind) -> usize {
    match kind {
        Kind::Fpsimd => 64,
        Kind::Sve => predicate_index(17, 0).next_multiple_of(PREDICATE_WORDS),
        _ => 0,
    }
}

/// The system registers of a family. [`Kind::Sve`] has those of [`Kind::Fpsimd`] too, as its vectors
/// contain those; no other register is in two families. On a CPU with these features, families that
/// have none, or that the CPU does not have, are empty.
pub fn registers(kind: Kind, features: Features) -> impl Iterator<Item = CanaryRegister> {
    let of = move |family| kind == family;
    let fixed: &'static [CanaryRegister] = match kind {
        Kind::Fpsimd => &FPSIMD,
        Kind::Sve if features.sve => &FPSIMD,
        Kind::System => &SYSTEM,
        Kind::Exception => &EXCEPTION,
        Kind::Timers => &TIMERS,
        _ => &[],
    };
    let deferred = (of(Kind::System) && features.ras).then_some(DEFERRED_INTERRUPT);
    let nothing = Features::default();
    let chosen = |family| if of(family) { features } else { nothing };
    fixed
        .iter()
        .copied()
        .chain(deferred)
        .chain(keys(chosen(Kind::PointerAuthentication)))
        .chain(debug(features).take(if of(Kind::Debug) { usize::MAX } else { 0 }))
        .chain(pmu(chosen(Kind::Pmu)))
        .zip(first_index(kind)..)
        .map(|(register, index)| CanaryRegister { index, ..register })
}
