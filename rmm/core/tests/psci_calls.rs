//! PSCI as a Realm calls it, and `RMI_PSCI_COMPLETE` (reference, sections 3.12 and 8.9).
#![allow(missing_docs)]

use fake_machine::{Guest, Instruction, Scene, assert_exit, exit, realm_params};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{ExitReason, RecEnter, RecExit};
use rmm_abi::smc::psci;
use rmm_core::rec::layout::SystemRegister;

const ERROR_INPUT: u64 = 1;
const DENIED: u64 = psci::DENIED.cast_unsigned();

fn irq(scene: &mut Scene<'_>) {
    assert_exit(&scene.enter(), &exit(ExitReason::Irq));
}

/// Makes a call with values in all registers, and gives X0 as a signed value. X1 to X3 must be zero
/// and the others as they were.
async fn call(guest: &Guest, arguments: &[u64]) -> i64 {
    let before: [u64; 31] = std::array::from_fn(|number| {
        let argument = arguments.get(number).copied();
        argument.unwrap_or(0x7700 + number as u64)
    });
    guest.registers(|registers| registers.general = before);
    let here = guest.program_counter();
    guest.finished(Instruction::Smc(0)).await;
    let after = guest.registers(|registers| registers.general);
    assert_eq!(after[1..4], [0; 3], "{arguments:x?}");
    assert_eq!(after[4..], before[4..], "{arguments:x?}");
    assert_eq!(guest.program_counter(), here + 4);
    after[0].cast_signed()
}

fn told(registers: [u64; 4]) -> RecExit {
    let mut expected = exit(ExitReason::Psci);
    expected.gprs[..4].copy_from_slice(&registers);
    expected
}

#[test]
fn calls_that_stay_inside() {
    Scene::play(2, |scene| {
        scene.program(|guest| async move {
            assert_eq!(call(&guest, &[psci::VERSION]).await, 0x1_0001);
            for known in [
                0x8400_0000,
                0x8400_0001,
                0xc400_0001,
                0x8400_0002,
                0x8400_0003,
                0xc400_0003,
                0x8400_0004,
                0xc400_0004,
                0x8400_0008,
                0x8400_0009,
                0x8400_000a,
                0x8000_0000,
            ] {
                let answer = call(&guest, &[psci::FEATURES, known]).await;
                assert_eq!(answer, psci::SUCCESS, "{known:#x}");
            }
            for unknown in [
                0x8400_0005,
                0xc400_0005,
                0xc400_0002,
                0xc400_0008,
                0x8400_000b,
                0xc400_000e,
                0xc400_0012,
                0x8400_001f,
                0xc400_0190,
                0x8000_0001,
                0,
                u64::MAX,
            ] {
                let answer = call(&guest, &[psci::FEATURES, unknown]).await;
                assert_eq!(answer, psci::NOT_SUPPORTED, "{unknown:#x}");
            }
            for unknown in (0x05..0x20).filter(|number| !(8..=10).contains(number)) {
                for base in [0x8400_0000, 0xc400_0000] {
                    let answer = call(&guest, &[base + unknown]).await;
                    assert_eq!(answer, psci::NOT_SUPPORTED, "{base:#x} {unknown:#x}");
                }
            }
            // Functions without a 64-bit variant.
            for unknown in [
                0xc400_0000,
                0xc400_0002,
                0xc400_0008,
                0xc400_0009,
                0xc400_000a,
            ] {
                let answer = call(&guest, &[unknown]).await;
                assert_eq!(answer, psci::NOT_SUPPORTED, "{unknown:#x}");
            }
            // The hint about SVE.
            assert_eq!(call(&guest, &[psci::VERSION | 1 << 16]).await, 0x1_0001);
        });
        irq(scene);
    });
}

#[test]
fn suspend() {
    for (function, arguments) in [
        (psci::CPU_SUSPEND, [1 << 32 | 1, 1 << 33 | 2, 1 << 34 | 3]),
        (psci::CPU_SUSPEND_32, [1, 2, 3]),
    ] {
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                let all = [1 << 32 | 1, 1 << 33 | 2, 1 << 34 | 3];
                let [power, entry, context] = all;
                let answer = call(&guest, &[function, power, entry, context]).await;
                assert_eq!(answer, psci::SUCCESS);
            });
            let [power, entry, context] = arguments;
            assert_exit(&scene.enter(), &told([function, power, entry, context]));
            irq(scene);
        });
    }
}

