//! What a token says.

use super::*;

async fn extend(guest: &Guest, register: u64, seed: u64) {
    let mut arguments = [seed; 11];
    arguments[..3].copy_from_slice(&[fid::MEASUREMENT_EXTEND, register, 64]);
    let reply = guest.call(&arguments).await;
    assert_eq!(reply, [SUCCESS, 0, 0, 0]);
}

/// Measurements as the Realm reads them.
async fn measurements(guest: &Guest) -> [[u64; 8]; 5] {
    let mut values = [[0; 8]; 5];
    for (register, value) in (0..).zip(&mut values) {
        let reply = guest.smc(&[fid::MEASUREMENT_READ, register]).await;
        assert_eq!(reply[0], SUCCESS);
        value.copy_from_slice(&reply[1..9]);
    }
    values
}

/// All bytes of challenge, RPV and measurements, and the algorithm.
#[test]
fn what_was_asked_for() {
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
        play_with(algorithm, 1, |scene, request| {
            scene.program(move |guest| async move {
                for register in 1..5 {
                    extend(&guest, register, 0x0e41_0000 + register).await;
                }
                for seed in [1, 2, 0x7f] {
                    let mut request = request.clone();
                    request.challenge = challenge(seed);
                    request.measurements = measurements(&guest).await;
                    ask(&guest, &request.challenge).await;
                    let found = fetch(&guest).await;
                    assert!(found == token(&request, SIZE), "{request:x?}");
                }
                // Every register counts, and they are told apart.
                let [rim, rems @ ..] = measurements(&guest).await;
                assert_eq!(rim, request.measurements[0]);
                let used = if algorithm == HashAlgorithm::Sha256 {
                    4
                } else {
                    8
                };
                for (number, rem) in rems.iter().enumerate() {
                    assert!(rem[..used].iter().all(|word| *word != 0));
                    assert!(rem[used..].iter().all(|word| *word == 0));
                    assert!(!rems[..number].contains(rem) && *rem != rim);
                }
            });
            irq(scene);
        });
    }
}

/// Every byte of the challenge comes through, zeroes and ones included.
#[test]
fn any_challenge() {
    play(1, |scene, mut request| {
        scene.program(move |guest| async move {
            for challenge in [[0; 8], [u64::MAX; 8]]
                .into_iter()
                .chain((0..64).map(|byte| {
                    let mut challenge = [0; 8];
                    challenge[byte / 8] = 0xb5 << (byte % 8 * 8);
                    challenge
                }))
            {
                request.challenge = challenge;
                ask(&guest, &challenge).await;
                assert!(fetch(&guest).await == token(&request, SIZE));
            }
        });
        irq(scene);
    });
}

/// Measurements are those of the moment when the work begins: with the first
/// `RSI_ATTESTATION_TOKEN_CONTINUE`.
#[test]
fn measurements_that_change_meanwhile() {
    play(1, |scene, mut request| {
        scene.program(move |guest| async move {
            ask(&guest, &CHALLENGE).await;
            extend(&guest, 3, 5).await;
            request.measurements = measurements(&guest).await;
            assert_ne!(request.measurements[3], [0; 8]);
            assert_eq!(proceed(&guest, BUFFER, 0, PAGE).await, (INCOMPLETE, 0));
            extend(&guest, 3, 6).await;
            extend(&guest, 4, 6).await;
            assert_eq!(proceed(&guest, BUFFER, 0, 7).await, (INCOMPLETE, 7));
            extend(&guest, 1, 7).await;
            let rest = SIZE - 7;
            assert_eq!(proceed(&guest, BUFFER, 7, rest).await, (SUCCESS, rest));
            for (offset, bytes) in (0..).step_by(8).zip(token(&request, 2120).chunks(8)) {
                let found = guest.load(BUFFER + offset, 8).await;
                assert_eq!(found.to_le_bytes(), *bytes, "{offset:#x}");
            }
            // The next token tells.
            request.measurements = measurements(&guest).await;
            ask(&guest, &CHALLENGE).await;
            assert!(fetch(&guest).await == token(&request, SIZE));
        });
        scene.bench.memory().tokens().interrupt(1);
        irq(scene);
        irq(scene);
    });
}

/// The challenge is that of `RSI_ATTESTATION_TOKEN_INIT`, whatever the registers hold afterwards;
/// and the last one, wherever the token before it had come to.
#[test]
fn the_last_challenge() {
    play(1, |scene, mut request| {
        scene.program(move |guest| async move {
            ask(&guest, &challenge(7)).await;
            ask(&guest, &challenge(8)).await;
            guest.registers(|registers| registers.general = [0; 31]);
            request.challenge = challenge(8);
            assert!(fetch(&guest).await == token(&request, SIZE));
            ask(&guest, &challenge(9)).await;
            assert_eq!(proceed(&guest, BUFFER, 0, 500).await, (INCOMPLETE, 500));
            // Half of it was delivered.
            ask(&guest, &challenge(10)).await;
            request.challenge = challenge(10);
            assert!(fetch(&guest).await == token(&request, SIZE));
        });
        irq(scene);
    });
}
