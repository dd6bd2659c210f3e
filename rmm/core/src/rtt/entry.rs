//! Entries of Realm translation tables.
//!
//! An entry that the MMU must not follow has bit 0 clear; the other bits are then the RMM's. The
//! all-zero entry is "unassigned, empty", so that a wiped granule is a table.
//!
//! | bits of an invalid entry | |
//! |---|---|
//! | 4:2 | 0 unassigned, 1 assigned, 2 unassigned non-secure |
//! | 6:5 | RIPAS of a protected entry |
//! | 47:12 | physical address of assigned memory |

use rmm_abi::rmi::Ripas;

use super::{PAGE_LEVEL, Stage2};
use crate::granule::GranuleAddress;

/// What an entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// Protected, no memory.
    Unassigned(Ripas),
    /// Protected, with memory of the Realm at a physical address.
    Assigned(GranuleAddress, Ripas),
    /// Unprotected, no memory.
    UnassignedNonSecure,
    /// Unprotected, with memory of the host.
    AssignedNonSecure(NonSecureMapping),
    /// A further table.
    Table(GranuleAddress),
}

/// A mapping of the host's memory, in the format of a descriptor with nothing but the fields that
/// the host controls: output address, `MemAttr[2:0]` and S2AP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NonSecureMapping(u64);

const VALID: u64 = 1;
const PAGE_OR_TABLE: u64 = 3;
const ACCESS_FLAG: u64 = 1 << 10;
const INNER_SHAREABLE: u64 = 3 << 8;
const READ_WRITE: u64 = 3 << 6;
const NORMAL_WRITE_BACK: u64 = 0b0110 << 2;
const NON_SECURE: u64 = 1 << 55;
/// XN = 0b10: never executed, at EL1 or EL0.
const EXECUTE_NEVER: u64 = 1 << 54;

const HOST_ATTRIBUTES: u64 = 0b111 << 2 | 0b11 << 6;
/// `MemAttr[2:0]` that is reserved when stage 2 forces write-back (`FEAT_S2FWB`).
const RESERVED_MEMORY_ATTRIBUTE: u64 = 0b100 << 2;

const ADDRESS_48: u64 = 0x0000_ffff_ffff_f000;
const ADDRESS_50: u64 = 0x0003_ffff_ffff_f000;
/// With 52-bit addresses, bits 51:50 of the output address are here.
const ADDRESS_51_50: u64 = 0b11 << 8;

const KIND_SHIFT: u32 = 2;
const RIPAS_SHIFT: u32 = 5;

const fn ripas_from(bits: u64) -> Option<Ripas> {
    match bits & 0b11 {
        0 => Some(Ripas::Empty),
        1 => Some(Ripas::Ram),
        2 => Some(Ripas::Destroyed),
        _ => None,
    }
}

/// Bits 1:0 of a leaf.
const fn leaf_type(level: i8) -> u64 {
    if level == PAGE_LEVEL {
        PAGE_OR_TABLE
    } else {
        VALID
    }
}

/// Bits that say how memory is shared; with 52-bit addresses they are in `VTCR_EL2` instead.
const fn shareability(lpa2: bool) -> u64 {
    if lpa2 { 0 } else { INNER_SHAREABLE }
}

impl NonSecureMapping {
    /// The mapping that a descriptor of the host asks for at a level; `None` when a bit outside of
    /// the host's fields is set, a memory attribute is reserved, or the address is not aligned.
    pub(crate) const fn new(descriptor: u64, level: i8, lpa2: bool) -> Option<Self> {
        let address = if lpa2 {
            ADDRESS_50 | ADDRESS_51_50
        } else {
            ADDRESS_48
        };
        let below = Stage2::entry_size(level) - 1;
        let allowed = (address & (!below | ADDRESS_51_50)) | HOST_ATTRIBUTES;

        if descriptor & !allowed != 0 || descriptor & (0b111 << 2) == RESERVED_MEMORY_ATTRIBUTE {
            return None;
        }
        Some(Self(descriptor))
    }

    /// The descriptor with nothing but the host's fields.
    pub(crate) const fn descriptor(self) -> u64 {
        self.0
    }

