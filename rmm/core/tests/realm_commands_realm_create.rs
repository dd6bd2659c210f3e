//! `RMI_REALM_CREATE`: every success and every failure condition. The bench holds each reply against the
//! model, and sees to it that a call that fails changes nothing.
#![allow(missing_docs)]

use fake_machine::{Bench, FEATURES, Memory, Owner, PAGE, realm_params};
use rmm_abi::rmi::{FeatureRegister0, RealmParams, fid};

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 48;

const ERROR_INPUT: u64 = 1;

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
fn realms_of_all_shapes() {
    let memory = Memory::new(&[(BASE, 400)]);
    let features = FeatureRegister0 {
        ipa_width: 52,
        lpa2: true,
        ..FEATURES
    };
    let rmm = memory.rmm_with_features(features);
    let granules = (0..400).map(|number| BASE + number * PAGE).collect();
    let mut bench = Bench::with_granules(&memory, &rmm, features, granules).quick();
    let shapes = [
        (32, 2, 4, false),
        (34, 2, 16, false),
        (32, 1, 1, false),
        (36, 1, 1, false),
        (39, 1, 1, false),
        (40, 1, 2, false),
        (42, 1, 8, false),
        (43, 1, 16, false),
        (40, 0, 1, false),
        (48, 0, 1, false),
        (48, 0, 1, true),
        (49, 0, 2, true),
        (52, 0, 16, true),
        (49, -1, 1, true),
        (52, -1, 1, true),
    ];
    let realms: Vec<u64> = (0..)
        .zip(shapes)
        .map(|(vmid, (width, level, tables, lpa2))| {
            let mut params = realm_params(width, level, tables);
            params.flags = lpa2.into();
            params.vmid = vmid;
            bench.realm(&params)
        })
        .collect();
    bench.check_tables();
    for rd in realms {
        bench.succeed(fid::REALM_DESTROY, &[rd]);
    }
    bench.check_all();
}

/// A bench with delegated granules for a Realm: its descriptor, its tables, and the page with its
/// parameters, which are acceptable.
struct Prepared<'m> {
    bench: Bench<'m>,
    rd: u64,
    page: u64,
    params: RealmParams,
}

fn prepared<'m>(memory: &'m Memory, rmm: &'m rmm_core::Rmm<'m>) -> Prepared<'m> {
    let mut bench = Bench::new(memory, rmm);
    let mut params = realm_params(40, 1, 2);
    params.rtt_base = bench.start_tables(2);
    let rd = bench.delegated();
    let page = bench.host_granule();
    bench.write(page, &params);
    Prepared {
        bench,
        rd,
        page,
        params,
    }
}

#[test]
fn realm_create_granules_that_cannot_be_used() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let Prepared {
        mut bench,
        rd,
        page,
        ..
    } = prepared(&memory, &rmm);
    for (address, why) in no_granules() {
        bench.fail(ERROR_INPUT, fid::REALM_CREATE, &[address, page], why);
        bench.fail(ERROR_INPUT, fid::REALM_CREATE, &[rd, address], why);
    }
    let undelegated = bench.host_granule();
    let delegated = bench.delegated();
    let mut other = realm_params(40, 1, 2);
    other.vmid = 9;
    let other = bench.realm(&other);
    let mut check = |rd, page, why| bench.fail(ERROR_INPUT, fid::REALM_CREATE, &[rd, page], why);
    check(undelegated, page, "the descriptor is not delegated");
    check(page, page, "the descriptor is the parameters");
    check(other, page, "the descriptor is in use");
    check(rd, delegated, "the parameters are in the Realm world");
    check(rd, rd, "the parameters are the descriptor");
    check(rd, other, "the parameters are another Realm's descriptor");
    for owner in [Owner::Secure, Owner::Root] {
        let foreign = BASE + (GRANULES - 1) * PAGE;
        memory.set_owner(foreign, owner);
        let reply = memory
            .cpu(0)
            .call(&rmm, &[fid::REALM_CREATE, rd, foreign, 0, 0, 0, 0, 0]);
        assert_eq!(reply[0], ERROR_INPUT, "parameters of {owner:?}");
        memory.set_owner(foreign, Owner::NonSecure);
    }
    bench.succeed(fid::REALM_CREATE, &[rd, page]);
}

