//! `RSI_ATTESTATION_TOKEN_INIT` and `RSI_ATTESTATION_TOKEN_CONTINUE`. The machine makes tokens
//! without cryptography; what is shown here is what the RMM does around that.
#![allow(missing_docs)]

#[path = "rsi_attestation/buffer.rs"]
mod buffer;
#[path = "rsi_attestation/content.rs"]
mod content;
#[path = "rsi_attestation/delivery.rs"]
mod delivery;
#[path = "rsi_attestation/exits.rs"]
mod exits;
#[path = "rsi_attestation/interruption.rs"]
mod interruption;
#[path = "rsi_attestation/work.rs"]
mod work;

use fake_machine::{Guest, PAGE, Scene, assert_exit, exit, realm_params, token_words};
use rmm_abi::rmi::run::ExitReason;
use rmm_abi::rmi::{HashAlgorithm, RealmParams};
use rmm_abi::rsi::fid;
use rmm_core::machine::TokenRequest;

const SUCCESS: u64 = 0;
const ERROR_INPUT: u64 = 1;
const ERROR_STATE: u64 = 2;
const INCOMPLETE: u64 = 3;
const ERROR_UNKNOWN: u64 = 4;

/// More than any token.
const UPPER_BOUND: u64 = 4096;
/// Bytes of a token, unless a test says otherwise.
const SIZE: u64 = 2121;
/// Where tokens are put.
const BUFFER: u64 = Scene::MEMORY + PAGE;

const CHALLENGE: [u64; 8] = challenge(1);

/// A challenge of which each byte of each word is told apart.
const fn challenge(seed: u64) -> [u64; 8] {
    let mut words = [0; 8];
    let mut number = 0;
    while number < 8 {
        words[number] = 0xc4a1_1e46_e001_0203 ^ seed << 40 ^ (number as u64) << 4;
        number += 1;
    }
    words
}

fn words(bytes: &[u8; 64]) -> [u64; 8] {
    let words = bytes.as_chunks::<8>().0;
    std::array::from_fn(|number| u64::from_le_bytes(words[number]))
}

/// The first bytes of the token for a request.
fn token(request: &TokenRequest, size: u64) -> Vec<u8> {
    let bytes = token_words(request).flat_map(u64::to_le_bytes);
    bytes.take(usize::try_from(size).unwrap()).collect()
}

/// Parameters of a Realm with a personalization value.
fn params(algorithm: HashAlgorithm) -> RealmParams {
    let mut params = realm_params(40, 1, 2);
    params.hash_algo = algorithm as u8;
    for (number, byte) in (0x91..).zip(&mut params.rpv) {
        *byte = number;
    }
    params
}

