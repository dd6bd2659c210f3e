//! Operands of the instructions that invalidate by intermediate physical address.

/// Operand of `TLBI IPAS2E1IS`: the page number. Without a level hint, for an entry may be at any.
pub(super) const fn page(ipa: u64) -> u64 {
    (ipa >> 12) & ((1 << 40) - 1)
}

/// Operand of `TLBI RIPAS2E1IS` for all that the 512 entries of a table of a level translate;
/// `None` where the table covers more than one instruction reaches. `unit_shift` is 16 where
/// `VTCR_EL2.DS` is set, else 12.
pub(super) const fn table(ipa: u64, level: i8, unit_shift: u32) -> Option<u64> {
    const GRANULE_4K: u64 = 1 << 46;
    // (NUM + 1) << (5 * SCALE + 1) pages.
    let (scale, num) = match level {
        3 => (1, 7),
        2 => (3, 3),
        _ => return None,
    };
    let base = (ipa >> unit_shift) & ((1 << 37) - 1);
    Some(GRANULE_4K | scale << 44 | num << 39 | base)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First address and bytes that an operand reaches, decoded field by field.
    fn decode(operand: u64, unit_shift: u32) -> (u64, u64) {
        let field = |low: u32, bits: u32| operand >> low & ((1 << bits) - 1);
        assert_eq!(
            (field(46, 2), field(37, 2), field(48, 16)),
            (1, 0, 0),
            "{operand:#x}"
        );
        let pages = (field(39, 5) + 1) << (5 * field(44, 2) + 1);
        (field(0, 37) << unit_shift, pages * 4096)
    }

    #[test]
    fn a_table_is_one_range() {
        for unit_shift in [12, 16] {
            for (level, size) in [(3, 512 << 12), (2, 512_u64 << 21)] {
                for table_number in [0, 1, 2, 255, (1 << 48) / size - 1] {
                    let ipa = table_number * size;
                    let operand = table(ipa, level, unit_shift).unwrap();
                    assert_eq!(decode(operand, unit_shift), (ipa, size), "level {level}");
                }
            }
        }
    }

    #[test]
    fn addresses_of_52_bits_need_the_larger_unit() {
        let ipa = (1 << 52) - (2 << 20);
        assert_eq!(decode(table(ipa, 3, 16).unwrap(), 16), (ipa, 2 << 20));
        assert_eq!(page(ipa), 0xff_ffff_fe00);
    }

    #[test]
    fn higher_tables_are_too_large() {
        for level in [-1, 0, 1] {
            assert_eq!(table(0, level, 12), None);
        }
    }

    #[test]
    fn nothing_beyond_the_address_is_in_a_page_operand() {
        assert_eq!(page(u64::MAX), (1 << 40) - 1);
        assert_eq!(page(0x1234_5678_9abc), 0x1_2345_6789);
    }
}
