//! `RSI_REALM_CONFIG` (DEN0137 section B5.3).

use core::mem::offset_of;
use core::sync::atomic::Ordering;

use rmm_abi::rsi::{RealmConfig, ReturnCode};

use super::refuse;
use crate::Machine;
use crate::error::Fatal;
use crate::rmi::is_aligned;
use crate::rtt::PAGE_LEVEL;
use crate::session::{Next, Page, Session};

/// Tells the Realm about itself, in a page of its memory.
pub(super) fn write<M: Machine>(session: &Session<'_, M>, address: u64) -> Result<Next, Fatal> {
    if !is_aligned(address, PAGE_LEVEL) || !session.stage2.is_protected(address) {
        return Ok(refuse(session, ReturnCode::ErrorInput));
    }
    let page = match session.page(address)? {
        Page::Found(page) => page,
        Page::Empty => return Ok(refuse(session, ReturnCode::ErrorInput)),
        Page::Missing(exit) => return Ok(Some(exit)),
    };
    session.machine().clear(&page);
    let words = session.machine().map(&page);
    let set = |offset: usize, value: u64| {
        words[offset / size_of::<u64>()].store(value, Ordering::Relaxed);
    };
    set(
        offset_of!(RealmConfig, ipa_width),
        session.stage2.ipa_width.into(),
    );
    set(
        offset_of!(RealmConfig, hash_algo),
        session.rec.hash_algorithm() as u64,
    );
    for (word, value) in session.realm.personalization().into_iter().enumerate() {
        set(
            offset_of!(RealmConfig, rpv) + word * size_of::<u64>(),
            value,
        );
    }
    Ok(session.reply([ReturnCode::Success.word(), 0, 0, 0]))
}
