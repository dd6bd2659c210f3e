//! `RMI_REC_ENTER`: every reason to refuse, by its code, and which one is given when there are
//! several. A refused entry changes nothing (the bench compares everything).
#![allow(missing_docs)]

use fake_machine::{Instruction, MemoryAccess, PAGE, Scene, assert_exit, exit, realm_params};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::enter_flags::{EMULATED_MMIO, INJECT_SEA};
use rmm_abi::rmi::run::{ExitReason, RecEnter};

const ERROR_INPUT: u64 = 1;
const REALM_IS_NEW: u64 = 2;
const REALM_IS_OFF: u64 = 0x102;
const ERROR_REC: u64 = 3;

const CPU_OFF: u64 = 0x8400_0002;
const SYSTEM_OFF: u64 = 0x8400_0008;
const CPU_ON: u64 = 0xc400_0003;

fn wrong_gic() -> RecEnter {
    let mut enter = RecEnter::default();
    enter.gicv3_hcr = 1;
    enter
}

#[test]
fn granules_that_are_not_what_they_should_be() {
    Scene::play(1, |scene| {
        let (rec, run, rd) = (scene.rec(), scene.run, scene.rd);
        let bench = &mut scene.bench;
        let delegated = bench.delegated();
        let enter = |rec, run| [rec, run];
        for (wrong, why) in [
            (run + 8, "the run page is misaligned"),
            (0x7f_0000_0000, "the run page is no DRAM"),
            (u64::MAX - 0xfff, "the run page is no address"),
            (delegated, "the run page is delegated"),
            (rd, "the run page is a Realm descriptor"),
            (rec, "the run page is the REC"),
        ] {
            bench.fail(ERROR_INPUT, fid::REC_ENTER, &enter(rec, wrong), why);
        }
        for (wrong, why) in [
            (rec + 8, "the REC is misaligned"),
            (0x7f_0000_0000, "the REC is no DRAM"),
            (u64::MAX - 0xfff, "the REC is no address"),
            (delegated, "the REC is delegated"),
            (rd, "the REC is a Realm descriptor"),
            (run, "the REC is the host's"),
            (scene.memory[0], "the REC is memory of the Realm"),
        ] {
            bench.fail(ERROR_INPUT, fid::REC_ENTER, &enter(wrong, run), why);
        }
    });
}

#[test]
fn a_rec_of_a_realm_that_is_being_built() {
    Scene::play(1, |scene| {
        let mut params = realm_params(40, 1, 2);
        params.vmid = 7;
        let rd = scene.bench.realm(&params);
        let runnable = scene.bench.rec(rd, true);
        let other = scene.bench.rec(rd, false);
        let run = scene.run;
        for rec in [runnable, other] {
            let enter = RecEnter::default();
            let why = "the Realm is new";
            scene
                .bench
                .refuse_entry(REALM_IS_NEW, rec, run, &enter, why);
        }
    });
}

#[test]
fn a_rec_of_a_realm_that_is_off() {
    for function in [SYSTEM_OFF, SYSTEM_OFF + 1] {
        Scene::play(2, |scene| {
            scene.program(move |guest| async move {
                guest.smc(&[function]).await;
            });
            let mut expected = exit(ExitReason::Psci);
            expected.gprs[0] = function;
            assert_exit(&scene.enter(), &expected);
            let (recs, run) = (scene.recs.clone(), scene.run);
            for &rec in &recs {
                let enter = RecEnter::default();
                let why = "the Realm is off";
                scene
                    .bench
                    .refuse_entry(REALM_IS_OFF, rec, run, &enter, why);
            }
            // Nothing that builds a Realm is possible either.
            let rd = scene.rd;
            scene.bench.fail(2, fid::REALM_ACTIVATE, &[rd], "off");
        });
    }
}

