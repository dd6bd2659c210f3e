//! `RSI_ATTESTATION_TOKEN_INIT` and `RSI_ATTESTATION_TOKEN_CONTINUE`.

use ns_host::measurement::{extended, words};
use rmm_abi::rmi::HashAlgorithm;
use rmm_abi::rsi::fid;
use rmm_abi::smc::psci;

use super::{ERROR_INPUT, ERROR_STATE, INCOMPLETE, SUCCESS, fails, load, store, succeeds};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::realm::token::{Expected, challenge, fetch_by};
use crate::realm::{Exit, Options, Replied, RunningRealm, SPARE, Vcpu, command};
use crate::suite::Host;
use crate::timer::HostTimer;

const VALUE: u64 = 0x5a5a_0000_1111_2222;

fn init_call(challenge: &[u8; 64]) -> [u64; 9] {
    let mut call = [0; 9];
    call[0] = fid::ATTESTATION_TOKEN_INIT;
    for (word, bytes) in call[1..].iter_mut().zip(challenge.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    call
}

/// Starts a token; the most bytes that it may have are a page.
fn init(vcpu: &mut Vcpu, challenge: &[u8; 64]) -> Outcome {
    let results = succeeds(vcpu, &init_call(challenge), 1)?;
    ensure_word!(results[1], GRANULE, "most bytes of a token");
    Ok(())
}

/// A call for a part: the code, and how many bytes.
fn proceed(vcpu: &mut Vcpu, page: u64, offset: u64, size: u64) -> Outcome<(u64, u64)> {
    let call = [fid::ATTESTATION_TOKEN_CONTINUE, page, offset, size];
    let results = vcpu.call(&call, 1)?;
    Ok((results[0], results[1]))
}

/// Arguments, and which calls follow which.
pub(crate) fn attestation_token(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    realm.switch_on(1)?;
    let half = realm.realm.shape.half();
    let end = realm.realm.shape.end();
    let [first, second] = realm.vcpus.as_mut_slice() else {
        return fail!("there are not two RECs");
    };
    let page = first.hello.scratch;
    let next = |offset, size| [fid::ATTESTATION_TOKEN_CONTINUE, page, offset, size];
    // The arguments are looked at first.
    for started in [false, true] {
        if started {
            init(first, &challenge(1))?;
        }
        for address in [page + 1, page + 8, half, half + page, end, 1 << 63 | page] {
            let call = [fid::ATTESTATION_TOKEN_CONTINUE, address, 0, GRANULE];
            fails(first, &call, ERROR_INPUT)?;
        }
        for (offset, size) in [
            (GRANULE, 0),
            (GRANULE, 1),
            (0, GRANULE + 1),
            (1, GRANULE),
            (GRANULE - 1, 2),
            (1 << 63, 1),
            (1, u64::MAX),
            (u64::MAX, 1),
            (u64::MAX, u64::MAX),
        ] {
            fails(first, &next(offset, size), ERROR_INPUT)?;
        }
    }
    // It was begun, and the last byte ends it.
    ensure_word!(proceed(first, page, 0, 0)?.0, INCOMPLETE, "no bytes");
    let (code, size) = proceed(first, page, 0, GRANULE)?;
    ensure_word!(code, SUCCESS, "the whole token");
    ensure!(size > 600, "a token of {size} bytes");
    fails(first, &next(0, GRANULE), ERROR_STATE)?;
    fails(first, &next(0, 0), ERROR_STATE)?;
    // Each REC has a token of its own.
    init(first, &challenge(2))?;
    fails(second, &next(0, GRANULE), ERROR_STATE)?;
    ensure_word!(proceed(first, page, 0, 64)?.0, INCOMPLETE, "64 bytes");
    fails(second, &next(0, GRANULE), ERROR_STATE)?;
    realm.tear_down()
}

/// Every claim that is about the Realm, with both algorithms; REMs as they are when the token is made.
pub(crate) fn token_content(host: &Host) -> Outcome {
    let rpv = challenge(0x77);
    for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
        let options = Options {
            hash,
            rpv,
            ..Options::PLAIN
        };
        let mut realm = RunningRealm::greeted(host, options)?;
        let mut expected = Expected::of(&realm, challenge(3));
        let vcpu = &mut realm.vcpus[0];
        fetch_by(vcpu, &challenge(3), Vcpu::run, |token| {
            expected.check(token)
        })?;
        for register in [1_u8, 4] {
            let value = challenge(register);
            let mut call = [0; 11];
            call[..3].copy_from_slice(&[fid::MEASUREMENT_EXTEND, register.into(), 64]);
            call[3..].copy_from_slice(&words(&value));
            succeeds(vcpu, &call, 0)?;
            let rem = &mut expected.measurements[usize::from(register)];
            *rem = extended(hash, rem, &value, 64);
        }
        fetch_by(vcpu, &challenge(3), Vcpu::run, |token| {
            expected.check(token)
        })?;
        realm.tear_down()?;
    }
    Ok(())
}

