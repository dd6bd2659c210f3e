//! Realms that ask for tokens.

use fake_machine::{PAGE, assert_exit, exit};
use rmm_abi::rmi::run::{ExitReason, RecExit};
use rmm_abi::rsi::fid;
use rmm_model::realm::{Token, TokenOutcome};

use crate::host::Host;
use crate::running::{Deed, Outcome, is_interrupt};

/// Bytes of a token.
const SIZE: u64 = 2121;
/// What is counted as X0 when there is none, because the REC exits.
const INTERRUPTED: u64 = 0x1000;
const MISSING: u64 = 0x2000;

/// Whether a call is about a token.
pub(crate) const fn is_about_token(call: &[u64; 5]) -> bool {
    matches!(
        call[0],
        fid::ATTESTATION_TOKEN_INIT | fid::ATTESTATION_TOKEN_CONTINUE
    )
}

impl Host<'_, '_> {
    /// A Realm does something about a token, mostly what is next; perhaps an interrupt comes.
    pub(crate) fn token_deed(&mut self, rec: u64, page: u64) -> Deed {
        let interruptions = self.one_of(&[0, 0, 1]);
        let tokens = self.bench.memory().tokens();
        tokens.set_size(usize::try_from(SIZE).expect("small"));
        tokens.interrupt(interruptions);
        if (self.bench.world().token(rec) == Token::None) != self.rarely(6) {
            return Deed::Call([fid::ATTESTATION_TOKEN_INIT, page, PAGE, 3, 4]);
        }
        let page = self.one_of(&[0, PAGE, 0, PAGE, page]);
        let (offset, size) =
            self.one_of(&[(0, PAGE), (7, 0x800), (0, PAGE), (PAGE - 1, 1), (8, 0)]);
        let wrong = if self.rarely(8) {
            self.one_of(&[[8, 0, 0], [0, PAGE, 0], [0, 0, PAGE + 1]])
        } else {
            [0; 3]
        };
        let [page, offset, size] = [page | wrong[0], offset | wrong[1], size | wrong[2]];
        Deed::Call([fid::ATTESTATION_TOKEN_CONTINUE, page, offset, size, 0])
    }

    pub(crate) fn check_token(
        &mut self,
        rec: u64,
        call: &[u64; 5],
        told: &RecExit,
        outcome: Option<Outcome>,
    ) {
        let [function, address, offset, size, _] = *call;
        // Another host may have used up the interrupt that was ordered.
        let is_interrupted = outcome.is_none() && is_interrupt(told);
        let world = self.bench.world_mut();
        let expected = if function == fid::ATTESTATION_TOKEN_INIT {
            world.begin_token(rec)
        } else {
            world.continue_token(rec, [address, offset, size], SIZE, is_interrupted)
        };
        let code = match expected {
            TokenOutcome::Reply(x0, x1) => {
                assert_eq!(outcome, Some(Outcome::Replied([x0, x1, 0])), "{call:x?}");
                x0
            }
            TokenOutcome::Interrupted => {
                assert_exit(told, &exit(ExitReason::Irq));
                INTERRUPTED
            }
            TokenOutcome::Missing => {
                assert_eq!(outcome, None, "{call:x?}");
                Self::check_missing(told, address);
                MISSING
            }
        };
        *self.tokens.entry((function, code)).or_default() += 1;
    }
}
