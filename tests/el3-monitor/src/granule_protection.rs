//! The granule protection tables: which physical address space each granule is in.
//!
//! Level 0 has an entry for each GiB. A GiB with DRAM, or with memory of the monitor, points to a
//! level 1 table of four bits a granule; every other GiB (devices) is a block that anybody may
//! access. 4 KiB granules, so a level 1 table has 128 KiB.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::region::{GIB, GRANULE};
use crate::{Region, index};

/// Bytes of an entry of the level 0 table.
pub const L0_ENTRY_SIZE: u64 = 8;
/// Bytes of a level 1 table.
pub const L1_TABLE_SIZE: u64 = GIB / GRANULE / 2;
/// Words of a level 1 table; a word describes 16 granules.
const L1_WORDS: usize = index(L1_TABLE_SIZE / 8);
const GRANULES_PER_WORD: u64 = 16;
const L0_BLOCK: u64 = 0b0001;
const L0_TABLE: u64 = 0b0011;
const L0_TYPE: u64 = 0xf;
const L0_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// The smallest space that is set up, so that the machine's high device windows are inside.
const SMALLEST_SPACE: u32 = 40;
/// The largest: beyond it the level 0 table would need a place of its own.
const LARGEST_SPACE: u32 = 44;

/// Which accesses a granule allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Protection {
    /// None.
    NoAccess = 0b0000,
    /// Secure.
    Secure = 0b1000,
    /// Non-secure.
    NonSecure = 0b1001,
    /// Root.
    Root = 0b1010,
    /// Realm.
    Realm = 0b1011,
    /// All.
    Any = 0b1111,
}

impl Protection {
    /// The value for all 16 granules of a word.
    const fn word(self) -> u64 {
        self as u64 * 0x1111_1111_1111_1111
    }

    fn from_bits(bits: u64) -> Self {
        [
            Self::Secure,
            Self::NonSecure,
            Self::Root,
            Self::Realm,
            Self::Any,
        ]
        .into_iter()
        .find(|protection| *protection as u64 == bits & 0xf)
        .unwrap_or(Self::NoAccess)
    }
}

/// Why the tables cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpaceError {
    /// DRAM ends above what the CPU or the monitor can protect.
    TooHigh {
        /// End of DRAM.
        end: u64,
        /// Bits of the space.
        bits: u32,
    },
}

impl fmt::Display for SpaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::TooHigh { end, bits } = self;
        write!(
            f,
            "memory ends at {end:#x}, above the {bits} bits of address that can be protected"
        )
    }
}

/// The shape of the tables for a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProtectedSpace {
    bits: u32,
    level_1_tables: usize,
}

/// The sizes that a protected space can have, with their encoding in `GPCCR_EL3.PPS`.
const SPACES: [(u32, u64); 7] = [
    (32, 0),
    (36, 1),
    (40, 2),
    (42, 3),
    (44, 4),
    (48, 5),
    (52, 6),
];

impl ProtectedSpace {
    /// The smallest space for these banks and other regions, on a CPU with so many bits of
    /// physical address.
    ///
    /// # Errors
    ///
    /// [`SpaceError`]
    pub fn new(cpu_bits: u32, banks: &[Region], others: &[Region]) -> Result<Self, SpaceError> {
        let end = banks.iter().chain(others).map(|region| region.end).max();
        let end = end.unwrap_or(0);
        let possible = SPACES.iter().map(|(bits, _)| *bits);
        let mut possible = possible.filter(|bits| *bits <= cpu_bits && *bits <= LARGEST_SPACE);
        let bits = possible
            .clone()
            .find(|bits| *bits >= SMALLEST_SPACE && end <= 1 << bits)
            .or(possible.next_back())
            .unwrap_or(0);
        if end > 1 << bits {
            return Err(SpaceError::TooHigh { end, bits });
        }
        let has_table = |entry: &u64| {
            let gib = Region {
                start: entry * GIB,
                end: (entry + 1) * GIB,
            };
            banks
                .iter()
                .chain(others)
                .any(|region| region.overlaps(&gib))
        };
        let level_1_tables = (0..end.div_ceil(GIB)).filter(has_table).count();
        Ok(Self {
            bits,
            level_1_tables,
        })
    }

    /// Entries of the level 0 table.
    pub fn level_0_entries(&self) -> u64 {
        (1 << self.bits) / GIB
    }

    /// Level 1 tables.
    pub fn level_1_tables(&self) -> usize {
        self.level_1_tables
    }

    /// Bits of address.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The size as `GPCCR_EL3.PPS` has it.
    pub fn encoding(&self) -> u64 {
        let found = SPACES.iter().find(|(bits, _)| *bits == self.bits);
        found.map_or(0, |(_, encoding)| *encoding)
    }
}

