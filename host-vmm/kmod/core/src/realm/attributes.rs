//! Which pages are private, and which shared, as the owner of the VM wants it.

use core::ops::Range;

use super::slots::{Piece, pieces};
use super::{Realm, RealmError};
use crate::BLOCK_PAGES;
use crate::granules;
use crate::host::Host;
use crate::pool::{Page, Sweep};

/// So many blocks does a Realm give that gives memory back. A guest's kernel that comes up shares fewer, for
/// its drivers: that is no reason to take blocks apart, of which a Realm that grows makes more when they stay.
const MANY_BLOCKS: u64 = 8;

impl Realm {
    /// Makes pages private or shared. Pages that become shared lose their private memory, pages that
    /// become private are no longer mapped in the shared half.
    ///
    /// # Errors
    ///
    /// [`RealmError::Invalid`] when not all of the range is in slots. When it ends early, a first
    /// part of the range is done.
    pub fn set_private(
        &mut self,
        host: &impl Host,
        base: u64,
        size: u64,
        private: bool,
    ) -> Result<(), RealmError> {
        let range = self.range_in_slots(base, size)?;
        if !private {
            self.empty_before_sharing(host, &range)?;
        }
        let result = pieces(range).try_for_each(|piece| {
            host.rest();
            if host.interrupted() {
                return Err(RealmError::Interrupted);
            }
            if private {
                self.make_private(host, &piece)
            } else {
                self.make_shared(host, &piece)
            }
        });
        if !private {
            let most = if self.blocks_given < MANY_BLOCKS {
                Sweep::Whole
            } else {
                Sweep::Parts
            };
            granules::sweep(host, most);
        }
        result
    }

    fn make_private(&mut self, host: &impl Host, piece: &Piece) -> Result<(), RealmError> {
        let alias = piece.base | self.shared_bit();
        let rd = self.descriptor.as_ref().map(|descriptor| descriptor.rd);
        let region = self.region_mut(piece.base).ok_or(RealmError::Invalid)?;
        if let Some(rd) = rd {
            for number in piece.pages.clone() {
                region.unshare(host, rd, alias, number)?;
            }
            if region.shared.iter().all(|&page| page == 0)
                && let Some(table) = region.drop_shared_table(host, rd, alias)?
            {
                granules::give_back(host, table);
            }
        }
        Ok(region.private.set_range(piece.pages.clone(), true)?)
    }

    fn make_shared(&mut self, host: &impl Host, piece: &Piece) -> Result<(), RealmError> {
        let rd = self.descriptor.as_ref().map(|descriptor| descriptor.rd);
        let region = self.region_mut(piece.base).ok_or(RealmError::Invalid)?;
        let given = region.assigned.is_all() && piece.pages.len() == BLOCK_PAGES;
        if let Some(rd) = rd {
            if !region.assigned.all_are(piece.pages.clone(), false) {
                region.assigned.prepare()?;
                region.ensure_table(host, rd, piece.base)?;
                let result = Self::unassign(region, host, rd, piece);
                region.assigned.compact();
                result?;
            }
            region.fold(host, rd, piece.base);
        }
        region.private.set_range(piece.pages.clone(), false)?;
        if region.private.is_empty() {
            region.drop_block(host);
        }
        self.blocks_given = self.blocks_given.saturating_add(u64::from(given));
        Ok(())
    }

    fn unassign(
        region: &mut super::region::Region,
        host: &impl Host,
        rd: Page,
        piece: &Piece,
    ) -> Result<(), RealmError> {
        for number in piece.pages.clone() {
            if region.assigned.contains(number) {
                region.unassign(host, rd, piece.base, number)?;
            }
        }
        Ok(())
    }

    /// The first part of a range that is private, or is not.
    pub(super) fn uniform_prefix(
        &self,
        host: &impl Host,
        range: Range<u64>,
        private: bool,
    ) -> Result<u64, RealmError> {
        let mut reached = range.start;
        for piece in pieces(range) {
            host.rest();
            if host.interrupted() {
                return Err(RealmError::Interrupted);
            }
            let Some(region) = self.region(piece.base) else {
                break;
            };
            let end = piece.pages.end;
            let differs = region.private.first_other(piece.pages, private);
            reached = piece.base + differs.unwrap_or(end) as u64 * crate::PAGE_SIZE;
            if differs.is_some() {
                break;
            }
        }
        Ok(reached)
    }
}
