//! Every register of every REC holds values that tell whose they are. Whatever exits there are and
//! whatever CPU a REC comes to, it finds its own values and no others; the CPUs check the same for the
//! host after each entry.
#![allow(missing_docs)]

use fake_machine::{
    AUX_GRANULES, Bench, Guest, Instruction, Memory, MemoryAccess, Registers, SystemEncoding,
    VectorUse, WaitFor, realm_params,
};
use rmm_abi::rmi::run::enter_flags::{EMULATED_MMIO, TRAP_WFE, TRAP_WFI};
use rmm_abi::rmi::run::{ExitReason, RecEnter};
use rmm_abi::rmi::{fid, realm_flags};
use rmm_core::machine::ExceptionKind;
use rmm_core::rec::layout::SystemRegister;

/// A value that tells REC, round and place.
fn value(rec: u64, round: u64, place: usize) -> u64 {
    let word = rec << 48 | round << 24 | place as u64;
    (word ^ 0xc0de_c0de_c0de).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Calls `action` with each register that is switched at once, and the place that its value tells.
fn each(registers: &mut Registers, has_pmu: bool, mut action: impl FnMut(&mut u64, usize)) {
    let Registers {
        general,
        stack_pointer,
        gic,
        pmu,
        ..
    } = registers;
    let kinds: [(usize, &mut [u64]); 4] = [
        (100, general),
        (200, std::slice::from_mut(stack_pointer)),
        (300, gic),
        (400, if has_pmu { pmu } else { &mut [] }),
    ];
    for (first, words) in kinds {
        for (place, word) in (first..).zip(words) {
            action(word, place);
        }
    }
    for number in 0..SystemRegister::COUNT {
        let special = [
            SystemRegister::SCTLR_EL1,
            SystemRegister::VBAR_EL1,
            SystemRegister::MDSCR_EL1,
            SystemRegister::CNTV_CTL_EL0,
            SystemRegister::CNTP_CTL_EL0,
        ];
        if !special.iter().any(|register| *register as usize == number) {
            action(registers.system_mut(number), 500 + number);
        }
    }
}

const fn breakpoint(kind: u8) -> SystemEncoding {
    SystemEncoding::new(2, 0, 0, 1, 4 + kind)
}

/// Fills everything, exits, and looks at everything, again and again.
async fn live(guest: Guest, rec: u64, flags: u64) {
    let has_pmu = flags & realm_flags::PMU != 0;
    let has_sve = flags & realm_flags::SVE != 0;
    let vectors = || {
        let areas = if has_sve { 0..3 } else { 0..1 };
        areas.flat_map(|area| [0, 1, 31, 63].map(|word| (area, word)))
    };
    let kind = if has_sve {
        VectorUse::Sve
    } else {
        VectorUse::Simd
    };
    // Every second REC has the OS lock set, as a CPU starts.
    guest
        .write_system(SystemEncoding::new(2, 0, 1, 0, 4), rec % 2)
        .await;
    for round in 0.. {
        let is_lazy = round % 3 == 2;
        if !is_lazy {
            for (area, word) in vectors() {
                let value = value(rec, round, 1000 * (area + 1) + word);
                let write = Instruction::WriteVector(kind, area, word, value);
                guest.finished(write).await;
            }
            for register in 0..4 {
                let value = value(rec, round, 900 + usize::from(register)) & !1;
                guest.write_system(breakpoint(register), value).await;
            }
        }
        guest.registers(|registers| {
            each(registers, has_pmu, |word, place| {
                *word = value(rec, round, place);
            });
        });
        let exit = match round % 7 {
            0 => Instruction::Interruption(ExceptionKind::Irq, 0),
            1 => Instruction::Interruption(ExceptionKind::Fiq, 0),
            2 => Instruction::Interruption(ExceptionKind::SError, 0x2f << 26 | 0x1811),
            3 => Instruction::Wait(WaitFor::Interrupt),
            4 => Instruction::Wait(WaitFor::EventUntil(3)),
            5 => Instruction::Access(MemoryAccess::store(1 << 39, 8)),
            _ => Instruction::WriteSystem(SystemEncoding::new(3, 0, 12, 11, 5), 4),
        };
        guest.finished(exit).await;
        guest.registers(|registers| {
            each(registers, has_pmu, |word, place| {
                assert_eq!(*word, value(rec, round, place), "REC {rec}, {place}");
            });
        });
        if !is_lazy {
            for (area, word) in vectors() {
                let read = Instruction::ReadVector(kind, area, word);
                let expected = value(rec, round, 1000 * (area + 1) + word);
                assert_eq!(guest.finished(read).await, expected);
            }
            for register in 0..4 {
                let expected = value(rec, round, 900 + usize::from(register)) & !1;
                let found = guest.read_system(breakpoint(register)).await;
                assert_eq!(found, expected);
            }
        }
    }
}

#[test]
fn nobody_sees_what_is_anothers() {
    const REALMS: u64 = 4;
    const RECS_OF_A_REALM: u64 = 4;
    const GRANULES: u64 = 32 + REALMS * RECS_OF_A_REALM * (1 + AUX_GRANULES as u64);
    let memory = Memory::new(&[(0x8000_0000, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm).quick();
    let run = bench.host_granule();
    let mut recs = Vec::new();
    for (vmid, flags) in [
        (1, realm_flags::SVE | realm_flags::PMU),
        (2, realm_flags::PMU),
        (3, realm_flags::SVE),
        (4, 0),
    ] {
        let mut params = realm_params(40, 1, 2);
        params.vmid = vmid;
        params.flags = flags;
        params.sve_vl = 3;
        params.pmu_num_ctrs = 6;
        let rd = bench.realm(&params);
        for _ in 0..RECS_OF_A_REALM {
            let rec = bench.rec(rd, true);
            let number = recs.len() as u64 + 1;
            bench.program(rec, move |guest| live(guest, number, flags));
            recs.push((rec, RecEnter::default()));
        }
        bench.succeed(fid::REALM_ACTIVATE, &[rd]);
    }
    let mut random = 0x1234_5678_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 20).unwrap() % below
    };
    let mut seen = [0; 7];
    for _ in 0..4000 {
        if next(3) == 0 {
            bench.move_to(next(4));
        }
        let chosen = next(recs.len());
        let (rec, enter) = &mut recs[chosen];
        enter.flags |= TRAP_WFI | TRAP_WFE;
        let exit = bench.enter(*rec, run, enter);
        seen[usize::from(exit.exit_reason)] += 1;
        *enter = RecEnter::default();
        if exit.exit_reason == ExitReason::Sync as u8 && exit.esr >> 26 == 0x24 {
            enter.flags = EMULATED_MMIO;
        }
    }
    for reason in [
        ExitReason::Sync,
        ExitReason::Irq,
        ExitReason::Fiq,
        ExitReason::SError,
    ] {
        assert!(seen[reason as usize] > 100, "{seen:?}");
    }
}
