//! `RMI_RTT_MAP_UNPROTECTED` and `RMI_RTT_UNMAP_UNPROTECTED`: every success and every failure
//! condition. The bench holds each reply against the model, and sees to it that a call that fails
//! changes nothing.
#![allow(missing_docs)]

use fake_machine::{Bench, Memory, PAGE, realm_params};
use rmm_abi::rmi::fid;

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 64;

const ERROR_INPUT: u64 = 1;
const MAP: u64 = fid::RTT_MAP_UNPROTECTED;
const UNMAP: u64 = fid::RTT_UNMAP_UNPROTECTED;

const LEVEL_2: u64 = 0x20_0000;
const LEVEL_1: u64 = 0x4000_0000;
const MIDDLE: u64 = 1 << 39;
/// Normal write-back, read and write, at an address where there is no DRAM.
const DESCRIPTOR: u64 = 0x1_0000_0000 | 0xd8;

/// `RMI_ERROR_RTT` at a level.
const fn error_rtt(level: u64) -> u64 {
    level << 8 | 4
}

#[test]
fn what_cannot_be_mapped() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, MIDDLE, 3);
    let (delegated, undelegated) = (bench.delegated(), bench.host_granule());
    let table = bench.world().realm(rd).unwrap().shape.start_tables[0];
    let mut check = |descriptor_granule, ipa, level, why: &str| {
        let arguments = [descriptor_granule, ipa, level, DESCRIPTOR];
        bench.fail(ERROR_INPUT, MAP, &arguments, why);
        bench.fail(ERROR_INPUT, UNMAP, &arguments[..3], why);
    };
    for (granule, why) in [
        (rd + 8, "misaligned"),
        (0, "outside of DRAM"),
        (u64::MAX, "all ones"),
        (delegated, "delegated"),
        (undelegated, "the host's"),
        (table, "a table"),
    ] {
        check(granule, MIDDLE, 3, why);
    }
    for (level, why) in [
        (0, "no blocks at level 0"),
        (u64::MAX, "level -1"),
        (4, "below the pages"),
        (3 | 1 << 32, "level beyond 32 bits"),
        (0x103, "level beyond 8 bits"),
        (1 << 63 | 1, "lowest level"),
    ] {
        check(rd, MIDDLE, level, why);
        // Before the walk.
        check(rd, MIDDLE + 4 * LEVEL_1, level, why);
    }
    for (ipa, why) in [
        (0, "protected"),
        (MIDDLE - LEVEL_1, "the end of the protected half"),
        (2 * MIDDLE, "beyond the address space"),
        (1 << 52 | MIDDLE, "beyond all addresses"),
        (1 << 63, "negative"),
        (0_u64.wrapping_sub(LEVEL_1), "the end of all addresses"),
    ] {
        for level in [1, 2, 3] {
            check(rd, ipa, level, why);
        }
    }
    check(rd, MIDDLE + 8, 3, "misaligned");
    check(rd, MIDDLE + PAGE, 2, "not of a level 2 entry");
    check(rd, MIDDLE + LEVEL_2, 1, "not of a level 1 entry");
    bench.succeed(MAP, &[rd, MIDDLE, 3, DESCRIPTOR]);
}

#[test]
fn level_1_of_a_realm_that_starts_at_level_2() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(32, 2, 4));
    let middle = 1 << 31;
    bench.fail(
        ERROR_INPUT,
        MAP,
        &[rd, middle, 1, DESCRIPTOR],
        "above the start level",
    );
    bench.fail(
        ERROR_INPUT,
        UNMAP,
        &[rd, middle, 1],
        "above the start level",
    );
    bench.succeed(MAP, &[rd, middle, 2, DESCRIPTOR]);
    assert_eq!(bench.translate(rd, middle).unwrap().size, LEVEL_2);
    bench.succeed(UNMAP, &[rd, middle, 2]);
}

