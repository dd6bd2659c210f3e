//! `RMI_RTT_CREATE`, `RMI_RTT_DESTROY`, `RMI_RTT_FOLD`, `RMI_RTT_READ_ENTRY` (DEN0137 section
//! B4.3).

use core::sync::atomic::Ordering;

use rmm_abi::rmi::{ReturnCode, Ripas, RttEntryState};

use super::{is_aligned, realm_of, require, walk_error};
use crate::Machine;
use crate::context::{Context, Outcome};
use crate::error::{Error, Fatal};
use crate::granule::{Delegated, Locked, Rd, Rtt};
use crate::rtt::{ENTRIES, Entry, Invalidation, MIN_LEVEL, Stage2, Walk, walk};

/// Live entries of a table that is all memory of the Realm.
const TABLE_FULL: u16 = 512;
const _: () = assert!(TABLE_FULL as usize == ENTRIES);

/// Checks what the commands on a table have in common: the level of the table is one below the
/// start level or deeper, and the address is that of an entry of the level above.
fn table_of<'t, M: Machine>(
    context: &'t Context<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
) -> Result<(Locked<'t, Rd>, Stage2, i8), Error> {
    let (rd, stage2) = realm_of(context, rd)?;
    let level = stage2
        .level(level, stage2.start_level + 1)
        .ok_or(Error::Reply(ReturnCode::ERROR_INPUT))?;
    require(is_aligned(ipa, level - 1))?;
    require(stage2.contains(ipa))?;
    Ok((rd, stage2, level))
}

/// Adds a table, in which the state of the entry above it is spread over all entries.
pub(crate) fn create<M: Machine>(
    context: &Context<'_, M>,
    [rd, rtt, ipa, level]: [u64; 4],
) -> Result<Outcome, Error> {
    // No granule is in two states, and the second lock would wait for the first.
    require(rtt != rd)?;
    let rtt = context.lock::<Delegated>(rtt)?;
    let (rd, stage2, level) = table_of(context, rd, ipa, level)?;
    let mut walk = walk(context, rd, stage2, ipa, level - 1)?;
    if walk.level != level - 1 || matches!(walk.entry, Entry::Table(_)) {
        return Err(walk_error(walk.level));
    }
    let table = fill_table(context.machine, rtt, walk.entry, level, stage2.lpa2);
    replace(
        context.machine,
        &mut walk,
        Entry::Table(table.address()),
        ipa,
    );
    Ok(Outcome::SUCCESS)
}

/// Turns a granule into the table that an entry unfolds to.
fn fill_table<'t, M: Machine>(
    machine: &M,
    granule: Locked<'t, Delegated>,
    parent: Entry,
    level: i8,
    lpa2: bool,
) -> Locked<'t, Rtt> {
    let live = if parent.is_live() { TABLE_FULL } else { 0 };
    if parent == Entry::Unassigned(Ripas::Empty) {
        // An all-zero table says just that.
        return granule.wipe(machine).put_to_use::<Rtt>();
    }
    let first = parent.child(0, level).encode(level, lpa2);
    let step = parent.child(1, level).encode(level, lpa2) - first;
    {
        let words = machine.map(&granule);
        let mut value = first;
        for word in words.iter() {
            word.store(value, Ordering::Relaxed);
            value = value.wrapping_add(step);
        }
    }
    granule.into_filled_table(live)
}

/// Replaces a leaf by a table or the reverse. What the MMU may have cached of a valid leaf must be
/// gone before the new entry is there (break before make).
fn replace<M: Machine>(machine: &M, walk: &mut Walk<'_>, entry: Entry, ipa: u64) {
    let was_valid = walk.entry.is_valid_leaf();
    if was_valid {
        walk.make_invalid(machine);
        machine.invalidate(&Invalidation::Entry {
            vmid: walk.stage2.vmid,
            ipa,
        });
    }
    // The new table's entries must be there before the MMU can find the table.
    machine.publish_tables();
    walk.write(machine, entry);
    machine.publish_tables();
}

