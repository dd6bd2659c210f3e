//! Memory that the module owns, and which pages of it may change worlds.
//!
//! A stock kernel has no answer to a granule protection fault, and reads across the end of a page now
//! and then (a load of a word that is only partly a string, for instance). So **a page may be
//! delegated only while the page before it and the page after it belong to the pool too, and are not
//! read or written by the kernel**. The pool is a set of *chunks* of contiguous pages from the kernel;
//! chunks that touch are a *run*; the first and the last page of a run are never handed out. They
//! guard the others. A chunk goes back to the kernel only when none of its pages is handed out and
//! no page is that would become the edge of a run.
//!
//! Pages are handed out singly, in small aligned groups, or as whole *blocks*: 512 pages that are
//! aligned to their size. What is smaller than a block comes from where no whole block is to be had,
//! as long as there is any such place.

use alloc::vec::Vec;

use crate::{BLOCK_PAGES, PAGE_SIZE};

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

/// Orders of chunks, the preferred one first: 2^order pages.
pub const CHUNK_ORDERS: [u32; 2] = [10, 9];

const MOST_PAGES: usize = 1 << CHUNK_ORDERS[0];
const WORDS: usize = MOST_PAGES / 64;
const BLOCK_WORDS: usize = BLOCK_PAGES / 64;

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

#[derive(Debug)]
struct Chunk {
    base: u64,
    order: u32,
    used: [u64; WORDS],
    lost: [u64; WORDS],
    /// Pages that are used or lost.
    taken: usize,
}

impl Chunk {
    const fn pages(&self) -> usize {
        1 << self.order
    }

    const fn end(&self) -> u64 {
        self.base.wrapping_add((PAGE_SIZE) << self.order)
    }

    const fn idle(&self) -> bool {
        self.taken == 0
    }

    fn idle_page(&self, page: usize) -> bool {
        let bit = |words: &[u64; WORDS]| {
            words
                .get(page / 64)
                .is_some_and(|word| word >> (page % 64) & 1 != 0)
        };
        !bit(&self.used) && !bit(&self.lost)
    }

    /// The place of a page's bit, if it is one of this chunk's.
    fn place(&self, page: Page) -> Option<(usize, u64)> {
        let number = usize::try_from(page.address().checked_sub(self.base)? / PAGE_SIZE).ok()?;
        (number < self.pages()).then_some((number / 64, 1 << (number % 64)))
    }

    fn page(&self, number: usize) -> Page {
        Page(self.base).nth(number)
    }
}

/// Chunks, and who has their pages.
#[derive(Debug, Default)]
pub struct Pool {
    /// In ascending order.
    chunks: Vec<Chunk>,
    /// What the chunks come to. Kept with every change, so that nobody has to go through them all
    /// to know it.
    tally: Counters,
    /// Pages that are handed out for ever, because nobody knows any more which they are.
    abandoned: u64,
}

