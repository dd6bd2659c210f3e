//! One chunk: which of its pages are handed out, and what could be.

use core::ops::Range;

use super::{MOST_GROUP_ORDER, Page};
use crate::{BLOCK_PAGES, PAGE_SIZE};

/// Orders of chunks, the preferred one first: 2^order pages.
pub const CHUNK_ORDERS: [u32; 2] = [10, 9];

const MOST_PAGES: usize = 1 << CHUNK_ORDERS[0];
const WORDS: usize = MOST_PAGES / 64;
const BLOCK_WORDS: usize = BLOCK_PAGES / 64;
/// Groups of one page up to the largest that is handed out.
pub(super) const GROUP_ORDERS: usize = MOST_GROUP_ORDER as usize + 1;
/// A bit at each multiple of 2^order.
const STARTS: [u64; GROUP_ORDERS] = [
    !0,
    0x5555_5555_5555_5555,
    0x1111_1111_1111_1111,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
];

/// Pages of a block that can be handed out: a bit for each.
type Free = [u64; BLOCK_WORDS];

/// What there is to be had of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Offer {
    /// Whether there is a whole block.
    pub(super) block: bool,
    /// By order: whether there is such a group that is not part of a whole block.
    pub(super) groups: [bool; GROUP_ORDERS],
}

/// How the kernel gets the pages of a chunk back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pieces {
    /// All together, as they came.
    One,
    /// Somebody is about to make single pages of them: until then nothing goes.
    Splitting,
    /// Each by itself.
    Single,
}

/// What the pool has of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    All,
    /// Of a block whose other pages have gone: whether the first one, the last one.
    Edges(bool, bool),
}

#[derive(Debug)]
pub(super) struct Chunk {
    base: u64,
    order: u32,
    used: [u64; WORDS],
    lost: [u64; WORDS],
    /// Pages that are used or lost.
    taken: usize,
    /// Whether the page before the first one is the pool's.
    pub(super) joined_before: bool,
    /// Whether the page after the last one is.
    pub(super) joined_after: bool,
    pub(super) pieces: Pieces,
    held: Held,
}

impl Chunk {
    /// 2^`order` pages; `None` if it is none of the sizes, or not aligned to it.
    pub(super) fn new(first: Page, order: u32) -> Option<Self> {
        let base = first.address();
        (CHUNK_ORDERS.contains(&order) && base.is_multiple_of(PAGE_SIZE << order)).then_some(Self {
            base,
            order,
            used: [0; WORDS],
            lost: [0; WORDS],
            taken: 0,
            joined_before: false,
            joined_after: false,
            pieces: Pieces::One,
            held: Held::All,
        })
    }

    pub(super) const fn first(&self) -> Page {
        Page(self.base)
    }

    pub(super) const fn order(&self) -> u32 {
        self.order
    }

    pub(super) const fn pages(&self) -> usize {
        1 << self.order
    }

    pub(super) const fn end(&self) -> u64 {
        self.base.wrapping_add(PAGE_SIZE << self.order)
    }

    /// Whether nothing of it is handed out or lost.
    pub(super) const fn idle(&self) -> bool {
        self.taken == 0
    }

    /// Whether a page is neither handed out nor lost.
    pub(super) fn idle_page(&self, page: usize) -> bool {
        let taken = |words: &[u64; WORDS]| words.get(page / 64).unwrap_or(&0) >> (page % 64) & 1;
        taken(&self.used) | taken(&self.lost) == 0
    }

    /// Whether a page has not gone back to the kernel.
    pub(super) const fn holds(&self, page: usize) -> bool {
        match self.held {
            Held::All => true,
            Held::Edges(first, last) => (first && page == 0) || (last && page + 1 == self.pages()),
        }
    }

    /// The number of a page, if it is one of this chunk's.
    pub(super) fn number(&self, page: Page) -> Option<usize> {
        let number = usize::try_from(page.address().checked_sub(self.base)? / PAGE_SIZE).ok()?;
        (number < self.pages()).then_some(number)
    }

