//! Power state of the Realm's CPUs (DEN0022, and DEN0137 chapter B6 for what an RMM implements).

use core::fmt;

use rmm_abi::Version;
use rmm_abi::smc::psci;

use crate::conduit::{Conduit, call};

/// Why a call was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// There is no such function.
    NotSupported,
    /// An argument is wrong, such as a CPU that the Realm does not have.
    InvalidParameters,
    /// The host does not want it.
    Denied,
    /// The CPU is on.
    AlreadyOn,
    /// The CPU is on its way.
    OnPending,
    /// Something failed inside.
    InternalFailure,
    /// There is no such CPU.
    NotPresent,
    /// The CPU is disabled.
    Disabled,
    /// The entry point is not in the protected half of the Realm's memory.
    InvalidAddress,
    /// A result that the specification does not know.
    Unexpected(u64),
}

impl Error {
    fn from_word(word: u64) -> Self {
        match word.cast_signed() {
            psci::NOT_SUPPORTED => Self::NotSupported,
            psci::INVALID_PARAMETERS => Self::InvalidParameters,
            psci::DENIED => Self::Denied,
            psci::ALREADY_ON => Self::AlreadyOn,
            psci::ON_PENDING => Self::OnPending,
            psci::INTERNAL_FAILURE => Self::InternalFailure,
            psci::NOT_PRESENT => Self::NotPresent,
            psci::DISABLED => Self::Disabled,
            psci::INVALID_ADDRESS => Self::InvalidAddress,
            _ => Self::Unexpected(word),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSupported => f.write_str("NOT_SUPPORTED"),
            Self::InvalidParameters => f.write_str("INVALID_PARAMETERS"),
            Self::Denied => f.write_str("DENIED"),
            Self::AlreadyOn => f.write_str("ALREADY_ON"),
            Self::OnPending => f.write_str("ON_PENDING"),
            Self::InternalFailure => f.write_str("INTERNAL_FAILURE"),
            Self::NotPresent => f.write_str("NOT_PRESENT"),
            Self::Disabled => f.write_str("DISABLED"),
            Self::InvalidAddress => f.write_str("INVALID_ADDRESS"),
            Self::Unexpected(word) => write!(f, "PSCI result {word:#x}"),
        }
    }
}

impl core::error::Error for Error {}

/// A call that answers `SUCCESS` or an error.
fn command(conduit: &impl Conduit, function: u64, arguments: &[u64]) -> Result<(), Error> {
    match call(conduit, function, arguments)[0] {
        0 => Ok(()),
        word => Err(Error::from_word(word)),
    }
}

/// A CPU by its affinity fields, as `MPIDR_EL1` has them (DEN0022 section 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Affinity(u64);

impl Affinity {
    /// The affinity fields of a value of `MPIDR_EL1`.
    pub const fn from_mpidr(mpidr: u64) -> Self {
        Self(mpidr & 0xff_00ff_ffff)
    }

    /// The CPU of the REC with this index (DEN0137 "REC index and MPIDR value"): 16 CPUs per lowest level, 256
    /// per other level. Bits of the index above 28 have no place and are dropped.
    pub const fn from_rec_index(index: u64) -> Self {
        let level_0 = index & 0xf;
        let level_1 = index >> 4 & 0xff;
        let level_2 = index >> 12 & 0xff;
        let level_3 = index >> 20 & 0xff;
        Self(level_3 << 32 | level_2 << 16 | level_1 << 8 | level_0)
    }

    /// The word that travels in a register.
    pub const fn word(self) -> u64 {
        self.0
    }
}

/// Whether a CPU runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PowerState {
    /// It runs.
    On,
    /// It does not.
    Off,
    /// It is on its way.
    OnPending,
}

/// The interface version (DEN0022 section 5.1, `PSCI_VERSION`).
///
/// # Errors
///
/// [`Error::NotSupported`] if nobody answers.
pub fn version(conduit: &impl Conduit) -> Result<Version, Error> {
    let word = call(conduit, psci::VERSION, &[])[0];
    Version::from_word(word).ok_or_else(|| Error::from_word(word))
}

/// The features of a function (DEN0022 section 5.1, `PSCI_FEATURES`): flags whose meaning
/// depends on the function.
///
/// # Errors
///
/// [`Error::NotSupported`] if the function is not there.
pub fn features(conduit: &impl Conduit, function: u64) -> Result<u64, Error> {
    let word = call(conduit, psci::FEATURES, &[function])[0];
    if word.cast_signed() < 0 {
        return Err(Error::from_word(word));
    }
    Ok(word)
}

/// Lets the calling CPU rest until the host resumes it (DEN0022 section 5.1, `CPU_SUSPEND`). In a
/// Realm that is always a standby state: the call returns and the entry point is not used
/// (DEN0137 chapter B6).
///
/// # Errors
///
/// As the RMM answers.
pub fn cpu_suspend(
    conduit: &impl Conduit,
    power_state: u64,
    entry_point: u64,
    context: u64,
) -> Result<(), Error> {
    command(
        conduit,
        psci::CPU_SUSPEND,
        &[power_state, entry_point, context],
    )
}

/// Switches the calling CPU off (DEN0022 section 5.1, `CPU_OFF`). It returns only if it is
/// refused, with the reason.
pub fn cpu_off(conduit: &impl Conduit) -> Error {
    Error::from_word(call(conduit, psci::CPU_OFF, &[])[0])
}

/// Switches a CPU on: it starts at `entry_point` with `context` in X0 (DEN0022 section 5.1,
/// `CPU_ON`).
///
/// # Errors
///
/// [`Error::InvalidAddress`], [`Error::InvalidParameters`], [`Error::AlreadyOn`], and
/// [`Error::Denied`] if the host does not want it.
pub fn cpu_on(
    conduit: &impl Conduit,
    target: Affinity,
    entry_point: u64,
    context: u64,
) -> Result<(), Error> {
    command(conduit, psci::CPU_ON, &[target.0, entry_point, context])
}

/// Whether a CPU runs (DEN0022 section 5.1, `AFFINITY_INFO`, at the lowest level).
///
/// # Errors
///
/// [`Error::InvalidParameters`] for a CPU that the Realm does not have.
pub fn affinity_info(conduit: &impl Conduit, target: Affinity) -> Result<PowerState, Error> {
    let word = call(conduit, psci::AFFINITY_INFO, &[target.0, 0])[0];
    match word.cast_signed() {
        psci::SUCCESS => Ok(PowerState::On),
        psci::AFFINITY_OFF => Ok(PowerState::Off),
        psci::AFFINITY_ON_PENDING => Ok(PowerState::OnPending),
        _ => Err(Error::from_word(word)),
    }
}

/// Ends the Realm (DEN0022 section 5.1, `SYSTEM_OFF`). It returns only if it is refused, with the
/// reason.
pub fn system_off(conduit: &impl Conduit) -> Error {
    Error::from_word(call(conduit, psci::SYSTEM_OFF, &[])[0])
}

/// Ends the Realm and asks the host to start it anew (DEN0022 section 5.1, `SYSTEM_RESET`). It
/// returns only if it is refused, with the reason.
pub fn system_reset(conduit: &impl Conduit) -> Error {
    Error::from_word(call(conduit, psci::SYSTEM_RESET, &[])[0])
}

#[cfg(test)]
mod tests;
