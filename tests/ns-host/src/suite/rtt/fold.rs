//! Tables whose entries are alike become one entry, and the other way round.

use rmm_abi::rmi::Ripas;

use crate::memory::GRANULE;
use crate::outcome::{Outcome, skip};
use crate::realm::{
    EntryState, GIGABYTE, HALF_TERABYTE, NO_ENTRY, PAGE_LEVEL, Realm, Shape, TWO_MEGABYTES, nth,
};
use crate::rmi::{commands, error_rtt, must_delegate};
use crate::suite::Host;

const ENTRIES: u64 = 512;
const EVERY_RIPAS: [Ripas; 3] = [Ripas::Empty, Ripas::Ram, Ripas::Destroyed];

/// Makes the entry of level 2 for `ipa` unassigned with a RIPAS.
fn set_up(realm: &Realm, ipa: u64, ripas: Ripas) -> Outcome {
    match ripas {
        Ripas::Empty => {}
        Ripas::Ram => realm.init_ripas(ipa, ipa + TWO_MEGABYTES)?,
        Ripas::Destroyed => {
            let table = realm.table(ipa, PAGE_LEVEL)?;
            realm.destroy_table(ipa, PAGE_LEVEL, table)?;
        }
    }
    realm.expect(ipa, PAGE_LEVEL, EntryState::unassigned(2, ripas))
}

/// Granules for a block of level 2, delegated.
fn block_memory(host: &Host) -> Outcome<u64> {
    let first = host.aligned_granules(ENTRIES, TWO_MEGABYTES)?;
    for index in 0..ENTRIES {
        must_delegate(nth(first, index))?;
    }
    Ok(first)
}

/// Every page of the table of level 3 at `ipa` must be that part of `block`.
fn is_unfolded(realm: &Realm, ipa: u64, block: EntryState) -> Outcome {
    for index in 0..ENTRIES {
        let descriptor = match block.descriptor {
            0 => 0,
            first => nth(first, index),
        };
        let page = EntryState {
            level: PAGE_LEVEL,
            descriptor,
            ..block
        };
        realm.expect(nth(ipa, index), PAGE_LEVEL, page)?;
    }
    Ok(())
}

/// Unfolds an entry of level 2, looks at its pages and folds it again, twice.
fn both_ways(realm: &Realm, ipa: u64, block: EntryState) -> Outcome {
    for _ in 0..2 {
        realm.expect(ipa, 2, block)?;
        realm.expect(ipa + TWO_MEGABYTES - GRANULE, PAGE_LEVEL, block)?;
        let table = realm.table(ipa, PAGE_LEVEL)?;
        is_unfolded(realm, ipa, block)?;
        realm.fold(ipa, PAGE_LEVEL, table)?;
    }
    realm.expect(ipa, PAGE_LEVEL, block)
}

/// Entries of every kind, at level 2 and its pages.
pub(crate) fn fold_and_unfold(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::DEEP)?;
    let half = realm.shape.half();
    realm.tables(0, 2)?;
    realm.tables(half, 2)?;
    for (ipa, ripas) in (0..).step_by(0x20_0000).zip(EVERY_RIPAS) {
        set_up(&realm, ipa, ripas)?;
        both_ways(&realm, ipa, EntryState::unassigned(2, ripas))?;
        // With memory: page by page, then as a block.
        let table = realm.table(ipa, PAGE_LEVEL)?;
        let first = block_memory(host)?;
        for index in 0..ENTRIES {
            realm.data_unknown_in(nth(first, index), nth(ipa, index))?;
        }
        let block = EntryState::assigned(2, first, ripas);
        is_unfolded(&realm, ipa, block)?;
        realm.fold(ipa, PAGE_LEVEL, table)?;
        both_ways(&realm, ipa, block)?;
    }
    // Unprotected: nothing, and mapped with every attribute.
    both_ways(
        &realm,
        half,
        EntryState {
            level: 2,
            ..NO_ENTRY
        },
    )?;
    for (number, attributes) in (1..).zip([0, 1 << 2 | 1 << 6, 2 << 2 | 2 << 6, 0x18 | 0xc0]) {
        let ipa = half + number * TWO_MEGABYTES;
        let descriptor = 0x12_3460_0000 | attributes;
        commands::map_unprotected(realm.rd, ipa, 2, descriptor)?.done("MAP_UNPROTECTED")?;
        // Pages of memory of the host go on one after the other, whatever is there.
        let block = EntryState::mapped(2, descriptor);
        both_ways(&realm, ipa, block)?;
    }
    realm.tear_down()
}

