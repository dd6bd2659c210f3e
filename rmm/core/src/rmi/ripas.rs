//! `RMI_RTT_INIT_RIPAS` and `RMI_RTT_SET_RIPAS` (DEN0137 section B4.3).
//!
//! Both change entries of one table, from the one for `base` on, as far as they get, and tell how
//! far that was.

use core::sync::atomic::Ordering;

use rmm_abi::rmi::{ReturnCode, Ripas};

use super::{is_aligned, realm_of, require, walk_error};
use crate::Machine;
use crate::context::{Context, Outcome};
use crate::error::{Error, Fatal};
use crate::granule::Rec;
use crate::measurement::Addition;
use crate::realm::{self, RealmState};
use crate::rec;
use crate::rtt::{ENTRIES, Entry, Invalidation, PAGE_LEVEL, Stage2, walk, walk_in_locked_realm};

/// Marks memory that a Realm will find when it starts.
pub(crate) fn init<M: Machine>(
    context: &Context<'_, M>,
    rd: u64,
    base: u64,
    top: u64,
) -> Result<Outcome, Error> {
    require(top > base)?;
    let (rd, stage2) = realm_of(context, rd)?;
    require(stage2.is_protected(top.wrapping_sub(Stage2::entry_size(PAGE_LEVEL))))?;
    let words = context.machine.map(&rd);
    let realm = realm::Descriptor::new(&words);
    if realm.state() != RealmState::New {
        return Err(Error::Reply(ReturnCode::ERROR_REALM));
    }
    require(is_aligned(top, PAGE_LEVEL))?;
    let walk = walk_in_locked_realm(context, &rd, stage2, base, PAGE_LEVEL)?;
    if !is_aligned(base, walk.level) || !matches!(walk.entry, Entry::Unassigned(_)) {
        return Err(walk_error(walk.level));
    }

    let algorithm = realm.hash_algorithm();
    let mut rim = realm.rim();
    let size = Stage2::entry_size(walk.level);
    let ram = Entry::Unassigned(Ripas::Ram).encode(walk.level, stage2.lpa2);
    let table = context.machine.map(&walk.table);
    let mut address = base;
    for word in &table[walk.index..ENTRIES] {
        if top - address < size {
            break;
        }
        let raw = word.load(Ordering::Relaxed);
        let entry = Entry::decode(raw, walk.level, stage2.lpa2).ok_or(Fatal::BrokenTable {
            granule: walk.table.address(),
            entry: raw,
        })?;
        let next = address + size;
        match entry {
            Entry::Unassigned(_) => {
                word.store(ram, Ordering::Relaxed);
                let addition = Addition::Ripas {
                    base: address,
                    top: next,
                };
                rim = rim.extended(context.machine, algorithm, &addition);
            }
            // Memory that is there already keeps its RIPAS.
            Entry::Assigned(..) => {}
            _ => break,
        }
        address = next;
    }
    if address == base {
        return Err(walk_error(walk.level));
    }
    realm.set_rim(&rim);
    Ok(Outcome::with_outputs([address, 0, 0]))
}

/// Does part of a change that the Realm has asked for.
pub(crate) fn set<M: Machine>(
    context: &Context<'_, M>,
    [rd, rec, base, top]: [u64; 4],
) -> Result<Outcome, Error> {
    require(top > base)?;
    // No granule is in two states, and the second lock would wait for the first.
    require(rec != rd)?;
    let (rd, stage2) = realm_of(context, rd)?;
    let rec = context.lock::<Rec>(rec)?;
    if rec.is_running() {
        return Err(Error::Reply(ReturnCode::ERROR_REC));
    }
    let rec_words = context.machine.map(&rec);
    let descriptor = rec::Descriptor::new(&rec_words);
    if descriptor.owner() != Some(rd.address()) {
        return Err(Error::Reply(ReturnCode::ERROR_REC));
    }
    let request = descriptor.ripas_request();
    require(base == request.base && top <= request.top && is_aligned(top, PAGE_LEVEL))?;
    require(stage2.is_protected(base))?;
    let wanted = if request.value == Ripas::Ram as u64 {
        Ripas::Ram
    } else {
        Ripas::Empty
    };

    let walk = walk(context, rd, stage2, base, PAGE_LEVEL)?;
    // An entry that has the value already is no obstacle, whatever its size (DEN0137, base_align
    // and no_progress).
    let done_already = walk.entry.ripas() == Some(wanted);
    if !is_aligned(base, walk.level) && !done_already {
        return Err(walk_error(walk.level));
    }
    let size = Stage2::entry_size(walk.level);
    let table = context.machine.map(&walk.table);
    let mut address = walk.entry_base(base);
    let mut invalidate = false;
    for word in &table[walk.index..ENTRIES] {
        let raw = word.load(Ordering::Relaxed);
        let entry = Entry::decode(raw, walk.level, stage2.lpa2).ok_or(Fatal::BrokenTable {
            granule: walk.table.address(),
            entry: raw,
        })?;
        let Some(ripas) = entry.ripas() else { break };
        if ripas == wanted && address < top {
            // May extend beyond the range: it is not changed.
            address += size;
            continue;
        }
        if address >= top || top - address < size {
            break;
        }
        if ripas == Ripas::Destroyed && !request.may_change_destroyed {
            break;
        }
        invalidate |= entry.is_valid_leaf();
        word.store(
            entry.with_ripas(wanted).encode(walk.level, stage2.lpa2),
            Ordering::Relaxed,
        );
        address += size;
    }
    let reached = address.min(top);
    if reached <= base {
        return Err(walk_error(walk.level));
    }
    if invalidate {
        let ipa = base & !(size * ENTRIES as u64 - 1);
        let all = Invalidation::Table {
            vmid: stage2.vmid,
            ipa,
            level: walk.level,
        };
        context.machine.invalidate(&all);
    } else {
        context.machine.publish_tables();
    }
    descriptor.set_ripas_base(reached);
    Ok(Outcome::with_outputs([reached, 0, 0]))
}
