//! Memory that the module owns, and which pages of it may change worlds.
//!
//! A stock kernel has no answer to a granule protection fault, and reads across the end of a page now
//! and then (a load of a word that is only partly a string, for instance). So **a page may be
//! delegated only while the page before it and the page after it belong to the pool too, and are not
//! read or written by the kernel**. The pool is a set of *chunks* of contiguous pages from the kernel;
//! chunks that touch are a *run*; the first and the last page of a run are never handed out. They
//! guard the others. A chunk goes back to the kernel as it came when none of its pages is handed out
//! and none is that would become the edge of a run. One that is needed for its edges only, or of which
//! only a part is idle, is made into single pages if much is idle, and they go but for the guards.
//!
//! Pages are handed out singly, in small aligned groups, or as whole *blocks*: 512 pages that are
//! aligned to their size. What is smaller than a block comes from where no whole block is to be had,
//! as long as there is any such place.
//!
//! What is to be had where is marked, so that taking and giving back cost the same however much
//! memory there is.

mod chunk;
mod marks;
mod spare;
#[cfg(test)]
mod tests;

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

use crate::{BLOCK_PAGES, PAGE_SIZE};

pub use chunk::CHUNK_ORDERS;
use chunk::{Chunk, GROUP_ORDERS, Offer};
use marks::Marks;
pub use spare::{Spare, Sweep};

/// A page of physical memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Page(u64);

impl Page {
    /// Addresses that exist have fewer bits than this.
    const ADDRESS_BITS: u32 = 52;

    /// The page at an address; `None` when no page can begin there.
    pub const fn new(address: u64) -> Option<Self> {
        if address.is_multiple_of(PAGE_SIZE) && address >> Self::ADDRESS_BITS == 0 {
            Some(Self(address))
        } else {
            None
        }
    }

    /// Where it begins.
    pub const fn address(self) -> u64 {
        self.0
    }

    /// The page so many pages further on.
    #[must_use]
    pub const fn nth(self, pages: usize) -> Self {
        Self(self.0.wrapping_add((pages as u64).wrapping_mul(PAGE_SIZE)))
    }
}

/// Largest group that is handed out together, as order: 16 tables to begin with.
pub const MOST_GROUP_ORDER: u32 = 4;

/// What the pool cannot do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoolError {
    /// No memory to note it.
    OutOfMemory,
    /// Not a chunk: of an odd size, or where another one is.
    NotAChunk,
    /// The page is not handed out.
    NotHandedOut,
}

/// How much there is, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// In chunks.
    pub owned: u64,
    /// Handed out and not lost.
    pub used: u64,
    /// Never to be used again.
    pub lost: u64,
}

/// Where a chunk is kept, by its address.
#[derive(Clone, Copy, Debug)]
struct Place {
    base: u64,
    slot: usize,
}

/// Chunks, and who has their pages.
#[derive(Debug, Default)]
pub struct Pool {
    /// In no order; each stays where it is as long as the pool has it.
    slots: Vec<Option<Chunk>>,
    /// Slots without a chunk.
    vacant: Vec<usize>,
    /// Where the chunks are, in ascending order of addresses.
    places: Vec<Place>,
    /// Slots of chunks with a whole block to be had.
    blocks: Marks,
    /// By order: slots of chunks with a group to be had that is not part of a whole block.
    groups: [Marks; GROUP_ORDERS],
    /// Slots of chunks of which nothing is handed out or lost.
    idle: Marks,
    /// What the chunks come to. Kept with every change, so that nobody has to go through them all
    /// to know it.
    tally: Counters,
    /// The same of what could be handed out, in pages.
    available: u64,
    /// Pages that are handed out for ever, because nobody knows any more which they are.
    abandoned: u64,
}

