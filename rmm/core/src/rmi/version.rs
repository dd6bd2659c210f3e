//! `RMI_VERSION` (DEN0137 section B4.3, version negotiation section B4.2).

use rmm_abi::rmi::{ReturnCode, Ripas, VERSION_1_0};

use crate::context::Outcome;
use crate::version::negotiate;

/// Answers which revisions are served. Both outputs are valid on failure too.
pub(crate) fn version(requested: u64) -> Outcome {
    let (accepted, lower, higher) = negotiate(requested, VERSION_1_0);
    Outcome {
        code: if accepted {
            ReturnCode::SUCCESS
        } else {
            ReturnCode::ERROR_INPUT
        },
        outputs: [lower, higher, 0],
        ripas: Ripas::Empty,
    }
}
