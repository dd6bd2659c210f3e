//! Ranges of physical addresses.

use core::fmt;

use rmm_abi::GRANULE_SIZE;

/// Bytes of a granule.
pub const GRANULE: u64 = GRANULE_SIZE as u64;
/// Bytes that a level 2 block maps with 4 KiB granules.
pub const MIB_2: u64 = 2 << 20;
/// Bytes that a level 1 block maps, and an entry of the level 0 granule protection table.
pub const GIB: u64 = 1 << 30;

/// A range of physical addresses, `start` included, `end` not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
}

impl Region {
    /// The range from `start` of `size` bytes; `None` when it runs over the end of the numbers.
    pub const fn new(start: u64, size: u64) -> Option<Self> {
        match start.checked_add(size) {
            Some(end) => Some(Self { start, end }),
            None => None,
        }
    }

    /// Bytes in it.
    pub const fn size(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether the address is inside.
    pub const fn contains(&self, address: u64) -> bool {
        self.start <= address && address < self.end
    }

    /// Whether all of `other` is inside.
    pub const fn covers(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two have a byte in common.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// What is left of it without `other`: the part below and the part above, either may be empty.
    pub fn without(&self, other: &Self) -> [Self; 2] {
        if !self.overlaps(other) {
            return [*self, Self::default()];
        }
        [
            Self {
                start: self.start,
                end: other.start.max(self.start),
            },
            Self {
                start: other.end.min(self.end),
                end: self.end,
            },
        ]
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end)
    }
}

/// The next multiple of a power of two; `None` when there is none.
pub const fn align_up(number: u64, alignment: u64) -> Option<u64> {
    number.checked_next_multiple_of(alignment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_a_region_out_leaves_what_is_beside_it() {
        let whole = Region { start: 10, end: 20 };
        let cases = [
            ((12, 15), [(10, 12), (15, 20)]),
            ((5, 12), [(10, 10), (12, 20)]),
            ((15, 25), [(10, 15), (20, 20)]),
            ((5, 25), [(10, 10), (20, 20)]),
            ((20, 25), [(10, 20), (0, 0)]),
        ];
        for ((start, end), rest) in cases {
            let rest = rest.map(|(start, end)| Region { start, end });
            assert_eq!(whole.without(&Region { start, end }), rest);
        }
    }

    #[test]
    fn a_region_does_not_wrap() {
        assert_eq!(Region::new(u64::MAX, 2), None);
        assert_eq!(align_up(u64::MAX, MIB_2), None);
        assert_eq!(align_up(1, MIB_2), Some(MIB_2));
    }
}
