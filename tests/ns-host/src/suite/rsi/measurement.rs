//! `RSI_MEASUREMENT_READ` and `RSI_MEASUREMENT_EXTEND`.

use ns_host::measurement::{Measurement, extended, from_words, words};
use ns_host::random::Random;
use realm_payload::measure::Operation;
use rmm_abi::rmi::HashAlgorithm;
use rmm_abi::rsi::{MEASUREMENT_REGISTERS, fid};
use spin::Mutex;

use super::{ERROR_INPUT, fails, succeeds};
use crate::outcome::{Outcome, ensure, fail};
use crate::realm::{Command, Options, Replied, RunningRealm, Vcpu};
use crate::suite::Host;

fn read(vcpu: &mut Vcpu, index: u64) -> Outcome<Measurement> {
    let results = succeeds(vcpu, &[fid::MEASUREMENT_READ, index], 8)?;
    let mut value = [0; 8];
    value.copy_from_slice(&results[1..9]);
    Ok(from_words(&value))
}

fn holds(vcpu: &mut Vcpu, index: u64, expected: &Measurement) -> Outcome {
    let seen = read(vcpu, index)?;
    ensure!(
        seen == *expected,
        "measurement {index} starts with {:02x?} instead of {:02x?}",
        &seen[..24],
        &expected[..24]
    );
    Ok(())
}

/// With both algorithms, with other parameters, with several RECs.
pub(crate) fn initial_measurement(host: &Host) -> Outcome {
    for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
        for options in [
            Options::PLAIN,
            Options::with_recs(3),
            Options {
                rpv: [0x5a; 64],
                breakpoints: 2,
                watchpoints: 3,
                ..Options::PLAIN
            },
        ] {
            let mut realm = RunningRealm::greeted(host, Options { hash, ..options })?;
            let expected = *realm.measurement.value();
            let vcpu = realm.first();
            holds(vcpu, 0, &expected)?;
            for index in 1..MEASUREMENT_REGISTERS as u64 {
                holds(vcpu, index, &[0; 64])?;
            }
            realm.tear_down()?;
        }
    }
    Ok(())
}

pub(crate) fn extend_with_sha_256(host: &Host) -> Outcome {
    extend(host, HashAlgorithm::Sha256)
}

pub(crate) fn extend_with_sha_512(host: &Host) -> Outcome {
    extend(host, HashAlgorithm::Sha512)
}

fn extend_call(index: u64, size: u64, value: &Measurement) -> [u64; 11] {
    let mut call = [0; 11];
    call[..3].copy_from_slice(&[fid::MEASUREMENT_EXTEND, index, size]);
    call[3..].copy_from_slice(&words(value));
    call
}

/// Every size into every register, each beside a computation of the host's.
fn extend(host: &Host, hash: HashAlgorithm) -> Outcome {
    let options = Options {
        hash,
        ..Options::PLAIN
    };
    let mut realm = RunningRealm::greeted(host, options)?;
    let initial = *realm.measurement.value();
    let vcpu = realm.first();
    let mut random = Random::new(21);
    let mut expected = [[0; 64]; MEASUREMENT_REGISTERS];
    expected[0] = initial;
    for size in 0..=64u8 {
        let index = usize::from(1 + size % 4);
        // What is behind the size does not count.
        let value = core::array::from_fn(|_| random.word().to_le_bytes()[0]);
        succeeds(vcpu, &extend_call(index as u64, size.into(), &value), 0)?;
        expected[index] = extended(hash, &expected[index], &value, size.into());
        holds(vcpu, index as u64, &expected[index])?;
    }
    for (index, expected) in (0..).zip(&expected) {
        holds(vcpu, index, expected)?;
    }
    realm.tear_down()
}

pub(crate) fn extend_refused(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let initial = *realm.measurement.value();
    let vcpu = realm.first();
    let value = [0xab; 64];
    succeeds(vcpu, &extend_call(2, 64, &value), 0)?;
    let second = extended(HashAlgorithm::Sha256, &[0; 64], &value, 64);
    for index in [5, 6, 63, 1 << 32, 1 << 32 | 1, u64::MAX] {
        fails(vcpu, &[fid::MEASUREMENT_READ, index], ERROR_INPUT)?;
    }
    for index in [0, 5, 6, 1 << 32 | 1, u64::MAX] {
        for size in [0, 32, 64, 65, u64::MAX] {
            fails(vcpu, &extend_call(index, size, &value), ERROR_INPUT)?;
        }
    }
    for size in [65, 66, 128, 1 << 32, u64::MAX] {
        fails(vcpu, &extend_call(2, size, &value), ERROR_INPUT)?;
    }
    for (index, expected) in [
        (0, initial),
        (1, [0; 64]),
        (2, second),
        (3, [0; 64]),
        (4, [0; 64]),
    ] {
        holds(vcpu, index, &expected)?;
    }
    realm.tear_down()
}

/// Two RECs extend the same register at the same time, again and again without an exit in between. The
/// values are equal, so only their number counts.
pub(crate) fn extend_at_once(host: &Host) -> Outcome {
    const EACH: u64 = 3000;
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    realm.switch_on(1)?;
    let [first, second] = realm.vcpus.as_mut_slice() else {
        return fail!("there are not two RECs");
    };
    let vcpus = [Mutex::new(first), Mutex::new(second)];
    let extend = Command::Measure {
        operation: Operation::MeasurementExtend,
        repetitions: EACH,
        address: 0,
    };
    host.cpus.check(2, &|cpu| {
        let reply = vcpus[cpu].lock().command(&extend)?;
        reply.done("extensions").map(|_| ())
    })?;
    // What the payload extends it with.
    let value = from_words(&[1, 2, 3, 4, 5, 6, 7, 8]);
    let mut expected = [0; 64];
    for _ in 0..2 * EACH {
        expected = extended(HashAlgorithm::Sha256, &expected, &value, 64);
    }
    let [first, _] = &vcpus;
    holds(&mut first.lock(), 1, &expected)?;
    realm.tear_down()
}
