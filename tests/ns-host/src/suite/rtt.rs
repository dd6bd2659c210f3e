//! `RMI_RTT_CREATE`, `RMI_RTT_DESTROY`, `RMI_RTT_FOLD` and `RMI_RTT_READ_ENTRY`.

mod fold;
mod refused;

pub(crate) use fold::{
    fold_and_unfold, fold_to_a_gigabyte, fold_to_a_gigabyte_of_memory, not_homogeneous,
};
pub(crate) use refused::{create_refused, destroy_refused, fold_refused, read_refused};

use rmm_abi::rmi::Ripas;

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word};
use crate::realm::{
    EntryState, GIGABYTE, HALF_TERABYTE, NO_ENTRY, PAGE_LEVEL, Realm, Shape, TWO_MEGABYTES,
    entry_size, nth,
};
use crate::rmi::{ERROR_INPUT, commands, error_rtt, must_delegate, undelegate};
use crate::suite::Host;

/// An entry without memory in the half of the space that `ipa` is in.
fn no_memory(realm: &Realm, ipa: u64, level: i8) -> EntryState {
    if ipa < realm.shape.half() {
        EntryState::unassigned(level, Ripas::Empty)
    } else {
        EntryState { level, ..NO_ENTRY }
    }
}

/// Tables at every level, in both halves, in new and active Realms, and gone again.
pub(crate) fn create_and_destroy(host: &Host) -> Outcome {
    for active in [false, true] {
        let realm = Realm::new(host, Shape::DEEP)?;
        if active {
            realm.activate()?;
        }
        for base in [
            0,
            HALF_TERABYTE,
            realm.shape.half(),
            realm.shape.end() - HALF_TERABYTE,
        ] {
            let mut tables = [0; 3];
            for (table, level) in tables.iter_mut().zip(1..) {
                realm.expect(base, level, no_memory(&realm, base, level - 1))?;
                *table = realm.table(base, level)?;
                realm.expect(base, level - 1, EntryState::table(level - 1, *table))?;
                realm.expect(base, level, no_memory(&realm, base, level))?;
                let last = base + entry_size(level - 1) - entry_size(level);
                realm.expect(last, level, no_memory(&realm, base, level))?;
                ensure_word!(undelegate(*table)?, ERROR_INPUT, "undelegate of a table");
                commands::rtt_create(realm.rd, *table, base, level)?
                    .refused(ERROR_INPUT, "RTT_CREATE of a table that is used")?;
            }
            for (table, level) in tables.into_iter().zip(1..=PAGE_LEVEL).rev() {
                let top = realm.destroy_table(base, level, table)?;
                // Nothing else is in the table that it was in, except in level 0.
                if level > 1 {
                    ensure_word!(top, base + entry_size(level - 2), "top of RTT_DESTROY");
                }
                let gone = if base < realm.shape.half() {
                    EntryState::unassigned(level - 1, Ripas::Destroyed)
                } else {
                    no_memory(&realm, base, level - 1)
                };
                realm.expect(base, PAGE_LEVEL, gone)?;
            }
        }
        realm.tear_down()?;
    }
    Ok(())
}

/// The address that `RTT_DESTROY` says is the next with something to do.
pub(crate) fn destroy_top(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::DEEP)?;
    realm.tables(0, 2)?;
    let [one, five, nine] = [1, 5, 9].map(|index| index * TWO_MEGABYTES);
    let tables = [
        realm.table(one, PAGE_LEVEL)?,
        realm.table(five, PAGE_LEVEL)?,
        realm.table(nine, PAGE_LEVEL)?,
    ];
    let refused = |ipa, level, code, top| {
        commands::rtt_destroy(realm.rd, ipa, level)?.refused_with(
            code,
            [0, top, 0, 0],
            format_args!("RTT_DESTROY of {ipa:#x} level {level}"),
        )
    };
    refused(0, PAGE_LEVEL, error_rtt(2), one)?;
    refused(2 * TWO_MEGABYTES, PAGE_LEVEL, error_rtt(2), five)?;
    refused(10 * TWO_MEGABYTES, PAGE_LEVEL, error_rtt(2), GIGABYTE)?;
    refused(GIGABYTE, PAGE_LEVEL, error_rtt(1), HALF_TERABYTE)?;
    refused(GIGABYTE, 2, error_rtt(1), HALF_TERABYTE)?;
    // Nothing at level 0 up to the end of the table, far behind the space.
    refused(HALF_TERABYTE, 1, error_rtt(0), 1 << 48)?;
    refused(HALF_TERABYTE, 3, error_rtt(0), 1 << 48)?;
    // A table that is not empty.
    refused(0, 2, error_rtt(2), 0)?;
    refused(0, 1, error_rtt(1), 0)?;
    let data = realm.data_unknown(five + 3 * GRANULE)?;
    refused(five, PAGE_LEVEL, error_rtt(3), five)?;
    realm.expect(five, 2, EntryState::table(2, tables[1]))?;
    let top = realm.destroy_page(five + 3 * GRANULE, data)?;
    ensure_word!(top, end_of_table(five), "top of DATA_DESTROY");
    let top = realm.destroy_table(one, PAGE_LEVEL, tables[0])?;
    ensure_word!(top, five, "top of RTT_DESTROY of the first");
    let top = realm.destroy_table(nine, PAGE_LEVEL, tables[2])?;
    ensure_word!(top, GIGABYTE, "top of RTT_DESTROY of the last");
    let top = realm.destroy_table(five, PAGE_LEVEL, tables[1])?;
    ensure_word!(top, GIGABYTE, "top of RTT_DESTROY of the one in the middle");
    realm.tear_down()
}

