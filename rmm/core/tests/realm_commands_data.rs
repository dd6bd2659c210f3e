//! `RMI_DATA_CREATE`, `RMI_DATA_CREATE_UNKNOWN`, `RMI_DATA_DESTROY`: every success and every failure
//! condition. The bench holds each reply against the model, and sees to it that a call that fails
//! changes nothing.
#![allow(missing_docs)]

use fake_machine::{Bench, Memory, Owner, PAGE, WORDS_PER_GRANULE, realm_params};
use rmm_abi::rmi::fid;

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 64;

const ERROR_INPUT: u64 = 1;
const ERROR_REALM: u64 = 2;

/// `RMI_ERROR_RTT` at a level.
const fn error_rtt(level: u64) -> u64 {
    level << 8 | 4
}

/// First address of the unprotected half of the Realms here.
const MIDDLE: u64 = 1 << 39;

fn no_granules() -> Vec<(u64, &'static str)> {
    vec![
        (BASE + 8, "misaligned"),
        (0, "outside of DRAM"),
        (BASE + GRANULES * PAGE, "just above DRAM"),
        (BASE | 1 << 52, "beyond all addresses"),
        (u64::MAX, "all ones"),
    ]
}

/// Addresses that are in no Realm's protected half, or not of a page.
const NO_PAGES: [(u64, &str); 8] = [
    (8, "misaligned"),
    (0xfff, "misaligned"),
    (MIDDLE, "unprotected"),
    (2 * MIDDLE - PAGE, "the last unprotected page"),
    (2 * MIDDLE, "beyond the address space"),
    (1 << 52, "beyond all addresses"),
    (1 << 63, "negative"),
    (u64::MAX - 0xfff, "the last page"),
];

#[test]
fn data_create_granules_that_cannot_be_used() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    let rec = bench.rec(rd, true);
    let in_use = bench.data(rd, 0x5000);
    let table = bench.world().realm(rd).unwrap().shape.start_tables[0];
    let (data, source) = (bench.delegated(), bench.host_granule());
    let undelegated = bench.host_granule();
    let create = fid::DATA_CREATE;
    let unknown = fid::DATA_CREATE_UNKNOWN;
    for (address, why) in no_granules() {
        bench.fail(ERROR_INPUT, create, &[address, data, 0, source, 0], why);
        bench.fail(ERROR_INPUT, create, &[rd, address, 0, source, 0], why);
        bench.fail(ERROR_INPUT, create, &[rd, data, 0, address, 0], why);
        bench.fail(ERROR_INPUT, unknown, &[address, data, 0], why);
        bench.fail(ERROR_INPUT, unknown, &[rd, address, 0], why);
    }
    for (granule, why) in [
        (rd, "data = descriptor"),
        (table, "data = table"),
        (rec, "data = REC"),
        (in_use, "data = data"),
        (source, "data = source"),
        (undelegated, "data is the host's"),
    ] {
        bench.fail(ERROR_INPUT, create, &[rd, granule, 0, source, 0], why);
        bench.fail(ERROR_INPUT, unknown, &[rd, granule, 0], why);
    }
    for (granule, why) in [
        (data, "descriptor = data"),
        (table, "descriptor = table"),
        (rec, "descriptor = REC"),
        (source, "descriptor = source"),
    ] {
        bench.fail(ERROR_INPUT, create, &[granule, data, 0, source, 0], why);
        bench.fail(ERROR_INPUT, unknown, &[granule, data, 0], why);
    }
    for (granule, why) in [
        (data, "source = data"),
        (rd, "source = descriptor"),
        (table, "source = table"),
        (in_use, "source = memory of the Realm"),
    ] {
        bench.fail(ERROR_INPUT, create, &[rd, data, 0, granule, 0], why);
    }
    for (ipa, why) in NO_PAGES {
        bench.fail(ERROR_INPUT, create, &[rd, data, ipa, source, 0], why);
        bench.fail(ERROR_INPUT, unknown, &[rd, data, ipa], why);
        bench.fail(ERROR_INPUT, fid::DATA_DESTROY, &[rd, ipa], why);
    }
    for flags in [2, 3, 1 << 32, 1 << 63, u64::MAX] {
        bench.fail(ERROR_INPUT, create, &[rd, data, 0, source, flags], "flags");
    }
    bench.succeed(create, &[rd, data, 0, source, 0]);
}

