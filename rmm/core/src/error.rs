//! The two ways in which a call can go wrong.
//!
//! A *reply* is for the caller: a code of the RMI. A *fatal* condition is for nobody: the RMM has
//! found its own state, or that of EL3, to be other than it must be. It then says so on the
//! console and stops serving.

use core::fmt;

use rmm_abi::el3::ServiceCode;
use rmm_abi::rmi::ReturnCode;

use crate::granule::{GranuleAddress, GranuleError, GranuleState};

/// Why a command did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// A code for the host. The command has changed nothing.
    Reply(ReturnCode),
    /// The RMM must stop serving.
    Fatal(Fatal),
}

/// A state that cannot be, so nothing that the RMM believes can be relied on any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fatal {
    /// EL3 would not take back a granule that the RMM holds as delegated.
    UndelegateRefused {
        /// The granule.
        granule: GranuleAddress,
        /// What EL3 said.
        code: ServiceCode,
    },
    /// A granule that the RMM's own structures refer to is not in the state that it must have.
    LostGranule {
        /// The granule.
        granule: GranuleAddress,
        /// The state.
        expected: GranuleState,
    },
    /// A Realm descriptor contradicts itself.
    BrokenRealm {
        /// The descriptor's granule, or what it refers to.
        granule: GranuleAddress,
    },
    /// A REC contradicts itself.
    BrokenRec {
        /// The REC's granule.
        granule: GranuleAddress,
    },
    /// A translation table holds an entry that the RMM does not write.
    BrokenTable {
        /// The table's granule.
        granule: GranuleAddress,
        /// The entry.
        entry: u64,
    },
    /// A granule record holds a state that does not exist.
    UnknownGranuleState {
        /// The granule.
        granule: GranuleAddress,
        /// The raw record.
        record: u16,
    },
    /// A call ended with granules locked.
    LocksHeld {
        /// Function identifier of the call.
        function: u64,
        /// Locked granules.
        count: usize,
    },
    /// A call ended with granules mapped.
    GranulesMapped {
        /// Function identifier of the call.
        function: u64,
        /// Mapped granules.
        count: usize,
    },
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UndelegateRefused { granule, code } => {
                write!(f, "EL3 refused to undelegate granule {granule}: {code:?}")
            }
            Self::LostGranule { granule, expected } => {
                write!(
                    f,
                    "granule {granule} is not in state {expected:?}, which it must have"
                )
            }
            Self::BrokenRealm { granule } => {
                write!(f, "the Realm descriptor at {granule} contradicts itself")
            }
            Self::BrokenRec { granule } => write!(f, "the REC at {granule} contradicts itself"),
            Self::BrokenTable { granule, entry } => {
                write!(
                    f,
                    "the table at {granule} holds the impossible entry {entry:#x}"
                )
            }
            Self::UnknownGranuleState { granule, record } => {
                write!(
                    f,
                    "granule {granule} has the impossible record {record:#06x}"
                )
            }
            Self::LocksHeld { function, count } => {
                write!(f, "call {function:#x} ended with {count} granules locked")
            }
            Self::GranulesMapped { function, count } => {
                write!(f, "call {function:#x} ended with {count} granules mapped")
            }
        }
    }
}

impl From<Fatal> for Error {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}

/// Everything that can be wrong with a granule that the host named is wrong input (DEN0137,
/// failure conditions of every command).
impl From<GranuleError> for Error {
    fn from(error: GranuleError) -> Self {
        match error {
            GranuleError::Misaligned
            | GranuleError::NotTracked
            | GranuleError::WrongState
            | GranuleError::RefusedByEl3(_) => Self::Reply(ReturnCode::ERROR_INPUT),
            GranuleError::Fatal(fatal) => Self::Fatal(fatal),
        }
    }
}
