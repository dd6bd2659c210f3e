//! IPA spaces that a Realm can have, and those that it cannot.

use rmm_abi::rmi::{Ripas, fid, realm_flags};

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word, skip};
use crate::realm::{EntryState, NO_ENTRY, PAGE_LEVEL, Realm, Shape, entry_size, write_page};
use crate::rmi::{self, ERROR_INPUT, SUCCESS, commands};
use crate::suite::Host;

/// What the RMM offers: widest IPA space, 52-bit addresses.
fn offer() -> Outcome<(u8, bool)> {
    let [x0, value, ..] = rmi::command(fid::FEATURES, &[0])?;
    ensure_word!(x0, SUCCESS, "FEATURES");
    Ok((value.to_le_bytes()[0], value >> 8 & 1 == 1))
}

const fn with_lpa2(width: u8, level: i8, tables: u32) -> Shape {
    Shape {
        lpa2: true,
        ..Shape::new(width, level, tables)
    }
}

/// Shapes from one end of what is possible to the other.
const SHAPES: [Shape; 20] = [
    Shape::new(32, 2, 4),
    Shape::new(33, 2, 8),
    Shape::new(34, 2, 16),
    Shape::new(32, 1, 1),
    Shape::new(39, 1, 1),
    Shape::new(40, 1, 2),
    Shape::new(41, 1, 4),
    Shape::new(42, 1, 8),
    Shape::new(43, 1, 16),
    Shape::new(40, 0, 1),
    Shape::new(44, 0, 1),
    Shape::new(48, 0, 1),
    with_lpa2(34, 2, 16),
    with_lpa2(40, 1, 2),
    with_lpa2(48, 0, 1),
    with_lpa2(49, 0, 2),
    with_lpa2(52, 0, 16),
    with_lpa2(49, -1, 1),
    with_lpa2(51, -1, 1),
    with_lpa2(52, -1, 1),
];

pub(crate) fn shapes(host: &Host) -> Outcome {
    let (widest, lpa2) = offer()?;
    let mut with_52_bits = 0;
    for shape in SHAPES {
        let possible = shape.width <= widest && (lpa2 || !shape.lpa2);
        if possible {
            works(host, shape)?;
            with_52_bits += u32::from(shape.lpa2);
        }
    }
    if with_52_bits == 0 {
        return skip!("shapes without 52-bit addresses work; this CPU has no others");
    }
    Ok(())
}

/// Everything at both ends of both halves.
fn works(host: &Host, shape: Shape) -> Outcome {
    let realm = Realm::new(host, shape)?;
    let (half, end) = (shape.half(), shape.end());
    let protected = [0, half - GRANULE];
    let unprotected = [half, end - GRANULE];
    // One entry of the start table may translate a whole half. The first table is then shared.
    let last_level = if half == entry_size(shape.level) {
        shape.level + 1
    } else {
        shape.level
    };
    for (ipa, level) in protected.into_iter().zip([shape.level, last_level]) {
        realm.expect(ipa, PAGE_LEVEL, EntryState::unassigned(level, Ripas::Empty))?;
        realm.tables(ipa, PAGE_LEVEL)?;
        let page = realm.data_unknown(ipa)?;
        let assigned = EntryState::assigned(PAGE_LEVEL, page, Ripas::Empty);
        realm.expect(ipa, PAGE_LEVEL, assigned)?;
    }
    for (ipa, level) in unprotected.into_iter().zip([shape.level, last_level]) {
        realm.expect(ipa, PAGE_LEVEL, EntryState { level, ..NO_ENTRY })?;
        realm.tables(ipa, PAGE_LEVEL)?;
        let descriptor = realm.page | 0x18;
        commands::map_unprotected(realm.rd, ipa, PAGE_LEVEL, descriptor)?
            .done(format_args!("MAP_UNPROTECTED of {ipa:#x} in {shape:?}"))?;
        realm.expect(ipa, PAGE_LEVEL, EntryState::mapped(PAGE_LEVEL, descriptor))?;
    }
    // Behind the space there is nothing, and nothing wraps.
    for ipa in [
        end,
        end | GRANULE,
        1 << 52,
        1 << 63,
        0u64.wrapping_sub(GRANULE),
    ] {
        commands::read_entry(realm.rd, ipa, PAGE_LEVEL)?.refused(
            ERROR_INPUT,
            format_args!("READ_ENTRY of {ipa:#x} in {shape:?}"),
        )?;
    }
    realm.tear_down()
}

/// Whether a shape is one that the architecture has (4 KiB granules, at most 16 tables).
fn is_legal(shape: Shape, widest: u8) -> bool {
    let (least, most) = match (shape.level, shape.lpa2) {
        (2, _) => (32, 34),
        (1, _) => (32, 43),
        (0, false) => (40, 48),
        (0, true) => (40, 52),
        (-1, true) => (49, 52),
        _ => return false,
    };
    let one_table = match shape.level {
        2 => 30,
        1 => 39,
        0 => 48,
        _ => 52,
    };
    let tables = 1 << shape.width.saturating_sub(one_table).min(31);
    (least..=most.min(widest)).contains(&shape.width) && shape.tables == tables
}

pub(crate) fn shapes_refused(host: &Host) -> Outcome {
    let (widest, lpa2) = offer()?;
    // Enough start tables for the largest number that is legal.
    let realm = Realm::without_descriptor(host, Shape::new(34, 2, 16))?;
    let mut accepted = 0;
    for width in (30..=53).chain([0, 1, 12, 16, 29, 63, 64, 65, 128, 255]) {
        for level in -2..=4 {
            for tables in [0, 1, 2, 3, 4, 8, 15, 16, 17, 32] {
                for lpa2 in if lpa2 { &[false, true][..] } else { &[false] } {
                    let shape = Shape {
                        width,
                        level,
                        tables,
                        lpa2: *lpa2,
                    };
                    let params = shape.params(realm.start_tables, realm.vmid);
                    write_page(realm.page, &params)?;
                    let reply = commands::realm_create(realm.rd, realm.page)?;
                    if is_legal(shape, widest) {
                        reply.done(format_args!("REALM_CREATE of {shape:?}"))?;
                        commands::realm_destroy(realm.rd)?.done("REALM_DESTROY")?;
                        accepted += 1;
                    } else {
                        reply.refused(ERROR_INPUT, format_args!("REALM_CREATE of {shape:?}"))?;
                    }
                }
            }
        }
    }
    ensure!(accepted > 20, "only {accepted} shapes were accepted");
    // Numbers that are legal in their low bits only.
    let good = realm.params();
    for (level, tables) in [
        (2 | 1 << 8, 16),
        (2 | 1 << 32, 16),
        (i64::MIN | 2, 16),
        (i64::MIN, 16),
        (i64::MAX, 16),
        (2, 16 | 1 << 8),
        (2, 16 | 1 << 31),
        (2, u32::MAX),
    ] {
        let mut params = good;
        params.rtt_level_start = level;
        params.rtt_num_start = tables;
        write_page(realm.page, &params)?;
        commands::realm_create(realm.rd, realm.page)?.refused(
            ERROR_INPUT,
            format_args!("REALM_CREATE with level {level:#x}, {tables:#x} tables"),
        )?;
    }
    if !lpa2 {
        let mut params = good;
        params.flags = realm_flags::LPA2;
        write_page(realm.page, &params)?;
        commands::realm_create(realm.rd, realm.page)?
            .refused(ERROR_INPUT, "REALM_CREATE with 52-bit addresses")?;
    }
    realm.give_back()
}
