//! The ten commands of RSI 1.0 (DEN0137 section B5.3).

use core::fmt;

use rmm_abi::Version;
use rmm_abi::rmi::Ripas;
use rmm_abi::rsi::{
    CHALLENGE_SIZE, CHANGE_DESTROYED, HostCall, MEASUREMENT_SIZE, RealmConfig, Response,
    ReturnCode, fid,
};
use rmm_abi::smc::NOT_SUPPORTED;

use crate::conduit::{Conduit, REGISTERS, buffer_address, call};

/// Why a command has not done what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Nobody answers RSI: the program does not run in a Realm.
    NotRealm,
    /// `RSI_ERROR_INPUT`: an argument is unacceptable.
    Input,
    /// `RSI_ERROR_STATE`: the state of the Realm or the REC does not allow it.
    State,
    /// `RSI_ERROR_UNKNOWN`: it failed.
    Unknown,
    /// A result that the specification does not know: the value of the register that is wrong.
    Unexpected(u64),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRealm => f.write_str("not in a Realm"),
            Self::Input => f.write_str("RSI_ERROR_INPUT"),
            Self::State => f.write_str("RSI_ERROR_STATE"),
            Self::Unknown => f.write_str("RSI_ERROR_UNKNOWN"),
            Self::Unexpected(word) => write!(f, "RSI result {word:#x}"),
        }
    }
}

impl core::error::Error for Error {}

/// The outcome that X0 stands for.
fn outcome(x0: u64) -> Result<(), Error> {
    match ReturnCode::from_word(x0) {
        Some(ReturnCode::Success) => Ok(()),
        Some(ReturnCode::ErrorInput) => Err(Error::Input),
        Some(ReturnCode::ErrorState) => Err(Error::State),
        Some(ReturnCode::ErrorUnknown) => Err(Error::Unknown),
        None if x0 == NOT_SUPPORTED => Err(Error::NotRealm),
        Some(ReturnCode::Incomplete) | None => Err(Error::Unexpected(x0)),
    }
}

/// A call whose registers are only looked at if it succeeds.
fn command(
    conduit: &impl Conduit,
    function: u64,
    arguments: &[u64],
) -> Result<[u64; REGISTERS], Error> {
    let registers = call(conduit, function, arguments);
    outcome(registers[0]).map(|()| registers)
}

/// What an RMM offers beside a revision that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Whether the RMM supports a revision that is compatible with the one asked for.
    pub compatible: bool,
    /// The revision asked for if it is compatible, else the one closest to it.
    pub lower: Version,
    /// The highest revision that the RMM supports.
    pub higher: Version,
}

/// Asks for a revision of RSI (section B5.3.10, `RSI_VERSION`).
///
/// # Errors
///
/// [`Error::NotRealm`] outside a Realm, [`Error::Unexpected`] if the answer makes no sense.
pub fn version(conduit: &impl Conduit, requested: Version) -> Result<Offer, Error> {
    let registers = call(conduit, fid::VERSION, &[requested.word()]);
    let compatible = match outcome(registers[0]) {
        Ok(()) => true,
        Err(Error::Input) => false,
        Err(error) => return Err(error),
    };
    let revision = |word| Version::from_word(word).ok_or(Error::Unexpected(word));
    Ok(Offer {
        compatible,
        lower: revision(registers[1])?,
        higher: revision(registers[2])?,
    })
}

/// Reads a feature register (section B5.3.3, `RSI_FEATURES`).
///
/// # Errors
///
/// As the RMM answers.
pub fn features(conduit: &impl Conduit, index: u64) -> Result<u64, Error> {
    Ok(command(conduit, fid::FEATURES, &[index])?[1])
}

/// Reads a measurement: 0 is the RIM, 1 to 4 are the REMs (section B5.3.8,
/// `RSI_MEASUREMENT_READ`).
///
/// # Errors
///
/// [`Error::Input`] for another index.
pub fn measurement_read(
    conduit: &impl Conduit,
    index: u64,
) -> Result<[u8; MEASUREMENT_SIZE], Error> {
    let registers = command(conduit, fid::MEASUREMENT_READ, &[index])?;
    let mut value = [0; MEASUREMENT_SIZE];
    for (bytes, word) in value.chunks_exact_mut(8).zip(&registers[1..]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Ok(value)
}

/// Extends a REM, 1 to 4, with up to 64 bytes (section B5.3.7, `RSI_MEASUREMENT_EXTEND`).
///
/// # Errors
///
/// [`Error::Input`] for another index or more bytes.
pub fn measurement_extend(conduit: &impl Conduit, index: u64, value: &[u8]) -> Result<(), Error> {
    if value.len() > MEASUREMENT_SIZE {
        return Err(Error::Input);
    }
    let mut arguments = [0; 10];
    arguments[0] = index;
    arguments[1] = value.len() as u64;
    for (argument, bytes) in arguments[2..].iter_mut().zip(value.chunks(8)) {
        *argument = word(bytes);
    }
    command(conduit, fid::MEASUREMENT_EXTEND, &arguments).map(|_| ())
}

/// Up to eight bytes as a register holds them.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Starts a token for a challenge on this CPU, and ends one that was under way (section B5.3.2,
/// `RSI_ATTESTATION_TOKEN_INIT`). Returns the most bytes that the token can have.
///
/// # Errors
///
/// As the RMM answers.
pub fn attestation_token_init(
    conduit: &impl Conduit,
    challenge: &[u8; CHALLENGE_SIZE],
) -> Result<u64, Error> {
    let mut arguments = [0; CHALLENGE_SIZE / 8];
    for (argument, bytes) in arguments.iter_mut().zip(challenge.chunks(8)) {
        *argument = word(bytes);
    }
    Ok(command(conduit, fid::ATTESTATION_TOKEN_INIT, &arguments)?[1])
}

/// A page of memory that the RMM writes a piece of a token to.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
pub struct TokenPage(pub [u8; rmm_abi::GRANULE_SIZE]);

/// What one step of a token has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenPiece {
    /// Bytes written, from the offset asked for on.
    pub written: u64,
    /// Whether the token is complete.
    pub complete: bool,
}