#[test]
fn walks_that_end_early() {
    // Four levels, so that a walk can end at any of them.
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(48, 0, 1));
    let (data, source) = (bench.delegated(), bench.host_granule());
    let ipa = 0x40_3000;
    for level in 0..3_u64 {
        let code = error_rtt(level);
        let why = "no page table";
        bench.fail(code, fid::DATA_CREATE, &[rd, data, ipa, source, 1], why);
        bench.fail(code, fid::DATA_CREATE_UNKNOWN, &[rd, data, ipa], why);
        let [_, x1, x2, ..] = bench.call(fid::DATA_DESTROY, &[rd, ipa]);
        assert_eq!(
            (x1, x2),
            (0, 512 << (39 - 9 * level)),
            "all of the table is clear"
        );
        bench.tables(rd, ipa, i64::try_from(level).unwrap() + 1);
    }
    // A table in the way is where the host has to go on.
    bench.fail(error_rtt(3), fid::DATA_DESTROY, &[rd, ipa], "unassigned");
    let [_, _, top, ..] = bench.call(fid::DATA_DESTROY, &[rd, 0x1000]);
    assert_eq!(top, 0x40_0000, "up to the next table");
    bench.succeed(fid::DATA_CREATE, &[rd, data, ipa, source, 1]);
    let other = bench.delegated();
    let why = "assigned already";
    bench.fail(
        error_rtt(3),
        fid::DATA_CREATE,
        &[rd, other, ipa, source, 1],
        why,
    );
    bench.fail(
        error_rtt(3),
        fid::DATA_CREATE_UNKNOWN,
        &[rd, other, ipa],
        why,
    );
}

/// What the specification has come first comes first.
#[test]
fn order_of_conditions() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    let (data, source) = (bench.delegated(), bench.host_granule());
    // Unprotected, with and without a mapping, and the tables do not reach it.
    for prepare in [false, true] {
        if prepare {
            bench.tables(rd, MIDDLE, 3);
            bench.succeed(fid::RTT_MAP_UNPROTECTED, &[rd, MIDDLE, 3, 0x4000_00d8]);
        }
        let why = "unprotected before the walk";
        bench.fail(
            ERROR_INPUT,
            fid::DATA_CREATE,
            &[rd, data, MIDDLE, source, 0],
            why,
        );
        bench.fail(
            ERROR_INPUT,
            fid::DATA_CREATE_UNKNOWN,
            &[rd, data, MIDDLE],
            why,
        );
        bench.fail(ERROR_INPUT, fid::DATA_DESTROY, &[rd, MIDDLE], why);
    }
    bench.succeed(fid::REALM_ACTIVATE, &[rd]);
    let why = "the descriptor before the Realm's state and the walk";
    bench.fail(
        ERROR_INPUT,
        fid::DATA_CREATE,
        &[data, data, 0, source, 0],
        why,
    );
    bench.fail(
        ERROR_INPUT,
        fid::DATA_CREATE_UNKNOWN,
        &[source, data, 0],
        why,
    );
    bench.fail(ERROR_INPUT, fid::DATA_DESTROY, &[data, 0], why);
    let why = "active";
    bench.fail(
        ERROR_REALM,
        fid::DATA_CREATE,
        &[rd, data, 0, source, 0],
        why,
    );
}

