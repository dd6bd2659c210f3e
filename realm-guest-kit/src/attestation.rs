//! A whole attestation token: the loop around `RSI_ATTESTATION_TOKEN_INIT` and
//! `RSI_ATTESTATION_TOKEN_CONTINUE`.

use core::fmt;

use rmm_abi::rsi::CHALLENGE_SIZE;

use crate::conduit::Conduit;
use crate::rsi::{self, TokenPage};

/// How often in a row the RMM may come back without a byte. It signs in small steps, and between
/// them it lets interrupts through.
pub const PATIENCE: u32 = 1 << 20;

/// Why there is no token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The buffer is full and the token is not complete.
    BufferTooSmall,
    /// The RMM has come back [`PATIENCE`] times without a byte.
    NoProgress,
    /// The RMM has refused it.
    Rsi(rsi::Error),
}

impl From<rsi::Error> for Error {
    fn from(error: rsi::Error) -> Self {
        Self::Rsi(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall => f.write_str("the buffer is too small for the token"),
            Self::NoProgress => f.write_str("the token does not come to its end"),
            Self::Rsi(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

/// Writes the token for a challenge to `buffer`, page after page, and returns its size in bytes
/// (DEN0137 "Attestation token generation"). All of it has to happen on one CPU: a token belongs to the REC that
/// asked for it.
///
/// # Errors
///
/// [`Error`] says why there is none. What the buffer then holds is of no use.
pub fn fetch_token(
    conduit: &impl Conduit,
    challenge: &[u8; CHALLENGE_SIZE],
    buffer: &mut [TokenPage],
) -> Result<u64, Error> {
    rsi::attestation_token_init(conduit, challenge)?;
    let mut size = 0;
    for page in buffer {
        let room = page.0.len() as u64;
        let mut offset = 0;
        let mut idle = 0;
        while offset < room {
            let piece = rsi::attestation_token_continue(conduit, page, offset)?;
            offset += piece.written;
            size += piece.written;
            if piece.complete {
                return Ok(size);
            }
            if piece.written > 0 {
                idle = 0;
            } else {
                idle += 1;
                if idle >= PATIENCE {
                    return Err(Error::NoProgress);
                }
            }
        }
    }
    Err(Error::BufferTooSmall)
}

#[cfg(test)]
mod tests;
