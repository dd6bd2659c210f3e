//! `RSI_ATTESTATION_TOKEN_INIT` and `RSI_ATTESTATION_TOKEN_CONTINUE` (DEN0137 section B5.3;
//! reference, section 8.4).

use rmm_abi::GRANULE_SIZE;
use rmm_abi::rsi::ReturnCode;

use super::refuse;
use crate::Machine;
use crate::error::Fatal;
use crate::exit::Exit;
use crate::machine::TokenProgress;
use crate::rec::{TokenState, layout};
use crate::rmi::is_aligned;
use crate::rtt::PAGE_LEVEL;
use crate::session::{Next, Page, Session};

/// More than the bytes of any token.
const LARGEST_TOKEN: u64 = GRANULE_SIZE as u64;

/// Begins a token over the challenge in X1 to X8, and forgets one that was begun.
pub(super) fn begin<M: Machine>(session: &Session<'_, M>) -> Result<Next, Fatal> {
    session.abandon_token()?;
    for word in 0..layout::CHALLENGE_WORDS {
        let value = session.rec.general(1 + word);
        session.rec.set(layout::CHALLENGE + word, value);
    }
    session.rec.set_token_state(TokenState::Requested);
    Ok(session.reply([ReturnCode::Success.word(), LARGEST_TOKEN, 0, 0]))
}

/// Makes the token, if it is not there yet, and delivers the next part of it.
pub(super) fn proceed<M: Machine>(
    session: &Session<'_, M>,
    [address, offset, size]: [u64; 3],
) -> Result<Next, Fatal> {
    let Some((offset, size)) = part_of_page(offset, size)
        .filter(|_| is_aligned(address, PAGE_LEVEL) && session.stage2.is_protected(address))
    else {
        return Ok(refuse(session, ReturnCode::ErrorInput));
    };
    match session.rec.token_state() {
        TokenState::None => return Ok(refuse(session, ReturnCode::ErrorState)),
        TokenState::Requested | TokenState::PutAside => match session.make_token()? {
            TokenProgress::Ready(_) => {}
            TokenProgress::Interrupted => {
                // The Realm sees a call that did little, and comes again when the host lets it.
                session.reply([ReturnCode::Incomplete.word(), 0, 0, 0]);
                return Ok(Some(Exit::Irq));
            }
            TokenProgress::Failed => return Ok(refuse(session, ReturnCode::ErrorUnknown)),
        },
        TokenState::Ready => {}
    }
    let page = match session.page(address)? {
        Page::Found(page) => page,
        Page::Empty => return Ok(refuse(session, ReturnCode::ErrorInput)),
        Page::Missing(exit) => return Ok(Some(exit)),
    };
    let (written, is_last) = session.deliver_token(&page, offset, size)?;
    let code = if is_last {
        ReturnCode::Success
    } else {
        ReturnCode::Incomplete
    };
    Ok(session.reply([code.word(), written as u64, 0, 0]))
}

/// Offset and size when both fit into a page.
fn part_of_page(offset: u64, size: u64) -> Option<(usize, usize)> {
    let (offset, size) = (usize::try_from(offset).ok()?, usize::try_from(size).ok()?);
    let fits = offset < GRANULE_SIZE && offset.checked_add(size)? <= GRANULE_SIZE;
    fits.then_some((offset, size))
}
