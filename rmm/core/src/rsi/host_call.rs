//! `RSI_HOST_CALL` (DEN0137 section B5.3).

use core::cell::Cell;
use core::sync::atomic::Ordering;

use rmm_abi::rmi::run::GENERAL_PURPOSE_REGISTERS;
use rmm_abi::rsi::{HostCall, ReturnCode};

use super::refuse;
use crate::Machine;
use crate::error::Fatal;
use crate::exit::Exit;
use crate::rec::Flag;
use crate::session::{Next, Page, Session};

/// Position of X0 in the structure, in words.
const GENERAL: usize = core::mem::offset_of!(HostCall, gprs) / size_of::<u64>();

/// Passes what the Realm says to the host.
pub(super) fn begin<M: Machine>(session: &Session<'_, M>, address: u64) -> Result<Next, Fatal> {
    if !address.is_multiple_of(size_of::<HostCall>() as u64)
        || !session.stage2.is_protected(address)
    {
        return Ok(refuse(session, ReturnCode::ErrorInput));
    }
    let page = match session.page(address)? {
        Page::Found(page) => page,
        Page::Empty => return Ok(refuse(session, ReturnCode::ErrorInput)),
        Page::Missing(exit) => return Ok(Some(exit)),
    };
    let words = session.machine().map(&page);
    let words = &words[first_word(address)..][..size_of::<HostCall>() / size_of::<u64>()];
    let [low, high, ..] = words[0].load(Ordering::Relaxed).to_le_bytes();
    let values: &Cell<[u64]> = &session.host_call;
    for (value, word) in values.as_slice_of_cells().iter().zip(&words[GENERAL..]) {
        value.set(word.load(Ordering::Relaxed));
    }
    session.rec.set_flag(Flag::HostCallPending, true);
    Ok(Some(Exit::HostCall {
        imm: u16::from_le_bytes([low, high]),
    }))
}

/// Passes what the host says to the Realm, which goes on.
pub(crate) fn complete<M: Machine>(
    session: &Session<'_, M>,
    values: &[u64; GENERAL_PURPOSE_REGISTERS],
) -> Result<Next, Fatal> {
    let address = session.rec.general(1);
    let code = match session.page(address)? {
        Page::Found(page) => {
            let words = session.machine().map(&page);
            let words = &words[first_word(address) + GENERAL..][..GENERAL_PURPOSE_REGISTERS];
            for (value, word) in values.iter().zip(words) {
                word.store(*value, Ordering::Relaxed);
            }
            ReturnCode::Success
        }
        // The Realm has given the page up in the meantime, from another of its CPUs.
        Page::Empty => ReturnCode::ErrorInput,
        Page::Missing(exit) => return Ok(Some(exit)),
    };
    session.rec.set_flag(Flag::HostCallPending, false);
    Ok(session.reply([code.word(), 0, 0, 0]))
}

/// Position of the structure in its page, in words.
#[expect(clippy::cast_possible_truncation, reason = "below 512")]
const fn first_word(address: u64) -> usize {
    (address % rmm_abi::GRANULE_SIZE as u64) as usize / size_of::<u64>()
}
