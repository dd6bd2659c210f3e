//! How a token gets into the Realm's memory, piece by piece.

use fake_machine::{Memory, WORDS_PER_GRANULE};

use super::*;

const GRANULE: usize = WORDS_PER_GRANULE * 8;

fn assert_content(memory: &Memory, granule: u64, expected: &[u8; GRANULE], when: &str) {
    for (word, bytes) in expected.as_chunks::<8>().0.iter().enumerate() {
        let found = memory.inspect(granule, word).to_le_bytes();
        assert_eq!(found, *bytes, "{when}: word {word} of {granule:#x}");
    }
}

/// The Realm gets a token of some bytes in pieces. After each call exactly those bytes of the page
/// have changed that the reply speaks of.
fn deliver(size: usize, piece: usize) {
    let mut scene = Scene::forever(1);
    let memory = scene.bench.memory();
    memory.tokens().set_size(size);
    let mut measurements = [[0; 8]; 5];
    measurements[0] = words(&scene.bench.world().realm(scene.rd).unwrap().rim);
    let request = TokenRequest {
        challenge: CHALLENGE,
        personalization: [0; 8],
        algorithm: HashAlgorithm::Sha256,
        measurements,
    };
    let token = token(&request, size as u64);
    let granule = scene.memory[1];
    let neighbours = [scene.memory[0], scene.memory[2]];
    scene.program(move |guest| async move {
        for word in (0..PAGE).step_by(8) {
            guest.store(BUFFER + word, 8, 0xeeee_eeee_eeee_eeee).await;
        }
        let mut page = [0xee; GRANULE];
        ask(&guest, &CHALLENGE).await;
        let mut delivered = 0;
        for round in 0.. {
            let when = format!("{delivered} of {size} bytes by {piece}");
            if round % 5 == 0 {
                for offset in [0, 1, 0xfff] {
                    let reply = proceed(&guest, BUFFER, offset, 0).await;
                    assert_eq!(reply, (INCOMPLETE, 0), "{when}");
                }
                assert_content(memory, granule, &page, &when);
            }
            let offset = (round * 1237 + 1) % (GRANULE - piece + 1);
            let written = piece.min(size - delivered);
            let code = if delivered + written == size {
                SUCCESS
            } else {
                INCOMPLETE
            };
            let reply = proceed(&guest, BUFFER, offset as u64, piece as u64).await;
            assert_eq!(reply, (code, written as u64), "{when}");
            page[offset..][..written].copy_from_slice(&token[delivered..][..written]);
            assert_content(memory, granule, &page, &when);
            delivered += written;
            if code == SUCCESS {
                break;
            }
        }
        assert_eq!(delivered, size);
        for offset in [0, 8] {
            let reply = proceed(&guest, BUFFER, offset, 8).await;
            assert_eq!(reply, (ERROR_STATE, 0));
        }
        assert_content(memory, granule, &page, "after the last byte");
        for neighbour in neighbours {
            assert_content(memory, neighbour, &[0; GRANULE], "a neighbour");
        }
    });
    irq(&mut scene);
}

#[test]
fn byte_by_byte() {
    for size in [1, 2, 9, 2121, 4095, 4096] {
        deliver(size, 1);
    }
}

#[test]
fn in_pieces_of_seven_and_of_eight() {
    for size in [1, 7, 8, 15, 16, 2121, 4095, 4096] {
        deliver(size, 7);
        deliver(size, 8);
    }
}

#[test]
fn in_larger_pieces() {
    for size in [1, 63, 64, 65, 2121, 4095, 4096] {
        deliver(size, 64);
        deliver(size, 1000);
        deliver(size, 4095);
        deliver(size, 4096);
    }
}

/// Pieces may go to different pages, and to the same place of the same page.
#[test]
fn into_several_pages() {
    play(1, |scene, request| {
        let token = token(&request, SIZE);
        scene.program(move |guest| async move {
            ask(&guest, &CHALLENGE).await;
            let pages = [2 * PAGE, 0, 3 * PAGE, PAGE, 0];
            for (number, page) in pages.into_iter().enumerate() {
                let page = Scene::MEMORY + page;
                assert_eq!(proceed(&guest, page, 16, 424).await, (INCOMPLETE, 424));
                for (offset, bytes) in (16..)
                    .step_by(8)
                    .zip(token[424 * number..][..424].chunks(8))
                {
                    let found = guest.load(page + offset, 8).await;
                    assert_eq!(found.to_le_bytes(), *bytes, "{number} {offset:#x}");
                }
            }
            assert_eq!(proceed(&guest, BUFFER, 0xfff, 1).await, (SUCCESS, 1));
            assert_eq!(guest.load(BUFFER + 0xfff, 1).await, token[2120].into());
        });
        irq(scene);
    });
}