    /// The mapping of the entry `bytes` further on. Addresses of mappings that are split or
    /// merged never carry into bits 51:50, for they are aligned to what is split.
    const fn advanced(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl Entry {
    /// Reads an entry of a table of a level; `None` when the bits are nothing that the RMM writes.
    pub(crate) const fn decode(raw: u64, level: i8, lpa2: bool) -> Option<Self> {
        if raw & VALID == 0 {
            let Some(ripas) = ripas_from(raw >> RIPAS_SHIFT) else {
                return None;
            };
            return match raw >> KIND_SHIFT & 0b111 {
                0 => Some(Self::Unassigned(ripas)),
                1 => match GranuleAddress::new(raw & ADDRESS_48) {
                    Some(address) => Some(Self::Assigned(address, ripas)),
                    None => None,
                },
                2 => Some(Self::UnassignedNonSecure),
                _ => None,
            };
        }
        if level < PAGE_LEVEL && raw & PAGE_OR_TABLE == PAGE_OR_TABLE {
            return match GranuleAddress::new(raw & ADDRESS_48) {
                Some(address) => Some(Self::Table(address)),
                None => None,
            };
        }
        if raw & NON_SECURE != 0 {
            let address = if lpa2 {
                ADDRESS_50 | ADDRESS_51_50
            } else {
                ADDRESS_48
            };
            return Some(Self::AssignedNonSecure(NonSecureMapping(
                raw & (address | HOST_ATTRIBUTES),
            )));
        }
        match GranuleAddress::new(raw & ADDRESS_48) {
            Some(address) => Some(Self::Assigned(address, Ripas::Ram)),
            None => None,
        }
    }

    /// The bits of this entry in a table of a level.
    pub(crate) const fn encode(self, level: i8, lpa2: bool) -> u64 {
        match self {
            Self::Unassigned(ripas) => (ripas as u64) << RIPAS_SHIFT,
            Self::Assigned(address, Ripas::Ram) => {
                address.get()
                    | leaf_type(level)
                    | ACCESS_FLAG
                    | shareability(lpa2)
                    | READ_WRITE
                    | NORMAL_WRITE_BACK
            }
            Self::Assigned(address, ripas) => {
                address.get() | 1 << KIND_SHIFT | (ripas as u64) << RIPAS_SHIFT
            }
            Self::UnassignedNonSecure => 2 << KIND_SHIFT,
            Self::AssignedNonSecure(mapping) => {
                mapping.0
                    | leaf_type(level)
                    | ACCESS_FLAG
                    | shareability(lpa2)
                    | NON_SECURE
                    | EXECUTE_NEVER
            }
            Self::Table(address) => address.get() | PAGE_OR_TABLE,
        }
    }

    /// Whether the MMU translates by this entry.
    pub(crate) const fn is_valid_leaf(self) -> bool {
        matches!(
            self,
            Self::Assigned(_, Ripas::Ram) | Self::AssignedNonSecure(_)
        )
    }

    /// Whether the entry makes its table live.
    pub(crate) const fn is_live(self) -> bool {
        matches!(self, Self::Assigned(..) | Self::Table(_))
    }

    /// Whether the host has something to do before the entry is out of its way: memory or a table.
    /// Told from the bits alone, for scans over whole tables.
    pub(crate) const fn raw_stops_a_scan(raw: u64) -> bool {
        const ASSIGNED: u64 = 1 << KIND_SHIFT;
        raw & (VALID | ASSIGNED) != 0
    }

    /// RIPAS of a protected entry that is no table.
    pub(crate) const fn ripas(self) -> Option<Ripas> {
        match self {
            Self::Unassigned(ripas) | Self::Assigned(_, ripas) => Some(ripas),
            _ => None,
        }
    }

    /// The same entry with another RIPAS.
    pub(crate) const fn with_ripas(self, ripas: Ripas) -> Self {
        match self {
            Self::Unassigned(_) => Self::Unassigned(ripas),
            Self::Assigned(address, _) => Self::Assigned(address, ripas),
            other => other,
        }
    }

    /// Entry number `index` of the table that this entry, of level `level - 1`, unfolds to.
    pub(crate) const fn child(self, index: usize, level: i8) -> Self {
        let offset = index as u64 * Stage2::entry_size(level);
        match self {
            Self::Assigned(address, ripas) => match GranuleAddress::new(address.get() + offset) {
                Some(address) => Self::Assigned(address, ripas),
                None => self,
            },
            Self::AssignedNonSecure(mapping) => Self::AssignedNonSecure(mapping.advanced(offset)),
            other => other,
        }
    }

    /// Whether a table of a level that begins with this entry and goes on as [`Self::child`] says
    /// could be one entry of the level above.
    pub(crate) const fn can_begin_a_fold(self, level: i8) -> bool {
        let address = match self {
            Self::Unassigned(_) | Self::UnassignedNonSecure => return true,
            Self::Assigned(address, _) => address.get(),
            Self::AssignedNonSecure(mapping) => mapping.0 & ADDRESS_48,
            Self::Table(_) => return false,
        };
        // Blocks exist at levels 1 and 2.
        level >= 2 && address.is_multiple_of(Stage2::entry_size(level - 1))
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn at(address: u64) -> GranuleAddress {
        GranuleAddress::new(address).unwrap()
    }

    fn some_entries(level: i8, lpa2: bool) -> Vec<Entry> {
        let mut entries = vec![Entry::UnassignedNonSecure];
        let address = at(0x8000_0000_0000 + 5 * Stage2::entry_size(level.max(1)));
        for ripas in [Ripas::Empty, Ripas::Ram, Ripas::Destroyed] {
            entries.push(Entry::Unassigned(ripas));
            if level >= 1 {
                entries.push(Entry::Assigned(address, ripas));
            }
        }
        if level < PAGE_LEVEL {
            entries.push(Entry::Table(at(0xffff_ffff_f000)));
        }
        if level >= 1 {
            let mut addresses = vec![address.get()];
            if lpa2 {
                addresses.push(address.get() | 1 << 49 | ADDRESS_51_50);
            }
            for address in addresses {
                for attributes in [
                    0,
                    1 << 2,
                    2 << 2,
                    3 << 2,
                    5 << 2,
                    6 << 2,
                    7 << 2,
                    1 << 6,
                    3 << 6,
                ] {
                    let mapping = NonSecureMapping::new(address | attributes, level, lpa2);
                    entries.push(Entry::AssignedNonSecure(mapping.unwrap()));
                }
            }
        }
        entries
    }

    #[test]
    fn entries_survive_encoding() {
        for lpa2 in [false, true] {
            for level in -1..=3 {
                for entry in some_entries(level, lpa2) {
                    let raw = entry.encode(level, lpa2);
                    assert_eq!(
                        Entry::decode(raw, level, lpa2),
                        Some(entry),
                        "{raw:#x} level {level}"
                    );
                    let walked = entry.is_valid_leaf() || matches!(entry, Entry::Table(_));
                    assert_eq!(raw & VALID != 0, walked, "{entry:?}");
                }
            }
        }
    }

    #[test]
    fn memory_and_tables_stop_a_scan() {
        for lpa2 in [false, true] {
            for level in -1..=3 {
                for entry in some_entries(level, lpa2) {
                    let nothing =
                        matches!(entry, Entry::Unassigned(_) | Entry::UnassignedNonSecure);
                    let raw = entry.encode(level, lpa2);
                    assert_eq!(Entry::raw_stops_a_scan(raw), !nothing, "{entry:?}");
                }
            }
        }
    }

    #[test]
    fn zero_is_unassigned_empty() {
        assert_eq!(
            Entry::decode(0, 3, false),
            Some(Entry::Unassigned(Ripas::Empty))
        );
    }

    #[test]
    fn leaves_are_as_the_mmu_wants_them() {
        let page = Entry::Assigned(at(0x8000_1000), Ripas::Ram);
        assert_eq!(page.encode(3, false), 0x8000_1000 | 0x7db);
        assert_eq!(page.encode(3, true), 0x8000_1000 | 0x4db);
        let block = Entry::Assigned(at(0x8000_0000), Ripas::Ram);
        assert_eq!(block.encode(2, false), 0x8000_0000 | 0x7d9);
        let host = NonSecureMapping::new(0x9000_0000 | 0x18 | 0xc0, 3, false).unwrap();
        let raw = Entry::AssignedNonSecure(host).encode(3, false);
        assert_eq!(raw, 1 << 55 | 1 << 54 | 0x9000_0000 | 0x7db);
    }

    #[test]
    fn descriptors_of_the_host() {
        for bit in 0..64 {
            let allowed = [2, 3, 6, 7].contains(&bit) || (12..48).contains(&bit);
            let accepted = NonSecureMapping::new(1 << bit, 3, false).is_some();
            assert_eq!(accepted, allowed, "bit {bit}");
            let allowed = allowed || [8, 9, 48, 49].contains(&bit);
            let accepted = NonSecureMapping::new(1 << bit, 3, true).is_some();
            assert_eq!(accepted, allowed, "bit {bit} with 52-bit addresses");
        }
        assert!(NonSecureMapping::new(RESERVED_MEMORY_ATTRIBUTE, 3, false).is_none());
        assert!(NonSecureMapping::new(0x20_0000, 2, false).is_some());
        assert!(NonSecureMapping::new(0x10_0000, 2, false).is_none());
        assert!(NonSecureMapping::new(0x20_0000, 1, false).is_none());
    }
}