#[test]
fn realm_create_parameters_that_cannot_be_had() {
    type Change = fn(&mut RealmParams);
    let changes: [(&str, Change); 38] = [
        ("too wide for the machine", |p| p.s2sz = 49),
        ("width of 256", |p| p.s2sz = 255),
        ("no width", |p| p.s2sz = 0),
        ("too narrow", |p| p.s2sz = 31),
        ("too narrow for level 0", |p| {
            (p.s2sz, p.rtt_level_start, p.rtt_num_start) = (39, 0, 1);
        }),
        ("too wide for level 1", |p| {
            (p.s2sz, p.rtt_level_start, p.rtt_num_start) = (44, 1, 32);
        }),
        ("too wide for level 2", |p| {
            (p.s2sz, p.rtt_level_start, p.rtt_num_start) = (35, 2, 32);
        }),
        ("LPA2 that the machine has not", |p| p.flags = 1),
        ("vector length", |p| (p.flags, p.sve_vl) = (2, 4)),
        ("vector length 255", |p| (p.flags, p.sve_vl) = (2, 255)),
        ("PMU counters", |p| (p.flags, p.pmu_num_ctrs) = (4, 7)),
        ("no breakpoint", |p| p.num_bps = 0),
        ("breakpoints", |p| p.num_bps = 6),
        ("breakpoints 255", |p| p.num_bps = 255),
        ("no watchpoint", |p| p.num_wps = 0),
        ("watchpoints", |p| p.num_wps = 4),
        ("hash algorithm 2", |p| p.hash_algo = 2),
        ("hash algorithm 255", |p| p.hash_algo = 255),
        ("level 2 of 40 bits", |p| p.rtt_level_start = 2),
        ("level 3", |p| p.rtt_level_start = 3),
        ("level 4", |p| p.rtt_level_start = 4),
        ("level -1 without LPA2", |p| p.rtt_level_start = -1),
        ("level -2", |p| p.rtt_level_start = -2),
        ("level beyond 32 bits", |p| p.rtt_level_start = 1 << 32 | 1),
        ("lowest level", |p| p.rtt_level_start = i64::MIN),
        ("no table", |p| p.rtt_num_start = 0),
        ("one table of two", |p| p.rtt_num_start = 1),
        ("three tables of two", |p| p.rtt_num_start = 3),
        ("258 tables", |p| p.rtt_num_start = 258),
        ("all tables there can be", |p| p.rtt_num_start = u32::MAX),
        ("tables aligned to one of them only", |p| p.rtt_base += PAGE),
        ("tables not aligned", |p| p.rtt_base += 8),
        ("tables outside of DRAM", |p| p.rtt_base = 0x1000_0000),
        ("tables that begin below DRAM", |p| {
            p.rtt_base = BASE - 2 * PAGE;
        }),
        ("tables that end above DRAM", |p| {
            p.rtt_base = BASE + GRANULES * PAGE;
        }),
        ("tables that are not delegated", |p| p.rtt_base += 0x4000),
        ("tables that wrap", |p| p.rtt_base = u64::MAX - 0x1fff),
        ("tables at the end of all addresses", |p| {
            p.rtt_base = u64::MAX - 0xfff;
        }),
    ];
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let Prepared {
        mut bench,
        rd,
        page,
        params,
    } = prepared(&memory, &rmm);
    for (why, change) in changes {
        let mut params = params;
        change(&mut params);
        bench.write(page, &params);
        bench.fail(ERROR_INPUT, fid::REALM_CREATE, &[rd, page], why);
    }
    // What is not asked for does not matter, and neither do bits that should be zero.
    let mut params = params;
    (params.sve_vl, params.pmu_num_ctrs, params.flags) = (255, 255, 1 << 63 | 1 << 3);
    bench.write(page, &params);
    memory
        .host_write(page, 1, 0xffff_ff00 | u64::from(params.s2sz))
        .unwrap();
    bench.succeed(fid::REALM_CREATE, &[rd, page]);
}

