//! `RMI_PSCI_COMPLETE`: the host answers for a REC that another has named (reference, section 3.12).
#![allow(missing_docs)]

use fake_machine::{Guest, Instruction, Scene, SystemEncoding, assert_exit, exit, realm_params};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{ExitReason, RecEnter, RecExit};
use rmm_abi::smc::psci;
use rmm_core::machine::ExceptionKind;
use rmm_core::rec::layout::SystemRegister;

const ERROR_INPUT: u64 = 1;
const DENIED: u64 = psci::DENIED.cast_unsigned();

fn irq(scene: &mut Scene<'_>) {
    assert_exit(&scene.enter(), &exit(ExitReason::Irq));
}

/// X0 of a call, as a signed value. X1 to X3 must be zero.
async fn call(guest: &Guest, arguments: &[u64]) -> i64 {
    let [answer, rest @ ..] = guest.call(arguments).await;
    assert_eq!(rest, [0; 3], "{arguments:x?}");
    answer.cast_signed()
}

fn told(registers: [u64; 4]) -> RecExit {
    let mut expected = exit(ExitReason::Psci);
    expected.gprs[..4].copy_from_slice(&registers);
    expected
}

#[test]
fn switching_a_rec_on() {
    for (status, answer) in [(0, psci::SUCCESS), (DENIED, psci::DENIED)] {
        Scene::play(2, |scene| {
            let (recs, run) = (scene.recs.clone(), scene.run);
            scene.program(move |guest| async move {
                let control = guest.system(SystemRegister::SCTLR_EL1);
                guest.set_system(SystemRegister::SCTLR_EL1, control | 1 << 25);
                let arguments = [psci::CPU_ON, 1, 0x2000, 0xc0];
                assert_eq!(call(&guest, &arguments).await, answer);
                // Once more.
                let answer = if answer == psci::SUCCESS {
                    psci::ALREADY_ON
                } else {
                    psci::SUCCESS
                };
                assert_eq!(call(&guest, &arguments).await, answer);
            });
            assert_exit(&scene.enter(), &told([psci::CPU_ON, 1, 0x2000, 0xc0]));
            let complete = [recs[0], recs[1], status];
            scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
            let enter = RecEnter::default();
            if status == 0 {
                scene.bench.program(recs[1], |guest| async move {
                    guest.registers(|registers| {
                        let mut general = [0; 31];
                        general[0] = 0xc0;
                        assert_eq!(registers.general, general);
                        assert_eq!(registers.stack_pointer, 0);
                        assert_eq!(registers.program_counter, 0x2000);
                        assert_eq!(registers.processor_state, 0x3c5);
                        let control = registers.system(SystemRegister::SCTLR_EL1);
                        assert_eq!(control, 0xc5_0878 | 1 << 25);
                        let debug = registers.system(SystemRegister::MDSCR_EL1);
                        assert_eq!(debug, 0, "the OS lock is set");
                    });
                });
                let seen = scene.bench.enter(recs[1], run, &enter);
                assert_exit(&seen, &exit(ExitReason::Irq));
            } else {
                let why = "it was denied";
                scene.bench.refuse_entry(3, recs[1], run, &enter, why);
            }
            assert_exit(&scene.enter(), &told([psci::CPU_ON, 1, 0x2000, 0xc0]));
            let complete = [recs[0], recs[1], 0];
            if status == 0 {
                let denied = [recs[0], recs[1], DENIED];
                let why = "it is on";
                scene
                    .bench
                    .fail(ERROR_INPUT, fid::PSCI_COMPLETE, &denied, why);
            }
            scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
            irq(scene);
        });
    }
}