    /// What can be handed out of each block: not what is taken or gone, and not the edges of the run.
    fn free(&self) -> impl Iterator<Item = (usize, Free)> + use<'_> {
        let words = self.pages() / 64;
        (0..self.pages() / BLOCK_PAGES).map(move |block| {
            let free = core::array::from_fn(|offset| {
                if self.held != Held::All {
                    return 0;
                }
                let place = block * BLOCK_WORDS + offset;
                let taken =
                    self.used.get(place).unwrap_or(&!0) | self.lost.get(place).unwrap_or(&!0);
                let first = place == 0 && !self.joined_before;
                let last = place + 1 == words && !self.joined_after;
                !taken & !u64::from(first) & !(u64::from(last) << 63)
            });
            (block, free)
        })
    }

    /// What could be handed out now.
    pub(super) fn offer(&self) -> Offer {
        let mut offer = Offer::default();
        for (_, free) in self.free() {
            if whole(&free) {
                offer.block = true;
                continue;
            }
            for (order, there) in (0..).zip(&mut offer.groups) {
                *there |= free.iter().any(|&word| groups(word, order) != 0);
            }
        }
        offer
    }

    /// How many pages could be handed out. Those at the edges of a run never are, so what is taken is
    /// not among them.
    pub(super) fn room(&self) -> usize {
        if self.held != Held::All {
            return 0;
        }
        let guards = usize::from(!self.joined_before) + usize::from(!self.joined_after);
        self.pages().saturating_sub(self.taken + guards)
    }

    /// Hands out a whole block.
    pub(super) fn take_block(&mut self) -> Option<Page> {
        let (block, _) = self.free().find(|(_, free)| whole(free))?;
        let words = self.used.iter_mut().skip(block * BLOCK_WORDS);
        words.take(BLOCK_WORDS).for_each(|word| *word = !0);
        self.taken += BLOCK_PAGES;
        Some(self.first().nth(block * BLOCK_PAGES))
    }

    /// Hands out 2^`order` pages, of a whole block or of one that is not.
    pub(super) fn take_group(&mut self, order: u32, of_whole: bool) -> Option<Page> {
        let number = self.free().find_map(|(block, free)| {
            if whole(&free) != of_whole {
                return None;
            }
            let (word, found) = (free.iter().enumerate())
                .map(|(word, &free)| (word, groups(free, order)))
                .find(|&(_, found)| found != 0)?;
            Some(block * BLOCK_PAGES + word * 64 + found.trailing_zeros() as usize)
        })?;
        let pages = 1_usize << order;
        *self.used.get_mut(number / 64)? |= ((1_u64 << pages) - 1) << (number % 64);
        self.taken += pages;
        Some(self.first().nth(number))
    }

    /// Takes a page back, or notes that it is lost. False if it is not handed out.
    pub(super) fn take_back(&mut self, page: Page, lost: bool) -> bool {
        let Some(number) = self.number(page) else {
            return false;
        };
        let (place, bit) = (number / 64, 1_u64 << (number % 64));
        let (Some(used), Some(gone)) = (self.used.get_mut(place), self.lost.get_mut(place)) else {
            return false;
        };
        if *used & bit == 0 {
            return false;
        }
        *used &= !bit;
        if lost {
            *gone |= bit;
        } else {
            self.taken = self.taken.saturating_sub(1);
        }
        true
    }
}

/// What goes.
impl Chunk {
    /// Whether nothing of one of its blocks is handed out or lost.
    pub(super) fn has_idle_block(&self) -> bool {
        (0..self.pages() / BLOCK_PAGES).any(|block| {
            let taken = self.used.iter().zip(&self.lost).skip(block * BLOCK_WORDS);
            (taken.take(BLOCK_WORDS)).all(|(&used, &lost)| used | lost == 0)
        })
    }

    /// Leaves the lower one of two blocks, and gives the upper one.
    pub(super) fn cut(&mut self) -> Option<Self> {
        let mut upper = Self::new(self.first().nth(BLOCK_PAGES), CHUNK_ORDERS[1])?;
        for (of_upper, of_all) in [
            (&mut upper.used, &mut self.used),
            (&mut upper.lost, &mut self.lost),
        ] {
            for (to, from) in of_upper.iter_mut().zip(&mut of_all[BLOCK_WORDS..]) {
                *to = core::mem::take(from);
                upper.taken += to.count_ones() as usize;
            }
        }
        self.taken = self.taken.saturating_sub(upper.taken);
        (upper.joined_before, upper.joined_after) = (true, self.joined_after);
        (self.order, self.joined_after) = (CHUNK_ORDERS[1], true);
        upper.pieces = self.pieces;
        Some(upper)
    }

    /// Of an idle block: pages in a row that nobody needs, from the first one to the one behind the
    /// last, if the first or the last page of all has to stay.
    pub(super) fn spare(&self, first_stays: bool, last_stays: bool) -> Option<Range<usize>> {
        let pages = self.pages();
        match self.held {
            _ if !self.idle() => None,
            Held::All => Some(usize::from(first_stays)..pages - usize::from(last_stays)),
            Held::Edges(true, _) if !first_stays => Some(0..1),
            Held::Edges(_, true) if !last_stays => Some(pages - 1..pages),
            Held::Edges(..) => None,
        }
    }

    /// Lets such a row go. Whether there is something left.
    pub(super) fn let_go(&mut self, row: &Range<usize>) -> bool {
        let stays = |page: usize| self.holds(page) && !row.contains(&page);
        let (first, last) = (stays(0), stays(self.pages() - 1));
        self.held = Held::Edges(first, last);
        first || last
    }

    /// Whether only edges are left of it.
    pub(super) fn is_remnant(&self) -> bool {
        self.held != Held::All
    }
}

fn whole(free: &Free) -> bool {
    free.iter().all(|&word| word == !0)
}

/// The aligned groups of 2^`order` set bits, up to [`MOST_GROUP_ORDER`]: a bit at the start of each.
fn groups(bits: u64, order: u32) -> u64 {
    let mut groups = bits;
    for step in 0..order.min(MOST_GROUP_ORDER) {
        groups &= groups >> (1_u32 << step);
    }
    groups & STARTS.get(order as usize).unwrap_or(&0)
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn groups_of_bits() {
        assert_eq!(groups(0, 0), 0);
        assert_eq!(groups(0b1000, 0), 0b1000);
        assert_eq!(groups(0b0110, 1), 0);
        assert_eq!(groups(0b1110, 1), 0b0100);
        assert_eq!(groups(0b1111, 1), 0b0101);
        assert_eq!(groups(0xffff << 40, 3), 1 << 40 | 1 << 48);
        assert_eq!(groups(0xffff << 40, 4), 0);
        assert_eq!(groups(0xffff << 48, 4), 1 << 48);
        assert_eq!(groups(!0, 5), 0);
    }
}
