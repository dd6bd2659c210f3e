//! The table of all granules that the RMM tracks.

use rmm_abi::GRANULE_SIZE;

use super::{GranuleAddress, GranuleRecord};

/// DRAM banks that a manifest may list.
pub const MAX_DRAM_BANKS: usize = 64;

/// A contiguous range of DRAM with the index of its first granule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct DramBank {
    base: u64,
    granules: u64,
    first_index: u64,
}

/// The machine's DRAM: ascending, disjoint banks of whole granules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DramBanks {
    banks: [DramBank; MAX_DRAM_BANKS],
    count: usize,
}

impl Default for DramBanks {
    fn default() -> Self {
        Self::new()
    }
}

impl DramBanks {
    /// No DRAM.
    pub const fn new() -> Self {
        Self {
            banks: [DramBank {
                base: 0,
                granules: 0,
                first_index: 0,
            }; MAX_DRAM_BANKS],
            count: 0,
        }
    }

    /// The machine whose DRAM is these ranges, each (first granule, granules), in ascending order.
    ///
    /// # Errors
    ///
    /// [`BankError`] of the first range that cannot be.
    pub fn from_ranges(
        ranges: impl IntoIterator<Item = (GranuleAddress, u64)>,
    ) -> Result<Self, BankError> {
        let mut banks = Self::new();
        for (base, granules) in ranges {
            banks.push(base, granules)?;
        }
        Ok(banks)
    }

    /// Adds a bank of `granules` granules above all others.
    ///
    /// # Errors
    ///
    /// [`BankError`] when there is no room, when the bank is empty, wraps, or is not above the
    /// last one; nothing has been added.
    pub(crate) fn push(&mut self, base: GranuleAddress, granules: u64) -> Result<(), BankError> {
        let end = granules
            .checked_mul(GRANULE_SIZE as u64)
            .and_then(|size| base.get().checked_add(size))
            .ok_or(BankError::Wraps)?;
        if end == base.get() {
            return Err(BankError::Empty);
        }
        if self.end().is_some_and(|previous| base.get() < previous) {
            return Err(BankError::NotAscending);
        }
        let first_index = self.granules();
        let bank = self.banks.get_mut(self.count).ok_or(BankError::TooMany)?;
        *bank = DramBank {
            base: base.get(),
            granules,
            first_index,
        };
        self.count += 1;
        Ok(())
    }

    /// Banks in this list.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Granules in all banks.
    pub fn granules(&self) -> u64 {
        self.used()
            .last()
            .map_or(0, |bank| bank.first_index + bank.granules)
    }

    /// Each bank as (physical address, size in bytes).
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.used()
            .iter()
            .map(|bank| (bank.base, bank.granules * GRANULE_SIZE as u64))
    }

    fn used(&self) -> &[DramBank] {
        &self.banks[..self.count]
    }

    fn end(&self) -> Option<u64> {
        self.iter().last().map(|(base, size)| base + size)
    }

    /// Position of a granule when all banks are counted through; `None` outside DRAM.
    fn index(&self, address: GranuleAddress) -> Option<u64> {
        self.used().iter().find_map(|bank| {
            let offset = address.get().checked_sub(bank.base)? / GRANULE_SIZE as u64;
            (offset < bank.granules).then(|| bank.first_index + offset)
        })
    }
}

/// Why a bank cannot be part of the machine's DRAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BankError {
    /// Its size is zero.
    Empty,
    /// Its end is beyond the 64-bit address space.
    Wraps,
    /// It begins below the end of the bank before it.
    NotAscending,
    /// More than [`MAX_DRAM_BANKS`].
    TooMany,
}

/// State of every granule of DRAM, flat and without a lock of its own.
#[derive(Debug)]
pub struct GranuleTable<'m> {
    banks: DramBanks,
    records: &'m [GranuleRecord],
}

impl<'m> GranuleTable<'m> {
    /// A table for these banks in this memory; `None` unless there is one record for each granule.
    pub fn new(banks: DramBanks, records: &'m [GranuleRecord]) -> Option<Self> {
        (u64::try_from(records.len()).ok()? == banks.granules()).then_some(Self { banks, records })
    }

    /// The record of a granule; `None` outside DRAM.
    #[inline]
    pub(super) fn record(&self, address: GranuleAddress) -> Option<&'m GranuleRecord> {
        self.records
            .get(usize::try_from(self.banks.index(address)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: u64) -> GranuleAddress {
        GranuleAddress::new(address).unwrap()
    }

    #[test]
    fn index_counts_through_banks_and_skips_holes() {
        let mut banks = DramBanks::new();
        banks.push(at(0x4000_0000), 4).unwrap();
        banks.push(at(0x4000_4000), 1).unwrap();
        banks.push(at(0x8_8000_0000), 2).unwrap();
        assert_eq!(banks.granules(), 7);
        assert_eq!(banks.index(at(0x4000_0000)), Some(0));
        assert_eq!(banks.index(at(0x4000_3000)), Some(3));
        assert_eq!(banks.index(at(0x4000_4000)), Some(4));
        assert_eq!(banks.index(at(0x8_8000_1000)), Some(6));
        for hole in [
            0,
            0x3fff_f000,
            0x4000_5000,
            0x8_7fff_f000,
            0x8_8000_2000,
            u64::MAX - 0xfff,
        ] {
            assert_eq!(banks.index(at(hole)), None, "{hole:#x}");
        }
    }

    #[test]
    fn impossible_banks_are_refused() {
        let mut banks = DramBanks::new();
        assert_eq!(banks.push(at(0x1000), 0), Err(BankError::Empty));
        assert_eq!(banks.push(at(0x1000), u64::MAX), Err(BankError::Wraps));
        assert_eq!(banks.push(at(u64::MAX - 0xfff), 1), Err(BankError::Wraps));
        banks.push(at(0x10_0000), 16).unwrap();
        assert_eq!(banks.push(at(0x10_f000), 1), Err(BankError::NotAscending));
        assert_eq!(banks.push(at(0x1000), 1), Err(BankError::NotAscending));
        assert_eq!(banks.count(), 1);
        for bank in 1..MAX_DRAM_BANKS as u64 {
            banks.push(at(0x11_0000 + bank * 0x1000), 1).unwrap();
        }
        assert_eq!(banks.push(at(1 << 40), 1), Err(BankError::TooMany));
        assert_eq!(banks.granules(), 16 + MAX_DRAM_BANKS as u64 - 1);
    }

    #[test]
    fn a_table_needs_a_record_for_each_granule() {
        let records = [const { GranuleRecord::new() }; 3];
        let mut banks = DramBanks::new();
        banks.push(at(0x1000), 2).unwrap();
        assert!(GranuleTable::new(banks.clone(), &records).is_none());
        assert!(GranuleTable::new(banks.clone(), &records[..1]).is_none());
        let table = GranuleTable::new(banks, &records[..2]).unwrap();
        assert!(table.record(at(0x1000)).is_some());
        assert!(table.record(at(0x3000)).is_none());
    }
}
