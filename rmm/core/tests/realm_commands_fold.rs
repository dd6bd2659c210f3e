//! `RMI_RTT_FOLD` and its inverse, `RMI_RTT_CREATE` at an entry that says something, in every state of
//! the entries. Blocks of a Realm's own memory are in `realm_translations`.
#![allow(missing_docs)]

use fake_machine::{Bench, Memory, PAGE, realm_params};
use rmm_abi::rmi::fid;

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 64;

const LEVEL_2: u64 = 0x20_0000;
const LEVEL_1: u64 = 0x4000_0000;
const LEVEL_0: u64 = 0x80_0000_0000;

/// `RMI_ERROR_RTT` at a level.
const fn error_rtt(level: u64) -> u64 {
    level << 8 | 4
}

/// First address of the unprotected half of Realms with 40 bits.
const MIDDLE: u64 = 1 << 39;

/// Unfolding and folding without memory, in each state, at each level.
#[test]
fn fold_and_unfold_without_memory() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(48, 0, 1));
    let rtt = bench.delegated();
    let second = bench.delegated();
    let third = bench.delegated();
    let fold_and_unfold = |bench: &mut Bench<'_>, ipa: u64, ripas: u64| {
        for (level, table) in [(1, rtt), (2, second), (3, third)] {
            bench.succeed(fid::RTT_CREATE, &[rd, table, ipa, level]);
            for index in [0, 511] {
                let entry = ipa + index * (LEVEL_0 >> (9 * level));
                let expected = [level, 0, 0, ripas];
                let read = [rd, entry, level];
                assert_eq!(bench.succeed(fid::RTT_READ_ENTRY, &read), expected);
            }
        }
        for (level, table) in [(3, third), (2, second), (1, rtt)] {
            assert_eq!(bench.succeed(fid::RTT_FOLD, &[rd, ipa, level])[0], table);
            assert_eq!(
                bench.succeed(fid::RTT_READ_ENTRY, &[rd, ipa, 3]),
                [level - 1, 0, 0, ripas]
            );
        }
    };
    fold_and_unfold(&mut bench, 0, 0);
    fold_and_unfold(&mut bench, 1 << 47, 0);
    bench.succeed(fid::RTT_INIT_RIPAS, &[rd, 0, LEVEL_0]);
    fold_and_unfold(&mut bench, 0, 1);
    bench.succeed(fid::RTT_CREATE, &[rd, rtt, 0, 1]);
    bench.succeed(fid::RTT_DESTROY, &[rd, 0, 1]);
    fold_and_unfold(&mut bench, 0, 2);
}

#[test]
fn one_page_that_differs_is_enough_against_folding() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    for ipa in [0, LEVEL_2 - PAGE, 0x8000] {
        bench.tables(rd, 0, 3);
        bench.succeed(fid::RTT_INIT_RIPAS, &[rd, ipa, ipa + PAGE]);
        bench.fail(error_rtt(3), fid::RTT_FOLD, &[rd, 0, 3], "another RIPAS");
        bench.succeed(fid::RTT_DESTROY, &[rd, 0, 3]);
    }
    bench.tables(rd, MIDDLE, 3);
    for ipa in [MIDDLE, MIDDLE + LEVEL_2 - PAGE] {
        bench.succeed(fid::RTT_MAP_UNPROTECTED, &[rd, ipa, 3, 0x4000_00d8]);
        bench.fail(error_rtt(3), fid::RTT_FOLD, &[rd, MIDDLE, 3], "a mapping");
        bench.succeed(fid::RTT_UNMAP_UNPROTECTED, &[rd, ipa, 3]);
    }
    bench.succeed(fid::RTT_FOLD, &[rd, MIDDLE, 3]);
}