/// Level 2 to level 1, and no further for memory.
pub(crate) fn fold_to_a_gigabyte(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::DEEP)?;
    let half = realm.shape.half();
    realm.tables(0, 1)?;
    realm.tables(half, 1)?;
    // Without memory up to level 0.
    for ripas in EVERY_RIPAS {
        match ripas {
            Ripas::Empty => {}
            Ripas::Ram => realm.init_ripas(0, HALF_TERABYTE)?,
            Ripas::Destroyed => {
                let EntryState { descriptor, .. } = realm.entry(0, 0)?;
                realm.destroy_table(0, 1, descriptor)?;
                realm.table(0, 1)?;
            }
        }
        let table = realm.table(0, 2)?;
        let last = realm.table(GIGABYTE - TWO_MEGABYTES, PAGE_LEVEL)?;
        let ends = |level| {
            let unassigned = EntryState::unassigned(level, ripas);
            realm.expect(0, PAGE_LEVEL, unassigned)
        };
        ends(2)?;
        commands::rtt_fold(realm.rd, 0, 2)?
            .refused(error_rtt(2), "RTT_FOLD of a table with a table")?;
        realm.fold(GIGABYTE - TWO_MEGABYTES, PAGE_LEVEL, last)?;
        realm.fold(0, 2, table)?;
        ends(1)?;
        let EntryState { descriptor, .. } = realm.entry(0, 0)?;
        realm.fold(0, 1, descriptor)?;
        ends(0)?;
        realm.table(0, 1)?;
        ends(1)?;
    }
    // Mapped memory of the host in blocks of 2 MiB, made one of 1 GiB, split again.
    // Aligned to an entry of level 0, so that nothing but the level forbids the last fold.
    let (first, attributes) = (HALF_TERABYTE, 0x18 | 0xc0);
    let table = realm.table(half, 2)?;
    for index in 0..ENTRIES {
        let offset = index * TWO_MEGABYTES;
        let descriptor = (first + offset) | attributes;
        commands::map_unprotected(realm.rd, half + offset, 2, descriptor)?
            .done("MAP_UNPROTECTED")?;
    }
    realm.fold(half, 2, table)?;
    realm.expect(half, PAGE_LEVEL, EntryState::mapped(1, first | attributes))?;
    let table = realm.table(half, 2)?;
    for index in 0..ENTRIES {
        let offset = index * TWO_MEGABYTES;
        let block = EntryState::mapped(2, (first + offset) | attributes);
        realm.expect(half + offset, PAGE_LEVEL, block)?;
    }
    realm.fold(half, 2, table)?;
    // A table full of blocks of 1 GiB cannot become a block of level 0, which does not exist.
    for index in 1..ENTRIES {
        let offset = index * GIGABYTE;
        let descriptor = (first + offset) | attributes;
        commands::map_unprotected(realm.rd, half + offset, 1, descriptor)?
            .done("MAP_UNPROTECTED")?;
    }
    commands::rtt_fold(realm.rd, half, 1)?
        .refused(error_rtt(1), "RTT_FOLD to a block of level 0")?;
    realm.expect(half, 1, EntryState::mapped(1, first | attributes))?;
    realm.tear_down()
}