/// End of the table of level 3 whose first address is `ipa`.
const fn end_of_table(ipa: u64) -> u64 {
    ipa + TWO_MEGABYTES
}

/// A table goes although its entries differ, and although memory of the host is mapped by it.
pub(crate) fn destroy_of_mixed_tables(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::USUAL)?;
    let half = realm.shape.half();
    realm.tables(0, 2)?;
    let table = realm.table(0, PAGE_LEVEL)?;
    realm.init_ripas(0, 9 * GRANULE)?;
    let data = realm.data_unknown(GRANULE)?;
    realm.destroy_page(GRANULE, data)?;
    realm.destroy_table(0, PAGE_LEVEL, table)?;
    realm.expect(0, PAGE_LEVEL, EntryState::unassigned(2, Ripas::Destroyed))?;
    // What is under it inherits that.
    let table = realm.table(0, PAGE_LEVEL)?;
    for ipa in [0, GRANULE, TWO_MEGABYTES - GRANULE] {
        realm.expect(
            ipa,
            PAGE_LEVEL,
            EntryState::unassigned(PAGE_LEVEL, Ripas::Destroyed),
        )?;
    }
    realm.destroy_table(0, PAGE_LEVEL, table)?;

    realm.tables(half, 2)?;
    let table = realm.table(half, PAGE_LEVEL)?;
    for ipa in [half, half + 17 * GRANULE, half + TWO_MEGABYTES - GRANULE] {
        commands::map_unprotected(realm.rd, ipa, PAGE_LEVEL, realm.page)?
            .done("MAP_UNPROTECTED")?;
    }
    // Its neighbour, a mapped block, is where the next search ends.
    commands::map_unprotected(realm.rd, half + TWO_MEGABYTES, 2, 0x4000_0000)?
        .done("MAP_UNPROTECTED of a block")?;
    let top = realm.destroy_table(half, PAGE_LEVEL, table)?;
    ensure_word!(top, half + TWO_MEGABYTES, "top of RTT_DESTROY");
    realm.expect(
        half,
        PAGE_LEVEL,
        EntryState {
            level: 2,
            ..NO_ENTRY
        },
    )?;
    realm.tear_down()
}

/// Entries of every kind at every level.
pub(crate) fn read_entry(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::DEEP)?;
    let half = realm.shape.half();
    // From no tables to all of them.
    for ipa in [0, half] {
        for level in 0..=PAGE_LEVEL {
            realm.expect(ipa, level, no_memory(&realm, ipa, 0))?;
        }
    }
    realm.tables(0, PAGE_LEVEL)?;
    realm.tables(half, PAGE_LEVEL)?;
    for ipa in [0, half] {
        for level in 0..PAGE_LEVEL {
            let EntryState { descriptor, .. } = realm.entry(ipa, level)?;
            realm.expect(ipa, level, EntryState::table(level, descriptor))?;
            ensure_word!(
                undelegate(descriptor)?,
                ERROR_INPUT,
                "undelegate of the table of level {}",
                level + 1
            );
            // The walk ends where the tables end, whatever level was asked for.
            let side = ipa + entry_size(level);
            for asked in level..=PAGE_LEVEL {
                realm.expect(side, asked, no_memory(&realm, ipa, level))?;
            }
        }
        realm.expect(ipa, PAGE_LEVEL, no_memory(&realm, ipa, PAGE_LEVEL))?;
    }
    // A block of each kind in each RIPAS is in `fold_and_unfold`, pages are in `data/*`.
    realm.init_ripas(TWO_MEGABYTES, 2 * TWO_MEGABYTES)?;
    for asked in [2, 3] {
        let ram = EntryState::unassigned(2, Ripas::Ram);
        realm.expect(TWO_MEGABYTES, asked, ram)?;
    }
    realm.expect(
        2 * TWO_MEGABYTES,
        3,
        EntryState::unassigned(2, Ripas::Empty),
    )?;
    realm.tear_down()
}

/// Tables of one Realm do not become tables of another.
pub(crate) fn one_table_one_place(host: &Host) -> Outcome {
    let (one, other) = (
        Realm::new(host, Shape::USUAL)?,
        Realm::new(host, Shape::USUAL)?,
    );
    let table = one.table(0, 2)?;
    for realm in [&one, &other] {
        for used in [
            table,
            one.start_tables,
            nth(one.start_tables, 1),
            one.rd,
            other.rd,
        ] {
            commands::rtt_create(realm.rd, used, GIGABYTE, 2)?.refused(
                ERROR_INPUT,
                format_args!("RTT_CREATE of {used:#x}, which is used"),
            )?;
            commands::data_create_unknown(realm.rd, used, GIGABYTE)?.refused(
                ERROR_INPUT,
                format_args!("DATA_CREATE_UNKNOWN of {used:#x}"),
            )?;
        }
    }
    commands::rtt_destroy(other.rd, 0, 2)?.refused_with(
        error_rtt(1),
        [0, HALF_TERABYTE, 0, 0],
        "RTT_DESTROY in the other Realm",
    )?;
    one.destroy_table(0, 2, table)?;
    must_delegate(table)?;
    commands::rtt_create(other.rd, table, GIGABYTE, 2)?.done("RTT_CREATE in the other Realm")?;
    other.lend(1);
    other.expect(GIGABYTE, 1, EntryState::table(1, table))?;
    one.tear_down()?;
    other.tear_down()
}