/// Parts of all sizes, wherever the Realm wants them, make the same token, and nothing else in the page
/// changes.
pub(crate) fn token_in_parts(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let expected = Expected::of(&realm, challenge(4));
    let vcpu = &mut realm.vcpus[0];
    let page = vcpu.hello.scratch;
    init(vcpu, &challenge(4))?;
    let mut bytes = arrayvec::ArrayVec::<u8, 4096>::new();
    let mut parts = [
        (8, 8),
        (16, 1),
        (41, 7),
        (4095, 1),
        (24, 500),
        (0, 0),
        (1, 333),
    ]
    .into_iter()
    .cycle();
    loop {
        let (offset, size) = parts.next().unwrap_or_default();
        let around = [(offset & !7) as u64, (offset + size) as u64 & !7];
        for word in around {
            if word < GRANULE {
                store(vcpu, page + word, VALUE)?;
            }
        }
        let (code, written) = proceed(vcpu, page, offset as u64, size as u64)?;
        let written = usize::try_from(written).unwrap_or(usize::MAX);
        ensure!(
            code == SUCCESS || code == INCOMPLETE && written == size,
            "code {code}, {written} of {size} bytes"
        );
        let last = (offset + written)
            .next_multiple_of(8)
            .max((offset & !7) + 8);
        for word in ((offset & !7)..last.min(4096)).step_by(8) {
            let value = load(vcpu, page + word as u64)?.to_le_bytes();
            for (at, byte) in (word..).zip(value) {
                if (offset..offset + written).contains(&at) {
                    let has_room = bytes.try_push(byte).is_ok();
                    ensure!(has_room, "more than 4096 bytes");
                } else if around.contains(&(word as u64)) {
                    let kept = VALUE.to_le_bytes()[at % 8];
                    ensure!(byte == kept, "byte {at} has changed: {byte:#x}");
                }
            }
        }
        if code == SUCCESS {
            break;
        }
    }
    expected.check(&bytes)?;
    realm.tear_down()
}

/// The page for it is the host's to provide, or does not exist; the token waits.
pub(crate) fn token_without_memory(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let expected = Expected::of(&realm, challenge(5));
    let RunningRealm {
        realm: memory,
        vcpus,
        ..
    } = &mut realm;
    let vcpu = &mut vcpus[0];
    init(vcpu, &challenge(5))?;
    let nothing = [
        fid::ATTESTATION_TOKEN_CONTINUE,
        crate::realm::NO_RAM,
        0,
        GRANULE,
    ];
    fails(vcpu, &nothing, ERROR_INPUT)?;
    let call = [fid::ATTESTATION_TOKEN_CONTINUE, SPARE, 0, GRANULE];
    let report = vcpu.begin(&command::smc(&call))?;
    ensure!(
        matches!(report.exit, Exit::Data { .. }),
        "exit for a page of the host's: {:x?}",
        report.exit
    );
    memory.tables(SPARE, crate::realm::PAGE_LEVEL)?;
    memory.data_unknown(SPARE)?;
    let report = vcpu.run()?;
    let results = vcpu.finish(&report)?.done("CONTINUE")?;
    ensure_word!(results[0], SUCCESS, "CONTINUE");
    let mut bytes = arrayvec::ArrayVec::<u8, 4096>::new();
    for word in 0..results[1].div_ceil(8) {
        bytes.extend(load(vcpu, SPARE + 8 * word)?.to_le_bytes());
    }
    bytes.truncate(usize::try_from(results[1]).unwrap_or(0));
    expected.check(&bytes)?;
    realm.tear_down()
}