/// One gigabyte of a Realm's memory as one block.
pub(crate) fn fold_to_a_gigabyte_of_memory(host: &Host) -> Outcome {
    let pages = GIGABYTE / GRANULE;
    let Ok(first) = host.aligned_granules(pages, GIGABYTE) else {
        return skip!("needs a gigabyte of free memory at a multiple of a gigabyte");
    };
    let realm = Realm::new(host, Shape::USUAL)?;
    let upper = realm.table(GIGABYTE, 2)?;
    for block in 0..ENTRIES {
        let ipa = GIGABYTE + block * TWO_MEGABYTES;
        let table = realm.table(ipa, PAGE_LEVEL)?;
        for index in 0..ENTRIES {
            let offset = block * TWO_MEGABYTES + index * GRANULE;
            must_delegate(first + offset)?;
            realm.data_unknown_in(first + offset, GIGABYTE + offset)?;
        }
        realm.fold(ipa, PAGE_LEVEL, table)?;
    }
    realm.fold(GIGABYTE, 2, upper)?;
    let block = EntryState::assigned(1, first, Ripas::Empty);
    realm.expect(GIGABYTE, PAGE_LEVEL, block)?;
    realm.expect(2 * GIGABYTE - GRANULE, PAGE_LEVEL, block)?;
    let table = realm.table(GIGABYTE, 2)?;
    for index in 0..ENTRIES {
        let offset = index * TWO_MEGABYTES;
        let block = EntryState::assigned(2, first + offset, Ripas::Empty);
        realm.expect(GIGABYTE + offset, PAGE_LEVEL, block)?;
    }
    realm.fold(GIGABYTE, 2, table)?;
    realm.tear_down()
}

/// Tables of level 3 in which something is different from the rest.
pub(crate) fn not_homogeneous(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::USUAL)?;
    let half = realm.shape.half();
    realm.tables(0, 2)?;
    realm.tables(half, 2)?;
    let refused = |ipa: u64, what: &str| {
        let before = realm.entry(ipa & !(TWO_MEGABYTES - 1), 2)?;
        commands::rtt_fold(realm.rd, ipa, PAGE_LEVEL)?.refused(error_rtt(3), what)?;
        realm.expect(ipa, 2, before)
    };
    // RIPAS.
    for (block, odd) in (8..).zip([0, 1, 255, 511]) {
        let ipa = block * TWO_MEGABYTES;
        let table = realm.table(ipa, PAGE_LEVEL)?;
        realm.init_ripas(nth(ipa, odd), nth(ipa, odd + 1))?;
        refused(ipa, "RTT_FOLD with one page of RAM")?;
        realm.destroy_table(ipa, PAGE_LEVEL, table)?;
    }
    // Memory: one page missing, one page of another RIPAS.
    let ipa = TWO_MEGABYTES;
    let table = realm.table(ipa, PAGE_LEVEL)?;
    let first = block_memory(host)?;
    for index in 0..ENTRIES {
        realm.data_unknown_in(nth(first, index), nth(ipa, index))?;
    }
    for odd in [0, 1, 300, 511] {
        let (page, data) = (nth(ipa, odd), nth(first, odd));
        realm.destroy_page(page, data)?;
        refused(ipa, "RTT_FOLD with one page missing")?;
        must_delegate(data)?;
        realm.data_unknown_in(data, page)?;
    }
    let (page, data) = (nth(ipa, 300), nth(first, 300));
    realm.destroy_page(page, data)?;
    must_delegate(data)?;
    commands::data_create(realm.rd, data, page, realm.page, 0)?.done("DATA_CREATE")?;
    realm.lend(1);
    refused(ipa, "RTT_FOLD with one page of RAM")?;
    realm.destroy_page(page, data)?;
    must_delegate(data)?;
    realm.data_unknown_in(data, page)?;
    refused(ipa, "RTT_FOLD with one page destroyed")?;
    for index in 0..ENTRIES {
        realm.destroy_page(nth(ipa, index), nth(first, index))?;
        must_delegate(nth(first, index))?;
    }
    realm.destroy_table(ipa, PAGE_LEVEL, table)?;
    // Pages that are not in a row: two exchanged, all moved by one.
    let table = realm.table(ipa, PAGE_LEVEL)?;
    for index in 0..ENTRIES {
        let exchanged = match index {
            7 => 8,
            8 => 7,
            index => index,
        };
        realm.data_unknown_in(nth(first, exchanged), nth(ipa, index))?;
    }
    refused(ipa, "RTT_FOLD with two pages exchanged")?;
    for index in 0..ENTRIES {
        let EntryState { descriptor, .. } = realm.entry(nth(ipa, index), PAGE_LEVEL)?;
        realm.destroy_page(nth(ipa, index), descriptor)?;
        must_delegate(descriptor)?;
    }
    for index in 0..ENTRIES {
        realm.data_unknown_in(nth(first, (index + 1) % ENTRIES), nth(ipa, index))?;
    }
    refused(ipa, "RTT_FOLD with all pages moved round by one")?;
    for index in 0..ENTRIES {
        let EntryState { descriptor, .. } = realm.entry(nth(ipa, index), PAGE_LEVEL)?;
        realm.destroy_page(nth(ipa, index), descriptor)?;
    }
    realm.destroy_table(ipa, PAGE_LEVEL, table)?;
    // A row of pages that starts between two blocks.
    let between = host.aligned_granules(2 * ENTRIES, TWO_MEGABYTES)? + GRANULE;
    let table = realm.table(ipa, PAGE_LEVEL)?;
    for index in 0..ENTRIES {
        must_delegate(nth(between, index))?;
        realm.data_unknown_in(nth(between, index), nth(ipa, index))?;
    }
    refused(ipa, "RTT_FOLD of a row that is not aligned")?;
    for index in 0..ENTRIES {
        realm.destroy_page(nth(ipa, index), nth(between, index))?;
    }
    realm.destroy_table(ipa, PAGE_LEVEL, table)?;
    unprotected(&realm, half, &refused)?;
    realm.tear_down()
}

