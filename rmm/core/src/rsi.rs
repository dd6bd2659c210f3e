//! The Realm Services Interface: one file per family of commands (DEN0137 chapter B5; reference,
//! section 8).

mod attestation;
mod config;
pub(crate) mod host_call;
mod ipa_state;
mod measurement;

use rmm_abi::rsi::{ReturnCode, VERSION_1_0, fid};

use crate::Machine;
use crate::error::Fatal;
use crate::session::{Next, Session};
use crate::version::negotiate;

/// First function identifier of the RSI.
pub(crate) const FIRST: u64 = fid::VERSION;
/// Last function identifier of the RSI.
pub(crate) const LAST: u64 = fid::HOST_CALL;

/// Serves a call of a Realm.
pub(crate) fn call<M: Machine>(session: &Session<'_, M>, function: u64) -> Result<Next, Fatal> {
    let argument = |number| session.rec.general(number);
    match function {
        fid::VERSION => {
            let (accepted, lower, higher) = negotiate(argument(1), VERSION_1_0);
            let code = if accepted {
                ReturnCode::Success
            } else {
                ReturnCode::ErrorInput
            };
            Ok(session.reply([code.word(), lower, higher, 0]))
        }
        // No feature register of this revision has a bit.
        fid::FEATURES => Ok(session.reply([ReturnCode::Success.word(), 0, 0, 0])),
        fid::MEASUREMENT_READ => measurement::read(session, argument(1)),
        fid::MEASUREMENT_EXTEND => measurement::extend(session, argument(1), argument(2)),
        fid::ATTESTATION_TOKEN_INIT => attestation::begin(session),
        fid::ATTESTATION_TOKEN_CONTINUE => {
            let arguments = [argument(1), argument(2), argument(3)];
            attestation::proceed(session, arguments)
        }
        fid::REALM_CONFIG => config::write(session, argument(1)),
        fid::IPA_STATE_SET => {
            let arguments = [argument(1), argument(2), argument(3), argument(4)];
            Ok(ipa_state::set(session, arguments))
        }
        fid::IPA_STATE_GET => ipa_state::get(session, argument(1), argument(2)),
        _ => host_call::begin(session, argument(1)),
    }
}

/// Answers with an error, and nothing else.
fn refuse<M: Machine>(session: &Session<'_, M>, code: ReturnCode) -> Next {
    session.reply([code.word(), 0, 0, 0])
}
