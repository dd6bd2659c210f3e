//! RSI commands that need no memory: version, features, measurements.
#![allow(missing_docs)]

use fake_machine::{Guest, Scene, assert_exit, exit, realm_params};
use rmm_abi::rmi::HashAlgorithm;
use rmm_abi::rmi::run::ExitReason;
use rmm_abi::rsi::fid;
use sha2::{Digest, Sha256, Sha512};

const SUCCESS: u64 = 0;
const ERROR_INPUT: u64 = 1;

/// Runs a program that never leaves the Realm.
fn inside<R>(program: impl FnOnce(Guest) -> R)
where
    R: Future<Output = ()> + Send + 'static,
{
    Scene::play(1, |scene| {
        scene.program(program);
        assert_exit(&scene.enter(), &exit(ExitReason::Irq));
    });
}

#[test]
fn version() {
    inside(|guest| async move {
        const ONLY: u64 = 0x1_0000;
        for (requested, code) in [
            (ONLY, SUCCESS),
            (0x1_0001, ERROR_INPUT),
            (0x2_0000, ERROR_INPUT),
            (0x0_ffff, ERROR_INPUT),
            (0, ERROR_INPUT),
            (u64::MAX, ERROR_INPUT),
            (ONLY | 1 << 31, ERROR_INPUT),
            (ONLY | 1 << 63, ERROR_INPUT),
        ] {
            let reply = guest.call(&[fid::VERSION, requested]).await;
            assert_eq!(reply, [code, ONLY, ONLY, 0], "{requested:#x}");
        }
    });
}

#[test]
fn features() {
    inside(|guest| async move {
        for index in [0, 1, 2, u64::MAX] {
            assert_eq!(
                guest.call(&[fid::FEATURES, index]).await,
                [SUCCESS, 0, 0, 0]
            );
        }
    });
}

/// The hint about SVE, and what is above the function identifier, change nothing.
#[test]
fn function_identifiers() {
    inside(|guest| async move {
        for more in [1 << 16, 1 << 32, 0xffff_ffff << 32 | 1 << 16] {
            let reply = guest.call(&[fid::FEATURES | more, 0]).await;
            assert_eq!(reply, [SUCCESS, 0, 0, 0], "{more:#x}");
        }
    });
}

async fn read(guest: &Guest, register: u64) -> [u8; 64] {
    let before: [u64; 31] = std::array::from_fn(|number| 0x7700 + number as u64);
    guest.registers(|registers| registers.general = before);
    let [code, words @ ..] = guest.smc(&[fid::MEASUREMENT_READ, register]).await;
    assert_eq!(code, SUCCESS);
    let after = guest.registers(|registers| registers.general);
    assert_eq!(after[9..], before[9..]);
    let mut value = [0; 64];
    for (bytes, word) in value.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    value
}

async fn extend(guest: &Guest, register: u64, size: u64, value: &[u8; 64]) -> [u64; 4] {
    let mut arguments = vec![fid::MEASUREMENT_EXTEND, register, size];
    let (words, _) = value.as_chunks::<8>();
    arguments.extend(words.iter().map(|word| u64::from_le_bytes(*word)));
    guest.call(&arguments).await
}

/// Old value in full, what is added, zeroes: 128 bytes through the hash function.
fn extended(algorithm: HashAlgorithm, old: &[u8; 64], size: usize, value: &[u8; 64]) -> [u8; 64] {
    let mut input = [0; 128];
    input[..64].copy_from_slice(old);
    input[64..64 + size].copy_from_slice(&value[..size]);
    let mut new = [0; 64];
    match algorithm {
        HashAlgorithm::Sha256 => new[..32].copy_from_slice(&Sha256::digest(input)),
        HashAlgorithm::Sha512 => new.copy_from_slice(&Sha512::digest(input)),
    }
    new
}

fn with_algorithm(algorithm: HashAlgorithm, test: impl FnOnce(&mut Scene<'_>)) {
    let mut params = realm_params(40, 1, 2);
    params.hash_algo = algorithm as u8;
    Scene::with_params(&params, 1, test);
}

#[test]
fn measurements_of_every_size() {
    for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
        with_algorithm(algorithm, |scene| {
            let rim = scene.bench.world().realm(scene.rd).unwrap().rim;
            scene.program(move |guest| async move {
                let mut expected = [[0; 64]; 5];
                expected[0] = rim;
                for size in 0..=64_u8 {
                    let value: [u8; 64] = std::array::from_fn(|byte| {
                        size.wrapping_add(7 * u8::try_from(byte % 32).unwrap()) | 1
                    });
                    let (size, register) = (usize::from(size), usize::from(1 + size % 4));
                    let reply = extend(&guest, register as u64, size as u64, &value).await;
                    assert_eq!(reply, [SUCCESS, 0, 0, 0]);
                    let old = expected[register];
                    expected[register] = extended(algorithm, &old, size, &value);
                    for (number, expected) in (0..).zip(&expected) {
                        assert_eq!(read(&guest, number).await, *expected, "{size} {number}");
                    }
                }
            });
            assert_exit(&scene.enter(), &exit(ExitReason::Irq));
        });
    }
}

/// Bytes 1 to 32 onto nothing (reference, section 9.7, definition A; first 32 bytes).
#[test]
fn a_measurement_that_others_have_computed() {
    for (algorithm, start) in [
        (
            HashAlgorithm::Sha256,
            [0xc490_fcb8_4069_37e1_u64, 0x5429_0bb8_946f_8dc5],
        ),
        (
            HashAlgorithm::Sha512,
            [0xf45b_d3df_811b_00d5, 0x83e5_3ff8_b7ae_c106],
        ),
    ] {
        with_algorithm(algorithm, |scene| {
            scene.program(move |guest| async move {
                let mut value = [0xff; 64];
                for (number, byte) in (1..).zip(&mut value[..32]) {
                    *byte = number;
                }
                extend(&guest, 3, 32, &value).await;
                let found = read(&guest, 3).await;
                let words = found.as_chunks::<8>().0;
                let words = [words[0], words[1]].map(u64::from_be_bytes);
                assert_eq!(words, start);
            });
            assert_exit(&scene.enter(), &exit(ExitReason::Irq));
        });
    }
}

#[test]
fn measurements_that_are_not_there() {
    inside(|guest| async move {
        for register in [5, 6, 255, u64::MAX, 1 << 32] {
            let reply = guest.call(&[fid::MEASUREMENT_READ, register]).await;
            assert_eq!(reply, [ERROR_INPUT, 0, 0, 0], "{register:#x}");
        }
        for (register, size) in [
            (0, 32),
            (5, 32),
            (u64::MAX, 32),
            (1 << 32 | 1, 32),
            (1, 65),
            (1, u64::MAX),
            (4, 1 << 32),
            (0, 65),
        ] {
            let reply = extend(&guest, register, size, &[1; 64]).await;
            assert_eq!(reply, [ERROR_INPUT, 0, 0, 0], "{register:#x} {size}");
        }
        for register in 1..5 {
            assert_eq!(read(&guest, register).await, [0; 64]);
        }
    });
}
