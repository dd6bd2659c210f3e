//! Exit records, as they should be.

use rmm_abi::rmi::run::{ExitReason, RecExit};
use zerocopy::IntoBytes;

/// An exit for a reason and with nothing else to tell.
pub fn exit(reason: ExitReason) -> RecExit {
    let mut exit = RecExit::default();
    exit.exit_reason = reason as u8;
    exit
}

/// An exit for a synchronous exception at an IPA, or at 0 for none.
pub fn synchronous_exit(esr: u64, far: u64, ipa: u64) -> RecExit {
    let mut exit = exit(ExitReason::Sync);
    exit.esr = esr;
    exit.far = far;
    exit.hpfar = ipa >> 12 << 4;
    exit
}

/// Ends the test when the host is told anything else than it should be, in any byte.
///
/// # Panics
///
/// With the first byte that differs.
pub fn assert_exit(found: &RecExit, expected: &RecExit) {
    let pairs = found
        .as_bytes()
        .chunks(8)
        .zip(expected.as_bytes().chunks(8));
    for (number, (found, expected)) in pairs.enumerate() {
        assert_eq!(
            found,
            expected,
            "bytes at {:#x} of the exit record",
            number * 8
        );
    }
}
