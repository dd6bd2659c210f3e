//! Registers that are switched only when a Realm needs them: vectors, breakpoints and watchpoints,
//! performance monitor.
#![allow(missing_docs)]

use fake_machine::{
    Guest, Instruction, Scene, SystemEncoding, VectorUse, assert_exit, exit, realm_params,
};
use rmm_abi::rmi::run::{ExitReason, RecEnter};
use rmm_abi::rmi::{RealmParams, fid, realm_flags};
use rmm_core::rec::layout::SystemRegister;

const OSLAR: SystemEncoding = SystemEncoding::new(2, 0, 1, 0, 4);
const OSLSR: SystemEncoding = SystemEncoding::new(2, 0, 1, 1, 4);
const MDSCR: SystemEncoding = SystemEncoding::new(2, 0, 0, 2, 2);
const LOCKED: u64 = 0b1010;
const UNLOCKED: u64 = 0b1000;
const UNDEFINED: u64 = 1 << 25;

fn irq(scene: &mut Scene<'_>) {
    assert_exit(&scene.enter(), &exit(ExitReason::Irq));
}

fn with_flags(flags: u64) -> RealmParams {
    let mut params = realm_params(40, 1, 2);
    params.flags = flags;
    params.sve_vl = 3;
    params.pmu_num_ctrs = 4;
    params
}

/// Runs programs of two RECs of a Realm in turn.
fn in_turn<R>(flags: u64, rounds: usize, program: impl Fn(Guest, u64) -> R + Copy)
where
    R: Future<Output = ()> + Send + 'static,
{
    Scene::with_params(&with_flags(flags), 2, |scene| {
        let (recs, run) = (scene.recs.clone(), scene.run);
        scene.program(|guest| async move {
            guest.smc(&[0xc400_0003, 1, 0x2000, 0]).await;
        });
        scene.enter();
        let complete = [recs[0], recs[1], 0];
        scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
        for (number, &rec) in (1..).zip(&recs) {
            scene.bench.program(rec, |guest| program(guest, number));
        }
        for _ in 0..rounds {
            for &rec in &recs {
                let seen = scene.bench.enter(rec, run, &RecEnter::default());
                assert_exit(&seen, &exit(ExitReason::Irq));
            }
        }
    });
}

#[test]
fn vectors_without_sve() {
    in_turn(0, 4, |guest, number| async move {
        for round in 0..3 {
            for word in 0..64 {
                let before = if round == 0 {
                    0
                } else {
                    number << 32 | (round - 1) << 16 | word as u64
                };
                assert_eq!(guest.vector(word).await, before);
                let after = number << 32 | round << 16 | word as u64;
                guest.set_vector(word, after).await;
            }
            // The longer registers of SVE and the predicates are not this Realm's.
            for (area, word) in [(0, 64), (1, 0), (2, 0)] {
                let read = Instruction::ReadVector(VectorUse::Sve, area, word);
                assert_eq!(guest.refused(read).await.syndrome, UNDEFINED);
                guest.return_from_exception();
                let hidden = Instruction::ReadVector(VectorUse::Simd, area, word);
                assert_eq!(guest.finished(hidden).await, 0);
            }
            guest.interrupt().await;
        }
    });
}

#[test]
fn vectors_with_sve() {
    in_turn(realm_flags::SVE, 4, |guest, number| async move {
        for round in 0..3_u64 {
            for area in 0..3 {
                for word in [0, 63, 64, 511] {
                    let value = number << 48 | (area as u64) << 40 | word as u64;
                    let read = Instruction::ReadVector(VectorUse::Sve, area, word);
                    let before = if round == 0 {
                        0
                    } else {
                        value + (round << 32) - (1 << 32)
                    };
                    assert_eq!(guest.finished(read).await, before);
                    let value = value + (round << 32);
                    let write = Instruction::WriteVector(VectorUse::Sve, area, word, value);
                    guest.finished(write).await;
                    let short = Instruction::ReadVector(VectorUse::Simd, area, word);
                    assert_eq!(guest.finished(short).await, value);
                }
            }
            guest.interrupt().await;
        }
    });
}

/// A Realm may come to the RMM for SIMD although it has it: then something else is wrong with it.
#[test]
fn a_trap_that_should_not_be() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            guest.set_vector(0, 5).await;
            let trap = Instruction::Synchronous(0x07 << 26, 0, 0);
            assert_eq!(guest.refused(trap).await.syndrome, UNDEFINED);
            assert_eq!(guest.vector(0).await, 5);
        });
        irq(scene);
    });
}

