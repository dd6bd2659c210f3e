//! Pages that a token cannot be put into, or not yet.

use fake_machine::{WORDS_PER_GRANULE, synchronous_exit};
use rmm_abi::rmi::fid as rmi_fid;
use rmm_abi::rmi::run::RecExit;

use super::*;

/// A data abort by a translation fault at level 3, as an access would take it.
fn missing(ipa: u64) -> RecExit {
    synchronous_exit(0x24 << 26 | 0x07, 0, ipa)
}

/// The Realm knows that there is nothing: an error, and the token waits for a better page.
#[test]
fn a_page_that_the_realm_gave_up() {
    const EMPTY: [u64; 3] = [Scene::EMPTY, Scene::ASSIGNED_EMPTY, Scene::NO_TABLE];
    play(1, |scene, request| {
        let expected = token(&request, SIZE);
        scene.program(|guest| async move {
            let try_empty_pages = async || {
                for page in EMPTY {
                    for (offset, size) in [(0, PAGE), (0, 0), (0xfff, 1)] {
                        let reply = proceed(&guest, page, offset, size).await;
                        assert_eq!(reply, (ERROR_INPUT, 0), "{page:#x}");
                    }
                }
            };
            ask(&guest, &CHALLENGE).await;
            // The work is interrupted for any page of the Realm's.
            let reply = proceed(&guest, Scene::EMPTY, 0, PAGE).await;
            assert_eq!(reply, (INCOMPLETE, 0));
            try_empty_pages().await;
            assert_eq!(proceed(&guest, BUFFER, 0, 9).await, (INCOMPLETE, 9));
            try_empty_pages().await;
            let rest = SIZE - 9;
            assert_eq!(proceed(&guest, BUFFER, 9, rest).await, (SUCCESS, rest));
            for (offset, bytes) in (0..).step_by(8).zip(expected.chunks_exact(8)) {
                let found = guest.load(BUFFER + offset, 8).await;
                assert_eq!(found.to_le_bytes(), *bytes, "{offset:#x}");
            }
        });
        scene.bench.memory().tokens().interrupt(1);
        irq(scene);
        irq(scene);
    });
}

/// The host is to provide the page: an exit as for an access, as often as the REC is entered without
/// it, and then the same call goes on.
#[test]
fn a_page_that_the_host_is_to_provide() {
    for (interruptions, first) in [(0, 0), (2, 0), (0, 100), (1, 1)] {
        play(1, |scene, request| {
            let expected = token(&request, SIZE);
            scene.program(move |guest| async move {
                ask(&guest, &CHALLENGE).await;
                for _ in 0..interruptions {
                    // The page is not looked at before there is a token.
                    let reply = proceed(&guest, Scene::UNASSIGNED, 0, PAGE).await;
                    assert_eq!(reply, (INCOMPLETE, 0));
                }
                if first != 0 {
                    let reply = proceed(&guest, BUFFER, 0, first).await;
                    assert_eq!(reply, (INCOMPLETE, first));
                }
                let rest = SIZE - first;
                let reply = proceed(&guest, Scene::UNASSIGNED, 8, rest).await;
                assert_eq!(reply, (SUCCESS, rest));
                let delivered = usize::try_from(first).unwrap();
                let part = expected[delivered..].chunks_exact(8);
                for (offset, bytes) in (8..).step_by(8).zip(part) {
                    let found = guest.load(Scene::UNASSIGNED + offset, 8).await;
                    assert_eq!(found.to_le_bytes(), *bytes, "{offset:#x}");
                }
            });
            scene.bench.memory().tokens().interrupt(interruptions);
            for _ in 0..interruptions {
                irq(scene);
            }
            for cpu in 0..3 {
                assert_exit(&scene.enter(), &missing(Scene::UNASSIGNED));
                scene.bench.move_to(cpu);
            }
            scene.bench.data(scene.rd, Scene::UNASSIGNED);
            irq(scene);
        });
    }
}

#[test]
fn a_page_that_was_destroyed() {
    for page in [Scene::DESTROYED, Scene::ASSIGNED_DESTROYED] {
        play(1, |scene, _| {
            scene.program(move |guest| async move {
                ask(&guest, &CHALLENGE).await;
                proceed(&guest, page, 0, PAGE).await;
                unreachable!("the page never comes");
            });
            assert_exit(&scene.enter(), &missing(page));
            assert_exit(&scene.enter(), &missing(page));
        });
    }
}

/// The host takes the page away between two pieces.
#[test]
fn a_page_that_goes_away() {
    play(1, |scene, _| {
        scene.program(|guest| async move {
            ask(&guest, &CHALLENGE).await;
            assert_eq!(proceed(&guest, BUFFER, 0, 8).await, (INCOMPLETE, 8));
            guest.interrupt().await;
            proceed(&guest, BUFFER, 0, 8).await;
            unreachable!("the page never comes back");
        });
        irq(scene);
        let (rd, page) = (scene.rd, scene.memory[1]);
        scene.bench.succeed(rmi_fid::DATA_DESTROY, &[rd, BUFFER]);
        assert_exit(&scene.enter(), &missing(BUFFER));
        scene.bench.succeed(rmi_fid::GRANULE_UNDELEGATE, &[page]);
        assert_exit(&scene.enter(), &missing(BUFFER));
        for word in 0..WORDS_PER_GRANULE {
            assert_eq!(scene.bench.memory().host_read(page, word), Ok(0));
        }
    });
}
