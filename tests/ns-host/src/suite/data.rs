//! `RMI_DATA_CREATE`, `RMI_DATA_CREATE_UNKNOWN` and `RMI_DATA_DESTROY`.

use rmm_abi::rmi::{DATA_MEASURE, Ripas};

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word};
use crate::realm::{
    EntryState, GIGABYTE, HALF_TERABYTE, Kind, PAGE_LEVEL, Realm, Shape, Specimens, TWO_MEGABYTES,
    give_back, nth,
};
use crate::rmi::{ERROR_INPUT, ERROR_REALM, Reply, commands, error_rtt, must_delegate, undelegate};
use crate::suite::{Host, expect};

const fn unassigned(ripas: Ripas) -> EntryState {
    EntryState::unassigned(PAGE_LEVEL, ripas)
}

const fn assigned(address: u64, ripas: Ripas) -> EntryState {
    EntryState::assigned(PAGE_LEVEL, address, ripas)
}

/// Makes the RIPAS of the page at `ipa` what a test wants. There is a table for it.
fn set_up(realm: &Realm, ipa: u64, ripas: Ripas) -> Outcome {
    match ripas {
        Ripas::Empty => {}
        Ripas::Ram => realm.init_ripas(ipa, ipa + GRANULE)?,
        Ripas::Destroyed => {
            let page = realm.data(ipa, 0)?;
            realm.destroy_page(ipa, page)?;
        }
    }
    realm.expect(ipa, PAGE_LEVEL, unassigned(ripas))
}

const EVERY_RIPAS: [Ripas; 3] = [Ripas::Empty, Ripas::Ram, Ripas::Destroyed];

/// With content and without, on every RIPAS.
pub(crate) fn create(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::USUAL)?;
    realm.tables(0, PAGE_LEVEL)?;
    let content = |index| index ^ 0x5555;
    expect::fill(realm.page, content)?;
    let mut ipa = 0;
    for ripas in EVERY_RIPAS {
        for flags in [0, DATA_MEASURE] {
            set_up(&realm, ipa, ripas)?;
            let data = realm.data(ipa, flags)?;
            realm.expect(ipa, PAGE_LEVEL, assigned(data, Ripas::Ram))?;
            ensure_word!(undelegate(data)?, ERROR_INPUT, "undelegate of a page");
            ipa += GRANULE;
        }
    }
    // The source is still the host's, and as it was.
    expect::holds(realm.page, content)?;
    expect::accessible(realm.page)?;
    realm.tear_down()
}

pub(crate) fn create_unknown(host: &Host) -> Outcome {
    for active in [false, true] {
        let realm = Realm::new(host, Shape::USUAL)?;
        realm.tables(0, PAGE_LEVEL)?;
        for (ipa, ripas) in (0..).step_by(0x1000).zip(EVERY_RIPAS) {
            set_up(&realm, ipa, ripas)?;
        }
        if active {
            realm.activate()?;
        }
        for (ipa, ripas) in (0..).step_by(0x1000).zip(EVERY_RIPAS) {
            let data = realm.data_unknown(ipa)?;
            realm.expect(ipa, PAGE_LEVEL, assigned(data, ripas))?;
        }
        realm.tear_down()?;
    }
    Ok(())
}

/// A command that adds a page: its granule, its address.
type Create<'a> = &'a dyn Fn(u64, u64) -> Outcome<Reply>;