impl Pool {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            tally: Counters {
                owned: 0,
                used: 0,
                lost: 0,
            },
            abandoned: 0,
        }
    }

    /// Adds a chunk of 2^`order` pages.
    ///
    /// # Errors
    ///
    /// [`PoolError::OutOfMemory`], [`PoolError::NotAChunk`].
    pub fn add(&mut self, first: Page, order: u32) -> Result<(), PoolError> {
        let base = first.address();
        let index = self.chunks.partition_point(|chunk| chunk.base < base);
        let new = Chunk {
            base,
            order,
            used: [0; WORDS],
            lost: [0; WORDS],
            taken: 0,
        };
        let aligned = CHUNK_ORDERS.contains(&order) && base.is_multiple_of(PAGE_SIZE << order);
        let before = index
            .checked_sub(1)
            .and_then(|before| self.chunks.get(before));
        let after = self.chunks.get(index);
        if !aligned
            || before.is_some_and(|before| before.end() > base)
            || after.is_some_and(|after| new.end() > after.base)
        {
            return Err(PoolError::NotAChunk);
        }
        self.chunks
            .try_reserve(1)
            .map_err(|_| PoolError::OutOfMemory)?;
        self.tally.owned += new.pages() as u64;
        self.chunks.insert(index, new);
        Ok(())
    }

    /// Whether the chunk of this index has a neighbour right before it, and right after it.
    fn joined(&self, index: usize) -> (bool, bool) {
        let Some(chunk) = self.chunks.get(index) else {
            return (false, false);
        };
        let before = index
            .checked_sub(1)
            .and_then(|before| self.chunks.get(before));
        let after = self.chunks.get(index.wrapping_add(1));
        (
            before.is_some_and(|before| before.end() == chunk.base),
            after.is_some_and(|after| after.base == chunk.end()),
        )
    }

    /// How many pages of a chunk can be handed out. Those at the edges of a run never are, so what is
    /// taken is not among them.
    fn room(&self, index: usize) -> usize {
        let Some(chunk) = self.chunks.get(index) else {
            return 0;
        };
        let (before, after) = self.joined(index);
        let guards = usize::from(!before) + usize::from(!after);
        chunk.pages().saturating_sub(chunk.taken + guards)
    }

    /// What can be handed out of each block of a chunk: a bit for each page.
    fn free(&self, index: usize) -> impl Iterator<Item = (usize, [u64; BLOCK_WORDS])> + use<'_> {
        let (before, after) = self.joined(index);
        let chunk = self.chunks.get(index);
        let blocks = chunk.map_or(0, |chunk| chunk.pages() / BLOCK_PAGES);
        (0..blocks).map(move |block| {
            let words = core::array::from_fn(|offset| {
                let place = block * BLOCK_WORDS + offset;
                let taken = chunk.map_or(!0, |chunk| {
                    chunk.used.get(place).unwrap_or(&!0) | chunk.lost.get(place).unwrap_or(&!0)
                });
                let first = place == 0 && !before;
                let last = place + 1 == blocks * BLOCK_WORDS && !after;
                !taken & !u64::from(first) & !(u64::from(last) << 63)
            });
            (block, words)
        })
    }

    /// Hands out a whole block.
    pub fn take_block(&mut self) -> Option<Page> {
        let (index, block) = (0..self.chunks.len()).find_map(|index| {
            if self.room(index) < BLOCK_PAGES {
                return None;
            }
            let whole = |words: [u64; BLOCK_WORDS]| words.iter().all(|&word| word == !0);
            let (block, _) = self.free(index).find(|&(_, words)| whole(words))?;
            Some((index, block))
        })?;
        let chunk = self.chunks.get_mut(index)?;
        let words = chunk.used.iter_mut().skip(block * BLOCK_WORDS);
        words.take(BLOCK_WORDS).for_each(|word| *word = !0);
        chunk.taken += BLOCK_PAGES;
        self.tally.used += BLOCK_PAGES as u64;
        Some(chunk.page(block * BLOCK_PAGES))
    }

    /// Hands out 2^`order` pages, aligned to their size, up to [`MOST_GROUP_ORDER`]. They are not
    /// cut out of whole blocks unless `from_blocks`.
    pub fn take_group(&mut self, order: u32, from_blocks: bool) -> Option<Page> {
        if order > MOST_GROUP_ORDER {
            return None;
        }
        let pages = 1_usize << order;
        let (index, number) = (0..self.chunks.len()).find_map(|index| {
            let room = self.room(index);
            let whole = self.chunks.get(index).is_some_and(|it| it.pages() == room);
            if room < pages || whole && !from_blocks {
                return None;
            }
            let number = self.free(index).find_map(|(block, words)| {
                let whole = words.iter().all(|&word| word == !0);
                if whole && !from_blocks {
                    return None;
                }
                let (word, bit) = (words.iter().enumerate())
                    .find_map(|(word, &free)| Some((word, first_group(free, order)?)))?;
                Some(block * BLOCK_PAGES + word * 64 + bit as usize)
            })?;
            Some((index, number))
        })?;
        let chunk = self.chunks.get_mut(index)?;
        let group = (1_u64 << pages) - 1;
        *chunk.used.get_mut(number / 64)? |= group << (number % 64);
        chunk.taken += pages;
        self.tally.used += pages as u64;
        Some(chunk.page(number))
    }

    fn chunk_of(&mut self, page: Page) -> Option<&mut Chunk> {
        let after = self
            .chunks
            .partition_point(|chunk| chunk.base <= page.address());
        self.chunks.get_mut(after.checked_sub(1)?)
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
        let chunk = self.chunk_of(page).ok_or(PoolError::NotHandedOut)?;
        let (word, bit) = chunk.place(page).ok_or(PoolError::NotHandedOut)?;
        let used = chunk.used.get_mut(word).ok_or(PoolError::NotHandedOut)?;
        if *used & bit == 0 {
            return Err(PoolError::NotHandedOut);
        }
        *used &= !bit;
        if lost && let Some(word) = chunk.lost.get_mut(word) {
            *word |= bit;
        } else {
            chunk.taken = chunk.taken.saturating_sub(1);
        }
        self.tally.used = self.tally.used.saturating_sub(1);
        self.tally.lost += u64::from(lost);
        Ok(())
    }

    /// Notes that so many pages stay handed out for ever.
    pub fn abandon(&mut self, pages: u64) {
        self.abandoned = self.abandoned.saturating_add(pages);
    }

    /// Removes a chunk that can go back to the kernel: its first page and its order. Looks from the
    /// chunk with number `from` on, and leaves the number to go on from there.
    pub fn remove_spare(&mut self, from: &mut usize) -> Option<(Page, u32)> {
        while let Some(chunk) = self.chunks.get(*from) {
            let before = from
                .checked_sub(1)
                .and_then(|before| self.chunks.get(before));
            let after = self.chunks.get(*from + 1);
            let guards_none = before.is_none_or(|before| {
                before.end() != chunk.base || before.idle_page(before.pages() - 1)
            }) && after
                .is_none_or(|after| after.base != chunk.end() || after.idle_page(0));
            if chunk.idle() && guards_none {
                let chunk = self.chunks.remove(*from);
                self.tally.owned = self.tally.owned.saturating_sub(chunk.pages() as u64);
                return Some((Page(chunk.base), chunk.order));
            }
            *from += 1;
        }
        None
    }

    /// Pages that could be handed out singly.
    pub fn available(&self) -> u64 {
        (0..self.chunks.len())
            .map(|index| self.room(index) as u64)
            .sum()
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
            let inside = |chunk: &Chunk| (chunk.base..chunk.end()).contains(&address);
            self.chunks.iter().any(inside)
        };
        let address = page.address();
        let handed_out = self.chunks.iter().any(|chunk| {
            chunk.place(page).is_some_and(|(word, bit)| {
                (chunk.used.get(word).unwrap_or(&0) | chunk.lost.get(word).unwrap_or(&0)) & bit != 0
            })
        });
        handed_out
            && owned(address.wrapping_sub(PAGE_SIZE))
            && owned(address.wrapping_add(PAGE_SIZE))
    }
}

