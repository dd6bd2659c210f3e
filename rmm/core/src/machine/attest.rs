//! Making tokens for Realms.

use rmm_abi::rmi::HashAlgorithm;
use rmm_abi::rsi::MEASUREMENT_REGISTERS;

use crate::granule::{GranuleAddress, Running};

/// Auxiliary granules of a REC for making tokens: the first gets the token, the others are for the
/// work.
pub const TOKEN_GRANULES: usize = 8;

/// What a token is to say of its Realm, in words of memory.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// What the Realm wants to find in the token.
    pub challenge: [u64; 8],
    /// What the host gave the Realm when it was made.
    pub personalization: [u64; 8],
    /// What the measurements are made with.
    pub algorithm: HashAlgorithm,
    /// RIM and REMs.
    pub measurements: [[u64; 8]; MEASUREMENT_REGISTERS],
}

/// How far a token has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenProgress {
    /// An interrupt for the host is pending. The work goes on where it stopped.
    Interrupted,
    /// The token is there, and has this many bytes, no more than a granule's.
    Ready(usize),
    /// There is no token: the machine has no key, or no entropy.
    Failed,
}

/// Making tokens. The work is done on this CPU for the REC that it runs, and may go on another.
pub trait Attest {
    /// Makes a token until it is ready or an interrupt is pending: a new one, or, without a request, the
    /// one that was interrupted.
    ///
    /// Until the work is ready or has failed, what is in the granules is its own; after that there is
    /// nothing in them but the token.
    fn make_token(
        &self,
        rec: &Running<'_>,
        granules: &[GranuleAddress; TOKEN_GRANULES],
        request: Option<&TokenRequest>,
    ) -> TokenProgress;

    /// Wipes work that was interrupted and will not go on.
    fn abandon_token(&self, rec: &Running<'_>, granules: &[GranuleAddress; TOKEN_GRANULES]);
}