/// What both commands that add a page refuse. `data` is delegated.
fn refusals(specimens: &Specimens, data: u64, what: &str, create: Create) -> Outcome {
    let half = specimens.realm.shape.half();
    specimens.only(Kind::Delegated, what, |data| create(data, GRANULE))?;
    let refused = |ipa, code| create(data, ipa)?.refused(code, format_args!("{what} at {ipa:#x}"));
    // Unaligned, and not in the protected half.
    for ipa in [1, GRANULE + 8, GRANULE + 0x800, 2 * GRANULE - 1] {
        refused(ipa, ERROR_INPUT)?;
    }
    // Mapped, without an entry, without a table: the address counts first.
    let end = specimens.realm.shape.end();
    for ipa in [
        half,
        half + GRANULE,
        half + TWO_MEGABYTES,
        half + HALF_TERABYTE,
        end - GRANULE,
        end,
        end + GRANULE,
        1 << 63,
        0u64.wrapping_sub(GRANULE),
    ] {
        refused(ipa, ERROR_INPUT)?;
    }
    refused(TWO_MEGABYTES, error_rtt(2))?;
    refused(GIGABYTE, error_rtt(1))?;
    refused(HALF_TERABYTE, error_rtt(0))?;
    refused(half - GRANULE, error_rtt(0))?;
    refused(0, error_rtt(3))?;
    specimens.are_unchanged(what)?;
    give_back(data)?;
    must_delegate(data)
}

pub(crate) fn create_refused(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let data = realm.granule()?;
    let source = host.granule()?;
    expect::fill(source, |index| index)?;
    for flags in [0, DATA_MEASURE] {
        specimens.only(Kind::Rd, "rd of DATA_CREATE", |rd| {
            commands::data_create(rd, data, GRANULE, source, flags)
        })?;
        specimens.only(Kind::Undelegated, "source of DATA_CREATE", |source| {
            commands::data_create(realm.rd, data, GRANULE, source, flags)
        })?;
        refusals(&specimens, data, "DATA_CREATE", &|data, ipa| {
            commands::data_create(realm.rd, data, ipa, source, flags)
        })?;
        for (kind, granule) in specimens.granules() {
            commands::data_create(realm.rd, *granule, GRANULE, *granule, flags)?.refused(
                ERROR_INPUT,
                format_args!("DATA_CREATE of {kind:?} from itself"),
            )?;
            commands::data_create(*granule, *granule, GRANULE, source, flags)?.refused(
                ERROR_INPUT,
                format_args!("DATA_CREATE of {kind:?} in itself"),
            )?;
        }
        specimens.are_unchanged("DATA_CREATE from itself")?;
    }
    expect::holds(source, |index| index)?;
    commands::data_create(realm.rd, data, GRANULE, source, 0)?.done("DATA_CREATE in the end")?;
    realm.lend(1);
    realm.destroy_page(GRANULE, data)?;
    specimens.tear_down()
}

pub(crate) fn create_unknown_refused(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let data = realm.granule()?;
    for active in [false, true] {
        if active {
            realm.activate()?;
        }
        specimens.only(Kind::Rd, "rd of DATA_CREATE_UNKNOWN", |rd| {
            commands::data_create_unknown(rd, data, GRANULE)
        })?;
        refusals(&specimens, data, "DATA_CREATE_UNKNOWN", &|data, ipa| {
            commands::data_create_unknown(realm.rd, data, ipa)
        })?;
        for (kind, granule) in specimens.granules() {
            commands::data_create_unknown(*granule, *granule, GRANULE)?.refused(
                ERROR_INPUT,
                format_args!("DATA_CREATE_UNKNOWN of {kind:?} in itself"),
            )?;
        }
    }
    realm.data_unknown_in(data, GRANULE)?;
    realm.destroy_page(GRANULE, data)?;
    specimens.tear_down()
}

/// Conditions of which the first must be the one that is told.
pub(crate) fn create_order(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let half = realm.shape.half();
    let (data, source) = (realm.granule()?, host.granule()?);
    realm.activate()?;
    // What is no Realm has no state and no tables.
    for rd in [specimens.delegated, specimens.undelegated, specimens.rec] {
        for ipa in [0, TWO_MEGABYTES] {
            commands::data_create(rd, data, ipa, source, 0)?.refused(
                ERROR_INPUT,
                "DATA_CREATE: no Realm before its state and tables",
            )?;
            commands::data_create_unknown(rd, data, ipa)?.refused(
                ERROR_INPUT,
                "DATA_CREATE_UNKNOWN: no Realm before its tables",
            )?;
        }
    }
    // Unprotected and mapped, unprotected and without a table.
    for ipa in [half, half + TWO_MEGABYTES] {
        commands::data_create_unknown(realm.rd, data, ipa)?
            .refused(ERROR_INPUT, "DATA_CREATE_UNKNOWN: address before tables")?;
        commands::data_destroy(realm.rd, ipa)?
            .refused(ERROR_INPUT, "DATA_DESTROY: address before tables")?;
    }
    commands::data_create(realm.rd, data, GRANULE, source, 0)?
        .refused(ERROR_REALM, "DATA_CREATE in an active Realm")?;
    give_back(data)?;
    specimens.tear_down()
}