/// The lowest aligned group of 2^`order` set bits.
fn first_group(bits: u64, order: u32) -> Option<u32> {
    /// A bit at each multiple of 2^order.
    const STARTS: [u64; MOST_GROUP_ORDER as usize + 1] = [
        !0,
        0x5555_5555_5555_5555,
        0x1111_1111_1111_1111,
        0x0101_0101_0101_0101,
        0x0001_0001_0001_0001,
    ];
    let mut groups = bits;
    for step in 0..order {
        groups &= groups >> (1_u32 << step);
    }
    groups &= STARTS.get(order as usize)?;
    (groups != 0).then(|| groups.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u64) -> Page {
        Page::new(number * PAGE_SIZE).expect("a page")
    }

    #[test]
    fn groups() {
        assert_eq!(first_group(0, 0), None);
        assert_eq!(first_group(0b1000, 0), Some(3));
        assert_eq!(first_group(0b0110, 1), None);
        assert_eq!(first_group(0b1110, 1), Some(2));
        assert_eq!(first_group(0xffff << 40, 3), Some(40));
        assert_eq!(first_group(0xffff << 40, 4), None);
        assert_eq!(first_group(0xffff << 48, 4), Some(48));
    }

    #[test]
    fn a_chunk_alone_has_guards_and_no_block() {
        let mut pool = Pool::new();
        pool.add(page(1024), 10).expect("a chunk");
        assert_eq!(pool.take_block(), None);
        assert_eq!(pool.available(), 1022);
        let mut taken = 0;
        while let Some(got) = pool.take_group(0, true) {
            assert!(got > page(1024) && got < page(2047));
            assert!(pool.may_be_delegated(got));
            taken += 1;
        }
        assert_eq!(taken, 1022);
    }

    #[test]
    fn neighbours_make_a_run() {
        let mut pool = Pool::new();
        pool.add(page(2048), 10).expect("a chunk");
        pool.add(page(1024), 10).expect("a chunk");
        assert_eq!(pool.take_block(), Some(page(1536)));
        assert_eq!(pool.take_block(), Some(page(2048)));
        assert_eq!(pool.take_block(), None);
        assert_eq!(pool.add(page(1024), 9), Err(PoolError::NotAChunk));
        assert_eq!(pool.add(page(3072 + 512), 10), Err(PoolError::NotAChunk));
        pool.add(page(3072), 9).expect("a chunk");
        assert_eq!(pool.take_block(), Some(page(2560)));
    }

    #[test]
    fn a_chunk_stays_while_it_guards_a_neighbour() {
        let mut pool = Pool::new();
        for first in [1024, 2048] {
            pool.add(page(first), 10).expect("a chunk");
        }
        let block = pool.take_block().expect("a block");
        assert_eq!(block, page(1536));
        // The last page of the lower chunk is delegated: the upper chunk must stay.
        assert_eq!(pool.remove_spare(&mut 0), None);
        for number in 0..512 {
            pool.release(block.nth(number)).expect("handed out");
        }
        assert_eq!(pool.release(block), Err(PoolError::NotHandedOut));
        let mut from = 0;
        assert_eq!(pool.remove_spare(&mut from), Some((page(1024), 10)));
        assert_eq!(pool.remove_spare(&mut from), Some((page(2048), 10)));
        assert_eq!(pool.counters(), Counters::default());
    }

    #[test]
    fn lost_pages_stay() {
        let mut pool = Pool::new();
        pool.add(page(1024), 10).expect("a chunk");
        let lost = pool.take_group(0, true).expect("a page");
        pool.lose(lost).expect("handed out");
        assert_eq!(pool.release(lost), Err(PoolError::NotHandedOut));
        assert_eq!(pool.lose(lost), Err(PoolError::NotHandedOut));
        assert_eq!(pool.remove_spare(&mut 0), None);
        assert_eq!(pool.counters().lost, 1);
        assert_ne!(pool.take_group(0, true), Some(lost));
    }

    #[test]
    fn small_things_spare_the_blocks() {
        let mut pool = Pool::new();
        for first in [1024, 2048, 3072] {
            pool.add(page(first), 10).expect("a chunk");
        }
        // Two broken blocks, at the edges of the run: 511 pages each.
        for _ in 0..1022 {
            pool.take_group(0, false).expect("a page of the edge");
        }
        assert_eq!(pool.take_group(0, false), None);
        for _ in 0..4 {
            pool.take_block().expect("a block");
        }
        assert_eq!(pool.take_group(0, true), None);
    }
}