/// Off and on again: it begins anew, and nothing of its registers is left.
#[test]
fn a_rec_that_was_off() {
    Scene::play(2, |scene| {
        let (recs, run) = (scene.recs.clone(), scene.run);
        let enter = RecEnter::default();
        let complete = [recs[0], recs[1], 0];
        scene.program(|guest| async move {
            for _ in 0..2 {
                let on = call(&guest, &[psci::CPU_ON, 1, 0x2000, 5]).await;
                assert_eq!(on, psci::SUCCESS);
                let info = call(&guest, &[psci::AFFINITY_INFO, 1, 0]).await;
                assert_eq!(info, psci::SUCCESS, "on");
                let info = call(&guest, &[psci::AFFINITY_INFO, 1, 0]).await;
                assert_eq!(info, psci::AFFINITY_OFF);
            }
        });
        for _ in 0..2 {
            scene.enter();
            scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
            assert_exit(&scene.enter(), &told([psci::AFFINITY_INFO, 1, 0, 0x7703]));
            scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
            scene.bench.program(recs[1], |guest| async move {
                assert_eq!(guest.general(0), 5);
                guest.registers(|registers| {
                    assert_eq!(registers.general[1..], [0; 30]);
                    assert_eq!(registers.system(SystemRegister::TPIDR_EL0), 0);
                    assert_eq!(registers.system(SystemRegister::APIAKeyLo_EL1), 0);
                    registers.general = [0x99; 31];
                    for register in [SystemRegister::TPIDR_EL0, SystemRegister::APIAKeyLo_EL1] {
                        registers.set_system(register, 0x99);
                    }
                });
                guest.smc(&[psci::CPU_OFF]).await;
            });
            let seen = scene.bench.enter(recs[1], run, &enter);
            assert_exit(&seen, &told([psci::CPU_OFF, 0, 0, 0]));
            let seen = scene.enter();
            assert_exit(&seen, &told([psci::AFFINITY_INFO, 1, 0, 0x7703]));
            scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
        }
        irq(scene);
    });
}

/// What of `RMI_PSCI_COMPLETE` is refused, and then it still works.
#[test]
fn completions_that_are_refused() {
    for (function, more_statuses) in [
        (psci::CPU_ON, &[][..]),
        (psci::AFFINITY_INFO, &[psci::DENIED][..]),
    ] {
        Scene::play(3, |scene| {
            let mut params = realm_params(40, 1, 2);
            params.vmid = 9;
            let other_realm = scene.bench.realm(&params);
            scene.bench.rec(other_realm, true);
            let stranger = scene.bench.rec(other_realm, true);
            let [calling, target, third] = scene.recs[..] else {
                unreachable!("three RECs")
            };
            let (rd, run) = (scene.rd, scene.run);
            let fail = |scene: &mut Scene<'_>, calling, target, status: i64, why| {
                let arguments = [calling, target, status.cast_unsigned()];
                scene
                    .bench
                    .fail(ERROR_INPUT, fid::PSCI_COMPLETE, &arguments, why);
            };
            fail(scene, calling, target, 0, "nothing is pending");
            scene.program(move |guest| async move {
                call(&guest, &[function, 1, 0, 0]).await;
            });
            scene.enter();
            fail(scene, calling, calling, 0, "itself");
            fail(scene, calling, third, 0, "another REC");
            fail(scene, calling, stranger, 0, "a REC of another Realm");
            fail(scene, target, calling, 0, "the wrong way round");
            for wrong in [target + 8, rd, run, 0x7f_0000_0000, u64::MAX - 0xfff] {
                fail(scene, wrong, target, 0, "calling is no REC");
                fail(scene, calling, wrong, 0, "target is no REC");
            }
            for status in [1, 2, -1, -2, -4, -5, -6, -7, -8, -9, i64::MIN, 0xffff_fffd]
                .iter()
                .chain(more_statuses)
            {
                fail(scene, calling, target, *status, "a status");
            }
            scene.refuse(3, 0, "still pending");
            let complete = [calling, target, 0];
            scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
            fail(scene, calling, target, 0, "not any more");
            irq(scene);
        });
    }
}

