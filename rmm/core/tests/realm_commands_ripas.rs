//! `RMI_RTT_INIT_RIPAS` and `RMI_RTT_SET_RIPAS`: every success and every failure condition that can be
//! had without a Realm that runs. The bench holds each reply against the model, and sees to it that
//! a call that fails changes nothing.
#![allow(missing_docs)]

use fake_machine::{Bench, Memory, PAGE, realm_params};
use rmm_abi::rmi::fid;

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 64;

const ERROR_INPUT: u64 = 1;
const ERROR_REALM: u64 = 2;
const ERROR_REC: u64 = 3;
const INIT: u64 = fid::RTT_INIT_RIPAS;
const SET: u64 = fid::RTT_SET_RIPAS;

const LEVEL_2: u64 = 0x20_0000;
const LEVEL_1: u64 = 0x4000_0000;
const MIDDLE: u64 = 1 << 39;

/// `RMI_ERROR_RTT` at a level.
const fn error_rtt(level: u64) -> u64 {
    level << 8 | 4
}

#[test]
fn init_ranges_that_cannot_be() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    let (delegated, undelegated) = (bench.delegated(), bench.host_granule());
    for (granule, why) in [
        (rd + 8, "misaligned"),
        (0, "outside of DRAM"),
        (u64::MAX, "all ones"),
        (delegated, "delegated"),
        (undelegated, "the host's"),
    ] {
        bench.fail(ERROR_INPUT, INIT, &[granule, 0, PAGE], why);
    }
    for (base, top, why) in [
        (0, 0, "nothing"),
        (PAGE, PAGE, "nothing"),
        (2 * PAGE, PAGE, "backwards"),
        (u64::MAX - 0xfff, 0, "wraps"),
        (u64::MAX, 0, "wraps"),
        (0, 1, "top is not of a granule"),
        (0, PAGE + 8, "top is not of a granule"),
        (0, 0xfff, "top is not of a granule"),
        (MIDDLE, MIDDLE + PAGE, "unprotected"),
        (MIDDLE - PAGE, MIDDLE + PAGE, "ends in the unprotected half"),
        (0, MIDDLE + PAGE, "ends in the unprotected half"),
        (0, !0xfff, "ends at the end of all addresses"),
        (0, u64::MAX, "ends at the end of all addresses"),
        (2 * MIDDLE, 2 * MIDDLE + PAGE, "beyond the address space"),
        (0, 1 << 63, "beyond all addresses"),
    ] {
        bench.fail(ERROR_INPUT, INIT, &[rd, base, top], why);
    }
    for base in [1, 8, 0xfff, PAGE + 1] {
        bench.fail(
            error_rtt(3),
            INIT,
            &[rd, base, 4 * PAGE],
            "base is not of a page",
        );
    }
    for base in [LEVEL_2 + PAGE, LEVEL_2 + 8] {
        bench.fail(
            error_rtt(2),
            INIT,
            &[rd, base, 2 * LEVEL_2],
            "base is not of an entry",
        );
    }
    for base in [LEVEL_1 + LEVEL_2, LEVEL_1 + PAGE] {
        bench.fail(
            error_rtt(1),
            INIT,
            &[rd, base, 2 * LEVEL_1],
            "base is not of an entry",
        );
    }
    bench.fail(
        error_rtt(2),
        INIT,
        &[rd, LEVEL_2, 2 * LEVEL_2 - PAGE],
        "no progress",
    );
    bench.fail(
        error_rtt(1),
        INIT,
        &[rd, LEVEL_1, LEVEL_1 + LEVEL_2],
        "no progress",
    );
    // The top before the progress.
    bench.fail(
        ERROR_INPUT,
        INIT,
        &[rd, LEVEL_2, LEVEL_2 + 8],
        "top is not of a granule",
    );
    bench.data(rd, 0);
    bench.fail(error_rtt(3), INIT, &[rd, 0, PAGE], "assigned already");
    bench.succeed(fid::REALM_ACTIVATE, &[rd]);
    bench.fail(ERROR_REALM, INIT, &[rd, PAGE, 2 * PAGE], "active");
    // The descriptor before everything about the Realm.
    bench.fail(ERROR_INPUT, INIT, &[delegated, 0, PAGE], "no descriptor");
}

