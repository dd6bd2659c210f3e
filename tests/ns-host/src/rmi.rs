//! RMI commands, with what holds for every one of them checked at each call.

pub(crate) mod commands;

use core::fmt::Display;

use rmm_abi::rmi::{ReturnCode, StatusCode, fid};

use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::smc::{Registers, call};

/// `RMI_SUCCESS`.
pub(crate) const SUCCESS: u64 = ReturnCode::SUCCESS.word();
/// `RMI_ERROR_INPUT`.
pub(crate) const ERROR_INPUT: u64 = ReturnCode::ERROR_INPUT.word();
/// `RMI_ERROR_REALM`.
pub(crate) const ERROR_REALM: u64 = ReturnCode::ERROR_REALM.word();
/// `RMI_ERROR_REC`.
pub(crate) const ERROR_REC: u64 = ReturnCode::ERROR_REC.word();

/// `RMI_ERROR_REALM` of `RMI_REC_ENTER` when the Realm has switched itself off.
pub(crate) const ERROR_SYSTEM_OFF: u64 = ReturnCode::new(StatusCode::ErrorRealm, 1).word();

/// `RMI_ERROR_RTT` for a level.
pub(crate) const fn error_rtt(level: i8) -> u64 {
    ReturnCode::error_rtt(level).word()
}

/// X0 to X3 of an answer.
pub(crate) type Answer = [u64; 4];

/// Makes a call with up to three outputs beside X0; X4 and above must survive it.
pub(crate) fn command(function: u64, arguments: &[u64]) -> Outcome<Answer> {
    let before = Registers::new(function, arguments);
    let after = before.call();
    after.expect_kept(&before, 4)?;
    let [x0, x1, x2, x3, ..] = after.0;
    Ok([x0, x1, x2, x3])
}

/// Makes a call without outputs beside X0, which must be zero.
pub(crate) fn command_without_output(function: u64, arguments: &[u64]) -> Outcome<u64> {
    let [x0, outputs @ ..] = command(function, arguments)?;
    ensure!(
        outputs == [0; 3],
        "call {function:#x} returned {x0:#x} with x1 to x3 {outputs:x?} instead of zeroes"
    );
    Ok(x0)
}

/// Answer of a command that works on a Realm: X0, and X1 to X4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) struct Reply {
    pub(crate) code: u64,
    pub(crate) outputs: [u64; 4],
}

impl Reply {
    /// Whether the command has succeeded, for callers that go on either way.
    pub(crate) const fn succeeded(&self) -> bool {
        self.code == SUCCESS
    }

    /// The command must have succeeded; its outputs.
    pub(crate) fn done(self, what: impl Display) -> Outcome<[u64; 4]> {
        ensure_word!(self.code, SUCCESS, "{what}");
        Ok(self.outputs)
    }

    /// The command must have failed with this code, and without outputs.
    pub(crate) fn refused(self, code: u64, what: impl Display) -> Outcome {
        self.refused_with(code, [0; 4], what)
    }

    /// The command must have failed with this code and these outputs.
    pub(crate) fn refused_with(self, code: u64, outputs: [u64; 4], what: impl Display) -> Outcome {
        ensure_word!(self.code, code, "{what}");
        ensure!(
            self.outputs == outputs,
            "{what}: x1 to x4 are {:x?} instead of {outputs:x?}",
            self.outputs
        );
        Ok(())
    }
}

/// `RMI_GRANULE_DELEGATE`, X0.
pub(crate) fn delegate(address: u64) -> Outcome<u64> {
    command_without_output(fid::GRANULE_DELEGATE, &[address])
}

/// `RMI_GRANULE_UNDELEGATE`, X0.
pub(crate) fn undelegate(address: u64) -> Outcome<u64> {
    command_without_output(fid::GRANULE_UNDELEGATE, &[address])
}

/// Delegates a granule; anything but success ends the test.
pub(crate) fn must_delegate(address: u64) -> Outcome {
    ensure_word!(delegate(address)?, SUCCESS, "delegate of {address:#x}");
    Ok(())
}

/// Undelegates a granule; anything but success ends the test.
pub(crate) fn must_undelegate(address: u64) -> Outcome {
    ensure_word!(undelegate(address)?, SUCCESS, "undelegate of {address:#x}");
    Ok(())
}

/// Delegate and undelegate of this address must both be refused as unacceptable input.
pub(crate) fn must_refuse(address: u64, why: &str) -> Outcome {
    ensure_word!(
        delegate(address)?,
        ERROR_INPUT,
        "delegate of {address:#x} ({why})"
    );
    ensure_word!(
        undelegate(address)?,
        ERROR_INPUT,
        "undelegate of {address:#x} ({why})"
    );
    Ok(())
}

/// Without an RMM nothing else can be tested: says so once instead of in each test.
pub(crate) fn must_be_there() -> Outcome {
    let word = call(fid::VERSION, &[rmm_abi::rmi::VERSION_1_0.word()]);
    if word == rmm_abi::smc::NOT_SUPPORTED {
        return fail!("nobody answers RMI_VERSION: there is no RMM");
    }
    Ok(())
}