/// SME is never there, whatever else is.
#[test]
fn no_sme() {
    Scene::with_params(&with_flags(realm_flags::SVE), 1, |scene| {
        scene.program(|guest| async move {
            let sme = Instruction::ReadVector(VectorUse::Sme, 0, 0);
            assert_eq!(guest.refused(sme).await.syndrome, UNDEFINED);
        });
        irq(scene);
    });
}

/// Exits of other kinds take the vector registers along as well.
#[test]
fn vectors_over_every_kind_of_exit() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            guest.set_vector(9, 0x99).await;
            guest.smc(&[0xc400_0199, 0x1000]).await;
            assert_eq!(guest.vector(9).await, 0x99);
            guest.smc(&[0xc400_0197, 0x1000, 0x2000, 1, 0]).await;
            assert_eq!(guest.vector(9).await, 0x99);
            guest.smc(&[0xc400_0001, 0, 0, 0]).await;
            assert_eq!(guest.vector(9).await, 0x99);
            guest.load(Scene::UNASSIGNED, 8).await;
        });
        for reason in [
            ExitReason::HostCall,
            ExitReason::RipasChange,
            ExitReason::Psci,
            ExitReason::Sync,
        ] {
            assert_eq!(scene.enter().exit_reason, reason as u8);
        }
    });
}

const fn debug_register(number: u8, kind: u8) -> SystemEncoding {
    SystemEncoding::new(2, 0, 0, number, 4 + kind)
}

#[test]
fn breakpoints_and_watchpoints() {
    in_turn(0, 4, |guest, rec| async move {
        for round in 0..3 {
            for number in 0..2 {
                for kind in 0..4 {
                    let register = debug_register(number, kind);
                    // Not enabled in the first round: enable bits are bit 0 of odd kinds.
                    let value = rec << 32 | u64::from(number) << 16 | u64::from(kind) << 8;
                    let before = match round {
                        0 => 0,
                        round => value | (round - 1) << 1,
                    };
                    assert_eq!(guest.read_system(register).await, before);
                    guest.write_system(register, value | round << 1).await;
                    assert_eq!(guest.read_system(register).await, value | round << 1);
                }
            }
            guest.interrupt().await;
        }
    });
}

/// As long as no breakpoint is enabled the host's stay in the CPU. Once one is, it must be there
/// from the first instruction on.
#[test]
fn enabled_breakpoints_are_there_at_once() {
    for kind in [1, 3] {
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                let control = debug_register(0, kind);
                let is_there = || guest.registers(|registers| registers.has_debug);
                guest.write_system(OSLAR, 0).await;
                assert!(!is_there());
                guest.write_system(control, 0xe).await;
                assert!(is_there());
                guest.interrupt().await;
                assert!(!is_there());
                guest.write_system(control, 0xf).await;
                guest.interrupt().await;
                assert!(is_there());
                assert_eq!(guest.read_system(control).await, 0xf);
                guest.interrupt().await;
                // It stays enabled when it is not touched.
                assert!(is_there());
                guest.write_system(control, 0).await;
                guest.interrupt().await;
                assert!(!is_there());
            });
            for _ in 0..5 {
                irq(scene);
            }
        });
    }
}

/// Software step and breakpoints that are allowed, though none is enabled: the host's are not to be met.
#[test]
fn debug_exceptions_that_may_come_are_the_realms() {
    const MDE: u64 = 1 << 15;
    const SS: u64 = 1 << 0;
    for control in [MDE, SS] {
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                let is_there = || guest.registers(|registers| registers.has_debug);
                guest.write_system(OSLAR, 0).await;
                guest.write_system(MDSCR, control).await;
                guest.interrupt().await;
                assert!(is_there(), "at once");
                guest.write_system(MDSCR, 0).await;
                guest.interrupt().await;
                assert!(!is_there());
            });
            for _ in 0..3 {
                irq(scene);
            }
        });
    }
}

