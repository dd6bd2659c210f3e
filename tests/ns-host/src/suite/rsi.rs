//! What a Realm asks of the RMM: the RSI.

mod attestation;
mod calls;
mod config;
mod host_call;
mod measurement;
mod ripas;
mod ripas_change;

pub(crate) use attestation::{
    abandoned_token, attestation_token, destroyed_with_its_rec, interrupted_token, restarted_token,
    token_content, token_in_parts, token_without_memory,
};
pub(crate) use calls::{features, identifiers, unknown, version};
pub(crate) use config::{realm_config, realm_config_refused, realm_config_without_memory};
pub(crate) use host_call::{
    host_call, host_call_refused, host_call_takes_its_buffer, host_call_without_memory,
};
pub(crate) use measurement::{
    extend_at_once, extend_refused, extend_with_sha_256, extend_with_sha_512, initial_measurement,
};
pub(crate) use ripas::{get, get_refused};
pub(crate) use ripas_change::{
    accepted, destroyed, partial, refused_requests, rejected, request_bounds,
};

use rmm_abi::rsi::ReturnCode;

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word};
use crate::realm::{Replied, Results, Vcpu, command};

const SUCCESS: u64 = ReturnCode::Success.word();
const ERROR_INPUT: u64 = ReturnCode::ErrorInput.word();
const ERROR_STATE: u64 = ReturnCode::ErrorState.word();
const INCOMPLETE: u64 = ReturnCode::Incomplete.word();

/// A call that must succeed without the host.
fn succeeds(vcpu: &mut Vcpu, words: &[u64], outputs: usize) -> Outcome<Results> {
    let results = vcpu.call(words, outputs)?;
    ensure_word!(results[0], SUCCESS, "RSI {words:x?}");
    Ok(results)
}

/// A call that must fail with this code, and without results.
fn fails(vcpu: &mut Vcpu, words: &[u64], code: u64) -> Outcome {
    let results = vcpu.call(words, 0)?;
    ensure_word!(results[0], code, "RSI {words:x?}");
    Ok(())
}

/// Loads a doubleword in the Realm.
fn load(vcpu: &mut Vcpu, address: u64) -> Outcome<u64> {
    let [value, ..] = vcpu.command(&command::load(address, 8))?.done("load")?;
    Ok(value)
}

/// Stores a doubleword in the Realm.
fn store(vcpu: &mut Vcpu, address: u64, value: u64) -> Outcome {
    let store = command::store(address, 8, value);
    vcpu.command(&store)?.done("store").map(|_| ())
}

/// Fills a page in the Realm.
fn fill(vcpu: &mut Vcpu, page: u64, value: u64) -> Outcome {
    (page..page + GRANULE)
        .step_by(8)
        .try_for_each(|address| store(vcpu, address, value))
}