/// Removes a table in which nothing lives any more.
pub(crate) fn destroy<M: Machine>(
    context: &Context<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
) -> Result<Outcome, Error> {
    let (rd, stage2, level) = table_of(context, rd, ipa, level)?;
    let mut walk = walk(context, rd, stage2, ipa, level - 1)?;
    let table = match walk.entry {
        Entry::Table(table) if walk.level == level - 1 => table,
        _ => {
            let top = walk.top(context.machine, ipa);
            let code = ReturnCode::error_rtt(walk.level);
            return Ok(Outcome {
                code,
                outputs: [0, top, 0],
                ripas: Ripas::Empty,
            });
        }
    };
    let child = context.lock_known::<Rtt>(table)?;
    if child.live() != 0 {
        return Ok(Outcome {
            code: ReturnCode::error_rtt(level),
            outputs: [0, ipa, 0],
            ripas: Ripas::Empty,
        });
    }
    let after = if stage2.is_protected(ipa) {
        Entry::Unassigned(Ripas::Destroyed)
    } else {
        Entry::UnassignedNonSecure
    };
    walk.write(context.machine, after);
    // Mappings of the host's memory do not keep a table alive, and walks may be cached.
    context.machine.invalidate(&Invalidation::Table {
        vmid: stage2.vmid,
        ipa,
        level,
    });
    drop(child.release());
    let top = walk.top(context.machine, ipa);
    Ok(Outcome::with_outputs([table.get(), top, 0]))
}

/// Replaces a table by the one entry that says the same.
pub(crate) fn fold<M: Machine>(
    context: &Context<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
) -> Result<Outcome, Error> {
    let (rd, stage2, level) = table_of(context, rd, ipa, level)?;
    let mut walk = walk(context, rd, stage2, ipa, level - 1)?;
    let table = match walk.entry {
        Entry::Table(table) if walk.level == level - 1 => table,
        _ => return Err(walk_error(walk.level)),
    };
    let child = context.lock_known::<Rtt>(table)?;
    let Some(entry) = folded(context.machine, &child, level, stage2.lpa2)? else {
        return Err(walk_error(level));
    };
    walk.make_invalid(context.machine);
    context.machine.invalidate(&Invalidation::Table {
        vmid: stage2.vmid,
        ipa,
        level,
    });
    walk.write(context.machine, entry);
    context.machine.publish_tables();
    drop(child.release());
    Ok(Outcome::with_outputs([table.get(), 0, 0]))
}

/// The entry that says the same as a whole table; `None` when there is none.
fn folded<M: Machine>(
    machine: &M,
    table: &Locked<'_, Rtt>,
    level: i8,
    lpa2: bool,
) -> Result<Option<Entry>, Fatal> {
    // A table is all live or not live at all, or it is not homogeneous: no need to look.
    if !matches!(table.live(), 0 | TABLE_FULL) {
        return Ok(None);
    }
    let words = machine.map(table);
    let raw = words[0].load(Ordering::Relaxed);
    let first = Entry::decode(raw, level, lpa2).ok_or(Fatal::BrokenTable {
        granule: table.address(),
        entry: raw,
    })?;
    if !first.can_begin_a_fold(level) {
        return Ok(None);
    }
    let step = first.child(1, level).encode(level, lpa2) - raw;
    let mut expected = raw;
    for word in words.iter() {
        if word.load(Ordering::Relaxed) != expected {
            return Ok(None);
        }
        expected = expected.wrapping_add(step);
    }
    Ok(Some(first))
}

/// Tells what the tables say about an address, as far down as a level.
pub(crate) fn read_entry<M: Machine>(
    context: &Context<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
) -> Result<Outcome, Error> {
    let (rd, stage2) = realm_of(context, rd)?;
    let level = stage2
        .level(level, MIN_LEVEL)
        .ok_or(Error::Reply(ReturnCode::ERROR_INPUT))?;
    require(is_aligned(ipa, level))?;
    require(stage2.contains(ipa))?;
    let walk = walk(context, rd, stage2, ipa, level)?;
    let (state, descriptor) = match walk.entry {
        Entry::Unassigned(_) | Entry::UnassignedNonSecure => (RttEntryState::Unassigned, 0),
        Entry::Assigned(address, _) => (RttEntryState::Assigned, address.get()),
        Entry::AssignedNonSecure(mapping) => (RttEntryState::Assigned, mapping.descriptor()),
        Entry::Table(table) => (RttEntryState::Table, table.get()),
    };
    let walk_level = i64::from(walk.level).cast_unsigned();
    Ok(Outcome {
        code: ReturnCode::SUCCESS,
        outputs: [walk_level, state as u64, descriptor],
        ripas: walk.entry.ripas().unwrap_or(Ripas::Empty),
    })
}
