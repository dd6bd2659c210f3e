//! Sets of the pages of a block.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use core::ops::Range;

use crate::BLOCK_PAGES;

const WORDS: usize = BLOCK_PAGES / 64;

/// Some of the pages of a block, by number. Takes memory of its own only while it is neither none
/// nor all of them.
#[derive(Debug)]
pub(crate) enum PageSet {
    /// None.
    None,
    /// All.
    All,
    /// A bit for each, in [`WORDS`] words.
    Some(Vec<u64>),
}

impl PageSet {
    /// Whether a page is in it.
    pub(crate) fn contains(&self, page: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => page < BLOCK_PAGES,
            Self::Some(words) => words
                .get(page / 64)
                .is_some_and(|w| w >> (page % 64) & 1 != 0),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::All => BLOCK_PAGES,
            Self::Some(words) => words.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn is_all(&self) -> bool {
        self.len() == BLOCK_PAGES
    }

    /// Gets the memory for any change, so that [`Self::set`] can be made after something that cannot
    /// be undone.
    pub(crate) fn prepare(&mut self) -> Result<(), TryReserveError> {
        let word = match self {
            Self::None => 0,
            Self::All => !0,
            Self::Some(_) => return Ok(()),
        };
        let mut words = Vec::new();
        words.try_reserve_exact(WORDS)?;
        words.resize(WORDS, word);
        *self = Self::Some(words);
        Ok(())
    }

    /// Puts a page in or takes it out. Only after [`Self::prepare`]; otherwise nothing that has an
    /// effect happens.
    pub(crate) fn set(&mut self, page: usize, present: bool) {
        debug_assert!(matches!(self, Self::Some(_)) || self.contains(page) == present);
        if let Self::Some(words) = self
            && let Some(word) = words.get_mut(page / 64)
        {
            let bit = 1 << (page % 64);
            *word = if present { *word | bit } else { *word & !bit };
        }
    }

    /// Puts pages in or takes them out, and drops memory that is no longer needed.
    pub(crate) fn set_range(
        &mut self,
        pages: Range<usize>,
        present: bool,
    ) -> Result<(), TryReserveError> {
        if pages.start == 0 && pages.end == BLOCK_PAGES {
            *self = if present { Self::All } else { Self::None };
            return Ok(());
        }
        self.prepare()?;
        for page in pages {
            self.set(page, present);
        }
        self.compact();
        Ok(())
    }

    /// Drops memory that is no longer needed.
    pub(crate) fn compact(&mut self) {
        match self.len() {
            0 => *self = Self::None,
            BLOCK_PAGES => *self = Self::All,
            _ => {}
        }
    }

    /// Whether all these pages are in it (or none of them, with `present` false).
    pub(crate) fn all_are(&self, pages: Range<usize>, present: bool) -> bool {
        self.first_other(pages, present).is_none()
    }

    /// The first of these pages that is not in it (or the first that is, with `present` false).
    pub(crate) fn first_other(&self, mut pages: Range<usize>, present: bool) -> Option<usize> {
        let uniform = match self {
            Self::None => Some(false),
            Self::All => Some(true),
            Self::Some(_) => None,
        };
        if uniform == Some(present) {
            return None;
        }
        pages.find(|&page| self.contains(page) != present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_collapse() {
        let mut set = PageSet::None;
        set.set_range(0..1, true).expect("memory");
        assert!(set.contains(0) && !set.contains(1) && !set.contains(512));
        assert!(matches!(set, PageSet::Some(_)));
        set.set_range(1..512, true).expect("memory");
        assert!(matches!(set, PageSet::All));
        assert!(set.all_are(3..500, true) && !set.all_are(3..500, false));
        assert_eq!(set.first_other(3..500, true), None);
        assert_eq!(set.first_other(3..500, false), Some(3));
        assert_eq!(set.first_other(3..3, false), None);
        set.set_range(511..512, false).expect("memory");
        assert_eq!(set.first_other(500..512, true), Some(511));
        assert_eq!(set.first_other(500..512, false), Some(500));
        assert_eq!(set.len(), 511);
        assert!(!set.all_are(500..512, true) && set.all_are(511..512, false));
        set.set_range(0..511, false).expect("memory");
        assert!(matches!(set, PageSet::None));
    }
}
