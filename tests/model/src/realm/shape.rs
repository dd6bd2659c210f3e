//! The geometry of a Realm's address space.

/// Bytes that one entry of a table of a level translates.
pub const fn entry_size(level: i64) -> u64 {
    match level {
        3 => 0x1000,
        2 => 0x20_0000,
        1 => 0x4000_0000,
        0 => 0x80_0000_0000,
        _ => 0x1_0000_0000_0000,
    }
}

/// How a Realm's addresses are translated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Bits of an IPA.
    pub ipa_width: u32,
    /// Level at which walks start.
    pub start_level: i64,
    /// Physical addresses of the start-level tables, in order.
    pub start_tables: Vec<u64>,
    /// 52-bit addresses.
    pub lpa2: bool,
}

impl Shape {
    /// How many start-level tables go with a width and a start level; `None` when they do not fit
    /// each other (reference, section 5.6).
    pub fn start_tables(ipa_width: u64, start_level: i64, lpa2: bool) -> Option<u64> {
        let widths = match (start_level, lpa2) {
            (2, _) => 32..=34,
            (1, _) => 32..=43,
            (0, false) => 40..=48,
            (0, true) => 40..=52,
            (-1, true) => 49..=52,
            _ => return None,
        };
        if !widths.contains(&ipa_width) {
            return None;
        }
        let bytes = 1_u64 << ipa_width;
        // A table has 512 entries; at level -1 the address space does not reach them all.
        let one_table = entry_size(start_level).checked_mul(512)?;
        Some(bytes.div_ceil(one_table))
    }

    /// End of the IPA space.
    pub const fn end(&self) -> u64 {
        1 << self.ipa_width
    }

    /// End of the protected half, which is the lower one.
    pub const fn middle(&self) -> u64 {
        1 << (self.ipa_width - 1)
    }

    /// Whether an address is in the protected half.
    pub const fn is_protected(&self, ipa: u64) -> bool {
        ipa < self.middle()
    }

    /// Whether an address is in the IPA space.
    pub const fn contains(&self, ipa: u64) -> bool {
        ipa < self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_good_shapes() {
        for (width, level, lpa2, tables) in [
            (32, 2, false, 4),
            (34, 2, false, 16),
            (40, 1, false, 2),
            (42, 1, false, 8),
            (43, 1, false, 16),
            (39, 1, false, 1),
            (48, 0, false, 1),
            (52, 0, true, 16),
            (52, -1, true, 1),
        ] {
            assert_eq!(
                Shape::start_tables(width, level, lpa2),
                Some(tables),
                "{width} {level}"
            );
        }
    }

    #[test]
    fn shapes_that_do_not_exist() {
        for (width, level, lpa2) in [
            (31, 2, false),
            (35, 2, false),
            (44, 1, true),
            (39, 0, false),
            (49, 0, false),
        ] {
            assert_eq!(
                Shape::start_tables(width, level, lpa2),
                None,
                "{width} {level}"
            );
        }
        assert_eq!(Shape::start_tables(52, -1, false), None);
        assert_eq!(Shape::start_tables(48, -1, true), None);
        assert_eq!(Shape::start_tables(25, 3, false), None);
        assert_eq!(Shape::start_tables(u64::MAX, i64::MIN, true), None);
    }
}
