//! PSCI as a Realm calls it (reference, section 8.9).
#![allow(missing_docs)]

use fake_machine::{Guest, Instruction, Scene, assert_exit, exit};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{ExitReason, RecEnter, RecExit};
use rmm_abi::smc::psci;

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