pub(crate) fn destroy(host: &Host) -> Outcome {
    for active in [false, true] {
        let realm = Realm::new(host, Shape::USUAL)?;
        realm.tables(0, PAGE_LEVEL)?;
        for (ipa, ripas) in (0..).step_by(0x1000).zip(EVERY_RIPAS) {
            set_up(&realm, ipa, ripas)?;
            realm.data_unknown(ipa)?;
        }
        // One with content, apart from the others.
        let last = TWO_MEGABYTES - GRANULE;
        let data = realm.data(last, DATA_MEASURE)?;
        if active {
            realm.activate()?;
        }
        for (ipa, before) in (0..).step_by(0x1000).zip(EVERY_RIPAS) {
            let EntryState { descriptor, .. } = realm.entry(ipa, PAGE_LEVEL)?;
            let top = realm.destroy_page(ipa, descriptor)?;
            let next = if ipa == 2 * GRANULE {
                last
            } else {
                ipa + GRANULE
            };
            ensure_word!(top, next, "top of DATA_DESTROY of {ipa:#x}");
            let after = match before {
                Ripas::Ram | Ripas::Destroyed => Ripas::Destroyed,
                Ripas::Empty => Ripas::Empty,
            };
            realm.expect(ipa, PAGE_LEVEL, unassigned(after))?;
        }
        let top = realm.destroy_page(last, data)?;
        ensure_word!(top, TWO_MEGABYTES, "top of the last DATA_DESTROY");
        realm.expect(last, PAGE_LEVEL, unassigned(Ripas::Destroyed))?;
        realm.tear_down()?;
    }
    Ok(())
}

pub(crate) fn destroy_refused(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let (half, end) = (realm.shape.half(), realm.shape.end());
    specimens.only(Kind::Rd, "DATA_DESTROY", |rd| commands::data_destroy(rd, 0))?;
    for ipa in [
        1,
        8,
        0x800,
        half,
        half + GRANULE,
        half + TWO_MEGABYTES,
        end,
        1 << 63,
        0u64.wrapping_sub(GRANULE),
    ] {
        commands::data_destroy(realm.rd, ipa)?
            .refused(ERROR_INPUT, format_args!("DATA_DESTROY of {ipa:#x}"))?;
    }
    // The search goes on from the entry where the walk has ended, up to the next that has
    // something or the end of that table. Nothing in level 0 follows but the unprotected half.
    let far = HALF_TERABYTE;
    for (ipa, level, top) in [
        (GRANULE, 3, TWO_MEGABYTES),
        (TWO_MEGABYTES - GRANULE, 3, TWO_MEGABYTES),
        (TWO_MEGABYTES, 2, GIGABYTE),
        (TWO_MEGABYTES + GRANULE, 2, GIGABYTE),
        (GIGABYTE - GRANULE, 2, GIGABYTE),
        (GIGABYTE, 1, far),
        (GIGABYTE + 5 * GRANULE, 1, far),
        (far, 0, half),
        (half - GRANULE, 0, half),
    ] {
        commands::data_destroy(realm.rd, ipa)?.refused_with(
            error_rtt(level),
            [0, top, 0, 0],
            format_args!("DATA_DESTROY of {ipa:#x}"),
        )?;
    }
    // With something in between.
    let table = realm.table(3 * TWO_MEGABYTES, PAGE_LEVEL)?;
    commands::data_destroy(realm.rd, TWO_MEGABYTES)?.refused_with(
        error_rtt(2),
        [0, 3 * TWO_MEGABYTES, 0, 0],
        "DATA_DESTROY before a table",
    )?;
    let data = realm.data(7 * GRANULE, 0)?;
    commands::data_destroy(realm.rd, 2 * GRANULE)?.refused_with(
        error_rtt(3),
        [0, 7 * GRANULE, 0, 0],
        "DATA_DESTROY before a page",
    )?;
    realm.destroy_page(7 * GRANULE, data)?;
    realm.destroy_table(3 * TWO_MEGABYTES, PAGE_LEVEL, table)?;
    specimens.are_unchanged("DATA_DESTROY")?;
    specimens.tear_down()
}

