//! `RMI_REC_CREATE` and `RMI_REC_DESTROY`: every success and every failure condition. The bench holds
//! each reply against the model, and sees to it that a call that fails changes nothing.
#![allow(missing_docs)]

use fake_machine::{AUX_GRANULES, Bench, Memory, PAGE, realm_params};
use rmm_abi::rmi::{RecParams, fid};

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 64;
/// A REC with its auxiliary granules.
const GRANULES_OF_A_REC: u64 = 1 + AUX_GRANULES as u64;

const ERROR_INPUT: u64 = 1;
const ERROR_REALM: u64 = 2;

fn no_granules() -> Vec<(u64, &'static str)> {
    vec![
        (BASE + 8, "misaligned"),
        (0, "outside of DRAM"),
        (BASE + GRANULES * PAGE, "just above DRAM"),
        (BASE | 1 << 52, "beyond all addresses"),
        (u64::MAX, "all ones"),
    ]
}

#[test]
fn rec_create_granules_that_cannot_be_used() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    let existing = bench.rec(rd, true);
    let aux_in_use = bench.world().recs().next().unwrap().1.aux[0];
    let table = bench.world().realm(rd).unwrap().shape.start_tables[0];
    let params = bench.rec_params(rd);
    let page = bench.host_granule();
    bench.write(page, &params);
    let rec = bench.delegated();
    let undelegated = bench.host_granule();

    for (address, why) in no_granules() {
        bench.fail(ERROR_INPUT, fid::REC_CREATE, &[address, rec, page], why);
        bench.fail(ERROR_INPUT, fid::REC_CREATE, &[rd, address, page], why);
        bench.fail(ERROR_INPUT, fid::REC_CREATE, &[rd, rec, address], why);
    }
    let mut check = |arguments: [u64; 3], why| {
        bench.fail(ERROR_INPUT, fid::REC_CREATE, &arguments, why);
    };
    for (in_use, what) in [
        (rd, "the Realm's descriptor"),
        (existing, "a REC"),
        (aux_in_use, "an auxiliary granule in use"),
        (table, "a table"),
        (undelegated, "the host's"),
        (page, "the parameters"),
    ] {
        check([rd, in_use, page], what);
    }
    for (in_use, what) in [
        (rec, "delegated"),
        (existing, "a REC"),
        (aux_in_use, "an auxiliary granule in use"),
        (table, "a table"),
        (undelegated, "the host's"),
        (page, "the parameters"),
    ] {
        check([in_use, rec, page], what);
    }
    for (not_the_hosts, what) in [(rd, "the descriptor"), (rec, "the REC"), (table, "a table")] {
        check([rd, rec, not_the_hosts], what);
    }
    bench.succeed(fid::REC_CREATE, &[rd, rec, page]);
}

#[test]
fn rec_create_parameters_that_cannot_be_had() {
    const RIGHT: u64 = AUX_GRANULES as u64;
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    let existing = bench.rec(rd, true);
    let table = bench.world().realm(rd).unwrap().shape.start_tables[1];
    let good = bench.rec_params(rd);
    let page = bench.host_granule();
    let rec = bench.delegated();
    let undelegated = bench.host_granule();

    let mut check = |why: &str, change: &dyn Fn(&mut RecParams)| {
        let mut params = good;
        change(&mut params);
        bench.write(page, &params);
        bench.fail(ERROR_INPUT, fid::REC_CREATE, &[rd, rec, page], why);
    };
    for (mpidr, why) in [
        (0, "the first REC again"),
        (2, "the REC after the next"),
        (0x100, "another affinity"),
        (0x1_0001, "affinity 2"),
        (0x100_0001, "affinity 3"),
    ] {
        check(why, &|params| params.mpidr = mpidr);
    }
    for num_aux in [0, RIGHT - 1, RIGHT + 1, 16, 17, 1 << 32 | RIGHT, u64::MAX] {
        check("number of auxiliary granules", &|params| {
            params.num_aux = num_aux;
        });
    }
    for position in 0..AUX_GRANULES {
        for (address, why) in no_granules() {
            check(why, &|params| params.aux[position] = address);
        }
        for (in_use, why) in [
            (rec, "an auxiliary granule is the REC"),
            (rd, "an auxiliary granule is the descriptor"),
            (page, "an auxiliary granule holds the parameters"),
            (existing, "an auxiliary granule is another REC"),
            (table, "an auxiliary granule is a table"),
            (undelegated, "an auxiliary granule is the host's"),
        ] {
            check(why, &|params| params.aux[position] = in_use);
        }
        for other in (0..AUX_GRANULES).filter(|other| *other != position) {
            let why = "the same auxiliary granule twice";
            check(why, &|params| params.aux[position] = params.aux[other]);
        }
    }
    // What should be zero does not matter, and neither do auxiliary granules beyond the last.
    let mut params = good;
    params.mpidr |= 0xffff_ffff_0000_00f0;
    params.flags = !1;
    params.aux[AUX_GRANULES..].fill(rec);
    bench.write(page, &params);
    bench.succeed(fid::REC_CREATE, &[rd, rec, page]);
}