/// The host's memory: folded when contiguous, aligned, and of one kind.
#[test]
fn fold_and_unfold_of_the_hosts_memory() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm).quick();
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, MIDDLE, 3);
    let map = fid::RTT_MAP_UNPROTECTED;
    let fill = |bench: &mut Bench<'_>, level: u64, size: u64, first: u64| {
        for index in 0..512 {
            let descriptor = first + index * size;
            bench.succeed(map, &[rd, MIDDLE + index * size, level, descriptor]);
        }
    };
    let replace = |bench: &mut Bench<'_>, index: u64, descriptor: u64| {
        let ipa = MIDDLE + index * PAGE;
        bench.succeed(fid::RTT_UNMAP_UNPROTECTED, &[rd, ipa, 3]);
        bench.succeed(map, &[rd, ipa, 3, descriptor]);
    };
    let address = 0x1_4000_0000;
    fill(&mut bench, 3, PAGE, address | 0xd8);
    for (index, descriptor, why) in [
        (7, (address + 7 * PAGE) | 0x58, "other permissions"),
        (0, address | 0xc8, "other memory attributes"),
        (511, (address + 510 * PAGE) | 0xd8, "not contiguous"),
        (1, (address + 2 * PAGE) | 0xd8, "not contiguous"),
    ] {
        replace(&mut bench, index, descriptor);
        bench.fail(error_rtt(3), fid::RTT_FOLD, &[rd, MIDDLE, 3], why);
        replace(&mut bench, index, (address + index * PAGE) | 0xd8);
    }
    // The walk remembers pages, and must not know them any more when they are a block.
    for page in 0..512 {
        bench.translate(rd, MIDDLE + page * PAGE);
    }
    let [table, ..] = bench.succeed(fid::RTT_FOLD, &[rd, MIDDLE, 3]);
    let entry = bench.succeed(fid::RTT_READ_ENTRY, &[rd, MIDDLE, 3]);
    assert_eq!(entry, [2, 1, address | 0xd8, 0]);
    assert_eq!(bench.translate(rd, MIDDLE + 0x1234).unwrap().size, LEVEL_2);
    bench.succeed(fid::RTT_CREATE, &[rd, table, MIDDLE, 3]);
    assert_eq!(bench.translate(rd, MIDDLE + 0x1234).unwrap().size, PAGE);
    bench.check_tables();
    bench.succeed(fid::RTT_FOLD, &[rd, MIDDLE, 3]);

    // Not aligned: never a block.
    bench.succeed(fid::RTT_CREATE, &[rd, table, MIDDLE, 3]);
    for index in 0..512 {
        replace(&mut bench, index, (address + (index + 1) * PAGE) | 0xd8);
    }
    bench.fail(error_rtt(3), fid::RTT_FOLD, &[rd, MIDDLE, 3], "not aligned");
    bench.succeed(fid::RTT_DESTROY, &[rd, MIDDLE, 3]);

    // And a level up.
    fill(&mut bench, 2, LEVEL_2, address | 0xc0);
    bench.translate(rd, MIDDLE);
    bench.succeed(fid::RTT_FOLD, &[rd, MIDDLE, 2]);
    assert_eq!(bench.translate(rd, MIDDLE + 0x1234).unwrap().size, LEVEL_1);
    let rtt = bench.delegated();
    bench.succeed(fid::RTT_CREATE, &[rd, rtt, MIDDLE, 2]);
    bench.check_tables();
    bench.succeed(fid::RTT_FOLD, &[rd, MIDDLE, 2]);
    bench.succeed(fid::RTT_UNMAP_UNPROTECTED, &[rd, MIDDLE, 1]);
}

/// Level 0 has no blocks, so a table of level 1 that is all one mapping stays.
#[test]
fn no_blocks_at_level_0() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm).quick();
    let rd = bench.realm(&realm_params(48, 0, 1));
    let middle = 1 << 47;
    bench.tables(rd, middle, 1);
    for index in 0..512 {
        let arguments = [rd, middle + index * LEVEL_1, 1, (index * LEVEL_1) | 0xd8];
        bench.succeed(fid::RTT_MAP_UNPROTECTED, &arguments);
    }
    bench.fail(
        error_rtt(1),
        fid::RTT_FOLD,
        &[rd, middle, 1],
        "no blocks at level 0",
    );
}
