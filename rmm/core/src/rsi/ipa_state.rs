//! `RSI_IPA_STATE_SET` and `RSI_IPA_STATE_GET` (DEN0137 section B5.3).

use core::sync::atomic::Ordering;

use rmm_abi::rmi::Ripas;
use rmm_abi::rsi::{CHANGE_DESTROYED, ReturnCode};

use super::refuse;
use crate::Machine;
use crate::error::Fatal;
use crate::exit::Exit;
use crate::rec::RipasRequest;
use crate::rmi::is_aligned;
use crate::rtt::{ENTRIES, Entry, PAGE_LEVEL, Stage2, walk_for_rec};
use crate::session::{Next, Session};

/// Asks the host to change the RIPAS of a range.
pub(super) fn set<M: Machine>(
    session: &Session<'_, M>,
    [base, top, ripas, flags]: [u64; 4],
) -> Next {
    if !is_protected_range(&session.stage2, base, top)
        || (ripas != Ripas::Empty as u64 && ripas != Ripas::Ram as u64)
    {
        return refuse(session, ReturnCode::ErrorInput);
    }
    let request = RipasRequest {
        base,
        top,
        value: ripas,
        may_change_destroyed: flags & CHANGE_DESTROYED != 0,
    };
    session.rec.set_ripas_request(request);
    // The results come with the next entry.
    session.advance();
    Some(Exit::RipasChange(request))
}

/// Tells the RIPAS at the base of a range, and how far it is the same: at most to the end of the
/// table where the walk ends.
pub(super) fn get<M: Machine>(
    session: &Session<'_, M>,
    base: u64,
    top: u64,
) -> Result<Next, Fatal> {
    if !is_protected_range(&session.stage2, base, top) {
        return Ok(refuse(session, ReturnCode::ErrorInput));
    }
    let stage2 = session.stage2;
    let walk = walk_for_rec(session.context, session.running, stage2, base, PAGE_LEVEL)?;
    let broken = |entry| Fatal::BrokenTable {
        granule: walk.table.address(),
        entry,
    };
    let ripas = walk.entry.ripas().ok_or(broken(base))?;
    let size = Stage2::entry_size(walk.level);
    let mut end = walk.entry_base(base) + size;
    let table = session.machine().map(&walk.table);
    for word in &table[walk.index + 1..ENTRIES] {
        if end >= top {
            break;
        }
        let raw = word.load(Ordering::Relaxed);
        let entry = Entry::decode(raw, walk.level, stage2.lpa2).ok_or(broken(raw))?;
        if entry.ripas() != Some(ripas) {
            break;
        }
        end += size;
    }
    let code = ReturnCode::Success.word();
    Ok(session.reply([code, end.min(top), ripas as u64, 0]))
}

/// Whether a range is not empty, made of pages, and protected.
fn is_protected_range(stage2: &Stage2, base: u64, top: u64) -> bool {
    is_aligned(base, PAGE_LEVEL)
        && is_aligned(top, PAGE_LEVEL)
        && top > base
        && stage2.is_protected(top - 1)
}
