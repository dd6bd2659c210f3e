//! RECs that run while other CPUs change what they run on: first one thing at a time, in the middle
//! of a run, then everything at once.
//!
//! `CLOISTER_STEPS` says how many entries there are in the second part; twenty thousand when it
//! is not set.
#![allow(missing_docs)]

#[path = "run_races/crowd.rs"]
mod crowd;

use fake_machine::{Guest, Instruction, MemoryAccess, Scene, assert_exit, exit, synchronous_exit};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{ExitReason, RecEnter};
use rmm_abi::smc::psci;
use rmm_core::Reply;

const BUSY: u64 = 3;
const TRANSLATION_FAULT_3: u64 = 0x24 << 26 | 0x07;

/// Makes a call on another CPU than those that run the RECs of a test.
fn elsewhere(scene: &Scene<'static>) -> impl Fn(&[u64]) -> Reply + Copy + Send + use<> {
    let (memory, rmm) = (scene.bench.memory(), scene.bench.rmm());
    move |call| {
        let mut registers = [0; 8];
        registers[..call.len()].copy_from_slice(call);
        memory.cpu(9).call(rmm, &registers)
    }
}

fn load(address: u64) -> Instruction {
    Instruction::Access(MemoryAccess::load(address, 8))
}

/// Memory goes away under a REC that has just used it.
#[test]
fn memory_that_is_destroyed() {
    let scene = Scene::forever(1);
    let (rd, call) = (scene.rd, elsewhere(&scene));
    let data = scene.memory[1];
    scene.program(move |guest| async move {
        guest.store(0x1000, 8, 5).await;
        assert_eq!(call(&[fid::DATA_DESTROY, rd, 0x1000])[..2], [0, data]);
        assert_eq!(call(&[fid::GRANULE_UNDELEGATE, data])[0], 0);
        guest.load(0x1000, 8).await;
    });
    let run = scene.run;
    scene.bench.prepare(run, &RecEnter::default());
    assert_eq!(scene.bench.enter_unpredictably(scene.rec(), run)[0], 0);
    let memory = scene.bench.memory();
    assert_eq!(
        memory.host_read(run, 256 + 0x100 / 8),
        Ok(TRANSLATION_FAULT_3)
    );
    assert_eq!(memory.host_read(data, 0), Ok(0));
}

/// A table goes away, and a page of the host.
#[test]
fn tables_that_are_destroyed() {
    let scene = Scene::forever(1);
    let (rd, call, shared) = (scene.rd, elsewhere(&scene), scene.shared);
    scene.program(move |guest| async move {
        guest.load(Scene::SHARED, 8).await;
        let unmap = [fid::RTT_UNMAP_UNPROTECTED, rd, Scene::SHARED, 3];
        assert_eq!(call(&unmap)[0], 0);
        assert_eq!(guest.execute(load(Scene::SHARED)).await, Ok(0x77));
        guest.load(Scene::READ_ONLY, 8).await;
        assert_eq!(call(&[fid::RTT_DESTROY, rd, Scene::SHARED, 3])[0], 0);
        guest.load(Scene::READ_ONLY, 8).await;
    });
    let run = scene.run;
    scene.bench.memory().host_write(shared, 0, 0x55).unwrap();
    scene.bench.prepare(run, &RecEnter::default());
    assert_eq!(scene.bench.enter_unpredictably(scene.rec(), run)[0], 0);
    let mut answer = RecEnter::default();
    answer.flags = 1;
    answer.gprs[0] = 0x77;
    scene.bench.prepare(run, &answer);
    assert_eq!(scene.bench.enter_unpredictably(scene.rec(), run)[0], 0);
    let esr = scene
        .bench
        .memory()
        .host_read(run, 256 + 0x100 / 8)
        .unwrap();
    assert_eq!(esr & 0x3f, 0x06, "level 2");
}

