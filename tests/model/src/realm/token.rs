//! Tokens of RECs: how far they are, and what comes of a call about them.

use super::running::Reach;
use super::world::World;

const SUCCESS: u64 = 0;
const ERROR_INPUT: u64 = 1;
const ERROR_STATE: u64 = 2;
const INCOMPLETE: u64 = 3;

/// How far the token of a REC is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Token {
    /// The Realm has not asked for one, or has got all of it.
    #[default]
    None,
    /// The Realm has asked for one.
    Requested,
    /// It was begun, and an interrupt came.
    PutAside,
    /// It is there, and so many bytes are still to be delivered.
    Ready(u64),
}

/// What comes of a call about a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenOutcome {
    /// The Realm goes on with these X0 and X1.
    Reply(u64, u64),
    /// The REC exits for an interrupt, and the Realm will find that nothing was delivered.
    Interrupted,
    /// The REC exits, and the host is to provide the page.
    Missing,
}

impl World {
    /// How far the token of a REC is.
    pub fn token(&self, rec: u64) -> Token {
        self.recs
            .get(&rec)
            .map_or(Token::None, |context| context.token)
    }

    /// `RSI_ATTESTATION_TOKEN_INIT`, which never fails.
    pub fn begin_token(&mut self, rec: u64) -> TokenOutcome {
        self.set_token(rec, Token::Requested);
        TokenOutcome::Reply(SUCCESS, 0x1000)
    }

    /// `RSI_ATTESTATION_TOKEN_CONTINUE`, on a machine whose tokens have `whole` bytes. An interrupt comes
    /// while the token is made, if it is made in this call and `is_interrupted`.
    ///
    /// # Panics
    ///
    /// When there is no REC.
    pub fn continue_token(
        &mut self,
        rec: u64,
        [address, offset, size]: [u64; 3],
        whole: u64,
        is_interrupted: bool,
    ) -> TokenOutcome {
        let owner = self.recs[&rec].owner;
        let is_page =
            address.is_multiple_of(0x1000) && self.realms[&owner].shape.is_protected(address);
        let is_part = offset < 0x1000 && size <= 0x1000 - offset;
        if !is_page || !is_part {
            return TokenOutcome::Reply(ERROR_INPUT, 0);
        }
        let left = match self.token(rec) {
            Token::None => return TokenOutcome::Reply(ERROR_STATE, 0),
            Token::Requested | Token::PutAside if is_interrupted => {
                self.set_token(rec, Token::PutAside);
                return TokenOutcome::Interrupted;
            }
            Token::Requested | Token::PutAside => whole,
            Token::Ready(left) => left,
        };
        self.set_token(rec, Token::Ready(left));
        match self.reach(owner, address, false) {
            Reach::Missing => TokenOutcome::Missing,
            Reach::Memory(_) if size >= left => {
                self.set_token(rec, Token::None);
                TokenOutcome::Reply(SUCCESS, left)
            }
            Reach::Memory(_) => {
                self.set_token(rec, Token::Ready(left - size));
                TokenOutcome::Reply(INCOMPLETE, size)
            }
            _ => TokenOutcome::Reply(ERROR_INPUT, 0),
        }
    }

    pub(super) fn set_token(&mut self, rec: u64, token: Token) {
        if let Some(context) = self.recs.get_mut(&rec) {
            context.token = token;
        }
    }
}
