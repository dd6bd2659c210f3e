//! `RMI_RTT_CREATE`, `RMI_RTT_DESTROY`, `RMI_RTT_FOLD`, `RMI_RTT_READ_ENTRY`: every success and every
//! failure condition. The bench holds each reply against the model, and sees to it that a call that
//! fails changes nothing.
#![allow(missing_docs)]

use fake_machine::{Bench, Memory, PAGE, realm_params};
use rmm_abi::rmi::fid;

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 64;

const ERROR_INPUT: u64 = 1;

const LEVEL_2: u64 = 0x20_0000;
const LEVEL_1: u64 = 0x4000_0000;
const LEVEL_0: u64 = 0x80_0000_0000;

/// `RMI_ERROR_RTT` at a level.
const fn error_rtt(level: u64) -> u64 {
    level << 8 | 4
}

/// First address of the unprotected half of Realms with 40 bits.
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

/// Levels that no table has, in a Realm whose walks start at level 1.
const NO_LEVELS: [(u64, &str); 9] = [
    (0, "above the start level"),
    (u64::MAX, "level -1"),
    (u64::MAX - 1, "level -2"),
    (4, "below the pages"),
    (3 | 1 << 32, "level beyond 32 bits"),
    (0x103, "level beyond 8 bits"),
    (1 << 63 | 3, "lowest level"),
    (127, "level 127"),
    (128, "level 128"),
];

#[test]
fn granules_that_cannot_be_used() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    let rec = bench.rec(rd, true);
    let data = bench.data(rd, 0x5000);
    let table = bench.world().realm(rd).unwrap().shape.start_tables[0];
    let rtt = bench.delegated();
    let undelegated = bench.host_granule();
    let functions = [fid::RTT_DESTROY, fid::RTT_FOLD, fid::RTT_READ_ENTRY];
    let mut bad_descriptors = no_granules();
    bad_descriptors.extend([
        (rtt, "descriptor is delegated"),
        (table, "descriptor = table"),
        (data, "descriptor = data"),
        (rec, "descriptor = REC"),
        (undelegated, "descriptor is the host's"),
    ]);
    for (address, why) in bad_descriptors {
        for function in functions {
            bench.fail(ERROR_INPUT, function, &[address, 0, 3], why);
        }
        let arguments = [address, rtt, LEVEL_2, 3];
        bench.fail(ERROR_INPUT, fid::RTT_CREATE, &arguments, why);
    }
    let mut bad_tables = no_granules();
    bad_tables.extend([
        (rd, "table = descriptor"),
        (table, "table = table"),
        (data, "table = data"),
        (rec, "table = REC"),
        (undelegated, "table is the host's"),
    ]);
    for (address, why) in bad_tables {
        bench.fail(
            ERROR_INPUT,
            fid::RTT_CREATE,
            &[rd, address, LEVEL_2, 3],
            why,
        );
    }
    bench.succeed(fid::RTT_CREATE, &[rd, rtt, LEVEL_2, 3]);
}

#[test]
fn levels_and_addresses_that_cannot_be() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    let rtt = bench.delegated();
    let mut check = |ipa, level, why: &str, reads_too: bool| {
        bench.fail(ERROR_INPUT, fid::RTT_CREATE, &[rd, rtt, ipa, level], why);
        bench.fail(ERROR_INPUT, fid::RTT_DESTROY, &[rd, ipa, level], why);
        bench.fail(ERROR_INPUT, fid::RTT_FOLD, &[rd, ipa, level], why);
        if reads_too {
            bench.fail(ERROR_INPUT, fid::RTT_READ_ENTRY, &[rd, ipa, level], why);
        }
    };
    for (level, why) in NO_LEVELS {
        check(0, level, why, true);
        // Before the walk, which ends early there.
        check(4 * LEVEL_1, level, why, true);
    }
    check(0, 1, "the start level", false);
    for (ipa, why) in [
        (2 * MIDDLE, "beyond the address space"),
        (2 * MIDDLE + LEVEL_0, "far beyond the address space"),
        (1 << 52, "beyond all addresses"),
        (1 << 63, "negative"),
        (0_u64.wrapping_sub(LEVEL_1), "the end of all addresses"),
    ] {
        for level in [2, 3] {
            check(ipa, level, why, true);
        }
    }
    for ipa in [8, 0x1000, LEVEL_2 - PAGE] {
        check(ipa, 3, "not of a level 2 entry", ipa == 8);
    }
    for ipa in [LEVEL_2, LEVEL_1 - LEVEL_2] {
        check(ipa, 2, "not of a level 1 entry", false);
    }
    for (ipa, level) in [(PAGE, 2), (LEVEL_2, 1), (LEVEL_1 + PAGE, 1)] {
        let why = "not of an entry";
        bench.fail(ERROR_INPUT, fid::RTT_READ_ENTRY, &[rd, ipa, level], why);
    }
}