#[test]
fn realm_create_the_most_that_can_be_had() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let Prepared {
        mut bench,
        rd,
        page,
        mut params,
    } = prepared(&memory, &rmm);
    (params.flags, params.sve_vl, params.pmu_num_ctrs) = (6, 3, 6);
    (params.num_bps, params.num_wps, params.hash_algo) = (5, 3, 1);
    params.vmid = u16::MAX;
    bench.write(page, &params);
    bench.succeed(fid::REALM_CREATE, &[rd, page]);
}

#[test]
fn realm_create_with_start_tables_in_every_wrong_state() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let Prepared {
        mut bench,
        rd,
        page,
        mut params,
    } = prepared(&memory, &rmm);
    let base = params.rtt_base;
    for table in [base, base + PAGE] {
        bench.succeed(fid::GRANULE_UNDELEGATE, &[table]);
        let why = "a table is not delegated";
        bench.fail(ERROR_INPUT, fid::REALM_CREATE, &[rd, page], why);
        bench.succeed(fid::GRANULE_DELEGATE, &[table]);
        let why = "the descriptor is one of the tables";
        bench.fail(ERROR_INPUT, fid::REALM_CREATE, &[table, page], why);
    }
    // The tables of another Realm, and what is around them.
    let mut other = realm_params(40, 1, 2);
    other.vmid = 7;
    let other = bench.realm(&other);
    let in_use = bench.world().realm(other).unwrap().shape.start_tables[0];
    params.rtt_base = in_use;
    bench.write(page, &params);
    bench.fail(
        ERROR_INPUT,
        fid::REALM_CREATE,
        &[rd, page],
        "another Realm's tables",
    );
    params.rtt_base = other & !PAGE;
    bench.write(page, &params);
    let why = "another Realm's descriptor is among the tables";
    bench.fail(ERROR_INPUT, fid::REALM_CREATE, &[rd, page], why);
    params.rtt_base = page & !PAGE;
    bench.write(page, &params);
    let why = "the parameters are among the tables";
    bench.fail(ERROR_INPUT, fid::REALM_CREATE, &[rd, page], why);
}

#[test]
fn vmids_have_one_owner() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let Prepared {
        mut bench,
        rd,
        page,
        mut params,
    } = prepared(&memory, &rmm);
    bench.succeed(fid::REALM_CREATE, &[rd, page]);
    let second = bench.delegated();
    params.rtt_base = bench.start_tables(2);
    bench.write(page, &params);
    bench.fail(
        ERROR_INPUT,
        fid::REALM_CREATE,
        &[second, page],
        "VMID in use",
    );
    params.vmid = 0x8000;
    bench.write(page, &params);
    bench.succeed(fid::REALM_CREATE, &[second, page]);
    bench.succeed(fid::REALM_DESTROY, &[rd]);
    let third = bench.delegated();
    params.rtt_base = bench.start_tables(2);
    bench.write(page, &params);
    bench.fail(
        ERROR_INPUT,
        fid::REALM_CREATE,
        &[third, page],
        "VMID in use",
    );
    params.vmid = 0;
    bench.write(page, &params);
    bench.succeed(fid::REALM_CREATE, &[third, page]);
}

#[test]
fn short_vmids() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm_with_vmids(FEATURES, 8);
    let cpu = memory.cpu(0);
    let delegate = |granule| cpu.call(&rmm, &[fid::GRANULE_DELEGATE, granule, 0, 0, 0, 0, 0, 0]);
    for number in 0..3 {
        assert_eq!(delegate(BASE + number * PAGE)[0], 0);
    }
    let page = BASE + 9 * PAGE;
    for (vmid, code) in [(0x100, ERROR_INPUT), (0xff00, ERROR_INPUT), (0xff, 0)] {
        memory.host_write(page, 0, 0).unwrap();
        for (word, value) in [
            (1, 40),
            (3, 1),
            (4, 1),
            (0x800 / 8, vmid),
            (0x808 / 8, BASE),
            (0x810 / 8, 1),
            (0x818 / 8, 2),
        ] {
            memory.host_write(page, word, value).unwrap();
        }
        let create = [fid::REALM_CREATE, BASE + 2 * PAGE, page, 0, 0, 0, 0, 0];
        assert_eq!(cpu.call(&rmm, &create)[0], code, "VMID {vmid:#x}");
    }
}