#[test]
fn a_rec_that_is_not_runnable() {
    Scene::play(2, |scene| {
        scene.program(|guest| async move {
            guest.smc(&[CPU_OFF]).await;
        });
        let second = scene.recs[1];
        let run = scene.run;
        let enter = RecEnter::default();
        scene
            .bench
            .refuse_entry(ERROR_REC, second, run, &enter, "it never was on");
        scene.enter();
        scene.refuse(ERROR_REC, 0, "it has switched itself off");
    });
}

#[test]
fn a_rec_with_a_call_of_psci_pending() {
    for function in [CPU_ON, CPU_ON + 1] {
        Scene::play(2, |scene| {
            scene.program(move |guest| async move {
                guest.smc(&[function, 1, 0, 0]).await;
            });
            scene.enter();
            scene.refuse(ERROR_REC, 0, "the host has not completed the call");
            let complete = [scene.recs[0], scene.recs[1], 0];
            scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
            assert_exit(&scene.enter(), &exit(ExitReason::Irq));
        });
    }
}

#[test]
fn a_rec_that_runs() {
    let mut scene = Scene::forever(1);
    let (memory, rmm) = (scene.bench.memory(), scene.bench.rmm());
    let (rec, run, rd) = (scene.rec(), scene.bench.host_granule(), scene.rd);
    scene.program(move |_guest| async move {
        // Another CPU of the host, in the middle of the REC's run.
        let other = memory.cpu(1);
        let reply = |call: [u64; 8]| other.call(rmm, &call)[0];
        assert_eq!(reply([fid::REC_ENTER, rec, run, 0, 0, 0, 0, 0]), ERROR_REC);
        assert_eq!(reply([fid::REC_DESTROY, rec, 0, 0, 0, 0, 0, 0]), ERROR_REC);
        assert_eq!(
            reply([fid::RTT_SET_RIPAS, rd, rec, 0, PAGE, 0, 0, 0]),
            ERROR_REC
        );
        assert_eq!(reply([fid::REALM_DESTROY, rd, 0, 0, 0, 0, 0, 0]), 2);
    });
    assert_exit(&scene.enter(), &exit(ExitReason::Irq));
    assert_exit(&scene.enter(), &exit(ExitReason::Irq));
}

/// Whatever is wrong with an address comes first.
#[test]
fn order() {
    Scene::play(2, |scene| {
        scene.program(|guest| async move {
            guest.smc(&[SYSTEM_OFF]).await;
        });
        scene.enter();
        let (rec, run) = (scene.rec(), scene.run);
        scene.bench.prepare(run, &wrong_gic());
        let misaligned = [rec, run + 8];
        let why = "the run page before the Realm";
        scene
            .bench
            .fail(ERROR_INPUT, fid::REC_ENTER, &misaligned, why);
        let why = "the Realm, in any order with the REC";
        let reply = scene.bench.call(fid::REC_ENTER, &[rec, run]);
        assert!([REALM_IS_OFF, ERROR_REC].contains(&reply[0]), "{why}");
        let other = scene.recs[1];
        scene
            .bench
            .fail(ERROR_INPUT, fid::REC_ENTER, &[other + 1, run], "");
    });
    Scene::play(2, |scene| {
        let (other, run) = (scene.recs[1], scene.run);
        scene.bench.prepare(run, &wrong_gic());
        let delegated = scene.bench.delegated();
        let arguments = [other, delegated];
        scene
            .bench
            .fail(ERROR_INPUT, fid::REC_ENTER, &arguments, "before the REC");
    });
}

