//! `RMI_REALM_ACTIVATE`, `RMI_REALM_DESTROY`, `RMI_REC_AUX_COUNT`: every success and every failure
//! condition. The bench holds each reply against the model, and sees to it that a call that fails
//! changes nothing.
#![allow(missing_docs)]

use fake_machine::{AUX_GRANULES, Bench, Memory, PAGE, realm_params};
use rmm_abi::rmi::fid;

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 80;

const ERROR_INPUT: u64 = 1;
const ERROR_REALM: u64 = 2;

/// Addresses at which there is no granule.
fn no_granules() -> Vec<(u64, &'static str)> {
    vec![
        (BASE + 8, "misaligned"),
        (BASE + 0x800, "misaligned"),
        (0, "outside of DRAM"),
        (BASE + GRANULES * PAGE, "just above DRAM"),
        (BASE - PAGE, "just below DRAM"),
        (BASE | 1 << 52, "beyond all addresses"),
        (u64::MAX - 0xfff, "the last granule"),
        (u64::MAX, "all ones"),
    ]
}

#[test]
fn realm_activate() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    let rec = bench.rec(rd, true);
    let table = bench.world().realm(rd).unwrap().shape.start_tables[0];
    let delegated = bench.delegated();
    let undelegated = bench.host_granule();
    for function in [fid::REALM_ACTIVATE, fid::REALM_DESTROY, fid::REC_AUX_COUNT] {
        for (address, why) in no_granules() {
            bench.fail(ERROR_INPUT, function, &[address], why);
        }
        for (address, why) in [
            (rec, "a REC"),
            (table, "a table"),
            (delegated, "a delegated granule"),
            (undelegated, "the host's"),
        ] {
            bench.fail(ERROR_INPUT, function, &[address], why);
        }
    }
    bench.succeed(fid::REALM_ACTIVATE, &[rd]);
    bench.fail(ERROR_REALM, fid::REALM_ACTIVATE, &[rd], "active already");
}

#[test]
fn rec_aux_count_stays_the_same() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    let count = [AUX_GRANULES as u64, 0, 0, 0];
    assert_eq!(bench.succeed(fid::REC_AUX_COUNT, &[rd]), count);
    bench.rec(rd, true);
    bench.succeed(fid::REALM_ACTIVATE, &[rd]);
    assert_eq!(bench.succeed(fid::REC_AUX_COUNT, &[rd]), count);
}

#[test]
fn realm_destroy_only_when_nothing_lives() {
    for active in [false, true] {
        let memory = Memory::new(&[(BASE, GRANULES)]);
        let rmm = memory.rmm();
        let mut bench = Bench::new(&memory, &rmm);
        // Memory in a start table itself comes about by folding only; see the tests of tables.
        let rd = bench.realm(&realm_params(34, 2, 16));
        let rec = bench.rec(rd, true);
        if active {
            bench.succeed(fid::REALM_ACTIVATE, &[rd]);
        }
        bench.fail(ERROR_REALM, fid::REALM_DESTROY, &[rd], "a REC exists");
        // Tables in the first and in the last start table.
        for ipa in [0, (1 << 34) - 0x20_0000] {
            let table = bench.delegated();
            bench.succeed(fid::RTT_CREATE, &[rd, table, ipa, 3]);
        }
        bench.fail(
            ERROR_REALM,
            fid::REALM_DESTROY,
            &[rd],
            "a REC and tables exist",
        );
        bench.succeed(fid::REC_DESTROY, &[rec]);
        bench.fail(ERROR_REALM, fid::REALM_DESTROY, &[rd], "tables exist");
        bench.succeed(fid::RTT_DESTROY, &[rd, 0, 3]);
        bench.fail(ERROR_REALM, fid::REALM_DESTROY, &[rd], "a table exists");
        bench.succeed(fid::RTT_FOLD, &[rd, (1 << 34) - 0x20_0000, 3]);
        // The host's memory does not keep a Realm alive.
        let ipa = 1 << 33;
        bench.succeed(fid::RTT_MAP_UNPROTECTED, &[rd, ipa, 2, 0x4000_00d8]);
        assert!(bench.translate(rd, ipa).is_some());
        bench.succeed(fid::REALM_DESTROY, &[rd]);
        bench.fail(ERROR_INPUT, fid::REALM_DESTROY, &[rd], "twice");
        // Nothing of the old Realm is left for the next one with its VMID.
        let rd = bench.realm(&realm_params(34, 2, 16));
        assert_eq!(bench.translate(rd, ipa), None);
        bench.check_tables();
    }
}
