//! Translation tables and their entries.

use super::shape::entry_size;

/// Entries of a table.
pub(super) const ENTRIES: usize = 512;

/// Whether a Realm may use memory at a protected IPA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ripas {
    /// No memory.
    Empty,
    /// Memory.
    Ram,
    /// Memory that the host took away.
    Destroyed,
}

impl Ripas {
    /// The number that the host sees.
    pub const fn number(self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Ram => 1,
            Self::Destroyed => 2,
        }
    }
}

/// What an entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Protected, no memory.
    Unassigned(Ripas),
    /// Protected, memory at a physical address.
    Assigned(u64, Ripas),
    /// Unprotected, no memory.
    UnassignedNs,
    /// Unprotected, memory of the host by the host's descriptor.
    AssignedNs(u64),
    /// A table at a physical address.
    Table(u64),
}

/// Bits of a host's descriptor that are not the address of a page or block.
const ATTRIBUTES: u64 = 0xdc;

impl Entry {
    /// Memory of the Realm or a table: what keeps the table with this entry in place.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Assigned(..) | Self::Table(_))
    }

    /// What the host has to deal with before a range is clear.
    pub(super) const fn is_obstacle(self) -> bool {
        !matches!(self, Self::Unassigned(_) | Self::UnassignedNs)
    }

    /// Entry `index` of the table of `level` that this entry unfolds to.
    fn unfolded(self, index: u64, level: i64) -> Self {
        let offset = index * entry_size(level);
        match self {
            Self::Assigned(address, ripas) => Self::Assigned(address + offset, ripas),
            Self::AssignedNs(descriptor) => Self::AssignedNs(descriptor + offset),
            other => other,
        }
    }
}

/// A table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// Level, -1 to 3.
    pub level: i64,
    /// First address that the table translates.
    pub base: u64,
    /// Its 512 entries.
    pub entries: Vec<Entry>,
}

impl Table {
    /// A table that says what one entry above it said.
    pub(super) fn unfolded(parent: Entry, level: i64, base: u64) -> Self {
        let entries = (0..ENTRIES as u64)
            .map(|index| parent.unfolded(index, level))
            .collect();
        Self {
            level,
            base,
            entries,
        }
    }

    /// Memory of the Realm or further tables are in it.
    pub fn is_live(&self) -> bool {
        self.entries.iter().any(|entry| entry.is_live())
    }

    /// The one entry above that would say what this table says (reference, section 5.8).
    pub(super) fn folded(&self) -> Option<Entry> {
        let first = self.entries[0];
        let whole = entry_size(self.level) * ENTRIES as u64;
        let may_become_an_entry = match first {
            Entry::Table(_) => false,
            Entry::Unassigned(_) | Entry::UnassignedNs => true,
            Entry::Assigned(address, _) => self.level >= 2 && address.is_multiple_of(whole),
            Entry::AssignedNs(descriptor) => {
                // Bits 51:50 of the address may be among the low bits and are not looked at.
                let address = descriptor & !ATTRIBUTES & !0x300;
                self.level >= 2 && address.is_multiple_of(whole)
            }
        };
        let says_the_same = *self == Self::unfolded(first, self.level, self.base);
        (may_become_an_entry && says_the_same).then_some(first)
    }

    /// Index of the entry for an address in this table's range.
    pub(super) fn index(&self, ipa: u64) -> usize {
        usize::try_from((ipa - self.base) / entry_size(self.level)).expect("in the table's range")
    }

    /// First address of an entry.
    pub(super) fn address(&self, index: usize) -> u64 {
        self.base + index as u64 * entry_size(self.level)
    }

    /// From the entry for `ipa` on, the first address that is an obstacle, or the table's end.
    pub(super) fn walk_top(&self, ipa: u64) -> u64 {
        let from = self.index(ipa);
        let obstacle = self.entries[from..]
            .iter()
            .position(|entry| entry.is_obstacle());
        self.address(obstacle.map_or(ENTRIES, |distance| from + distance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Entry; 6] = [
        Entry::Unassigned(Ripas::Empty),
        Entry::Unassigned(Ripas::Destroyed),
        Entry::Assigned(0x8000_0000, Ripas::Ram),
        Entry::Assigned(0x8000_0000, Ripas::Empty),
        Entry::UnassignedNs,
        Entry::AssignedNs(0x4000_00d8),
    ];

    #[test]
    fn folding_undoes_unfolding() {
        for entry in ALL {
            for level in [2, 3] {
                assert_eq!(
                    Table::unfolded(entry, level, 0).folded(),
                    Some(entry),
                    "{entry:?}"
                );
            }
        }
        assert_eq!(Table::unfolded(ALL[0], 1, 0).folded(), Some(ALL[0]));
        assert_eq!(
            Table::unfolded(ALL[2], 1, 0).folded(),
            None,
            "no blocks at level 0"
        );
    }

    #[test]
    fn one_other_entry_is_enough_against_folding() {
        for entry in ALL {
            for index in [0, 1, 511] {
                let mut table = Table::unfolded(entry, 3, 0);
                table.entries[index] = Entry::Assigned(0x7000_0000, Ripas::Destroyed);
                assert_eq!(table.folded(), None);
            }
        }
        let mut table = Table::unfolded(Entry::Assigned(0x8000_1000, Ripas::Ram), 3, 0);
        assert_eq!(table.folded(), None, "not aligned");
        table.entries.fill(Entry::Table(0x8000_0000));
        assert_eq!(table.folded(), None);
    }

    #[test]
    fn tops() {
        let mut table = Table::unfolded(ALL[0], 3, 0x20_0000);
        assert_eq!(table.walk_top(0x20_0000), 0x40_0000);
        table.entries[7] = Entry::AssignedNs(0);
        assert_eq!(table.walk_top(0x20_0000), 0x20_7000);
        assert_eq!(table.walk_top(0x20_7000), 0x20_7000);
        assert_eq!(table.walk_top(0x20_8000), 0x40_0000);
    }
}
