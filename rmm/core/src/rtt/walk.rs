//! Walking a Realm's translation tables.
#![expect(
    clippy::inline_always,
    reason = "measured: a fifth of the instructions of a command went into moving the result of its walk"
)]

use core::sync::atomic::Ordering;

use super::{ENTRIES, Entry, Stage2};
use crate::Machine;
use crate::context::Context;
use crate::error::Fatal;
use crate::granule::{GranuleAddress, Locked, Rd, Rtt, Running};

/// Where a walk has ended: a locked table, and the entry in it.
#[derive(Debug)]
pub(crate) struct Walk<'t> {
    pub(crate) stage2: Stage2,
    pub(crate) table: Locked<'t, Rtt>,
    pub(crate) level: i8,
    pub(crate) index: usize,
    pub(crate) entry: Entry,
}

/// Walks from the start level down to `level`, or to where the tables end before that. The Realm
/// descriptor is unlocked once the start table is locked.
#[inline(always)]
pub(crate) fn walk<'t, M: Machine>(
    context: &'t Context<'_, M>,
    rd: Locked<'_, Rd>,
    stage2: Stage2,
    ipa: u64,
    level: i8,
) -> Result<Walk<'t>, Fatal> {
    let start = start_table(context, &stage2, ipa)?;
    drop(rd);
    descend(context, stage2, start, ipa, level)
}

/// [`walk`] by a command that keeps the Realm descriptor locked.
pub(crate) fn walk_in_locked_realm<'t, M: Machine>(
    context: &'t Context<'_, M>,
    _rd: &Locked<'_, Rd>,
    stage2: Stage2,
    ipa: u64,
    level: i8,
) -> Result<Walk<'t>, Fatal> {
    let start = start_table(context, &stage2, ipa)?;
    descend(context, stage2, start, ipa, level)
}

/// [`walk`] for a REC that runs, which keeps its Realm and so the start tables.
pub(crate) fn walk_for_rec<'t, M: Machine>(
    context: &'t Context<'_, M>,
    _rec: &Running<'_>,
    stage2: Stage2,
    ipa: u64,
    level: i8,
) -> Result<Walk<'t>, Fatal> {
    let start = start_table(context, &stage2, ipa)?;
    descend(context, stage2, start, ipa, level)
}

#[inline(always)]
fn start_table<'t, M: Machine>(
    context: &'t Context<'_, M>,
    stage2: &Stage2,
    ipa: u64,
) -> Result<Locked<'t, Rtt>, Fatal> {
    let (table, _) = stage2.position(ipa, stage2.start_level);
    if table >= stage2.start_tables.into() {
        return Err(Fatal::BrokenRealm {
            granule: stage2.base,
        });
    }
    let offset = table * rmm_abi::GRANULE_SIZE as u64;
    let address = GranuleAddress::new(stage2.base.get() + offset).ok_or(Fatal::BrokenRealm {
        granule: stage2.base,
    })?;
    context.lock_known(address)
}

#[inline(always)]
fn descend<'t, M: Machine>(
    context: &'t Context<'_, M>,
    stage2: Stage2,
    start: Locked<'t, Rtt>,
    ipa: u64,
    target: i8,
) -> Result<Walk<'t>, Fatal> {
    let mut table = start;
    let mut level = stage2.start_level;
    loop {
        let (_, index) = stage2.position(ipa, level);
        let raw = context.machine.map(&table)[index].load(Ordering::Relaxed);
        let entry = Entry::decode(raw, level, stage2.lpa2).ok_or(Fatal::BrokenTable {
            granule: table.address(),
            entry: raw,
        })?;
        match entry {
            Entry::Table(next) if level < target => {
                // The next table is locked before this one is unlocked.
                table = context.lock_known(next)?;
                level += 1;
            }
            _ => {
                return Ok(Walk {
                    stage2,
                    table,
                    level,
                    index,
                    entry,
                });
            }
        }
    }
}

impl Walk<'_> {
    /// First address that the entry translates.
    pub(crate) fn entry_base(&self, ipa: u64) -> u64 {
        ipa & !(Stage2::entry_size(self.level) - 1)
    }

    /// The address of the first entry from that for `ipa` on that stops a scan, or the end of the
    /// table (reference, section 5.9).
    pub(crate) fn top<M: Machine>(&self, machine: &M, ipa: u64) -> u64 {
        let size = Stage2::entry_size(self.level);
        let base = self.entry_base(ipa);
        let end = base + (ENTRIES - self.index) as u64 * size;
        // Below the start level a table is in one half. In the protected one only live entries
        // stop a scan, and they are counted.
        let is_protected = self.level > self.stage2.start_level && self.stage2.is_protected(ipa);
        if is_protected && self.table.live() == 0 {
            return end;
        }
        let words = machine.map(&self.table);
        let stop = words[self.index..]
            .iter()
            .position(|word| Entry::raw_stops_a_scan(word.load(Ordering::Relaxed)));
        stop.map_or(end, |entries| base + entries as u64 * size)
    }

    /// Hides the entry from the MMU while it is being replaced; to be followed by [`Self::write`].
    pub(crate) fn make_invalid<M: Machine>(&mut self, machine: &M) {
        machine.map(&self.table)[self.index].store(0, Ordering::Relaxed);
    }

    /// Writes the entry, without a thought for TLBs, and keeps count of what lives in the table.
    #[inline(always)]
    pub(crate) fn write<M: Machine>(&mut self, machine: &M, entry: Entry) {
        machine.map(&self.table)[self.index].store(
            entry.encode(self.level, self.stage2.lpa2),
            Ordering::Relaxed,
        );
        let before = u16::from(self.entry.is_live());
        let after = u16::from(entry.is_live());
        self.table.set_live(self.table.live() + after - before);
        self.entry = entry;
    }
}
