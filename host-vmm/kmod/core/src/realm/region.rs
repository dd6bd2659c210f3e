//! What is known of each 2 MiB of a slot.

use alloc::vec::Vec;

use super::{RealmError, Statistics};
use crate::granules;
use crate::host::Host;
use crate::page_set::PageSet;
use crate::pool::Page;
use crate::rmi;
use crate::{BLOCK_PAGES, PAGE_SIZE};

/// What the entry of the level 2 table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mapping {
    /// Nothing.
    Nothing,
    /// A table of level 3.
    Table,
    /// All of its memory, in one piece.
    Block,
}

/// 2 MiB of a slot, private and shared.
#[derive(Debug)]
pub(super) struct Region {
    /// Pages that the owner of the VM wants private.
    pub(super) private: PageSet,
    /// Pages that have private memory.
    pub(super) assigned: PageSet,
    /// How the private half is mapped.
    pub(super) mapping: Mapping,
    /// A block of memory, whose pages are for the pages of this region in their order. Those that are
    /// not assigned are not delegated. They are kept while some of the region is private, so that it
    /// can be one block again.
    pub(super) block: Option<Page>,
    /// Physical addresses of the caller's pages that are mapped, zero for none. Empty when there are
    /// none at all.
    pub(super) shared: Vec<u64>,
    /// Whether the shared half has a table of level 3.
    pub(super) shared_table: bool,
}

impl Region {
    pub(super) const fn new() -> Self {
        Self {
            private: PageSet::All,
            assigned: PageSet::None,
            mapping: Mapping::Nothing,
            block: None,
            shared: Vec::new(),
            shared_table: false,
        }
    }

    pub(super) fn count(&self, statistics: &mut Statistics) {
        statistics.pages_private += self.assigned.len() as u64;
        statistics.blocks_private += u64::from(self.mapping == Mapping::Block);
        let mapped = self.shared.iter().filter(|&&page| page != 0);
        statistics.pages_shared += mapped.count() as u64;
        statistics.tables += u64::from(self.mapping == Mapping::Table);
        statistics.tables += u64::from(self.shared_table);
    }

    /// Sees to a table of level 3 for the private half. What is one piece becomes pages.
    pub(super) fn ensure_table(
        &mut self,
        host: &impl Host,
        rd: Page,
        base: u64,
    ) -> Result<(), RealmError> {
        if self.mapping == Mapping::Table {
            return Ok(());
        }
        let table = granules::take_delegated(host)?;
        if let Err(error) = rmi::rtt_create(host, rd, table, base, 3) {
            granules::give_back(host, table);
            return Err(error.into());
        }
        self.mapping = Mapping::Table;
        Ok(())
    }

    /// Does without the table of level 3, if its entries are all alike.
    pub(super) fn fold(&mut self, host: &impl Host, rd: Page, base: u64) {
        let folded = match self.mapping {
            Mapping::Table if self.assigned.is_empty() => Mapping::Nothing,
            Mapping::Table if self.assigned.is_all() && self.block.is_some() => Mapping::Block,
            _ => return,
        };
        // Not alike after all, where the Realm has had a say: it stays as it is.
        if let Ok(table) = rmi::rtt_fold(host, rd, base, 3) {
            granules::give_back(host, table);
            self.mapping = folded;
        }
    }

    /// Gives up the plan of one block: pages that are not in use go back.
    pub(super) fn drop_block(&mut self, host: &impl Host) {
        let Some(block) = self.block.take() else {
            return;
        };
        for number in 0..BLOCK_PAGES {
            if !self.assigned.contains(number) {
                granules::release(host, block.nth(number));
            }
        }
    }

    /// The memory for a page: that of the block, or one of its own; delegated.
    pub(super) fn take_page(
        &mut self,
        host: &impl Host,
        number: usize,
    ) -> Result<Page, RealmError> {
        let Some(block) = self.block else {
            return Ok(granules::take_delegated(host)?);
        };
        granules::delegate(host, block.nth(number))?;
        Ok(block.nth(number))
    }

    /// What [`Self::take_page`] gave is not needed any more. If it belongs to the block it stays there.
    pub(super) fn return_page(&mut self, host: &impl Host, number: usize, page: Page) {
        if self.block.is_none_or(|block| block.nth(number) != page) {
            return granules::give_back(host, page);
        }
        host.rest();
        let mut result = Ok(());
        for _ in 0..granules::TRIES {
            result = rmi::granule_undelegate(host, page);
            if result.is_ok() {
                return;
            }
        }
        // The rest of the block is as good as ever, but the block is none any more.
        if let Some(block) = self.block.take() {
            for other in 0..BLOCK_PAGES {
                if other != number && !self.assigned.contains(other) {
                    granules::release(host, block.nth(other));
                }
            }
        }
        granules::lose(host, page, result.err());
    }

    /// Gives a page private memory whose content nobody knows.
    pub(super) fn assign_unknown(
        &mut self,
        host: &impl Host,
        rd: Page,
        base: u64,
        number: usize,
    ) -> Result<(), RealmError> {
        self.assigned.prepare()?;
        let page = self.take_page(host, number)?;
        let ipa = base + number as u64 * PAGE_SIZE;
        if let Err(error) = rmi::data_create_unknown(host, rd, page, ipa) {
            self.return_page(host, number, page);
            return Err(error.into());
        }
        self.assigned.set(number, true);
        Ok(())
    }

    /// Where all of it is private: fills the block with memory whose content nobody knows, where there
    /// is none, and maps it as one. Can be interrupted, and goes on where it was.
    pub(super) fn complete(
        &mut self,
        host: &impl Host,
        rd: Page,
        base: u64,
    ) -> Result<(), RealmError> {
        if self.block.is_none() || self.mapping == Mapping::Block || !self.private.is_all() {
            return Ok(());
        }
        self.ensure_table(host, rd, base)?;
        for number in 0..BLOCK_PAGES {
            if self.assigned.contains(number) {
                continue;
            }
            if number % 64 == 0 && host.interrupted() {
                return Err(RealmError::Interrupted);
            }
            self.assign_unknown(host, rd, base, number)?;
        }
        self.assigned.compact();
        self.fold(host, rd, base);
        Ok(())
    }

    /// Takes the private memory of a page away.
    pub(super) fn unassign(
        &mut self,
        host: &impl Host,
        rd: Page,
        base: u64,
        number: usize,
    ) -> Result<(), RealmError> {
        let ipa = base + number as u64 * PAGE_SIZE;
        let page = rmi::data_destroy(host, rd, ipa)?;
        self.assigned.set(number, false);
        self.return_page(host, number, page);
        Ok(())
    }
}