/// An interrupt of the host ends the call without a byte, and the token is right all the same. How many
/// come depends on the machine under this one: its timers may be late.
pub(crate) fn interrupted_token(host: &Host) -> Outcome {
    const FEWEST: usize = 12;
    const MOST_TOKENS: u8 = 100;
    let mut realm = RunningRealm::plain(host)?;
    let mut interruptions = 0;
    for round in 0..MOST_TOKENS {
        if interruptions >= FEWEST {
            return realm.tear_down();
        }
        let ticks = 40_000 + 1_511 * u64::from(round);
        let expected = Expected::of(&realm, challenge(round));
        let run = |vcpu: &mut Vcpu| {
            HostTimer::Physical.start_ticks(ticks);
            let report = vcpu.run();
            HostTimer::Physical.stop();
            report
        };
        let vcpu = &mut realm.vcpus[0];
        HostTimer::Physical.start_ticks(ticks);
        interruptions += fetch_by(vcpu, &challenge(round), run, |token| expected.check(token))?;
    }
    fail!("{MOST_TOKENS} tokens were interrupted {interruptions} times only")
}

/// Leaves a token put aside: the Realm was told that the call did nothing. When the interrupt came before
/// the call or after it, it is tried again.
fn put_aside(vcpu: &mut Vcpu, byte: u8) -> Outcome {
    let page = vcpu.hello.scratch;
    let call = [fid::ATTESTATION_TOKEN_CONTINUE, page, 0, GRANULE];
    for attempt in 1..100 {
        init(vcpu, &challenge(byte))?;
        HostTimer::Physical.start_ticks(crate::time::frequency() / 100_000 * attempt);
        let mut report = vcpu.begin(&command::smc(&call))?;
        HostTimer::Physical.stop();
        while report.exit == Exit::Irq {
            crate::timer::acknowledge();
            report = vcpu.run()?;
        }
        let results = vcpu.finish(&report)?.done("CONTINUE")?;
        if results[0] == INCOMPLETE {
            ensure_word!(results[1], 0, "bytes when interrupted");
            return Ok(());
        }
        ensure_word!(results[0], SUCCESS, "CONTINUE when it is not interrupted");
    }
    fail!("no interrupt comes while a token is made")
}

/// A new challenge while a token is put aside.
pub(crate) fn restarted_token(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    for round in 10..14 {
        put_aside(&mut realm.vcpus[0], 99)?;
        let expected = Expected::of(&realm, challenge(round));
        let vcpu = &mut realm.vcpus[0];
        fetch_by(vcpu, &challenge(round), Vcpu::run, |token| {
            expected.check(token)
        })?;
    }
    realm.tear_down()
}

/// A REC that is switched off with a token put aside has none when it is switched on again.
pub(crate) fn abandoned_token(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    realm.switch_on(1)?;
    put_aside(&mut realm.vcpus[1], 50)?;
    let report = realm.vcpus[1].begin(&command::smc(&[psci::CPU_OFF]))?;
    ensure!(
        report.exit == Exit::psci(psci::CPU_OFF, [0; 3]),
        "exit of CPU_OFF: {:x?}",
        report.exit
    );
    realm.switch_on(1)?;
    let page = realm.vcpus[1].hello.scratch;
    let call = [fid::ATTESTATION_TOKEN_CONTINUE, page, 0, GRANULE];
    fails(&mut realm.vcpus[1], &call, ERROR_STATE)?;
    let expected = Expected::of(&realm, challenge(51));
    let vcpu = &mut realm.vcpus[1];
    fetch_by(vcpu, &challenge(51), Vcpu::run, |token| {
        expected.check(token)
    })?;
    realm.tear_down()
}

/// What the host gets back of a REC whose token was put aside is zeroes, as of all that was a Realm's.
pub(crate) fn destroyed_with_its_rec(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    put_aside(realm.first(), 60)?;
    realm.tear_down()
}