#[test]
fn rec_create_after_activation() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    let params = bench.rec_params(rd);
    let page = bench.host_granule();
    bench.write(page, &params);
    let rec = bench.delegated();
    bench.succeed(fid::REALM_ACTIVATE, &[rd]);
    bench.fail(ERROR_REALM, fid::REC_CREATE, &[rd, rec, page], "active");
    // The descriptor comes before the state of the Realm.
    bench.fail(
        ERROR_INPUT,
        fid::REC_CREATE,
        &[rec, rec, page],
        "no descriptor",
    );
}

/// An index is never used again, even when its REC is gone.
#[test]
fn rec_indices_only_go_up() {
    let memory = Memory::new(&[(BASE, 18 * GRANULES_OF_A_REC + 64)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    let first = bench.rec(rd, true);
    bench.succeed(fid::REC_DESTROY, &[first]);
    assert_eq!(bench.world().realm(rd).unwrap().next_rec, 1);
    let page = bench.host_granule();
    let mut params = bench.rec_params(rd);
    params.mpidr = 0;
    bench.write(page, &params);
    let rec = bench.delegated();
    bench.fail(
        ERROR_INPUT,
        fid::REC_CREATE,
        &[rd, rec, page],
        "index 0 again",
    );
    params.mpidr = 1;
    bench.write(page, &params);
    bench.succeed(fid::REC_CREATE, &[rd, rec, page]);
    // Past the sixteen that affinity 0 has room for.
    for _ in 2..18 {
        bench.rec(rd, false);
    }
    assert_eq!(bench.world().realm(rd).unwrap().recs, 17);
}

/// A Realm has 512 RECs and more, up to one less than two to the order that the machine offers.
#[test]
fn as_many_recs_as_a_realm_can_have() {
    const MOST: u64 = 1023;
    let memory = Memory::new(&[(BASE, GRANULES_OF_A_REC * (MOST + 1) + 64)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm).quick();
    let rd = bench.realm(&realm_params(40, 1, 2));
    let recs: Vec<u64> = (0..MOST).map(|_| bench.rec(rd, false)).collect();
    let params = bench.rec_params(rd);
    let page = bench.host_granule();
    bench.write(page, &params);
    let rec = bench.delegated();
    bench.fail(
        ERROR_REALM,
        fid::REC_CREATE,
        &[rd, rec, page],
        "one too many",
    );
    bench.fail(ERROR_REALM, fid::REALM_DESTROY, &[rd], "RECs exist");
    bench.succeed(fid::REC_DESTROY, &[recs[0]]);
    bench.succeed(fid::REC_CREATE, &[rd, rec, page]);
    for rec in recs.into_iter().skip(1).chain([rec]) {
        bench.succeed(fid::REC_DESTROY, &[rec]);
    }
    bench.succeed(fid::REALM_DESTROY, &[rd]);
    bench.check_all();
}

#[test]
fn rec_destroy() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    let rec = bench.rec(rd, true);
    let other = bench.rec(rd, true);
    let aux = bench.world().recs().next().unwrap().1.aux.clone();
    let undelegated = bench.host_granule();
    for (address, why) in no_granules() {
        bench.fail(ERROR_INPUT, fid::REC_DESTROY, &[address], why);
    }
    for (address, why) in [
        (rd, "a descriptor"),
        (aux[0], "an auxiliary granule"),
        (undelegated, "the host's"),
    ] {
        bench.fail(ERROR_INPUT, fid::REC_DESTROY, &[address], why);
    }
    bench.succeed(fid::REC_DESTROY, &[rec]);
    bench.fail(ERROR_INPUT, fid::REC_DESTROY, &[rec], "twice");
    // Its granules can be put to any use; those of the other REC stay.
    for granule in aux.into_iter().chain([rec]) {
        bench.succeed(fid::GRANULE_UNDELEGATE, &[granule]);
    }
    bench.succeed(fid::REALM_ACTIVATE, &[rd]);
    bench.succeed(fid::REC_DESTROY, &[other]);
    bench.succeed(fid::REALM_DESTROY, &[rd]);
}