#[test]
fn walks_that_end_early_and_entries_in_the_way() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(48, 0, 1));
    let rtt = bench.delegated();
    for half in [0, 1 << 47] {
        let ipa = half + 3 * LEVEL_1;
        bench.fail(
            error_rtt(0),
            fid::RTT_CREATE,
            &[rd, rtt, ipa, 3],
            "ends at level 0",
        );
        bench.fail(
            error_rtt(0),
            fid::RTT_CREATE,
            &[rd, rtt, ipa, 2],
            "ends at level 0",
        );
        bench.fail(
            error_rtt(0),
            fid::RTT_FOLD,
            &[rd, ipa, 3],
            "ends at level 0",
        );
        bench.fail(
            error_rtt(0),
            fid::RTT_DESTROY,
            &[rd, ipa, 2],
            "ends at level 0",
        );
        bench.tables(rd, ipa, 1);
        let why = "a table already";
        bench.fail(error_rtt(0), fid::RTT_CREATE, &[rd, rtt, half, 1], why);
        bench.fail(
            error_rtt(1),
            fid::RTT_CREATE,
            &[rd, rtt, ipa, 3],
            "ends at level 1",
        );
        bench.fail(error_rtt(1), fid::RTT_FOLD, &[rd, ipa, 2], "no table there");
        bench.fail(
            error_rtt(1),
            fid::RTT_DESTROY,
            &[rd, ipa, 2],
            "no table there",
        );
        let [_, _, top, ..] = bench.call(fid::RTT_DESTROY, &[rd, ipa, 3]);
        assert_eq!(top, half + LEVEL_0, "nothing up to the end of the table");
        bench.tables(rd, ipa, 3);
        bench.fail(error_rtt(1), fid::RTT_CREATE, &[rd, rtt, ipa, 2], why);
        bench.fail(error_rtt(2), fid::RTT_CREATE, &[rd, rtt, ipa, 3], why);
        let next = ipa + LEVEL_2;
        bench.fail(
            error_rtt(2),
            fid::RTT_DESTROY,
            &[rd, next, 3],
            "no table there",
        );
        bench.fail(
            error_rtt(2),
            fid::RTT_FOLD,
            &[rd, next, 3],
            "no table there",
        );
        let [_, _, top, ..] = bench.call(fid::RTT_DESTROY, &[rd, half, 2]);
        assert_eq!(top, ipa, "up to the next table");
        // Tables in a table.
        bench.fail(error_rtt(2), fid::RTT_FOLD, &[rd, ipa, 2], "a table in it");
        let [x0, _, top, ..] = bench.call(fid::RTT_DESTROY, &[rd, ipa, 2]);
        assert_eq!((x0, top), (error_rtt(2), ipa), "a table in it");
    }
    bench.check_tables();
}

#[test]
fn tables_with_memory_of_the_realm_stay() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    for ipa in [0, 0x7000, LEVEL_2 - PAGE] {
        bench.tables(rd, ipa, 3);
        bench.data(rd, ipa);
        let [x0, x1, top, ..] = bench.call(fid::RTT_DESTROY, &[rd, 0, 3]);
        assert_eq!((x0, x1, top), (error_rtt(3), 0, 0), "memory in it");
        bench.fail(error_rtt(3), fid::RTT_FOLD, &[rd, 0, 3], "not homogeneous");
        bench.succeed(fid::DATA_DESTROY, &[rd, ipa]);
        let [table, top, ..] = bench.succeed(fid::RTT_DESTROY, &[rd, 0, 3]);
        assert_eq!(top, LEVEL_1);
        bench.succeed(fid::GRANULE_UNDELEGATE, &[table]);
    }
}