/// The tables, as the granule protection check of every CPU walks them.
pub struct Tables<'a> {
    /// Level 0.
    roots: &'a [AtomicU64],
    /// Level 1, one table after the other.
    words: &'a [AtomicU64],
    /// Physical address of the first of them.
    address: u64,
}

impl<'a> Tables<'a> {
    /// Makes the tables: DRAM is non-secure, everything else is open to anybody. The other
    /// regions get tables too, so that their granules can be set.
    ///
    /// `level_1_address` is the physical address of `level_1`. There must be enough of both for
    /// the space that was planned; a GiB for which there is no table is left open.
    pub fn new(
        level_0: &'a [AtomicU64],
        level_1: &'a [AtomicU64],
        level_1_address: u64,
        banks: &[Region],
        others: &[Region],
    ) -> Self {
        for entry in level_0 {
            let block = (Protection::Any as u64) << 4 | L0_BLOCK;
            entry.store(block, Ordering::Relaxed);
        }
        let tables = Self {
            roots: level_0,
            words: level_1,
            address: level_1_address,
        };
        let mut unused = level_1;
        for region in banks.iter().chain(others) {
            tables.add_level_1(region, &mut unused);
        }
        for bank in banks {
            tables.set(bank, Protection::NonSecure);
        }
        tables
    }

    /// Gives each GiB of the region a table, where it has none.
    fn add_level_1(&self, region: &Region, unused: &mut &'a [AtomicU64]) {
        for gib in region.start / GIB..region.end.div_ceil(GIB) {
            let Some(entry) = self.roots.get(index(gib)) else {
                return;
            };
            if entry.load(Ordering::Relaxed) & L0_TYPE == L0_TABLE {
                continue;
            }
            let Some((table, rest)) = unused.split_at_checked(L1_WORDS) else {
                return;
            };
            for word in table {
                word.store(Protection::Any.word(), Ordering::Relaxed);
            }
            let offset = (self.words.len() - unused.len()) as u64 * 8;
            entry.store((self.address + offset) | L0_TABLE, Ordering::Relaxed);
            *unused = rest;
        }
    }

    /// The word of a granule, and where in it the granule is. `None` outside the tables.
    fn find(&self, address: u64) -> Option<(&'a AtomicU64, u32)> {
        let entry = self.roots.get(index(address / GIB))?;
        let entry = entry.load(Ordering::Relaxed);
        if entry & L0_TYPE != L0_TABLE {
            return None;
        }
        let table = (entry & L0_ADDRESS).checked_sub(self.address)? / 8;
        let granule = address % GIB / GRANULE;
        let word = self.words.get(index(table + granule / GRANULES_PER_WORD))?;
        let shift = (granule % GRANULES_PER_WORD) as u32 * 4;
        Some((word, shift))
    }

    /// The protection of a granule. `None` where no table describes single granules.
    pub fn get(&self, address: u64) -> Option<Protection> {
        let (word, shift) = self.find(address)?;
        Some(Protection::from_bits(word.load(Ordering::Acquire) >> shift))
    }

    /// Changes one granule from one protection to another, whatever happens to its neighbours.
    ///
    /// # Errors
    ///
    /// The protection that the granule has instead, `None` where no table describes it.
    pub fn change(
        &self,
        address: u64,
        from: Protection,
        to: Protection,
    ) -> Result<(), Option<Protection>> {
        let (word, shift) = self.find(address).ok_or(None)?;
        let mut old = word.load(Ordering::Acquire);
        loop {
            if old >> shift & 0xf != from as u64 {
                return Err(Some(Protection::from_bits(old >> shift)));
            }
            let new = old ^ (from as u64 ^ to as u64) << shift;
            match word.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(current) => old = current,
            }
        }
    }

    /// Sets a region at boot, while nobody else changes the tables. Where there is no table for
    /// single granules nothing is set.
    pub fn set(&self, region: &Region, protection: Protection) {
        let mut address = region.start;
        while address < region.end {
            let Some((word, shift)) = self.find(address) else {
                address = (address / GIB + 1) * GIB;
                continue;
            };
            let whole = shift == 0 && region.end - address >= GRANULES_PER_WORD * GRANULE;
            if whole {
                word.store(protection.word(), Ordering::Relaxed);
                address += GRANULES_PER_WORD * GRANULE;
            } else {
                let others = word.load(Ordering::Relaxed) & !(0xf << shift);
                word.store(others | (protection as u64) << shift, Ordering::Relaxed);
                address += GRANULE;
            }
        }
    }
}

#[cfg(test)]
mod tests;