/// Runs a test in a scene with RECs, with what the token of its Realm is made of.
fn play_with(
    algorithm: HashAlgorithm,
    recs: usize,
    test: impl FnOnce(&mut Scene<'_>, TokenRequest),
) {
    let params = params(algorithm);
    Scene::with_params(&params, recs, |scene| {
        let mut measurements = [[0; 8]; 5];
        measurements[0] = words(&scene.bench.world().realm(scene.rd).unwrap().rim);
        let request = TokenRequest {
            challenge: CHALLENGE,
            personalization: words(&params.rpv),
            algorithm,
            measurements,
        };
        test(scene, request);
    });
}

fn play(recs: usize, test: impl FnOnce(&mut Scene<'_>, TokenRequest)) {
    play_with(HashAlgorithm::Sha256, recs, test);
}

/// The first REC is entered, and an interrupt comes.
fn irq(scene: &mut Scene<'_>) {
    assert_exit(&scene.enter(), &exit(ExitReason::Irq));
}

/// The Realm asks for a token.
async fn ask(guest: &Guest, challenge: &[u64; 8]) {
    let mut arguments = [fid::ATTESTATION_TOKEN_INIT; 9];
    arguments[1..].copy_from_slice(challenge);
    let reply = guest.call(&arguments).await;
    assert_eq!(reply, [SUCCESS, UPPER_BOUND, 0, 0]);
}

/// The Realm wants the next part of the token. X2 and X3 must come back as zeroes: gives X0 and X1.
async fn proceed(guest: &Guest, address: u64, offset: u64, size: u64) -> (u64, u64) {
    let arguments = [fid::ATTESTATION_TOKEN_CONTINUE, address, offset, size];
    let [code, written, rest @ ..] = guest.call(&arguments).await;
    assert_eq!(rest, [0; 2]);
    (code, written)
}

/// The Realm fetches all of a token that is not interrupted.
async fn fetch(guest: &Guest) -> Vec<u8> {
    let (code, size) = proceed(guest, BUFFER, 0, PAGE).await;
    assert_eq!(code, SUCCESS);
    let mut bytes = Vec::new();
    for offset in (0..size).step_by(8) {
        bytes.extend(guest.load(BUFFER + offset, 8).await.to_le_bytes());
    }
    bytes.truncate(usize::try_from(size).unwrap());
    bytes
}

/// Arguments that are refused whatever state there is.
async fn try_wrong_arguments(guest: &Guest) {
    for (address, offset, size) in [
        (BUFFER + 8, 0, PAGE),
        (BUFFER + 0x800, 0, 0),
        (Scene::SHARED, 0, PAGE),
        (Scene::UNMAPPED, 0, PAGE),
        (Scene::UNMAPPED_NO_TABLE, 0, 1),
        (Scene::BEYOND, 0, PAGE),
        (Scene::BEYOND - PAGE, 0, PAGE),
        (u64::MAX - 0xfff, 0, PAGE),
        (1 << 63 | BUFFER, 0, PAGE),
        (BUFFER, PAGE, 0),
        (BUFFER, PAGE, 1),
        (BUFFER, u64::MAX, 0),
        (BUFFER, u64::MAX, 1),
        (BUFFER, 1, u64::MAX),
        (BUFFER, 0, u64::MAX),
        (BUFFER, 1 << 32, 0),
        (BUFFER, 0, 1 << 32),
        (BUFFER, 1, PAGE),
        (BUFFER, 0, PAGE + 1),
        (BUFFER, 0xfff, 2),
        // Several at once.
        (Scene::SHARED + 8, PAGE, u64::MAX),
    ] {
        let reply = proceed(guest, address, offset, size).await;
        let expected = (ERROR_INPUT, 0);
        assert_eq!(reply, expected, "{address:#x} {offset:#x} {size:#x}");
    }
}

/// Arguments are looked at first, and wrong ones change nothing: not even a token that was put aside
/// goes on.
#[test]
fn arguments_come_first_in_every_state() {
    play(1, |scene, request| {
        let token = token(&request, SIZE);
        scene.program(|guest| async move {
            try_wrong_arguments(&guest).await;
            let nothing = (ERROR_STATE, 0);
            assert_eq!(proceed(&guest, BUFFER, 0, PAGE).await, nothing);
            ask(&guest, &CHALLENGE).await;
            try_wrong_arguments(&guest).await;
            // It is put aside.
            assert_eq!(proceed(&guest, BUFFER, 0, PAGE).await, (INCOMPLETE, 0));
            try_wrong_arguments(&guest).await;
            // Once more: so it had not gone on.
            assert_eq!(proceed(&guest, BUFFER, 0, 0).await, (INCOMPLETE, 0));
            assert_eq!(proceed(&guest, BUFFER, 0, 1).await, (INCOMPLETE, 1));
            try_wrong_arguments(&guest).await;
            let rest = SIZE - 1;
            assert_eq!(proceed(&guest, BUFFER, 1, rest).await, (SUCCESS, rest));
            try_wrong_arguments(&guest).await;
            assert_eq!(proceed(&guest, BUFFER, 0, PAGE).await, nothing);
            for (offset, bytes) in (0..).step_by(8).zip(token.chunks_exact(8)) {
                let found = guest.load(BUFFER + offset, 8).await;
                assert_eq!(found.to_le_bytes(), *bytes, "{offset:#x}");
            }
        });
        scene.bench.memory().tokens().interrupt(2);
        for _ in 0..3 {
            irq(scene);
        }
    });
}

#[test]
fn there_is_a_token_only_after_init() {
    play(1, |scene, request| {
        let token = token(&request, SIZE);
        scene.program(|guest| async move {
            for (offset, size) in [(0, PAGE), (0, 0), (0xfff, 1), (0xfff, 0)] {
                let reply = proceed(&guest, BUFFER, offset, size).await;
                assert_eq!(reply, (ERROR_STATE, 0), "at first");
            }
            // The state comes before the page: this one is not there.
            for page in [Scene::UNASSIGNED, Scene::EMPTY] {
                let reply = proceed(&guest, page, 0, PAGE).await;
                assert_eq!(reply, (ERROR_STATE, 0), "{page:#x}");
            }
            for round in 0..3 {
                ask(&guest, &CHALLENGE).await;
                // Asking again is as good as asking once.
                ask(&guest, &CHALLENGE).await;
                assert_eq!(fetch(&guest).await, token);
                let reply = proceed(&guest, BUFFER, 0, PAGE).await;
                assert_eq!(reply, (ERROR_STATE, 0), "after the last byte, {round}");
                let reply = proceed(&guest, BUFFER, 0, 0).await;
                assert_eq!(reply, (ERROR_STATE, 0), "after the last byte, {round}");
            }
        });
        irq(scene);
    });
}

/// The machine has no token, or says that it has one which no granule could hold: one
/// `ERROR_UNKNOWN`, at once or after an interrupt, and then it is as if nobody had asked.
#[test]
fn making_a_token_fails() {
    for size in [0, 4097, usize::MAX] {
        for interruptions in [0, 1, 2] {
            play(1, |scene, request| {
                let token = token(&request, SIZE);
                scene.program(move |guest| async move {
                    ask(&guest, &CHALLENGE).await;
                    for _ in 0..interruptions {
                        let reply = proceed(&guest, BUFFER, 0, PAGE).await;
                        assert_eq!(reply, (INCOMPLETE, 0));
                    }
                    let reply = proceed(&guest, BUFFER, 0, PAGE).await;
                    assert_eq!(reply, (ERROR_UNKNOWN, 0), "{size}");
                    assert_eq!(guest.load(BUFFER, 8).await, 0);
                    let reply = proceed(&guest, BUFFER, 0, PAGE).await;
                    assert_eq!(reply, (ERROR_STATE, 0), "{size}");
                    guest.interrupt().await;
                    // The machine has come to its senses.
                    ask(&guest, &CHALLENGE).await;
                    assert_eq!(fetch(&guest).await, token);
                });
                let tokens = scene.bench.memory().tokens();
                tokens.set_size(size);
                tokens.interrupt(interruptions);
                for _ in 0..=interruptions {
                    irq(scene);
                }
                tokens.set_size(usize::try_from(SIZE).unwrap());
                irq(scene);
            });
        }
    }
}

/// The attempt is the REC's: an exit is not the end of it, whatever state it is in.
#[test]
fn exits_in_between() {
    play(1, |scene, request| {
        let token = token(&request, SIZE);
        scene.program(|guest| async move {
            ask(&guest, &CHALLENGE).await;
            guest.interrupt().await;
            assert_eq!(proceed(&guest, BUFFER, 0, 1000).await, (INCOMPLETE, 1000));
            guest.interrupt().await;
            let rest = SIZE - 1000;
            assert_eq!(proceed(&guest, BUFFER, 1000, rest).await, (SUCCESS, rest));
            guest.interrupt().await;
            assert_eq!(proceed(&guest, BUFFER, 0, 1).await, (ERROR_STATE, 0));
            let last = u64::from_le_bytes(token[2112..2120].try_into().unwrap());
            assert_eq!(guest.load(BUFFER + 2112, 8).await, last);
        });
        for cpu in 0..4 {
            scene.bench.move_to(cpu);
            irq(scene);
        }
    });
}
