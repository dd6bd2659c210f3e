//! Where a Realm has memory.

use alloc::vec::Vec;
use core::ops::Range;

use super::region::Region;
use super::{Realm, RealmError};
use crate::host::Host;
use crate::{BLOCK_SIZE, PAGE_SIZE};

/// Slots of a Realm.
pub const MAX_SLOTS: usize = 32;

/// Regions that are set up without a look at who else wants to run.
const REGIONS_AT_ONCE: usize = 512;

/// A range of addresses with memory.
#[derive(Debug)]
pub(super) struct Slot {
    number: u32,
    pub(super) base: u64,
    pub(super) end: u64,
    /// Where the caller has its shared memory.
    user: u64,
    /// One for each block.
    pub(super) regions: Vec<Region>,
}

impl Slot {
    /// Where the caller has the shared page of an address.
    pub(super) const fn user_address(&self, address: u64) -> u64 {
        self.user.wrapping_add(address.wrapping_sub(self.base))
    }

    pub(super) fn region_index(&self, address: u64) -> usize {
        usize::try_from(address.wrapping_sub(self.base) / BLOCK_SIZE).unwrap_or(usize::MAX)
    }
}

/// The slots as vCPUs know them: they do not change once there is a Realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    slots: [(u64, u64); MAX_SLOTS],
}

impl Layout {
    /// Without any.
    pub const EMPTY: Self = Self {
        slots: [(0, 0); MAX_SLOTS],
    };

    /// Whether there is memory at an address (without the bit that makes it shared).
    pub fn contains(&self, address: u64) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|&(base, end)| (base..end).contains(&address))
    }
}

/// The part of a range that is in one block.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Where the block begins.
    pub(super) base: u64,
    /// Pages of it.
    pub(super) pages: Range<usize>,
}

/// Number of an address's page in its block.
pub(super) const fn page_number(address: u64) -> usize {
    (address % BLOCK_SIZE / PAGE_SIZE) as usize
}

/// Cuts a range of whole pages at the boundaries of blocks.
pub(super) fn pieces(range: Range<u64>) -> impl Iterator<Item = Piece> {
    let mut next = range.start;
    core::iter::from_fn(move || {
        if next >= range.end {
            return None;
        }
        let base = next - next % BLOCK_SIZE;
        let end = (base + BLOCK_SIZE).min(range.end);
        let first = page_number(next);
        let pages = first..first + ((end - next) / PAGE_SIZE) as usize;
        next = end;
        Some(Piece { base, pages })
    })
}

impl Realm {
    /// Adds a slot. All of it is private at first.
    ///
    /// # Errors
    ///
    /// [`RealmError::Busy`] once the Realm is built, and for a number that is in use;
    /// [`RealmError::Invalid`], [`RealmError::Exists`] for one that overlaps,
    /// [`RealmError::OutOfMemory`].
    pub fn add_slot(
        &mut self,
        host: &impl Host,
        number: u32,
        base: u64,
        size: u64,
        user: u64,
    ) -> Result<(), RealmError> {
        if self.descriptor.is_some() || self.slots.iter().any(|slot| slot.number == number) {
            return Err(RealmError::Busy);
        }
        let end = base.checked_add(size).ok_or(RealmError::Invalid)?;
        let aligned = [base, size].iter().all(|a| a.is_multiple_of(BLOCK_SIZE));
        let user_fits = user.is_multiple_of(PAGE_SIZE) && user.checked_add(size).is_some();
        if size == 0 || !aligned || end > self.shared_bit() || !user_fits {
            return Err(RealmError::Invalid);
        }
        if self.slots.len() >= MAX_SLOTS {
            return Err(RealmError::Invalid);
        }
        let index = self.slots.partition_point(|slot| slot.base < base);
        let before = index
            .checked_sub(1)
            .and_then(|before| self.slots.get(before));
        if before.is_some_and(|slot| slot.end > base)
            || self.slots.get(index).is_some_and(|slot| slot.base < end)
        {
            return Err(RealmError::Exists);
        }
        let count = usize::try_from(size / BLOCK_SIZE).map_err(|_| RealmError::Invalid)?;
        let mut regions = Vec::new();
        regions.try_reserve_exact(count)?;
        while regions.len() < count {
            host.rest();
            let more = (count - regions.len()).min(REGIONS_AT_ONCE);
            regions.extend((0..more).map(|_| Region::new()));
        }
        self.slots.try_reserve(1)?;
        let slot = Slot {
            number,
            base,
            end,
            user,
            regions,
        };
        self.slots.insert(index, slot);
        Ok(())
    }

    /// The slots, for a vCPU.
    pub fn layout(&self) -> Layout {
        let mut layout = Layout::EMPTY;
        for (place, slot) in layout.slots.iter_mut().zip(&self.slots) {
            *place = (slot.base, slot.end);
        }
        layout
    }

    /// The slot at an address.
    pub(super) fn slot(&self, address: u64) -> Option<&Slot> {
        let after = self.slots.partition_point(|slot| slot.base <= address);
        let slot = self.slots.get(after.checked_sub(1)?)?;
        (address < slot.end).then_some(slot)
    }

    /// The block at an address.
    pub(super) fn region(&self, address: u64) -> Option<&Region> {
        let slot = self.slot(address)?;
        slot.regions.get(slot.region_index(address))
    }

    /// The block at an address.
    pub(super) fn region_mut(&mut self, address: u64) -> Option<&mut Region> {
        let after = self.slots.partition_point(|slot| slot.base <= address);
        let slot = self.slots.get_mut(after.checked_sub(1)?)?;
        let index = slot.region_index(address);
        slot.regions.get_mut(index)
    }

    /// A range of whole pages, all of which are in slots.
    pub(super) fn range_in_slots(&self, base: u64, size: u64) -> Result<Range<u64>, RealmError> {
        let end = base.checked_add(size).ok_or(RealmError::Invalid)?;
        if size == 0 || !base.is_multiple_of(PAGE_SIZE) || !end.is_multiple_of(PAGE_SIZE) {
            return Err(RealmError::Invalid);
        }
        let mut next = base;
        while next < end {
            next = self.slot(next).ok_or(RealmError::Invalid)?.end;
        }
        Ok(base..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_fall_into_pieces() {
        let got: Vec<_> = pieces(0x1f_f000..0x40_1000).collect();
        let expected = [(0, 511..512), (0x20_0000, 0..512), (0x40_0000, 0..1)];
        assert_eq!(got.len(), expected.len());
        for (piece, (base, pages)) in got.iter().zip(expected) {
            assert_eq!((piece.base, &piece.pages), (base, &pages));
        }
        assert_eq!(pieces(5..5).count(), 0);
    }
}