#[test]
fn destroying_a_table_destroys_what_it_says() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    bench.succeed(fid::RTT_INIT_RIPAS, &[rd, 0, 0x5000]);
    bench.succeed(fid::RTT_DESTROY, &[rd, 0, 3]);
    let entry = bench.succeed(fid::RTT_READ_ENTRY, &[rd, 0, 3]);
    assert_eq!(entry, [2, 0, 0, 2], "unassigned, destroyed");
    // Mappings of the host's memory go with their table.
    bench.tables(rd, MIDDLE, 3);
    for page in [0, 1, 511] {
        let ipa = MIDDLE + page * PAGE;
        bench.succeed(fid::RTT_MAP_UNPROTECTED, &[rd, ipa, 3, 0x4000_00d8]);
        assert!(bench.translate(rd, ipa).is_some());
    }
    bench.succeed(fid::RTT_DESTROY, &[rd, MIDDLE, 3]);
    assert_eq!(bench.translate(rd, MIDDLE), None);
    let entry = bench.succeed(fid::RTT_READ_ENTRY, &[rd, MIDDLE, 3]);
    assert_eq!(entry, [2, 0, 0, 0]);
    // A block in a table of level 2 goes the same way.
    bench.succeed(fid::RTT_MAP_UNPROTECTED, &[rd, MIDDLE, 2, 0x4000_00d8]);
    assert!(bench.translate(rd, MIDDLE).is_some());
    bench.succeed(fid::RTT_DESTROY, &[rd, MIDDLE, 2]);
    assert_eq!(bench.translate(rd, MIDDLE), None);
    bench.succeed(fid::RTT_DESTROY, &[rd, 0, 2]);
    bench.succeed(fid::REALM_DESTROY, &[rd]);
}

#[test]
fn levels_of_a_realm_that_starts_at_minus_one() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let features = rmm_abi::rmi::FeatureRegister0 {
        ipa_width: 52,
        lpa2: true,
        ..fake_machine::FEATURES
    };
    let rmm = memory.rmm_with_features(features);
    let granules = (0..GRANULES).map(|number| BASE + number * PAGE).collect();
    let mut bench = Bench::with_granules(&memory, &rmm, features, granules);
    let mut params = realm_params(52, -1, 1);
    params.flags = 1;
    let rd = bench.realm(&params);
    let rtt = bench.delegated();
    let minus_one = u64::MAX;
    bench.fail(
        ERROR_INPUT,
        fid::RTT_CREATE,
        &[rd, rtt, 0, minus_one],
        "the start level",
    );
    assert_eq!(
        bench.succeed(fid::RTT_READ_ENTRY, &[rd, 0, minus_one])[0],
        minus_one
    );
    // Level -1 is 0xff in the index of an error.
    bench.fail(
        0xff04,
        fid::RTT_CREATE,
        &[rd, rtt, 0, 3],
        "ends at level -1",
    );
    bench.fail(0xff04, fid::RTT_FOLD, &[rd, 0, 0], "no table there");
    bench.fail(
        0xff04,
        fid::DATA_CREATE_UNKNOWN,
        &[rd, rtt, 0],
        "ends at level -1",
    );
    bench.succeed(fid::RTT_CREATE, &[rd, rtt, 0, 0]);
    let other = bench.delegated();
    bench.fail(
        0xff04,
        fid::RTT_CREATE,
        &[rd, other, 0, 0],
        "a table already",
    );
    bench.tables(rd, 0, 3);
    let data = bench.data(rd, 0);
    bench.succeed(fid::RTT_INIT_RIPAS, &[rd, 0x1000, 0x2000]);
    let ram = bench.data(rd, 0x1000);
    assert_ne!(data, ram);
    assert_eq!(
        bench.translate(rd, 0x1000).map(|leaf| leaf.output),
        Some(ram)
    );
    // Output addresses with bits 51:50, in the lowest and the highest entries of the upper half.
    for ipa in [1 << 51, (1 << 52) - 0x1000] {
        bench.tables(rd, ipa, 3);
        let descriptor = 0x3_8000_0000_1000 | 3 << 8 | 0xd8;
        bench.succeed(fid::RTT_MAP_UNPROTECTED, &[rd, ipa, 3, descriptor]);
        assert_eq!(
            bench.succeed(fid::RTT_READ_ENTRY, &[rd, ipa, 3])[2],
            descriptor
        );
        assert_eq!(bench.translate(rd, ipa).unwrap().output, 0xf_8000_0000_1000);
    }
    bench.check_tables();
}