/// A change of RIPAS for one REC takes memory from another that runs.
#[test]
fn memory_that_is_given_up() {
    let mut scene = Scene::forever(2);
    let (rd, recs, call) = (scene.rd, scene.recs.clone(), elsewhere(&scene));
    let (first, second, run) = (recs[0], recs[1], scene.run);
    scene.bench.program(second, |guest| async move {
        guest.smc(&[0xc400_0197, 0x1000, 0x2000, 0, 0]).await;
    });
    scene.program(move |guest| async move {
        guest.smc(&[psci::CPU_ON, 1, 0, 0]).await;
        guest.store(0x1000, 8, 5).await;
        assert_eq!(call(&[fid::REC_ENTER, second, run])[0], 0);
        let change = [fid::RTT_SET_RIPAS, rd, second, 0x1000, 0x2000];
        assert_eq!(call(&change)[..2], [0, 0x2000]);
        let own = [fid::RTT_SET_RIPAS, rd, first, 0x1000, 0x2000];
        assert_eq!(call(&own)[0], BUSY);
        let taken = guest.refused(load(0x1000)).await;
        assert_eq!(taken.syndrome & 0x3f, 0x10);
    });
    scene.enter();
    scene.bench.succeed(fid::PSCI_COMPLETE, &[first, second, 0]);
    let own_run = scene.bench.host_granule();
    scene.bench.prepare(own_run, &RecEnter::default());
    assert_eq!(scene.bench.enter_unpredictably(first, own_run)[0], 0);
    let reason = scene.bench.memory().host_read(own_run, 256);
    assert_eq!(reason, Ok(ExitReason::Irq as u64));
}

/// One REC switches the Realm off. The other goes on until it exits, and never again.
#[test]
fn a_realm_that_is_switched_off() {
    let mut scene = Scene::forever(2);
    let (recs, run, call) = (scene.recs.clone(), scene.run, elsewhere(&scene));
    let (first, second) = (recs[0], recs[1]);
    scene.bench.program(second, |guest| async move {
        guest.smc(&[psci::SYSTEM_OFF]).await;
    });
    scene.program(move |guest| async move {
        guest.smc(&[psci::CPU_ON, 1, 0, 0]).await;
        assert_eq!(call(&[fid::REC_ENTER, second, run])[0], 0);
        assert_eq!(call(&[fid::REC_ENTER, second, run])[0], 0x102);
        guest.store(0x1000, 8, 7).await;
        // It can do all that it could, and even switch the Realm off once more.
        assert_eq!(guest.smc(&[psci::VERSION]).await[0], 0x1_0001);
        guest.smc(&[psci::SYSTEM_RESET]).await;
    });
    scene.enter();
    scene.bench.succeed(fid::PSCI_COMPLETE, &[first, second, 0]);
    let own_run = scene.bench.host_granule();
    scene.bench.prepare(own_run, &RecEnter::default());
    assert_eq!(scene.bench.enter_unpredictably(first, own_run)[0], 0);
    assert_eq!(scene.word(0x1000), 7);
    assert_eq!(scene.bench.enter_unpredictably(first, own_run)[0], 0x102);
}

/// Two RECs switch each other on, and one is taken apart while the other waits for it.
#[test]
fn a_target_that_is_destroyed() {
    Scene::play(2, |scene| {
        let (first, second) = (scene.recs[0], scene.recs[1]);
        scene.program(|guest| async move {
            guest.smc(&[psci::CPU_ON, 1, 0, 0]).await;
        });
        scene.enter();
        scene.bench.succeed(fid::REC_DESTROY, &[second]);
        let complete = [first, second, 0];
        let why = "there is no target any more";
        scene.bench.fail(1, fid::PSCI_COMPLETE, &complete, why);
        scene.refuse(3, 0, "it waits for ever");
        scene.bench.succeed(fid::REC_DESTROY, &[first]);
    });
}

/// RECs of a Realm that take turns on a CPU: the machine checks that what one left in the TLB is
/// forgotten before the next one runs.
#[test]
fn recs_on_one_cpu_and_on_several() {
    Scene::play(8, |scene| {
        let (recs, run) = (scene.recs.clone(), scene.run);
        scene.program(|guest: Guest| async move {
            for target in 1..8 {
                guest.smc(&[psci::CPU_ON, target, 0, target]).await;
            }
        });
        for &target in &recs[1..] {
            scene.enter();
            let complete = [recs[0], target, 0];
            scene.bench.succeed(fid::PSCI_COMPLETE, &complete);
        }
        for (number, &rec) in (0..).zip(&recs) {
            scene.bench.program(rec, move |guest| async move {
                let here = 0x2000 + number * 8;
                for round in 0..100 {
                    guest.store(here, 8, round).await;
                    guest.interrupt().await;
                    assert_eq!(guest.load(here, 8).await, round);
                }
            });
        }
        for round in 0..64_usize {
            scene.bench.move_to(round / 3 % 4);
            let rec = recs[round * 5 % 8];
            let seen = scene.bench.enter(rec, run, &RecEnter::default());
            assert_exit(&seen, &exit(ExitReason::Irq));
        }
        scene.bench.succeed(fid::DATA_DESTROY, &[scene.rd, 0x2000]);
        let seen = scene.bench.enter(recs[3], run, &RecEnter::default());
        assert_exit(&seen, &synchronous_exit(TRANSLATION_FAULT_3, 0, 0x2000));
    });
}