#[test]
fn bits_that_are_not_the_hosts() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, MIDDLE, 3);
    let table_2 = MIDDLE + LEVEL_2;
    let table_1 = MIDDLE + LEVEL_1;
    for (level, ipa, lowest) in [(3, MIDDLE, 12), (2, table_2, 21), (1, table_1, 30)] {
        for bit in 0..64 {
            let descriptor = 1 << bit;
            let is_the_hosts = matches!(bit, 2 | 3 | 6 | 7) || (lowest..48).contains(&bit);
            if is_the_hosts {
                bench.succeed(MAP, &[rd, ipa, level, descriptor]);
                assert_eq!(
                    bench.succeed(fid::RTT_READ_ENTRY, &[rd, ipa, level])[2],
                    descriptor
                );
                bench.translate(rd, ipa);
                bench.succeed(UNMAP, &[rd, ipa, level]);
            } else {
                let why = format!("bit {bit} at level {level}");
                bench.fail(ERROR_INPUT, MAP, &[rd, ipa, level, descriptor], &why);
            }
        }
        // All memory attributes but the reserved one.
        for attributes in 0..8 {
            let arguments = [rd, ipa, level, attributes << 2 | 0xc0];
            if attributes == 4 {
                bench.fail(ERROR_INPUT, MAP, &arguments, "reserved");
            } else {
                bench.succeed(MAP, &arguments);
                bench.succeed(UNMAP, &arguments[..3]);
            }
        }
    }
}

#[test]
fn walks_that_end_early_and_entries_in_another_state() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(48, 0, 1));
    let ipa = (1 << 47) + 3 * LEVEL_1 + LEVEL_2 + PAGE;
    for level in 0..3_u64 {
        bench.fail(error_rtt(level), MAP, &[rd, ipa, 3, DESCRIPTOR], "no table");
        let [_, top, ..] = bench.call(UNMAP, &[rd, ipa, 3]);
        let size = 1 << (48 - 9 * level);
        assert_eq!(
            top,
            (ipa & !(size - 1)) + size,
            "nothing in all of the table"
        );
        bench.tables(rd, ipa, i64::try_from(level).unwrap() + 1);
    }
    bench.fail(error_rtt(3), UNMAP, &[rd, ipa, 3], "not mapped");
    bench.succeed(MAP, &[rd, ipa, 3, DESCRIPTOR]);
    bench.fail(
        error_rtt(3),
        MAP,
        &[rd, ipa, 3, DESCRIPTOR],
        "mapped already",
    );
    // A table is no mapping.
    let block = ipa & !(LEVEL_2 - 1);
    bench.fail(error_rtt(2), MAP, &[rd, block, 2, DESCRIPTOR], "a table");
    let [x0, top, ..] = bench.call(UNMAP, &[rd, block, 2]);
    assert_eq!((x0, top), (error_rtt(2), block), "the table is in the way");
    // A block above the level that was asked for.
    let block = block + LEVEL_2;
    bench.succeed(MAP, &[rd, block, 2, DESCRIPTOR]);
    bench.fail(error_rtt(2), MAP, &[rd, block, 3, DESCRIPTOR], "a block");
    let [x0, top, ..] = bench.call(UNMAP, &[rd, block + 5 * PAGE, 3]);
    assert_eq!((x0, top), (error_rtt(2), block), "the block is in the way");
}

#[test]
fn map_and_unmap_in_every_state_of_the_realm() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, MIDDLE, 3);
    for active in [false, true] {
        if active {
            bench.succeed(fid::REALM_ACTIVATE, &[rd]);
        }
        // Even what is not the host's: the granule protection check is what protects it.
        for output in [0x1_0000_0000, rd, BASE, 0] {
            let publications = memory.publications();
            bench.succeed(MAP, &[rd, MIDDLE, 3, output | 0x48]);
            assert!(memory.publications() > publications, "MMUs are not told");
            let leaf = bench.translate(rd, MIDDLE).unwrap();
            assert!(leaf.non_secure);
            assert_eq!((leaf.output, leaf.attributes), (output, 0x48));
            let [top, ..] = bench.succeed(UNMAP, &[rd, MIDDLE, 3]);
            assert_eq!(top, MIDDLE + LEVEL_2);
            assert_eq!(bench.translate(rd, MIDDLE), None);
        }
    }
    // The last address of all, and what follows tells where to go on.
    let last = 2 * MIDDLE - LEVEL_1;
    bench.succeed(MAP, &[rd, last, 1, 0x4000_00d8]);
    bench.succeed(MAP, &[rd, MIDDLE + PAGE, 3, DESCRIPTOR]);
    bench.succeed(MAP, &[rd, MIDDLE, 3, DESCRIPTOR]);
    assert_eq!(bench.succeed(UNMAP, &[rd, MIDDLE, 3])[0], MIDDLE + PAGE);
    assert_eq!(bench.succeed(UNMAP, &[rd, last, 1])[0], 2 * MIDDLE);
}
