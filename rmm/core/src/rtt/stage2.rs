//! The shape of a Realm's address space.

use super::{ENTRIES, MIN_LEVEL, PAGE_LEVEL};
use crate::granule::GranuleAddress;

/// How a Realm's addresses are translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage2 {
    /// First start-level table; the others follow it.
    pub base: GranuleAddress,
    /// Width of the IPA space, in bits. The upper half is unprotected.
    pub ipa_width: u8,
    /// Level at which walks start, −1 to 2.
    pub start_level: i8,
    /// Start-level tables, 1 to 16.
    pub start_tables: u8,
    /// Addresses have up to 52 bits.
    pub lpa2: bool,
    /// Tag of the Realm's translations in TLBs.
    pub vmid: u16,
}

/// Translations of a Realm that all CPUs must forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalidation {
    /// All that was translated by one entry, a page or a block.
    Entry {
        /// Tag of the Realm.
        vmid: u16,
        /// First address of the entry.
        ipa: u64,
    },
    /// All that was translated by the entries of one table.
    Table {
        /// Tag of the Realm.
        vmid: u16,
        /// First address of the table's first entry.
        ipa: u64,
        /// Level of the table.
        level: i8,
    },
    /// Everything of the Realm.
    Realm {
        /// Tag of the Realm.
        vmid: u16,
    },
}

/// Bits of an address that an entry of a level leaves to the levels below.
const fn shift(level: i8) -> u32 {
    12 + 9 * (PAGE_LEVEL - level).unsigned_abs() as u32
}

impl Stage2 {
    /// Bytes that an entry of a level translates.
    pub const fn entry_size(level: i8) -> u64 {
        1 << shift(level)
    }

    /// Whether width, start level and number of tables fit each other, and the base is aligned to
    /// all tables together (reference, section 5.6).
    pub fn is_consistent(&self) -> bool {
        let lowest = if self.lpa2 { MIN_LEVEL } else { 0 };
        if !(lowest..PAGE_LEVEL).contains(&self.start_level) {
            return false;
        }
        // One table covers nine bits more than one of its entries. With fewer bits the walk could
        // start a level further down; with more, up to sixteen tables stand side by side.
        let width = u32::from(self.ipa_width);
        let entry_bits = shift(self.start_level);
        let concatenation = match self.start_level {
            MIN_LEVEL => 0,
            0 if !self.lpa2 => 0,
            _ => 4,
        };
        let widest = if self.start_level == MIN_LEVEL {
            52
        } else {
            entry_bits + 9 + concatenation
        };
        if width <= entry_bits || width > widest || width < 32 {
            return false;
        }
        let tables = 1_u64 << width.saturating_sub(entry_bits + 9);
        u64::from(self.start_tables) == tables
            && self
                .base
                .get()
                .is_multiple_of(tables * rmm_abi::GRANULE_SIZE as u64)
    }

    /// Whether an address is inside the IPA space.
    pub const fn contains(&self, ipa: u64) -> bool {
        ipa >> self.ipa_width == 0
    }

    /// Whether an address is in the protected half of the IPA space.
    pub const fn is_protected(&self, ipa: u64) -> bool {
        ipa >> (self.ipa_width - 1) == 0
    }

    /// The level that a register of the host names, if it is one of this Realm's levels from
    /// `lowest` to 3.
    pub fn level(&self, register: u64, lowest: i8) -> Option<i8> {
        i8::try_from(register.cast_signed())
            .ok()
            .filter(|level| (lowest.max(self.start_level)..=PAGE_LEVEL).contains(level))
    }

    /// Entries of all start tables together that the IPA space reaches.
    pub(crate) fn start_entries(&self) -> usize {
        1 << (u32::from(self.ipa_width) - shift(self.start_level)).min(13)
    }

    /// Position of the entry for an address: which of the tables side by side, always 0 below
    /// the start level, and which entry of it.
    pub(crate) fn position(&self, ipa: u64, level: i8) -> (u64, usize) {
        let index = ipa >> shift(level);
        #[expect(clippy::cast_possible_truncation, reason = "below 512")]
        let entry = (index % ENTRIES as u64) as usize;
        let table = if level == self.start_level {
            index / ENTRIES as u64
        } else {
            0
        };
        (table, entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(width: u8, level: i8, tables: u8, lpa2: bool) -> Stage2 {
        Stage2 {
            base: GranuleAddress::new(0x10_0000).unwrap(),
            ipa_width: width,
            start_level: level,
            start_tables: tables,
            lpa2,
            vmid: 0,
        }
    }

    /// Legal shapes by the reference's table: level, first and last width, LPA2 only.
    const LEGAL: [(i8, u8, u8, bool); 5] = [
        (2, 32, 34, false),
        (1, 32, 43, false),
        (0, 40, 48, false),
        (0, 40, 52, true),
        (-1, 49, 52, true),
    ];

    #[test]
    fn shapes() {
        for width in 0..=64 {
            for level in -2..=4 {
                for lpa2 in [false, true] {
                    let legal = LEGAL.iter().any(|&(l, from, to, needs_lpa2)| {
                        l == level && (from..=to).contains(&width) && (lpa2 || !needs_lpa2)
                    });
                    let covered = 12 + 9 * (4 - i32::from(level));
                    let number = 1_u64 << (i32::from(width) - covered).max(0);
                    for tables in 0..=17 {
                        let expected = legal && u64::from(tables) == number;
                        let stage2 = shape(width, level, tables, lpa2);
                        assert_eq!(
                            stage2.is_consistent(),
                            expected,
                            "{width} bits, level {level}, {tables} tables, LPA2 {lpa2}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn known_good_shapes() {
        for (width, level, tables, lpa2) in [
            (32, 2, 4, false),
            (34, 2, 16, false),
            (40, 1, 2, false),
            (42, 1, 8, false),
            (52, 0, 16, true),
        ] {
            assert!(
                shape(width, level, tables, lpa2).is_consistent(),
                "{width} {level} {tables}"
            );
        }
    }

    #[test]
    fn concatenated_tables_are_aligned_together() {
        let at = |base| Stage2 {
            base: GranuleAddress::new(base).unwrap(),
            ..shape(42, 1, 8, false)
        };
        assert!(at(0x10_8000).is_consistent());
        assert!(!at(0x10_4000).is_consistent());
        assert!(!at(0x10_1000).is_consistent());
    }

    #[test]
    fn halves() {
        let stage2 = shape(40, 1, 2, false);
        assert!(stage2.is_protected((1 << 39) - 1) && !stage2.is_protected(1 << 39));
        assert!(stage2.contains((1 << 40) - 1) && !stage2.contains(1 << 40));
        assert!(!stage2.contains(u64::MAX) && !stage2.is_protected(u64::MAX));
    }

    #[test]
    fn positions() {
        let stage2 = shape(40, 1, 2, false);
        assert_eq!(stage2.start_entries(), 1024);
        assert_eq!(stage2.position(0, 1), (0, 0));
        assert_eq!(stage2.position((1 << 40) - 1, 1), (1, 511));
        assert_eq!(stage2.position(1 << 39, 1), (1, 0));
        assert_eq!(stage2.position((1 << 40) - 1, 2), (0, 511));
        assert_eq!(stage2.position(0x20_3000, 3), (0, 3));
    }
}