/// The same for mapped memory of the host.
fn unprotected(realm: &Realm, half: u64, refused: &dyn Fn(u64, &str) -> Outcome) -> Outcome {
    const FIRST: u64 = 0x7000_0000;
    const WRITE_BACK: u64 = 0x18 | 0xc0;
    let table = realm.table(half, PAGE_LEVEL)?;
    let map = |index, descriptor| {
        commands::map_unprotected(realm.rd, nth(half, index), PAGE_LEVEL, descriptor)?
            .done("MAP_UNPROTECTED")
    };
    for index in 0..ENTRIES {
        map(index, nth(FIRST, index) | WRITE_BACK)?;
    }
    for odd in [0, 1, 300, 511] {
        let right = nth(FIRST, odd) | WRITE_BACK;
        for (wrong, what) in [
            (None, "RTT_FOLD with one page unmapped"),
            (Some(right + GRANULE), "RTT_FOLD with one page elsewhere"),
            (
                Some(right ^ 1 << 2),
                "RTT_FOLD with other memory attributes",
            ),
            (Some(right ^ 1 << 7), "RTT_FOLD with other permissions"),
        ] {
            commands::unmap_unprotected(realm.rd, nth(half, odd), PAGE_LEVEL)?
                .done("UNMAP_UNPROTECTED")?;
            if let Some(wrong) = wrong {
                map(odd, wrong)?;
            }
            refused(half, what)?;
            if wrong.is_some() {
                commands::unmap_unprotected(realm.rd, nth(half, odd), PAGE_LEVEL)?
                    .done("UNMAP_UNPROTECTED")?;
            }
            map(odd, right)?;
        }
    }
    realm.fold(half, PAGE_LEVEL, table)?;
    realm.expect(half, PAGE_LEVEL, EntryState::mapped(2, FIRST | WRITE_BACK))?;
    commands::unmap_unprotected(realm.rd, half, 2)?.done("UNMAP_UNPROTECTED of a block")?;
    // In a row, but not aligned to a block.
    let table = realm.table(half, PAGE_LEVEL)?;
    for index in 0..ENTRIES {
        map(index, nth(FIRST + GRANULE, index) | WRITE_BACK)?;
    }
    refused(half, "RTT_FOLD of a row that is not aligned")?;
    realm.destroy_table(half, PAGE_LEVEL, table).map(|_| ())
}