/// A REC that runs on another CPU is on.
#[test]
fn a_target_that_runs() {
    let mut scene = Scene::forever(2);
    let (memory, rmm) = (scene.bench.memory(), scene.bench.rmm());
    let (recs, run) = (scene.recs.clone(), scene.run);
    let (calling, target) = (recs[0], recs[1]);
    scene.program(|guest| async move {
        let on = [psci::CPU_ON, 1, 0x2000, 0];
        assert_eq!(call(&guest, &on).await, psci::SUCCESS);
        assert_eq!(call(&guest, &on).await, psci::ALREADY_ON);
        let info = [psci::AFFINITY_INFO, 1, 0];
        assert_eq!(call(&guest, &info).await, psci::SUCCESS);
    });
    scene.enter();
    scene
        .bench
        .succeed(fid::PSCI_COMPLETE, &[calling, target, 0]);
    for _ in 0..2 {
        assert_eq!(scene.enter().exit_reason, ExitReason::Psci as u8);
        scene.bench.program(target, move |_guest| async move {
            let other = memory.cpu(1);
            let complete = |status: i64| {
                let call = [
                    fid::PSCI_COMPLETE,
                    calling,
                    target,
                    status.cast_unsigned(),
                    0,
                    0,
                    0,
                    0,
                ];
                other.call(rmm, &call)[0]
            };
            assert_eq!(complete(psci::DENIED), ERROR_INPUT);
            assert_eq!(complete(psci::SUCCESS), 0);
            assert_eq!(complete(psci::SUCCESS), ERROR_INPUT, "not pending any more");
        });
        assert_eq!(scene.bench.enter_unpredictably(target, run)[0], 0);
        // The model has not seen it.
        let complete = [fid::PSCI_COMPLETE, calling, target, 0, 0, 0, 0, 0];
        scene
            .bench
            .world_mut()
            .apply(&complete, &rmm_model::realm::NoHostMemory);
    }
    irq(&mut scene);
}

/// A REC that runs has no call pending, whatever its granule says.
#[test]
fn a_caller_that_runs() {
    let mut scene = Scene::forever(2);
    let (memory, rmm) = (scene.bench.memory(), scene.bench.rmm());
    let (calling, target) = (scene.recs[0], scene.recs[1]);
    scene.program(move |_guest| async move {
        let other = memory.cpu(1);
        let call = [fid::PSCI_COMPLETE, calling, target, 0, 0, 0, 0, 0];
        assert_eq!(other.call(rmm, &call)[0], ERROR_INPUT);
    });
    irq(&mut scene);
}

/// What was on its way to a REC when it switched itself off is gone, as with a CPU that is reset.
#[test]
fn what_is_left_of_a_rec_that_was_off() {
    const UNCONTAINED: u64 = 0x2f << 26 | 0x11;
    Scene::play(2, |scene| {
        let (recs, run) = (scene.recs.clone(), scene.run);
        let complete = [recs[0], recs[1], 0];
        scene.program(|guest| async move {
            for _ in 0..2 {
                guest.call(&[psci::CPU_ON, 1, 0x2000, 0]).await;
            }
        });
        scene.enter();
        scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
        scene.bench.program(recs[1], |guest| async move {
            const DBGBCR0: SystemEncoding = SystemEncoding::new(2, 0, 0, 0, 5);
            guest
                .write_system(SystemEncoding::new(2, 0, 1, 0, 4), 0)
                .await;
            guest.write_system(DBGBCR0, 1).await;
            let serror = Instruction::Interruption(ExceptionKind::SError, UNCONTAINED);
            guest.finished(serror).await;
            guest.registers(|registers| assert!(registers.serror_pending));
            guest.smc(&[psci::CPU_OFF]).await;
        });
        for reason in [ExitReason::SError, ExitReason::Psci] {
            let seen = scene.bench.enter(recs[1], run, &RecEnter::default());
            assert_eq!(seen.exit_reason, reason as u8);
        }
        scene.enter();
        scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
        scene.bench.program(recs[1], |guest| async move {
            guest.registers(|registers| {
                assert!(!registers.serror_pending);
                assert!(!registers.has_debug, "no breakpoint is enabled");
            });
        });
        let seen = scene.bench.enter(recs[1], run, &RecEnter::default());
        assert_exit(&seen, &exit(ExitReason::Irq));
    });
}
