//! Memory that Realm and host share.

use super::private::Fault;
use super::region::Region;
use super::slots::page_number;
use super::{Realm, RealmError};
use crate::granules;
use crate::host::Host;
use crate::pool::Page;
use crate::rmi;
use crate::{BLOCK_PAGES, BLOCK_SIZE, PAGE_SIZE};

impl Region {
    /// Whether the caller's page is mapped.
    fn is_shared(&self, number: usize) -> bool {
        self.shared.get(number).is_some_and(|&page| page != 0)
    }

    /// Maps a page of the caller. `alias` is where the region begins in the shared half.
    fn share(
        &mut self,
        host: &impl Host,
        rd: Page,
        alias: u64,
        number: usize,
        page: Page,
    ) -> Result<(), RealmError> {
        if self.shared.is_empty() {
            self.shared.try_reserve_exact(BLOCK_PAGES)?;
            self.shared.resize(BLOCK_PAGES, 0);
        }
        if !self.shared_table {
            let table = granules::take_delegated(host)?;
            if let Err(error) = rmi::rtt_create(host, rd, table, alias, 3) {
                granules::give_back(host, table);
                return Err(error.into());
            }
            self.shared_table = true;
        }
        let place = self.shared.get_mut(number).ok_or(RealmError::Invalid)?;
        rmi::rtt_map_unprotected(host, rd, alias + number as u64 * PAGE_SIZE, page)?;
        *place = page.address();
        Ok(())
    }

    /// Unmaps and unpins a page of the caller, if it is mapped.
    pub(super) fn unshare(
        &mut self,
        host: &impl Host,
        rd: Page,
        alias: u64,
        number: usize,
    ) -> Result<(), RealmError> {
        let Some(place) = self.shared.get_mut(number).filter(|page| **page != 0) else {
            return Ok(());
        };
        host.rest();
        rmi::rtt_unmap_unprotected(host, rd, alias + number as u64 * PAGE_SIZE)?;
        if let Some(page) = Page::new(*place) {
            host.unpin(page);
        }
        *place = 0;
        Ok(())
    }

    /// Does without the table of the shared half, and whatever it still maps.
    pub(super) fn drop_shared_table(
        &mut self,
        host: &impl Host,
        rd: Page,
        alias: u64,
    ) -> Result<Option<Page>, RealmError> {
        if !self.shared_table {
            return Ok(None);
        }
        let table = rmi::rtt_destroy(host, rd, alias, 3)?;
        self.shared_table = false;
        for page in self.shared.drain(..) {
            if let Some(page) = Page::new(page).filter(|page| page.address() != 0) {
                host.unpin(page);
            }
        }
        self.shared.shrink_to_fit();
        Ok(Some(table))
    }
}

impl Realm {
    /// A REC wants shared memory at an address of a slot (without the bit that makes it shared).
    ///
    /// # Errors
    ///
    /// When the caller has no memory there, or may not have it pinned.
    pub fn shared_fault(&mut self, host: &impl Host, address: u64) -> Result<Fault, RealmError> {
        let rd = self.rd()?;
        let (base, number) = (address - address % BLOCK_SIZE, page_number(address));
        let alias = base | self.shared_bit();
        let page_address = address - address % PAGE_SIZE;
        let Some(slot) = self.slot(address) else {
            return Ok(Fault::Hopeless);
        };
        let user = slot.user_address(page_address);
        let Some(region) = self.region(address) else {
            return Ok(Fault::Hopeless);
        };
        if region.private.contains(number) {
            return Ok(Fault::OtherKind);
        }
        if region.is_shared(number) {
            return Ok(Fault::Resolved);
        }
        self.ensure_upper_tables(host, rd, alias)?;
        let region = self.region_mut(address).ok_or(RealmError::Invalid)?;
        let page = host.pin(user)?;
        if let Err(error) = region.share(host, rd, alias, number, page) {
            host.unpin(page);
            return Err(error);
        }
        Ok(Fault::Resolved)
    }
}
