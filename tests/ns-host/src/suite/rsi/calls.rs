//! `RSI_VERSION`, `RSI_FEATURES`, and calls that nobody answers.

use rmm_abi::Version;
use rmm_abi::rmi;
use rmm_abi::rsi::{VERSION_1_0, fid};
use rmm_abi::smc::{NOT_SUPPORTED, SMCCC_ARCH_FEATURES, SMCCC_VERSION, SVE_HINT, psci};

use super::{ERROR_INPUT, SUCCESS};
use crate::outcome::{Outcome, ensure_word};
use crate::realm::{RunningRealm, Unused, Vcpu, command};
use crate::suite::Host;

/// What the RMM supports: 1.0 and nothing else.
const ONLY: u64 = VERSION_1_0.word();

fn request(vcpu: &mut Vcpu, function: u64, word: u64, expected: u64) -> Outcome {
    let results = vcpu.call(&[function, word], 2)?;
    ensure_word!(results[0], expected, "x0 for {word:#x}");
    ensure_word!(results[1], ONLY, "lower revision for {word:#x}");
    ensure_word!(results[2], ONLY, "higher revision for {word:#x}");
    Ok(())
}

pub(crate) fn version(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    request(vcpu, fid::VERSION, ONLY, SUCCESS)?;
    for version in [
        (1, 1),
        (1, 0xffff),
        (2, 0),
        (0x7fff, 0xffff),
        (0, 0),
        (0, 1),
        (0, 0xffff),
    ] {
        let word = Version::new(version.0, version.1).word();
        request(vcpu, fid::VERSION, word, ERROR_INPUT)?;
    }
    for bit in 31..64 {
        request(vcpu, fid::VERSION, ONLY | 1 << bit, ERROR_INPUT)?;
    }
    request(vcpu, fid::VERSION, u64::MAX, ERROR_INPUT)?;
    realm.tear_down()
}

pub(crate) fn features(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    for index in [0, 1, 2, 255, 1 << 32, u64::MAX] {
        let results = vcpu.call(&[fid::FEATURES, index], 1)?;
        ensure_word!(results[0], SUCCESS, "x0 for index {index:#x}");
        ensure_word!(results[1], 0, "features of index {index:#x}");
    }
    realm.tear_down()
}

/// The identifier is W0 without the hint; the rest of X0 means nothing.
pub(crate) fn identifiers(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    for high in [0, 1 << 32, 1 << 63, 0xffff_ffff << 32] {
        for hint in [0, SVE_HINT] {
            request(vcpu, high | fid::VERSION | hint, ONLY, SUCCESS)?;
            let results = vcpu.call(&[high | psci::VERSION | hint], 0)?;
            ensure_word!(
                results[0],
                0x1_0001,
                "PSCI_VERSION with {high:#x}, {hint:#x}"
            );
            let words = [high | SMCCC_VERSION | hint];
            let report = vcpu.begin(&command::smc(&words))?;
            let results = vcpu.end_call_with(&report, &words, 0, Unused::ZeroOrKept)?;
            ensure_word!(
                results[0],
                0x1_0002,
                "SMCCC_VERSION with {high:#x}, {hint:#x}"
            );
        }
    }
    realm.tear_down()
}

fn unanswered(vcpu: &mut Vcpu, function: u64) -> Outcome {
    let words = [function, 0x4000_0000, 0x1000, 1];
    let report = vcpu.begin(&command::smc(&words))?;
    let results = vcpu.end_call_with(&report, &words, 0, Unused::ZeroOrKept)?;
    ensure_word!(results[0], NOT_SUPPORTED, "x0 of {function:#x}");
    Ok(())
}

pub(crate) fn unknown(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    // Behind the ten commands, up to the end of their range.
    for number in 0x19a..=0x1af {
        unanswered(vcpu, 0xc400_0000 | number)?;
    }
    // The first and last of the RSI as fast 32-bit calls, as calls that yield, of other owners, with
    // reserved bits.
    for function in [fid::VERSION, fid::HOST_CALL] {
        for bit in (17..31).chain([31]) {
            unanswered(vcpu, function ^ 1 << bit)?;
        }
    }
    // What belongs to the host and to EL3.
    for function in [
        rmi::fid::VERSION,
        rmi::fid::GRANULE_DELEGATE,
        rmi::fid::REC_ENTER,
        rmi::fid::REALM_DESTROY,
        rmm_abi::el3::fid::GTSI_DELEGATE,
        rmm_abi::el3::fid::REQUEST_COMPLETE,
        rmm_abi::el3::fid::ATTEST_GET_REALM_KEY,
        SMCCC_ARCH_FEATURES,
        0x8000_8000,
        0x8400_ff01,
        0xc600_0001,
        0,
        1,
        0xffff_ffff,
    ] {
        unanswered(vcpu, function)?;
    }
    // Neither is the host told of them nor does one of them end the Realm.
    request(vcpu, fid::VERSION, ONLY, SUCCESS)?;
    realm.tear_down()
}