/// While the OS lock is set the CPU has nothing of the Realm's that could cause a debug exception, and
/// the Realm finds what it has left.
#[test]
fn the_os_lock() {
    const MDE: u64 = 1 << 15;
    /// With what would halt the CPU in the host's hands: HDE, `INTdis`, `TXfull`.
    const TOO_MUCH: u64 = MDE | 1 << 14 | 0b11 << 22 | 1 << 29;
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            let is_there = || guest.registers(|registers| registers.has_debug);
            let in_cpu =
                || guest.registers(|registers| registers.system(SystemRegister::MDSCR_EL1));
            let (value, control) = (debug_register(1, 0), debug_register(1, 1));
            // A CPU starts locked.
            assert_eq!(guest.read_system(OSLSR).await, LOCKED);
            guest.write_system(value, 0x1234).await;
            guest.write_system(control, 1).await;
            guest.write_system(MDSCR, TOO_MUCH).await;
            for _ in 0..2 {
                assert_eq!(guest.read_system(value).await, 0x1234);
                assert_eq!(guest.read_system(control).await, 1);
                assert_eq!(guest.read_system(MDSCR).await, MDE);
                assert!(!is_there());
                assert_eq!(in_cpu(), 0);
                guest.interrupt().await;
            }
            guest.write_system(OSLAR, 0xf0).await;
            assert_eq!(guest.read_system(OSLSR).await, UNLOCKED);
            assert!(is_there(), "enabled, and now heard");
            assert_eq!(in_cpu(), MDE);
            assert_eq!(guest.read_system(value).await, 0x1234);
            guest.interrupt().await;
            assert!(is_there());
            guest.write_system(OSLAR, 1).await;
            guest.write_system(OSLAR, 1).await;
            assert_eq!(guest.read_system(OSLSR).await, LOCKED);
            assert!(!is_there());
            assert_eq!(in_cpu(), 0);
            assert_eq!(guest.read_system(MDSCR).await, MDE);
            guest.write_system(control, 0).await;
            guest.write_system(MDSCR, 0).await;
            guest.write_system(OSLAR, 0).await;
            // That one was enabled once is noticed when they next leave the CPU.
            guest.interrupt().await;
            guest.interrupt().await;
            assert!(!is_there());
        });
        for _ in 0..6 {
            irq(scene);
        }
    });
}

/// `MDSCR_EL1` is always the Realm's, but a Realm that uses it is about to use the others. An access
/// that traps although they are there reads as zero.
#[test]
fn debug_control() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            let is_there = || guest.registers(|registers| registers.has_debug);
            guest.write_system(OSLAR, 0).await;
            let trap = |is_read| {
                let syndrome = 0x18 << 26 | 1 << 25 | MDSCR.syndrome(4, is_read);
                Instruction::Synchronous(syndrome, 0, 0)
            };
            guest.set_general(4, 0x44);
            guest.finished(trap(false)).await;
            assert!(is_there());
            guest.finished(trap(true)).await;
            assert_eq!(guest.general(4), 0);
        });
        irq(scene);
    });
}

const PMCR: SystemEncoding = SystemEncoding::new(3, 3, 9, 12, 0);
const PMCNTENSET: SystemEncoding = SystemEncoding::new(3, 3, 9, 12, 1);
const PMINTENSET: SystemEncoding = SystemEncoding::new(3, 0, 9, 14, 1);
const PMOVSSET: SystemEncoding = SystemEncoding::new(3, 3, 9, 14, 3);

#[test]
fn the_performance_monitor() {
    in_turn(realm_flags::PMU, 4, |guest, rec| async move {
        // LC and DP after reset.
        assert_eq!(guest.read_system(PMCR).await, 0x60);
        for round in 0..3 {
            for (offset, register) in (0..).zip([PMCR, PMCNTENSET, PMINTENSET]) {
                guest
                    .write_system(register, rec << 32 | round << 16 | offset << 1)
                    .await;
            }
            guest.interrupt().await;
            for (offset, register) in (0..).zip([PMCR, PMCNTENSET, PMINTENSET]) {
                let value = guest.read_system(register).await;
                assert_eq!(value, rec << 32 | round << 16 | offset << 1);
            }
        }
    });
}

/// The host learns of a counter that has overflowed and would interrupt, on every exit.
#[test]
fn overflow() {
    for (control, enabled, interrupts, overflows, told) in [
        (1, 0b100, 0b100, 0b100, 1),
        (1, 1 << 31, 1 << 31, 1 << 31, 1),
        (1, 0b011, 0b110, 0b111, 1),
        (0, 0b100, 0b100, 0b100, 0),
        (1, 0b001, 0b100, 0b100, 0),
        (1, 0b100, 0b001, 0b100, 0),
        (1, 0b100, 0b100, 0b001, 0),
    ] {
        Scene::with_params(&with_flags(realm_flags::PMU), 1, |scene| {
            scene.program(move |guest| async move {
                guest.write_system(PMCR, control).await;
                guest.write_system(PMCNTENSET, enabled).await;
                guest.write_system(PMINTENSET, interrupts).await;
                guest.write_system(PMOVSSET, overflows).await;
                guest.interrupt().await;
                guest.smc(&[0x8400_0002]).await;
            });
            let mut expected = exit(ExitReason::Irq);
            expected.pmu_ovf_status = told;
            assert_exit(&scene.enter(), &expected);
            expected.exit_reason = ExitReason::Psci as u8;
            expected.gprs[0] = 0x8400_0002;
            assert_exit(&scene.enter(), &expected);
        });
    }
}
