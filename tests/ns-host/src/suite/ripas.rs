//! `RMI_RTT_INIT_RIPAS` and `RMI_RTT_SET_RIPAS`.

use rmm_abi::rmi::Ripas;

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word};
use crate::realm::{
    EntryState, GIGABYTE, HALF_TERABYTE, Kind, PAGE_LEVEL, Realm, Shape, Specimens, TWO_MEGABYTES,
    entry_size,
};
use crate::rmi::{ERROR_INPUT, ERROR_REALM, ERROR_REC, commands, error_rtt};
use crate::suite::Host;

/// One call must get that far.
fn gets_to(realm: &Realm, base: u64, top: u64, expected: u64) -> Outcome {
    let [out_top, ..] = commands::init_ripas(realm.rd, base, top)?
        .done(format_args!("INIT_RIPAS of {base:#x} to {top:#x}"))?;
    ensure_word!(out_top, expected, "INIT_RIPAS of {base:#x} to {top:#x}");
    Ok(())
}

fn ram(realm: &Realm, ipa: u64, level: i8) -> Outcome {
    realm.expect(ipa, PAGE_LEVEL, EntryState::unassigned(level, Ripas::Ram))
}

fn empty(realm: &Realm, ipa: u64, level: i8) -> Outcome {
    realm.expect(ipa, PAGE_LEVEL, EntryState::unassigned(level, Ripas::Empty))
}

/// One entry, several, all of a table, at every level.
pub(crate) fn init(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::DEEP)?;
    for level in 0..=PAGE_LEVEL {
        // The last entry that the table of this level has for this test.
        let size = entry_size(level);
        let base = if level == 0 {
            HALF_TERABYTE
        } else {
            realm.tables(0, level)?;
            size
        };
        empty(&realm, base, level)?;
        gets_to(&realm, base, base + size, base + size)?;
        ram(&realm, base, level)?;
        empty(&realm, base + size, level)?;
        // Once more, which is no mistake, and one further.
        gets_to(&realm, base, base + 2 * size, base + 2 * size)?;
        ram(&realm, base, level)?;
        ram(&realm, base + size, level)?;
        if level > 0 {
            empty(&realm, base + 2 * size, level)?;
        }
    }
    realm.tear_down()
}

/// Where a call stops, and how the next goes on.
pub(crate) fn init_in_parts(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::DEEP)?;
    let half = realm.shape.half();
    realm.tables(TWO_MEGABYTES, PAGE_LEVEL)?;
    // | level | entries |
    // | 3     | 0 to 2 MiB has none; 2 MiB to 4 MiB has a table |
    // Up to a table, through a table to its end, and on behind it.
    gets_to(&realm, 0, GIGABYTE, TWO_MEGABYTES)?;
    ram(&realm, 0, 2)?;
    empty(&realm, TWO_MEGABYTES, 3)?;
    gets_to(&realm, TWO_MEGABYTES, GIGABYTE, 2 * TWO_MEGABYTES)?;
    for ipa in [TWO_MEGABYTES, 2 * TWO_MEGABYTES - GRANULE] {
        ram(&realm, ipa, 3)?;
    }
    empty(&realm, 2 * TWO_MEGABYTES, 2)?;
    gets_to(&realm, 2 * TWO_MEGABYTES, 3 * GIGABYTE, GIGABYTE)?;
    // Not beyond the top: an entry that does not fit stays as it is.
    gets_to(&realm, GIGABYTE, 2 * GIGABYTE + TWO_MEGABYTES, 2 * GIGABYTE)?;
    empty(&realm, 2 * GIGABYTE, 1)?;
    gets_to(&realm, 2 * GIGABYTE, HALF_TERABYTE + GRANULE, HALF_TERABYTE)?;
    // The whole rest of the protected half, and nothing of the unprotected one.
    gets_to(&realm, HALF_TERABYTE, half, half)?;
    ram(&realm, half - GRANULE, 0)?;
    realm.tear_down()
}

/// Pages with memory, in the way of a call.
pub(crate) fn init_and_memory(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::USUAL)?;
    realm.tables(0, PAGE_LEVEL)?;
    let page = realm.data_unknown(3 * GRANULE)?;
    let block = EntryState::assigned(PAGE_LEVEL, page, Ripas::Empty);
    commands::init_ripas(realm.rd, 3 * GRANULE, 5 * GRANULE)?
        .refused(error_rtt(3), "INIT_RIPAS of a page with memory")?;
    realm.expect(3 * GRANULE, PAGE_LEVEL, block)?;
    let [out_top, ..] =
        commands::init_ripas(realm.rd, GRANULE, 3 * GRANULE)?.done("INIT_RIPAS before it")?;
    ensure_word!(out_top, 3 * GRANULE, "INIT_RIPAS before it");
    gets_to(&realm, 4 * GRANULE, 5 * GRANULE, 5 * GRANULE)?;
    realm.expect(3 * GRANULE, PAGE_LEVEL, block)?;
    for ipa in [GRANULE, 2 * GRANULE, 4 * GRANULE] {
        ram(&realm, ipa, 3)?;
    }
    empty(&realm, 0, 3)?;
    empty(&realm, 5 * GRANULE, 3)?;
    // A call passes such a page and leaves it as it is.
    gets_to(&realm, 2 * GRANULE, 8 * GRANULE, 8 * GRANULE)?;
    realm.expect(3 * GRANULE, PAGE_LEVEL, block)?;
    for ipa in [2 * GRANULE, 5 * GRANULE, 7 * GRANULE] {
        ram(&realm, ipa, 3)?;
    }
    empty(&realm, 8 * GRANULE, 3)?;
    // Memory that comes later changes nothing about RAM.
    let later = realm.data_unknown(GRANULE)?;
    realm.expect(
        GRANULE,
        PAGE_LEVEL,
        EntryState::assigned(3, later, Ripas::Ram),
    )?;
    realm.tear_down()
}

