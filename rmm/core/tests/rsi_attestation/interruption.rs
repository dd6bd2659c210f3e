//! Interrupts for the host that come while a token is made.

use fake_machine::PAGE;
use rmm_abi::rmi::fid as rmi_fid;
use rmm_abi::rmi::run::{RecEnter, RecExit};
use rmm_abi::smc::psci;

use super::*;

/// The first REC switches all others on, and its program is over.
pub(crate) fn switch_all_on(scene: &mut Scene<'_>) {
    let recs = scene.recs.clone();
    let others = recs.len() as u64;
    scene.program(move |guest| async move {
        for target in 1..others {
            let reply = guest.smc(&[psci::CPU_ON, target, Scene::ENTRY, 0]).await;
            assert_eq!(reply[0], 0);
        }
    });
    for &target in &recs[1..] {
        scene.enter();
        let complete = [recs[0], target, 0];
        scene.bench.succeed(rmi_fid::PSCI_COMPLETE, &complete);
    }
    irq(scene);
}

/// A REC of the scene is entered.
pub(crate) fn enter(scene: &mut Scene<'_>, number: usize) -> RecExit {
    let (rec, run) = (scene.recs[number], scene.run);
    scene.bench.enter(rec, run, &RecEnter::default())
}

/// Each time the Realm sees a call that did nothing, and the host an interrupt. In between the REC
/// comes to other CPUs, and others run.
#[test]
fn any_number_of_times() {
    for times in [1, 2, 3, 40] {
        play(2, |scene, request| {
            let token = token(&request, SIZE);
            switch_all_on(scene);
            scene.program(move |guest| async move {
                guest.store(BUFFER, 8, 0x1234).await;
                ask(&guest, &CHALLENGE).await;
                for _ in 0..times {
                    // What size and offset are does not matter.
                    let reply = proceed(&guest, BUFFER, times, 0x10).await;
                    assert_eq!(reply, (INCOMPLETE, 0));
                    assert_eq!(guest.load(BUFFER, 8).await, 0x1234);
                    guest.store(0x10, 8, times).await;
                }
                assert!(fetch(&guest).await == token);
                let reply = proceed(&guest, BUFFER, 0, PAGE).await;
                assert_eq!(reply, (ERROR_STATE, 0));
            });
            let other = scene.recs[1];
            scene.bench.program(other, |guest| async move {
                for round in 0.. {
                    guest.store(0x2000, 8, round).await;
                    guest.set_vector(3, round).await;
                    guest.interrupt().await;
                    assert_eq!(guest.vector(3).await, round);
                    assert_eq!(guest.load(0x2000, 8).await, round);
                }
            });
            for round in 0..times {
                scene.bench.memory().tokens().interrupt(1);
                irq(scene);
                scene.bench.move_to(usize::try_from(round % 5).unwrap());
                assert_exit(&enter(scene, 1), &exit(ExitReason::Irq));
                scene.bench.move_to(usize::try_from(round % 3).unwrap());
            }
            irq(scene);
            assert_eq!(scene.word(0x10), times);
        });
    }
}

/// An exit of another kind is no reason to begin anew.
#[test]
fn other_exits_while_a_token_is_put_aside() {
    play(1, |scene, request| {
        let token = token(&request, SIZE);
        scene.program(|guest| async move {
            ask(&guest, &CHALLENGE).await;
            assert_eq!(proceed(&guest, BUFFER, 0, PAGE).await, (INCOMPLETE, 0));
            guest.interrupt().await;
            assert_eq!(guest.smc(&[psci::CPU_SUSPEND, 0, 0, 0]).await[0], 0);
            assert_eq!(guest.smc(&[fid::VERSION, 0x1_0000]).await[0], 0);
            guest.set_vector(5, 5).await;
            assert!(fetch(&guest).await == token);
            assert_eq!(guest.vector(5).await, 5);
        });
        scene.bench.memory().tokens().interrupt(1);
        irq(scene);
        irq(scene);
        let suspended = scene.enter();
        assert_eq!(suspended.exit_reason, ExitReason::Psci as u8);
        irq(scene);
    });
}

/// Each REC has an attempt of its own, in whatever order they go on and on whatever CPU.
#[test]
fn several_recs() {
    const RECS: usize = 3;
    play(RECS, |scene, request| {
        switch_all_on(scene);
        for (number, &rec) in scene.recs.iter().enumerate() {
            let mut request = request.clone();
            request.challenge = challenge(0x30 + number as u64);
            let buffer = Scene::MEMORY + number as u64 * PAGE;
            scene.bench.program(rec, move |guest| async move {
                // What the others do is of no consequence.
                let reply = proceed(&guest, buffer, 0, PAGE).await;
                assert_eq!(reply, (ERROR_STATE, 0));
                ask(&guest, &request.challenge).await;
                guest.interrupt().await;
                for _ in 0..2 {
                    let reply = proceed(&guest, buffer, 0, PAGE).await;
                    assert_eq!(reply, (INCOMPLETE, 0));
                }
                let part = 800 + number as u64;
                let reply = proceed(&guest, buffer, 0, part).await;
                assert_eq!(reply, (INCOMPLETE, part));
                guest.interrupt().await;
                let rest = SIZE - part;
                let reply = proceed(&guest, buffer, part, rest).await;
                assert_eq!(reply, (SUCCESS, rest));
                for (offset, bytes) in (0..).step_by(8).zip(token(&request, 2120).chunks(8)) {
                    let found = guest.load(buffer + offset, 8).await;
                    assert_eq!(found.to_le_bytes(), *bytes, "{offset:#x}");
                }
                let reply = proceed(&guest, buffer, 0, PAGE).await;
                assert_eq!(reply, (ERROR_STATE, 0));
            });
        }
        // Begin one after the other; then two interruptions, two more exits.
        for (round, order) in [[0, 1, 2], [2, 0, 1], [1, 0, 2], [0, 2, 1], [2, 1, 0]]
            .into_iter()
            .enumerate()
        {
            for number in order {
                let interruptions = u64::from(round == 1 || round == 2);
                scene.bench.memory().tokens().interrupt(interruptions);
                scene.bench.move_to((round + number) % 4);
                assert_exit(&enter(scene, number), &exit(ExitReason::Irq));
            }
        }
    });
}