impl Pool {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            places: Vec::new(),
            blocks: Marks::new(),
            groups: [const { Marks::new() }; GROUP_ORDERS],
            idle: Marks::new(),
            tally: Counters {
                owned: 0,
                used: 0,
                lost: 0,
            },
            available: 0,
            abandoned: 0,
        }
    }

    fn chunk(&self, slot: usize) -> Option<&Chunk> {
        self.slots.get(slot)?.as_ref()
    }

    /// The slot and the chunk with this index in the order of addresses.
    fn at(&self, index: Option<usize>) -> Option<(usize, &Chunk)> {
        let slot = self.places.get(index?)?.slot;
        Some((slot, self.chunk(slot)?))
    }

    /// Changes a chunk, and what is marked of it.
    fn change<R>(&mut self, slot: usize, change: impl FnOnce(&mut Chunk) -> R) -> Option<R> {
        let chunk = self.slots.get_mut(slot)?.as_mut()?;
        self.available = self.available.saturating_sub(chunk.room() as u64);
        let result = change(chunk);
        self.available += chunk.room() as u64;
        let (offer, idle) = (chunk.offer(), chunk.idle());
        self.mark(slot, offer, idle);
        Some(result)
    }

    fn mark(&mut self, slot: usize, offer: Offer, idle: bool) {
        self.blocks.set(slot, offer.block);
        for (marks, there) in self.groups.iter_mut().zip(offer.groups) {
            marks.set(slot, there);
        }
        self.idle.set(slot, idle);
    }

    /// Makes sure that one chunk more needs no memory; gives the slot for it.
    fn prepare(&mut self) -> Result<usize, TryReserveError> {
        self.places.try_reserve(1)?;
        if let Some(&slot) = self.vacant.last() {
            return Ok(slot);
        }
        let slot = self.slots.len();
        self.slots.try_reserve(1)?;
        // All slots may become vacant.
        self.vacant.try_reserve(slot + 1)?;
        for marks in [&mut self.blocks, &mut self.idle] {
            marks.prepare(slot + 1)?;
        }
        for marks in &mut self.groups {
            marks.prepare(slot + 1)?;
        }
        Ok(slot)
    }

    /// Adds a chunk of 2^`order` pages.
    ///
    /// # Errors
    ///
    /// [`PoolError::OutOfMemory`], [`PoolError::NotAChunk`].
    pub fn add(&mut self, first: Page, order: u32) -> Result<(), PoolError> {
        let mut new = Chunk::new(first, order).ok_or(PoolError::NotAChunk)?;
        let base = first.address();
        let index = self.places.partition_point(|place| place.base < base);
        let before = self.at(index.checked_sub(1));
        let after = self.at(Some(index));
        if before.is_some_and(|(_, before)| before.end() > base)
            || after.is_some_and(|(_, after)| new.end() > after.first().address())
        {
            return Err(PoolError::NotAChunk);
        }
        let before = before.filter(|(_, it)| it.end() == base);
        let after = after.filter(|(_, it)| it.first().address() == new.end());
        new.joined_before = before.is_some_and(|(_, before)| before.holds(before.pages() - 1));
        new.joined_after = after.is_some_and(|(_, after)| after.holds(0));
        let (before, after) = (before.map(|(slot, _)| slot), after.map(|(slot, _)| slot));

        let slot = self.prepare().map_err(|_| PoolError::OutOfMemory)?;
        self.tally.owned += new.pages() as u64;
        self.insert(index, slot, new);
        self.join(before, after, true);
        Ok(())
    }

    /// Puts a chunk into a slot that [`Self::prepare`] gave.
    fn insert(&mut self, index: usize, slot: usize, new: Chunk) {
        let base = new.first().address();
        self.places.insert(index, Place { base, slot });
        self.available += new.room() as u64;
        let (offer, idle) = (new.offer(), new.idle());
        if let Some(vacant) = self.slots.get_mut(slot) {
            self.vacant.pop();
            *vacant = Some(new);
        } else {
            self.slots.push(Some(new));
        }
        self.mark(slot, offer, idle);
    }

    /// Tells the neighbours of a chunk that the edge next to them has come, or gone.
    fn join(&mut self, before: Option<usize>, after: Option<usize>, joined: bool) {
        if let Some(slot) = before {
            self.change(slot, |chunk| chunk.joined_after = joined);
        }
        if let Some(slot) = after {
            self.change(slot, |chunk| chunk.joined_before = joined);
        }
    }

    /// Hands out a whole block.
    pub fn take_block(&mut self) -> Option<Page> {
        let slot = self.blocks.first()?;
        let block = self.change(slot, Chunk::take_block)??;
        self.tally.used += BLOCK_PAGES as u64;
        Some(block)
    }

    /// Hands out 2^`order` pages, aligned to their size, up to [`MOST_GROUP_ORDER`]. They are not
    /// cut out of whole blocks unless `from_blocks`, and then only if there are no others.
    pub fn take_group(&mut self, order: u32, from_blocks: bool) -> Option<Page> {
        let (slot, of_whole) = match self.groups.get(order as usize)?.first() {
            Some(slot) => (slot, false),
            None if from_blocks => (self.blocks.first()?, true),
            None => return None,
        };
        let group = self.change(slot, |chunk| chunk.take_group(order, of_whole))??;
        self.tally.used += 1 << order;
        Some(group)
    }

    /// The slot of the chunk that a page is in, if it is in one.
    fn slot_of(&self, page: Page) -> Option<usize> {
        let after = (self.places).partition_point(|place| place.base <= page.address());
        let (slot, chunk) = self.at(after.checked_sub(1))?;
        chunk.number(page).map(|_| slot)
    }

    /// Takes a page back that was handed out and is the kernel's again.
    ///
    /// # Errors
    ///
    /// [`PoolError::NotHandedOut`].
    pub fn release(&mut self, page: Page) -> Result<(), PoolError> {
        self.take_back(page, false)
    }

    /// A page that was handed out does not come back. It is never used again, and neither it nor its
    /// neighbours ever go back to the kernel.
    ///
    /// # Errors
    ///
    /// [`PoolError::NotHandedOut`].
    pub fn lose(&mut self, page: Page) -> Result<(), PoolError> {
        self.take_back(page, true)
    }

    fn take_back(&mut self, page: Page, lost: bool) -> Result<(), PoolError> {
        let slot = self.slot_of(page).ok_or(PoolError::NotHandedOut)?;
        if self.change(slot, |chunk| chunk.take_back(page, lost)) != Some(true) {
            return Err(PoolError::NotHandedOut);
        }
        self.tally.used = self.tally.used.saturating_sub(1);
        self.tally.lost += u64::from(lost);
        Ok(())
    }

    /// Notes that so many pages stay handed out for ever.
    pub fn abandon(&mut self, pages: u64) {
        self.abandoned = self.abandoned.saturating_add(pages);
    }

    /// Pages that could be handed out singly.
    pub const fn available(&self) -> u64 {
        self.available
    }

    /// How much there is.
    pub const fn counters(&self) -> Counters {
        Counters {
            owned: self.tally.owned,
            used: self.tally.used.saturating_sub(self.abandoned),
            lost: self.tally.lost.saturating_add(self.abandoned),
        }
    }

    /// Whether a page and its neighbours are the pool's, and the page handed out or lost: the page
    /// may be in the Realm world. For tests.
    pub fn may_be_delegated(&self, page: Page) -> bool {
        let owned = |address: u64| {
            let chunk = self
                .slot_of(Page(address))
                .and_then(|slot| self.chunk(slot));
            chunk.is_some_and(|it| it.number(Page(address)).is_some_and(|page| it.holds(page)))
        };
        let handed_out = self.slot_of(page).and_then(|slot| {
            let chunk = self.chunk(slot)?;
            Some(!chunk.idle_page(chunk.number(page)?))
        });
        handed_out == Some(true)
            && owned(page.address().wrapping_sub(PAGE_SIZE))
            && owned(page.address().wrapping_add(PAGE_SIZE))
    }
}