/// One thing after the other is wrong, and then nothing, and the Realm notices nothing of it.
#[test]
fn a_realm_notices_nothing_of_refused_entries() {
    Scene::play(2, |scene| {
        let target = scene.recs[1];
        scene.program(|guest| async move {
            guest.registers(|registers| {
                registers.general = std::array::from_fn(|number| 0x300 + number as u64);
            });
            let load = Instruction::Access(MemoryAccess::load(Scene::UNMAPPED, 8));
            guest.finished(load).await;
            guest.registers(|registers| {
                let mut expected = std::array::from_fn(|number| 0x300 + number as u64);
                expected[0] = 0x1234;
                assert_eq!(registers.general, expected);
            });
            let answer = guest.smc(&[CPU_ON + 1, 1, 0, 9, 10]).await;
            assert_eq!(answer[..5], [1, 0, 0, 0, 10]);
        });
        let (rec, run) = (scene.rec(), scene.run);
        let refuse = |scene: &mut Scene<'_>, enter: &RecEnter, why| {
            scene.bench.refuse_entry(ERROR_REC, rec, run, enter, why);
        };
        scene.refuse(ERROR_REC, EMULATED_MMIO, "nothing to emulate");
        scene.enter();
        refuse(scene, &wrong_gic(), "a bit of the RMM's");
        let mut wrong_list = RecEnter::default();
        wrong_list.flags = EMULATED_MMIO | INJECT_SEA;
        wrong_list.gicv3_lrs[1] = 0b101 << 61;
        refuse(scene, &wrong_list, "an interrupt of hardware");
        let mut answer = RecEnter::default();
        answer.flags = EMULATED_MMIO;
        answer.gprs[0] = 0x1234;
        scene.enter_with(&answer);
        refuse(scene, &RecEnter::default(), "a call of PSCI is pending");
        scene.bench.succeed(fid::PSCI_COMPLETE, &[rec, target, 0]);
        assert_exit(&scene.enter(), &exit(ExitReason::Irq));
    });
}

/// A host that never comes back can take everything apart.
#[test]
fn a_host_that_does_not_come_back() {
    const HOST_CALL: [u64; 4] = [0xc400_0199, 0x1000, 0, 0];
    const IPA_STATE_SET: [u64; 4] = [0xc400_0197, 0x1000, 0x2000, 1];
    let access = Instruction::Access(MemoryAccess::load(Scene::UNMAPPED, 8));
    for (instruction, arguments) in [
        (Instruction::Smc(0), [CPU_ON, 1, 0x2000, 1]),
        (Instruction::Smc(0), HOST_CALL),
        (Instruction::Smc(0), IPA_STATE_SET),
        (Instruction::Smc(0), [SYSTEM_OFF, 0, 0, 0]),
        (Instruction::Smc(0), [CPU_OFF, 0, 0, 0]),
        (access, [0; 4]),
    ] {
        Scene::play(2, |scene| {
            scene.program(move |guest| async move {
                guest.set_vector(3, 3).await;
                guest.registers(|registers| {
                    registers.general[..4].copy_from_slice(&arguments);
                });
                guest.finished(instruction).await;
            });
            scene.enter();
            let (recs, rd) = (scene.recs.clone(), scene.rd);
            for rec in recs {
                scene.bench.succeed(fid::REC_DESTROY, &[rec]);
                scene.bench.succeed(fid::GRANULE_UNDELEGATE, &[rec]);
                for word in 0..512 {
                    assert_eq!(scene.bench.memory().host_read(rec, word), Ok(0));
                }
            }
            for number in 0..Scene::PAGES {
                let page = [rd, Scene::MEMORY + number * PAGE];
                scene.bench.succeed(fid::DATA_DESTROY, &page);
            }
            for page in [Scene::ASSIGNED_EMPTY, Scene::ASSIGNED_DESTROYED] {
                scene.bench.succeed(fid::DATA_DESTROY, &[rd, page]);
            }
            for (base, level) in [
                (Scene::MEMORY, 3),
                (Scene::MEMORY, 2),
                (Scene::SHARED, 3),
                (Scene::SHARED, 2),
            ] {
                let table = [rd, base, level];
                scene.bench.succeed(fid::RTT_DESTROY, &table);
            }
            scene.bench.succeed(fid::REALM_DESTROY, &[rd]);
        });
    }
}
