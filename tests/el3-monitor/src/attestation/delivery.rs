//! A token on its way to the RMM, piece by piece.

use alloc::vec::Vec;

use attestation_token::HashValue;

/// What a call has delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Bytes of this piece.
    pub size: usize,
    /// Bytes that are left for later calls.
    pub remaining: usize,
}

/// The last token that was made, and how much of it the RMM has. It is kept, so that asking again
/// for the same costs no signature.
#[derive(Default)]
pub(super) struct Delivery {
    token: Option<(HashValue, Vec<u8>)>,
    /// Where the next piece begins; `None` when no token is on its way.
    next: Option<usize>,
}

impl Delivery {
    /// Begins again if the token is one over this challenge. Otherwise none is on its way.
    pub(super) fn restart(&mut self, challenge: &HashValue) -> bool {
        let is_there = matches!(&self.token, Some((over, _)) if over == challenge);
        self.next = is_there.then_some(0);
        is_there
    }

    /// Begins with a new token.
    pub(super) fn start(&mut self, challenge: HashValue, token: Vec<u8>) {
        self.token = Some((challenge, token));
        self.next = Some(0);
    }

    /// Hands out the next piece, at most `room` bytes. `None` when there is none.
    pub(super) fn next(&mut self, room: usize, take: impl FnOnce(&[u8])) -> Option<Piece> {
        let start = self.next?;
        let (_, token) = self.token.as_ref()?;
        let rest = token.get(start..)?;
        let size = rest.len().min(room);
        let remaining = rest.len() - size;
        take(&rest[..size]);
        self.next = (remaining > 0).then_some(start + size);
        Some(Piece { size, remaining })
    }
}