pub(crate) fn init_refused(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let half = realm.shape.half();
    specimens.only(Kind::Rd, "INIT_RIPAS", |rd| {
        commands::init_ripas(rd, GRANULE, 2 * GRANULE)
    })?;
    let refused = |base: u64, top: u64, code| {
        commands::init_ripas(realm.rd, base, top)?
            .refused(code, format_args!("INIT_RIPAS of {base:#x} to {top:#x}"))
    };
    // Nothing, or backwards.
    for (base, top) in [
        (0, 0),
        (GRANULE, GRANULE),
        (2 * GRANULE, GRANULE),
        (half, GRANULE),
        (u64::MAX, 0),
        (0u64.wrapping_sub(GRANULE), 0),
        (0u64.wrapping_sub(GRANULE), GRANULE),
    ] {
        refused(base, top, ERROR_INPUT)?;
    }
    // Beyond the protected half.
    for top in [
        half + GRANULE,
        realm.shape.end(),
        1 << 52,
        1 << 63,
        0u64.wrapping_sub(GRANULE),
    ] {
        for base in [GRANULE, TWO_MEGABYTES, half - GRANULE, half] {
            refused(base, top, ERROR_INPUT)?;
        }
    }
    // A top between granules, with progress or without.
    for base in [GRANULE, TWO_MEGABYTES] {
        for offset in [1, 8, 0x800, GRANULE - 1] {
            refused(base, base + offset, ERROR_INPUT)?;
            refused(base, base + GRANULE + offset, ERROR_INPUT)?;
        }
    }
    // A base inside of an entry.
    for blocks in [2, 4] {
        let (base, top) = (TWO_MEGABYTES + GRANULE, blocks * TWO_MEGABYTES);
        refused(base, top, error_rtt(2))?;
    }
    refused(GRANULE + 8, 4 * GRANULE, error_rtt(3))?;
    refused(2 * GRANULE - 1, 4 * GRANULE, error_rtt(3))?;
    refused(GIGABYTE + TWO_MEGABYTES, 2 * GIGABYTE, error_rtt(1))?;
    refused(HALF_TERABYTE + GIGABYTE, 2 * HALF_TERABYTE, error_rtt(0))?;
    // An entry that ends behind the top.
    refused(TWO_MEGABYTES, TWO_MEGABYTES + GRANULE, error_rtt(2))?;
    refused(GIGABYTE, 2 * GIGABYTE - GRANULE, error_rtt(1))?;
    refused(HALF_TERABYTE, HALF_TERABYTE + GIGABYTE, error_rtt(0))?;
    // A page that has memory.
    refused(0, GRANULE, error_rtt(3))?;
    refused(0, TWO_MEGABYTES, error_rtt(3))?;
    specimens.are_unchanged("INIT_RIPAS")?;
    realm.expect(
        TWO_MEGABYTES,
        PAGE_LEVEL,
        EntryState::unassigned(2, Ripas::Empty),
    )?;
    // No Realm has no state; an active one does.
    realm.activate()?;
    for rd in [specimens.delegated, specimens.undelegated, specimens.rec] {
        commands::init_ripas(rd, GRANULE, 2 * GRANULE)?
            .refused(ERROR_INPUT, "INIT_RIPAS: no Realm before its state")?;
    }
    refused(GRANULE, 2 * GRANULE, ERROR_REALM)?;
    specimens.are_unchanged("INIT_RIPAS in an active Realm")?;
    specimens.tear_down()
}

/// Without a request of the Realm there is nothing that the host may set.
pub(crate) fn set_refused(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let mut other = Realm::new(host, Shape::USUAL)?;
    let (rec, other_rec) = (specimens.rec, other.rec()?);
    for active in [false, true] {
        if active {
            realm.activate()?;
        }
        specimens.only(Kind::Rd, "rd of SET_RIPAS", |rd| {
            commands::set_ripas(rd, rec, 0, GRANULE)
        })?;
        specimens.only(Kind::Rec, "rec of SET_RIPAS", |rec| {
            commands::set_ripas(realm.rd, rec, 0, GRANULE)
        })?;
        for (kind, granule) in specimens.granules() {
            commands::set_ripas(*granule, *granule, 0, GRANULE)?
                .refused(ERROR_INPUT, format_args!("SET_RIPAS of {kind:?} by itself"))?;
        }
        commands::set_ripas(realm.rd, other_rec, 0, GRANULE)?
            .refused(ERROR_REC, "SET_RIPAS with a REC of another Realm")?;
        for (base, top) in [
            (0, 0),
            (0, GRANULE),
            (0, 0x800),
            (0, TWO_MEGABYTES),
            (GRANULE, 0),
            (GRANULE, 2 * GRANULE),
            (1, GRANULE),
            (TWO_MEGABYTES + GRANULE, 2 * TWO_MEGABYTES),
            (0, u64::MAX),
            (u64::MAX, 0),
            (0, 1 << 63),
            (1 << 63, 1 << 63 | GRANULE),
        ] {
            commands::set_ripas(realm.rd, rec, base, top)?.refused(
                ERROR_INPUT,
                format_args!("SET_RIPAS of {base:#x} to {top:#x} without a request"),
            )?;
        }
        specimens.are_unchanged("SET_RIPAS")?;
    }
    other.tear_down()?;
    specimens.tear_down()
}