#[test]
fn every_ripas_on_the_way_through_a_page() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    let read = |bench: &mut Bench<'_>, ipa| {
        let [level, state, descriptor, ripas] = bench.succeed(fid::RTT_READ_ENTRY, &[rd, ipa, 3]);
        assert_eq!(level, 3);
        (state, descriptor, ripas)
    };
    // Empty memory is not there for the Realm, and stays empty when it goes.
    let empty = bench.data(rd, 0);
    assert_eq!(read(&mut bench, 0), (1, empty, 0));
    assert_eq!(bench.translate(rd, 0), None);
    let [data, top, ..] = bench.succeed(fid::DATA_DESTROY, &[rd, 0]);
    assert_eq!((data, top), (empty, 0x20_0000));
    assert_eq!(read(&mut bench, 0), (0, 0, 0));

    // RAM is there, and is destroyed when it goes.
    bench.succeed(fid::RTT_INIT_RIPAS, &[rd, 0x1000, 0x3000]);
    let ram = bench.data(rd, 0x1000);
    assert_eq!(read(&mut bench, 0x1000), (1, ram, 1));
    assert_eq!(
        bench.translate(rd, 0x1000).map(|leaf| leaf.output),
        Some(ram)
    );
    let [data, top, ..] = bench.succeed(fid::DATA_DESTROY, &[rd, 0x1000]);
    assert_eq!((data, top), (ram, 0x20_0000));
    assert_eq!(read(&mut bench, 0x1000), (0, 0, 2));
    assert_eq!(bench.translate(rd, 0x1000), None);

    // Destroyed memory does not come back by itself, and stays destroyed.
    let destroyed = bench.data(rd, 0x1000);
    assert_eq!(read(&mut bench, 0x1000), (1, destroyed, 2));
    assert_eq!(bench.translate(rd, 0x1000), None);
    bench.succeed(fid::DATA_DESTROY, &[rd, 0x1000]);
    assert_eq!(read(&mut bench, 0x1000), (0, 0, 2));

    // Content from the host is RAM, whatever was there before.
    for ipa in [0, 0x1000, 0x2000] {
        let (data, source) = (bench.delegated(), bench.host_granule());
        bench.succeed(fid::DATA_CREATE, &[rd, data, ipa, source, 1]);
        assert_eq!(read(&mut bench, ipa), (1, data, 1));
        assert_eq!(bench.translate(rd, ipa).map(|leaf| leaf.output), Some(data));
    }
    // The next obstacle is where the host goes on.
    bench.succeed(fid::REALM_ACTIVATE, &[rd]);
    assert_eq!(bench.succeed(fid::DATA_DESTROY, &[rd, 0x1000])[1], 0x2000);
    assert_eq!(bench.succeed(fid::DATA_DESTROY, &[rd, 0])[1], 0x2000);
}

#[test]
fn what_a_realm_finds_in_a_page() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    let source = bench.host_granule();
    bench.fill(source, 1);
    let (first, second) = (bench.host_granule(), bench.host_granule());
    for granule in [first, second] {
        // What the host leaves behind must not be found by the Realm.
        bench.fill(granule, 2);
        bench.succeed(fid::GRANULE_DELEGATE, &[granule]);
    }
    let publications = memory.publications();
    bench.succeed(fid::DATA_CREATE, &[rd, first, 0, source, 0]);
    assert_eq!(bench.bytes(first), bench.bytes(source));
    bench.succeed(fid::DATA_CREATE_UNKNOWN, &[rd, second, 0x1000]);
    assert_eq!(bench.bytes(second), [0; 0x1000]);
    assert!(
        memory.publications() >= publications + 2,
        "MMUs are not told"
    );
    // And the other way round.
    for (ipa, granule) in [(0, first), (0x1000, second)] {
        bench.succeed(fid::DATA_DESTROY, &[rd, ipa]);
        bench.succeed(fid::GRANULE_UNDELEGATE, &[granule]);
        for word in 0..WORDS_PER_GRANULE {
            assert_eq!(memory.host_read(granule, word), Ok(0));
        }
    }
}

/// The source goes to another world before the copy, or in the middle of it.
#[test]
fn data_create_with_a_source_that_goes_away() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    let (data, source) = (bench.delegated(), bench.host_granule());
    bench.fill(source, 5);
    let cpu = memory.cpu(1);
    for when in [0, 1, 300, 511] {
        let before = memory.snapshot();
        memory.on_host_read(move |memory, address, word| {
            if (address, word) == (source, when) {
                memory.set_owner(source, Owner::Secure);
            }
        });
        let reply = cpu.call(&rmm, &[fid::DATA_CREATE, rd, data, 0, source, 1, 0, 0]);
        memory.clear_host_read();
        assert_eq!(reply, [ERROR_INPUT, 0, 0, 0, source]);
        memory.set_owner(source, Owner::NonSecure);
        assert_eq!(before, memory.snapshot(), "the call failed at word {when}");
    }
    // Nothing of the attempts is left for the host.
    bench.succeed(fid::GRANULE_UNDELEGATE, &[data]);
    assert_eq!(bench.bytes(data), [0; 0x1000]);
    bench.succeed(fid::GRANULE_DELEGATE, &[data]);
    bench.succeed(fid::DATA_CREATE, &[rd, data, 0, source, 1]);
}
