//! `RSI_ATTESTATION_TOKEN_INIT` and `RSI_ATTESTATION_TOKEN_CONTINUE` (DEN0137 section B5.3).
//!
//! This RMM has no key to sign tokens with: an attempt begins and then fails.

use rmm_abi::GRANULE_SIZE;
use rmm_abi::rsi::ReturnCode;

use super::refuse;
use crate::Machine;
use crate::rec::Flag;
use crate::rmi::is_aligned;
use crate::rtt::PAGE_LEVEL;
use crate::session::{Next, Session};

/// More than the bytes of any token.
const LARGEST_TOKEN: u64 = 4096;

/// Begins a token over the challenge in X1 to X8, and forgets one that was begun.
pub(super) fn begin<M: Machine>(session: &Session<'_, M>) -> Next {
    session.rec.set_flag(Flag::AttestationInProgress, true);
    session.reply([ReturnCode::Success.word(), LARGEST_TOKEN, 0, 0])
}

/// Delivers the next part of the token.
pub(super) fn proceed<M: Machine>(
    session: &Session<'_, M>,
    [address, offset, size]: [u64; 3],
) -> Next {
    const PAGE: u64 = GRANULE_SIZE as u64;
    let fits = offset < PAGE && offset.checked_add(size).is_some_and(|end| end <= PAGE);
    if !is_aligned(address, PAGE_LEVEL) || !session.stage2.is_protected(address) || !fits {
        return refuse(session, ReturnCode::ErrorInput);
    }
    if !session.rec.flag(Flag::AttestationInProgress) {
        return refuse(session, ReturnCode::ErrorState);
    }
    session.rec.set_flag(Flag::AttestationInProgress, false);
    refuse(session, ReturnCode::ErrorUnknown)
}
