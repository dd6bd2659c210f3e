//! What the commands for tables refuse.

use crate::memory::GRANULE;
use crate::outcome::Outcome;
use crate::realm::{
    GIGABYTE, HALF_TERABYTE, Kind, PAGE_LEVEL, Realm, Shape, Specimens, TWO_MEGABYTES, entry_size,
    give_back,
};
use crate::rmi::{ERROR_INPUT, Reply, commands, error_rtt, must_delegate};
use crate::suite::Host;

/// A command on the table of a level: its address, its level.
type OnTable<'a> = &'a dyn Fn(u64, u64) -> Outcome<Reply>;

/// Words that are no level of a table below the start level `start`.
fn no_level_below(start: i8) -> impl Iterator<Item = u64> {
    let too_high = (-2..=i64::from(start)).map(i64::cast_unsigned);
    too_high.chain([
        4,
        5,
        0x7f,
        0x80,
        0xff,
        // A level in the low bits only.
        1 << 8 | 3,
        1 << 16 | 3,
        1 << 32 | 3,
        1 << 63 | 3,
        0xff_ffff_ff03,
        i64::MAX.cast_unsigned(),
        i64::MIN.cast_unsigned(),
    ])
}

/// Levels and addresses that no table can have. Where nothing is, so that a walk ends early: the
/// level and the address count before that.
fn bad_levels_and_addresses(realm: &Realm, what: &str, command: OnTable) -> Outcome {
    let refused = |ipa, level| {
        command(ipa, level)?.refused(
            ERROR_INPUT,
            format_args!("{what} of {ipa:#x} level {level:#x}"),
        )
    };
    for level in no_level_below(realm.shape.level) {
        for ipa in [0, GIGABYTE, HALF_TERABYTE, realm.shape.half()] {
            refused(ipa, level)?;
        }
    }
    for level in realm.shape.level + 1..=PAGE_LEVEL {
        let size = entry_size(level - 1);
        let word = commands::level_word(level);
        for base in [0, realm.shape.half(), HALF_TERABYTE] {
            for offset in [1, 8, GRANULE, size / 2, size - GRANULE, size - 1] {
                refused(base + offset, word)?;
            }
        }
        for ipa in [
            realm.shape.end(),
            realm.shape.end() + size,
            1 << 52,
            1 << 63,
            0u64.wrapping_sub(size),
        ] {
            refused(ipa, word)?;
        }
    }
    Ok(())
}

pub(crate) fn create_refused(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let table = realm.granule()?;
    specimens.only(Kind::Rd, "rd of RTT_CREATE", |rd| {
        commands::rtt_create(rd, table, TWO_MEGABYTES, PAGE_LEVEL)
    })?;
    specimens.only(Kind::Delegated, "rtt of RTT_CREATE", |table| {
        commands::rtt_create(realm.rd, table, TWO_MEGABYTES, PAGE_LEVEL)
    })?;
    for (kind, granule) in specimens.granules() {
        commands::rtt_create(*granule, *granule, TWO_MEGABYTES, PAGE_LEVEL)?.refused(
            ERROR_INPUT,
            format_args!("RTT_CREATE of {kind:?} in itself"),
        )?;
    }
    bad_levels_and_addresses(realm, "RTT_CREATE", &|ipa, level| {
        commands::rtt_create_at(realm.rd, table, ipa, level)
    })?;
    let half = realm.shape.half();
    for base in [0, half] {
        for (ipa, level, at) in [
            // No table above.
            (base + GIGABYTE, 3, 1),
            (base + HALF_TERABYTE, 3, 0),
            (base + HALF_TERABYTE, 2, 0),
            // A table already.
            (base, 1, 0),
            (base, 2, 1),
            (base, 3, 2),
        ] {
            commands::rtt_create(realm.rd, table, ipa, level)?.refused(
                error_rtt(at),
                format_args!("RTT_CREATE of {ipa:#x} level {level}"),
            )?;
        }
    }
    specimens.are_unchanged("RTT_CREATE")?;
    give_back(table)?;
    must_delegate(table)?;
    commands::rtt_create(realm.rd, table, TWO_MEGABYTES, PAGE_LEVEL)?
        .done("RTT_CREATE in the end")?;
    realm.lend(1);
    specimens.tear_down()
}

