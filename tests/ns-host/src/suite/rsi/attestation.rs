//! `RSI_ATTESTATION_TOKEN_INIT` and `RSI_ATTESTATION_TOKEN_CONTINUE`, as far as there are no tokens.

use rmm_abi::rsi::fid;

use super::{ERROR_INPUT, ERROR_STATE, ERROR_UNKNOWN, fails, succeeds};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word};
use crate::realm::{Options, RunningRealm, Vcpu};
use crate::suite::Host;

/// Starts a token; the most bytes that it may have are a page.
fn init(vcpu: &mut Vcpu, byte: u8) -> Outcome {
    let word = u64::from_ne_bytes([byte; 8]);
    let mut call = [word; 9];
    call[0] = fid::ATTESTATION_TOKEN_INIT;
    let results = succeeds(vcpu, &call, 1)?;
    ensure_word!(results[1], GRANULE, "most bytes of a token");
    Ok(())
}

pub(crate) fn attestation_token(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    realm.switch_on(1)?;
    let half = realm.realm.shape.half();
    let end = realm.realm.shape.end();
    let [first, second] = realm.vcpus.as_mut_slice() else {
        return crate::outcome::fail!("there are not two RECs");
    };
    let page = first.hello.scratch;
    let next = |offset, size| [fid::ATTESTATION_TOKEN_CONTINUE, page, offset, size];
    // The arguments are looked at first.
    for started in [false, true] {
        if started {
            init(first, 0x11)?;
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
    // It was begun, and this ends it.
    fails(first, &next(0, GRANULE), ERROR_UNKNOWN)?;
    fails(first, &next(0, GRANULE), ERROR_STATE)?;
    fails(first, &next(0, 0), ERROR_STATE)?;
    // Each REC has a token of its own; one that is begun again begins again.
    init(first, 0x22)?;
    fails(second, &next(0, GRANULE), ERROR_STATE)?;
    init(first, 0x33)?;
    fails(first, &next(0, 64), ERROR_UNKNOWN)?;
    fails(first, &next(0, 64), ERROR_STATE)?;
    realm.tear_down()
}