/// Takes the token of this CPU a step further and writes what there is to `page`, from `offset` to
/// its end (section B5.3.1, `RSI_ATTESTATION_TOKEN_CONTINUE`).
///
/// # Errors
///
/// [`Error::Input`] for an offset outside the page, [`Error::State`] without
/// [`attestation_token_init`], [`Error::Unknown`] if the token cannot be made.
pub fn attestation_token_continue(
    conduit: &impl Conduit,
    page: &mut TokenPage,
    offset: u64,
) -> Result<TokenPiece, Error> {
    let Some(room) = (page.0.len() as u64).checked_sub(offset) else {
        return Err(Error::Input);
    };
    let address = buffer_address(conduit, page);
    let registers = call(
        conduit,
        fid::ATTESTATION_TOKEN_CONTINUE,
        &[address, offset, room],
    );
    let complete = registers[0] != ReturnCode::Incomplete.word();
    if complete {
        outcome(registers[0])?;
    }
    let written = registers[1];
    if written > room {
        return Err(Error::Unexpected(written));
    }
    Ok(TokenPiece { written, complete })
}

/// Reads what a Realm is told about itself (section B5.3.9, `RSI_REALM_CONFIG`).
///
/// # Errors
///
/// [`Error::Input`] if the page is not in the protected half of the Realm's memory.
pub fn realm_config(conduit: &impl Conduit, config: &mut RealmConfig) -> Result<(), Error> {
    let address = buffer_address(conduit, config);
    command(conduit, fid::REALM_CONFIG, &[address]).map(|_| ())
}

/// How far a change of RIPAS has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Everything below has changed.
    pub new_base: u64,
    /// Whether the host goes along with the rest.
    pub response: Response,
}

/// Whether a change of RIPAS goes over memory that the host took away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destroyed {
    /// The change stops in front of it.
    Keep,
    /// It changes like the rest; its contents are lost.
    Change,
}

/// Asks the host to change the RIPAS of `base..top` to empty or RAM (section B5.3.6,
/// `RSI_IPA_STATE_SET`). The host may do a part; [`memory::set_ripas`](crate::memory::set_ripas)
/// asks until all is done.
///
/// # Errors
///
/// [`Error::Input`] for a range that is empty, not of whole granules or not protected, and for
/// [`Ripas::Destroyed`]. [`Error::Unexpected`] if the answer is outside the range.
pub fn ipa_state_set(
    conduit: &impl Conduit,
    base: u64,
    top: u64,
    ripas: Ripas,
    destroyed: Destroyed,
) -> Result<Progress, Error> {
    let flags = match destroyed {
        Destroyed::Keep => 0,
        Destroyed::Change => CHANGE_DESTROYED,
    };
    // The response means nothing unless the command has succeeded.
    let registers = command(
        conduit,
        fid::IPA_STATE_SET,
        &[base, top, ripas as u64, flags],
    )?;
    let new_base = registers[1];
    if !(base..=top).contains(&new_base) {
        return Err(Error::Unexpected(new_base));
    }
    let response = match registers[2] {
        0 => Response::Accept,
        1 => Response::Reject,
        word => return Err(Error::Unexpected(word)),
    };
    Ok(Progress { new_base, response })
}

/// Memory of one RIPAS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RipasRange {
    /// First address.
    pub base: u64,
    /// End of it.
    pub top: u64,
    /// RIPAS of all of it.
    pub ripas: Ripas,
}

/// The RIPAS at `base`, and up to where in `base..top` it is surely the same (section B5.3.5,
/// `RSI_IPA_STATE_GET`). [`memory::ripas_ranges`](crate::memory::ripas_ranges) goes on from there.
///
/// # Errors
///
/// [`Error::Input`] for a range that is empty, not of whole granules or not protected.
/// [`Error::Unexpected`] if the answer is outside the range.
pub fn ipa_state_get(conduit: &impl Conduit, base: u64, top: u64) -> Result<RipasRange, Error> {
    let registers = command(conduit, fid::IPA_STATE_GET, &[base, top])?;
    let end = registers[1];
    if end <= base || end > top {
        return Err(Error::Unexpected(end));
    }
    let ripas = match registers[2] {
        0 => Ripas::Empty,
        1 => Ripas::Ram,
        2 => Ripas::Destroyed,
        word => return Err(Error::Unexpected(word)),
    };
    Ok(RipasRange {
        base,
        top: end,
        ripas,
    })
}

/// Calls the host with an immediate and 31 registers, and takes its 31 registers back (section
/// B5.3.4, `RSI_HOST_CALL`).
///
/// # Errors
///
/// [`Error::Input`] if the structure is not in the protected half of the Realm's memory.
pub fn host_call(conduit: &impl Conduit, arguments: &mut HostCall) -> Result<(), Error> {
    let address = buffer_address(conduit, arguments);
    command(conduit, fid::HOST_CALL, &[address]).map(|_| ())
}

#[cfg(test)]
mod tests;