pub(crate) fn destroy_refused(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let spare = realm.table(TWO_MEGABYTES, PAGE_LEVEL)?;
    specimens.only(Kind::Rd, "rd of RTT_DESTROY", |rd| {
        commands::rtt_destroy(rd, TWO_MEGABYTES, PAGE_LEVEL)
    })?;
    bad_levels_and_addresses(realm, "RTT_DESTROY", &|ipa, level| {
        commands::rtt_destroy_at(realm.rd, ipa, level)
    })?;
    // Live ones: a page, tables.
    for level in 1..=PAGE_LEVEL {
        commands::rtt_destroy(realm.rd, 0, level)?.refused_with(
            error_rtt(level),
            [0, 0, 0, 0],
            format_args!("RTT_DESTROY of a live table of level {level}"),
        )?;
    }
    specimens.are_unchanged("RTT_DESTROY")?;
    realm.destroy_table(TWO_MEGABYTES, PAGE_LEVEL, spare)?;
    specimens.tear_down()
}

pub(crate) fn fold_refused(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let half = realm.shape.half();
    let spare = realm.table(TWO_MEGABYTES, PAGE_LEVEL)?;
    specimens.only(Kind::Rd, "rd of RTT_FOLD", |rd| {
        commands::rtt_fold(rd, TWO_MEGABYTES, PAGE_LEVEL)
    })?;
    bad_levels_and_addresses(realm, "RTT_FOLD", &|ipa, level| {
        commands::rtt_fold_at(realm.rd, ipa, level)
    })?;
    for base in [0, half] {
        for (ipa, level, at) in [
            // The walk ends above.
            (base + HALF_TERABYTE, 3, 0),
            (base + HALF_TERABYTE, 2, 0),
            (base + GIGABYTE, 3, 1),
            // Nothing to fold.
            (base + HALF_TERABYTE, 1, 0),
            (base + GIGABYTE, 2, 1),
            (base + 2 * TWO_MEGABYTES, 3, 2),
            // One entry differs from the others.
            (base, 1, 1),
            (base, 2, 2),
            (base, 3, 3),
        ] {
            commands::rtt_fold(realm.rd, ipa, level)?.refused(
                error_rtt(at),
                format_args!("RTT_FOLD of {ipa:#x} level {level}"),
            )?;
        }
    }
    specimens.are_unchanged("RTT_FOLD")?;
    realm.fold(TWO_MEGABYTES, PAGE_LEVEL, spare)?;
    specimens.tear_down()
}

pub(crate) fn read_refused(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    for ipa in [0, realm.shape.half()] {
        for level in realm.shape.level..=PAGE_LEVEL {
            specimens.only(Kind::Rd, "READ_ENTRY", |rd| {
                commands::read_entry(rd, ipa, level)
            })?;
        }
    }
    let refused = |realm: &Realm, ipa, level| {
        commands::read_entry_at(realm.rd, ipa, level)?.refused(
            ERROR_INPUT,
            format_args!("READ_ENTRY of {ipa:#x} level {level:#x}"),
        )
    };
    let above = realm.shape.level - 1;
    for level in no_level_below(above) {
        refused(realm, 0, level)?;
    }
    for level in realm.shape.level..=PAGE_LEVEL {
        let (size, word) = (entry_size(level), commands::level_word(level));
        for offset in [1, 8, 0x800, size / 2, size - 1] {
            refused(realm, offset, word)?;
            refused(realm, realm.shape.half() + offset, word)?;
        }
        for ipa in [
            realm.shape.end(),
            realm.shape.end() + size,
            1 << 63,
            0u64.wrapping_sub(size),
        ] {
            refused(realm, ipa, word)?;
        }
    }
    // Levels above the start level of a Realm that starts further down.
    let low = Realm::new(host, Shape::new(32, 2, 4))?;
    for level in no_level_below(1) {
        refused(&low, 0, level)?;
    }
    for level in [0, 1] {
        let table = low.granule()?;
        let word = commands::level_word(level);
        for command in [
            commands::rtt_create_at(low.rd, table, 0, word)?,
            commands::rtt_destroy_at(low.rd, 0, word)?,
            commands::rtt_fold_at(low.rd, 0, word)?,
            commands::map_unprotected_at(low.rd, low.shape.half(), word, 0)?,
            commands::unmap_unprotected_at(low.rd, low.shape.half(), word)?,
        ] {
            command.refused(
                ERROR_INPUT,
                format_args!("level {level} of a Realm from level 2"),
            )?;
        }
        give_back(table)?;
    }
    low.tear_down()?;
    specimens.tear_down()
}
