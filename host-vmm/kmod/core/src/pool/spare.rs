//! What the kernel gets back.

use alloc::collections::TryReserveError;

use super::chunk::{CHUNK_ORDERS, Chunk, Pieces};
use super::{Offer, Page, Pool};
use crate::BLOCK_PAGES;

/// What a look for something to give back has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spare {
    /// A chunk, no longer part of the pool: its first page and its order.
    Chunk(Page, u32),
    /// So many single pages in a row, no longer part of the pool.
    Pages(Page, usize),
    /// A chunk that the kernel has to make into single pages, with [`Pool::split_done`] afterwards: its
    /// first page and its order. It is still the pool's.
    Split(Page, u32),
    /// Nothing yet, and there is more to look at.
    Later,
    /// There is none.
    None,
}

/// What is given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sweep {
    /// Chunks that guard nothing, and guards that are not needed any more.
    Whole,
    /// All of an idle block but its guards, while more lies idle than is good to have.
    Parts,
}

/// Chunks that one such look goes through: the pool is locked for so long.
const LOOKS: usize = 256;

/// Pages that may lie idle before blocks are taken apart: 4 MiB, or more where much is in use. They make
/// blocks again without the kernel, while one that was taken apart is broken until its neighbours go.
const RESERVE: u64 = 2 * BLOCK_PAGES as u64;
/// Of what is in use so much may lie idle: one in so many.
const RESERVE_SHARE: u64 = 32;

impl Pool {
    /// Removes the highest pages below an address that can go back to the kernel, and leaves the address to
    /// go on from there; `u64::MAX` to begin with.
    ///
    /// The kernel hands out first what it got last: chunks that go back in the order of their addresses
    /// come again as neighbours, and neighbours make blocks.
    pub fn remove_spare(&mut self, sweep: Sweep, below: &mut u64) -> Spare {
        let mut index = self.places.partition_point(|place| place.base < *below);
        for _ in 0..LOOKS {
            let wanted = match sweep {
                Sweep::Whole => self.idle.first().is_some(),
                Sweep::Parts => self.available > self.reserve(),
            };
            let (true, Some(next)) = (wanted, index.checked_sub(1)) else {
                return Spare::None;
            };
            index = next;
            let Some((slot, chunk)) = self.at(Some(index)) else {
                return Spare::None;
            };
            *below = chunk.first().address();
            let end = chunk.end();
            if let Some(found) = self.remove_if_spare(sweep, slot, index) {
                if matches!(found, Spare::Pages(..) | Spare::Split(..)) {
                    // Where it was there may be more.
                    *below = end;
                }
                return found;
            }
        }
        Spare::Later
    }

    /// Pages that may lie idle in blocks that guard others, or whose other half is in use.
    pub fn reserve(&self) -> u64 {
        RESERVE.max(self.tally.used / RESERVE_SHARE)
    }

    /// Removes what nobody needs of a chunk, or has it split for that.
    fn remove_if_spare(&mut self, sweep: Sweep, slot: usize, index: usize) -> Option<Spare> {
        let chunk = self.chunk(slot)?;
        if !chunk.idle() && (sweep == Sweep::Whole || !chunk.has_idle_block()) {
            return None;
        }
        let (before, after) = self.neighbours(chunk, index);
        let first_stays = before.is_some_and(|(_, it)| !it.idle_page(it.pages() - 1));
        let last_stays = after.is_some_and(|(_, it)| !it.idle_page(0));
        let guards = first_stays || last_stays;
        match chunk.pieces {
            Pieces::One if chunk.idle() && !guards => {
                let found = Spare::Chunk(chunk.first(), chunk.order());
                let (before, after) = (before.map(|(slot, _)| slot), after.map(|(slot, _)| slot));
                self.remove(slot, index, chunk.pages());
                self.join(before, after, false);
                Some(found)
            }
            Pieces::One if sweep == Sweep::Parts && chunk.has_idle_block() => {
                let found = Spare::Split(chunk.first(), chunk.order());
                // Without memory to note it, it stays as it is, and so do all others.
                let split = self.split(slot, index);
                Some(split.map_or(Spare::None, |()| found))
            }
            Pieces::Single if sweep == Sweep::Parts || !guards || chunk.is_remnant() => {
                let row = chunk.spare(first_stays, last_stays)?;
                let found = Spare::Pages(chunk.first().nth(row.start), row.len());
                let before = before.filter(|_| row.start == 0).map(|(slot, _)| slot);
                let after = after.filter(|_| row.end == chunk.pages());
                let after = after.map(|(slot, _)| slot);
                if self.change(slot, |chunk| chunk.let_go(&row))? {
                    self.tally.owned = self.tally.owned.saturating_sub(row.len() as u64);
                } else {
                    self.remove(slot, index, row.len());
                }
                self.join(before, after, false);
                Some(found)
            }
            Pieces::Splitting | Pieces::One | Pieces::Single => None,
        }
    }

    /// The chunks that end where one begins, and begin where it ends.
    #[expect(clippy::type_complexity, reason = "twice the same")]
    fn neighbours(
        &self,
        chunk: &Chunk,
        index: usize,
    ) -> (Option<(usize, &Chunk)>, Option<(usize, &Chunk)>) {
        let before = self.at(index.checked_sub(1));
        let after = self.at(index.checked_add(1));
        (
            before.filter(|(_, it)| it.end() == chunk.first().address()),
            after.filter(|(_, it)| it.first().address() == chunk.end()),
        )
    }

    /// Removes a chunk with its place, of which so many pages were left.
    fn remove(&mut self, slot: usize, index: usize, pages: usize) {
        let Some(chunk) = self.slots.get_mut(slot).and_then(Option::take) else {
            return;
        };
        self.places.remove(index);
        // There is room: it was made with the slot.
        self.vacant.push(slot);
        self.tally.owned = self.tally.owned.saturating_sub(pages as u64);
        self.available = self.available.saturating_sub(chunk.room() as u64);
        self.mark(slot, Offer::default(), false);
    }

    /// Makes a chunk for each block of one, from which nothing goes until [`Self::split_done`].
    fn split(&mut self, slot: usize, index: usize) -> Result<(), TryReserveError> {
        let vacant = self.prepare()?;
        let upper = self.change(slot, |chunk| {
            chunk.pieces = Pieces::Splitting;
            if chunk.order() == CHUNK_ORDERS[0] {
                chunk.cut()
            } else {
                None
            }
        });
        if let Some(upper) = upper.flatten() {
            self.insert(index + 1, vacant, upper);
        }
        Ok(())
    }

    /// The kernel has made single pages of a chunk.
    pub fn split_done(&mut self, first: Page, order: u32) {
        for page in (0..1_usize << order).step_by(BLOCK_PAGES) {
            if let Some(slot) = self.slot_of(first.nth(page)) {
                self.change(slot, |chunk| chunk.pieces = Pieces::Single);
            }
        }
    }
}
