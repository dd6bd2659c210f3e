//! `RMI_VERSION` (DEN0137 section B4.3, version negotiation section B4.2).

use rmm_abi::Version;
use rmm_abi::rmi::{ReturnCode, VERSION_1_0};

use crate::context::Outcome;

/// Answers which revisions are served. Both outputs are valid on failure too.
pub(crate) fn version(requested: u64) -> Outcome {
    // With a single revision the lower and the higher implemented one are always that one.
    let code = if Version::from_word(requested) == Some(VERSION_1_0) {
        ReturnCode::SUCCESS
    } else {
        ReturnCode::ERROR_INPUT
    };
    Outcome {
        code,
        outputs: [VERSION_1_0.word(), VERSION_1_0.word(), 0, 0],
    }
}