/// A block is no page: it has to be unfolded first.
pub(crate) fn destroy_of_a_block(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::USUAL)?;
    realm.tables(0, 2)?;
    let table = realm.table(0, PAGE_LEVEL)?;
    let first = host.aligned_granules(512, TWO_MEGABYTES)?;
    realm.init_ripas(0, TWO_MEGABYTES)?;
    for index in 0..512 {
        must_delegate(nth(first, index))?;
        realm.data_unknown_in(nth(first, index), index * GRANULE)?;
    }
    realm.fold(0, PAGE_LEVEL, table)?;
    let block = EntryState::assigned(2, first, Ripas::Ram);
    for ipa in [0, GRANULE, TWO_MEGABYTES - GRANULE] {
        commands::data_destroy(realm.rd, ipa)?.refused_with(
            error_rtt(2),
            [0, 0, 0, 0],
            format_args!("DATA_DESTROY of {ipa:#x} in a block"),
        )?;
        realm.expect(ipa, PAGE_LEVEL, block)?;
        let data = realm.granule()?;
        commands::data_create_unknown(realm.rd, data, ipa)?
            .refused(error_rtt(2), "DATA_CREATE_UNKNOWN in a block")?;
        give_back(data)?;
    }
    for index in [0, 1, 511] {
        ensure_word!(
            undelegate(nth(first, index))?,
            ERROR_INPUT,
            "undelegate of page {index} of a block"
        );
    }
    realm.tear_down()
}

/// The same granule twice: at two addresses, in two Realms.
pub(crate) fn one_granule_one_place(host: &Host) -> Outcome {
    let (one, other) = (
        Realm::new(host, Shape::USUAL)?,
        Realm::new(host, Shape::USUAL)?,
    );
    for realm in [&one, &other] {
        realm.tables(0, PAGE_LEVEL)?;
    }
    let data = one.data_unknown(0)?;
    for realm in [&one, &other] {
        for ipa in [GRANULE, 5 * GRANULE] {
            commands::data_create_unknown(realm.rd, data, ipa)?
                .refused(ERROR_INPUT, "DATA_CREATE_UNKNOWN of a page that is used")?;
            commands::data_create(realm.rd, data, ipa, realm.page, DATA_MEASURE)?
                .refused(ERROR_INPUT, "DATA_CREATE of a page that is used")?;
            realm.expect(ipa, PAGE_LEVEL, unassigned(Ripas::Empty))?;
        }
        commands::rtt_create(realm.rd, data, TWO_MEGABYTES, PAGE_LEVEL)?
            .refused(ERROR_INPUT, "RTT_CREATE of a page that is used")?;
    }
    commands::data_destroy(other.rd, 0)?.refused_with(
        error_rtt(3),
        [0, TWO_MEGABYTES, 0, 0],
        "DATA_DESTROY in the other Realm",
    )?;
    one.expect(0, PAGE_LEVEL, assigned(data, Ripas::Empty))?;
    one.tear_down()?;
    // Now it can go to the other one.
    must_delegate(data)?;
    other.data_unknown_in(data, GRANULE)?;
    other.expect(GRANULE, PAGE_LEVEL, assigned(data, Ripas::Empty))?;
    other.tear_down()
}