#[test]
fn init_goes_as_far_as_it_gets() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    let out_top = |bench: &mut Bench<'_>, base, top| bench.succeed(INIT, &[rd, base, top])[0];
    // Blocks of level 1, to the last whole one and to the end of the protected half.
    assert_eq!(out_top(&mut bench, 0, 3 * LEVEL_1 + LEVEL_2), 3 * LEVEL_1);
    assert_eq!(out_top(&mut bench, MIDDLE - LEVEL_1, MIDDLE), MIDDLE);
    // A table stops it, and the end of a table does.
    bench.tables(rd, 4 * LEVEL_1, 3);
    assert_eq!(out_top(&mut bench, 3 * LEVEL_1, 6 * LEVEL_1), 4 * LEVEL_1);
    let base = 4 * LEVEL_1;
    assert_eq!(
        out_top(&mut bench, base, base + 4 * LEVEL_2),
        base + LEVEL_2
    );
    assert_eq!(
        out_top(&mut bench, base + LEVEL_2, base + 2 * LEVEL_1),
        base + LEVEL_1
    );
    bench.check_tables();
    // Again: it is RAM already, and is measured again.
    let before = bench.world().realm(rd).unwrap().rim;
    assert_eq!(out_top(&mut bench, base, base + PAGE), base + PAGE);
    assert_ne!(bench.world().realm(rd).unwrap().rim, before);
    // What was destroyed can be had back while the Realm is being built.
    bench.succeed(fid::RTT_DESTROY, &[rd, base, 3]);
    assert_eq!(bench.succeed(fid::RTT_READ_ENTRY, &[rd, base, 2])[3], 2);
    assert_eq!(out_top(&mut bench, base, base + LEVEL_2), base + LEVEL_2);
    bench.check_tables();
}

#[test]
fn init_of_a_range_with_memory_in_it() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    bench.data(rd, 2 * PAGE);
    let (data, source) = (bench.delegated(), bench.host_granule());
    bench.succeed(fid::DATA_CREATE, &[rd, data, 4 * PAGE, source, 1]);
    // What the RMM makes of memory that is there is the model's to say; see `docs`.
    bench.succeed(INIT, &[rd, 0, LEVEL_2]);
    bench.check_tables();
}

#[test]
fn set_without_a_request() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    let mut other = realm_params(40, 1, 2);
    other.vmid = 1;
    let other = bench.realm(&other);
    bench.tables(rd, 0, 3);
    let rec = bench.rec(rd, true);
    let table = bench.world().realm(rd).unwrap().shape.start_tables[0];
    let aux = bench.world().recs().next().unwrap().1.aux[0];
    let (delegated, undelegated) = (bench.delegated(), bench.host_granule());
    for active in [false, true] {
        if active {
            bench.succeed(fid::REALM_ACTIVATE, &[rd]);
        }
        for (granule, why) in [
            (rd + 8, "misaligned"),
            (0, "outside of DRAM"),
            (u64::MAX, "all ones"),
            (delegated, "delegated"),
            (undelegated, "the host's"),
            (table, "a table"),
            (aux, "an auxiliary granule"),
        ] {
            bench.fail(ERROR_INPUT, SET, &[granule, rec, 0, PAGE], why);
            bench.fail(ERROR_INPUT, SET, &[rd, granule, 0, PAGE], why);
        }
        bench.fail(ERROR_INPUT, SET, &[rec, rd, 0, PAGE], "the wrong way round");
        bench.fail(ERROR_INPUT, SET, &[rd, rd, 0, PAGE], "REC = descriptor");
        bench.fail(ERROR_INPUT, SET, &[rec, rec, 0, PAGE], "descriptor = REC");
        bench.fail(
            ERROR_REC,
            SET,
            &[other, rec, 0, PAGE],
            "another Realm's REC",
        );
        for (base, top, why) in [
            (0, 0, "nothing"),
            (0, PAGE, "nothing was asked for"),
            (PAGE, 2 * PAGE, "nothing was asked for"),
            (2 * PAGE, PAGE, "backwards"),
            (0, 8, "top is not of a granule"),
            (8, PAGE, "base is not of a page"),
            (LEVEL_1 + PAGE, 2 * LEVEL_1, "base is not of an entry"),
            (0, u64::MAX, "all there is"),
            (MIDDLE, MIDDLE + PAGE, "unprotected"),
            (1 << 63, !0xfff, "beyond all addresses"),
        ] {
            bench.fail(ERROR_INPUT, SET, &[rd, rec, base, top], why);
        }
    }
}
