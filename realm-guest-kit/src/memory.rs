//! RIPAS of whole ranges: the loops around `RSI_IPA_STATE_SET` and `RSI_IPA_STATE_GET`.

use core::fmt;

use rmm_abi::rmi::Ripas;
use rmm_abi::rsi::Response;

use crate::conduit::Conduit;
use crate::rsi::{self, Destroyed, RipasRange};

/// How often in a row the host may come back without having done anything.
pub const PATIENCE: u32 = 64;

/// Why a range has not changed completely.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The host does not want it: nothing from this address on has changed.
    Rejected(u64),
    /// The host has agreed [`PATIENCE`] times and done nothing: nothing from this address on has
    /// changed. Memory that the host took away stops a change that should keep it.
    NoProgress(u64),
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
            Self::Rejected(address) => {
                write!(f, "the host rejects the change from {address:#x} on")
            }
            Self::NoProgress(address) => write!(f, "the change does not get beyond {address:#x}"),
            Self::Rsi(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

/// Changes the RIPAS of all of `base..top`, in as many steps as the host needs (DEN0137
/// "RIPAS change").
///
/// # Errors
///
/// [`Error`] says how far it came.
pub fn set_ripas(
    conduit: &impl Conduit,
    base: u64,
    top: u64,
    ripas: Ripas,
    destroyed: Destroyed,
) -> Result<(), Error> {
    let mut base = base;
    let mut idle = 0;
    loop {
        let progress = rsi::ipa_state_set(conduit, base, top, ripas, destroyed)?;
        if progress.new_base == top {
            return Ok(());
        }
        if progress.response == Response::Reject {
            return Err(Error::Rejected(progress.new_base));
        }
        if progress.new_base > base {
            idle = 0;
        } else {
            idle += 1;
            if idle >= PATIENCE {
                return Err(Error::NoProgress(base));
            }
        }
        base = progress.new_base;
    }
}

/// The RIPAS of all of `base..top`, as a sequence of ranges that touch. Neighbours may have the
/// same RIPAS. The sequence ends after an error.
pub fn ripas_ranges<C: Conduit>(conduit: &C, base: u64, top: u64) -> RipasRanges<'_, C> {
    RipasRanges {
        conduit,
        next: Some(base),
        top,
    }
}

/// The RIPAS that all of `base..top` has, `None` if it is not one.
///
/// # Errors
///
/// As [`rsi::ipa_state_get`].
pub fn uniform_ripas(
    conduit: &impl Conduit,
    base: u64,
    top: u64,
) -> Result<Option<Ripas>, rsi::Error> {
    let mut common = None;
    for range in ripas_ranges(conduit, base, top) {
        let ripas = range?.ripas;
        if *common.get_or_insert(ripas) != ripas {
            return Ok(None);
        }
    }
    Ok(common)
}

/// See [`ripas_ranges`].
#[derive(Debug)]
pub struct RipasRanges<'a, C> {
    conduit: &'a C,
    /// Where the next range starts; `None` at the end.
    next: Option<u64>,
    top: u64,
}

impl<C: Conduit> Iterator for RipasRanges<'_, C> {
    type Item = Result<RipasRange, rsi::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let range = rsi::ipa_state_get(self.conduit, self.next?, self.top);
        // An answer is never empty, so this comes to an end.
        self.next = match &range {
            Ok(range) if range.top < self.top => Some(range.top),
            _ => None,
        };
        Some(range)
    }
}

#[cfg(test)]
mod tests;