#[test]
fn off() {
    for function in [psci::CPU_OFF, psci::SYSTEM_OFF, psci::SYSTEM_RESET] {
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                guest.registers(|registers| registers.general = [0x99; 31]);
                guest.set_general(0, function);
                guest.finished(Instruction::Smc(0)).await;
                unreachable!("it is off");
            });
            assert_exit(&scene.enter(), &told([function, 0, 0, 0]));
            let code = if function == psci::CPU_OFF { 3 } else { 0x102 };
            scene.refuse(code, 0, "off");
        });
    }
}

/// Arguments that the RMM refuses by itself.
#[test]
fn wrong_arguments() {
    Scene::play(2, |scene| {
        scene.program(|guest| async move {
            for function in [psci::CPU_ON, psci::CPU_ON_32] {
                for (target, answer) in [
                    (0, psci::ALREADY_ON),
                    (2, psci::INVALID_PARAMETERS),
                    (0x10, psci::INVALID_PARAMETERS),
                    (0x100, psci::INVALID_PARAMETERS),
                    (1 << 24, psci::INVALID_PARAMETERS),
                    (1 << 31, psci::INVALID_PARAMETERS),
                ] {
                    let found = call(&guest, &[function, target, 0x2000, 0]).await;
                    assert_eq!(found, answer, "{target:#x}");
                }
            }
            for (target, answer) in [
                (1 << 32, psci::INVALID_PARAMETERS),
                (1 << 40, psci::INVALID_PARAMETERS),
                (1 << 40 | 1, psci::INVALID_PARAMETERS),
                (u64::MAX, psci::INVALID_PARAMETERS),
            ] {
                let found = call(&guest, &[psci::CPU_ON, target, 0x2000, 0]).await;
                assert_eq!(found, answer, "{target:#x}");
            }
            for entry in [Scene::SHARED, Scene::BEYOND, u64::MAX, 1 << 63 | 0x2000] {
                let found = call(&guest, &[psci::CPU_ON, 1, entry, 0]).await;
                assert_eq!(found, psci::INVALID_ADDRESS, "{entry:#x}");
            }
            for function in [psci::AFFINITY_INFO, psci::AFFINITY_INFO_32] {
                for (target, level, answer) in [
                    (0, 0, psci::SUCCESS),
                    (2, 0, psci::INVALID_PARAMETERS),
                    (0x10, 0, psci::INVALID_PARAMETERS),
                    (1, 1, psci::INVALID_PARAMETERS),
                    (0, 3, psci::INVALID_PARAMETERS),
                    (1, 0xffff_ffff, psci::INVALID_PARAMETERS),
                ] {
                    let found = call(&guest, &[function, target, level]).await;
                    assert_eq!(found, answer, "{target:#x} {level}");
                }
            }
        });
        irq(scene);
    });
}

/// 32-bit functions take 32 bits of their arguments.
#[test]
fn upper_halves() {
    const UPPER: u64 = 0xdead_beef << 32;
    Scene::play(2, |scene| {
        scene.program(|guest| async move {
            let arguments = [psci::CPU_ON_32, UPPER | 1, UPPER | 0x2000, UPPER | 7];
            assert_eq!(call(&guest, &arguments).await, psci::SUCCESS);
        });
        assert_exit(&scene.enter(), &told([psci::CPU_ON_32, 1, 0x2000, 7]));
        let (recs, run) = (scene.recs.clone(), scene.run);
        let complete = [recs[0], recs[1], 0];
        scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
        scene.bench.program(recs[1], |guest| async move {
            assert_eq!(guest.program_counter(), 0x2000);
            assert_eq!(guest.general(0), 7);
        });
        let seen = scene.bench.enter(recs[1], run, &RecEnter::default());
        assert_exit(&seen, &exit(ExitReason::Irq));
        irq(scene);
    });
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
                        assert_eq!(debug, 1 << 12);
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
