//! Mistakes that other monitors have made, each with a test of its own.
#![allow(missing_docs)]

#[path = "realm_regressions/furnished.rs"]
mod furnished;
#[path = "realm_regressions/host_memory.rs"]
mod host_memory;

use fake_machine::{AUX_GRANULES, Bench, Memory, PAGE, realm_params};
use furnished::{Furnished, furnished};
use rmm_abi::rmi::fid;

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 64;

const ERROR_INPUT: u64 = 1;
const ERROR_REALM: u64 = 2;

const fn error_rtt(level: u64) -> u64 {
    level << 8 | 4
}

/// The same granule in any two places of any command: never a deadlock, never a success that takes
/// a granule twice.
#[test]
fn aliased_granules_in_every_command() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let Furnished {
        mut bench,
        rd,
        start_table,
        table,
        rec,
        aux,
        data,
        free,
        page,
    } = furnished(&memory, &rmm);
    let all = [rd, start_table, table, rec, aux, data, free, page];
    for first in all {
        for second in all {
            if first == second || first != rd {
                let mut check = |function, arguments: &[u64]| {
                    bench.fail(ERROR_INPUT, function, arguments, "aliased");
                };
                check(fid::REALM_CREATE, &[first, second]);
                check(fid::DATA_CREATE_UNKNOWN, &[first, second, 0x1000]);
                check(fid::RTT_CREATE, &[first, second, 0x20_0000, 3]);
                check(fid::RTT_SET_RIPAS, &[first, second, 0, 0x1000]);
                for third in all {
                    check(fid::REC_CREATE, &[first, second, third]);
                    check(fid::DATA_CREATE, &[first, second, 0x1000, third, 1]);
                }
            }
        }
    }
    for third in all.into_iter().filter(|third| *third != page) {
        bench.fail(
            ERROR_INPUT,
            fid::REC_CREATE,
            &[rd, free, third],
            "parameters",
        );
        let arguments = [rd, free, 0x1000, third, 1];
        bench.fail(ERROR_INPUT, fid::DATA_CREATE, &arguments, "source");
    }
    bench.succeed(fid::REC_CREATE, &[rd, free, page]);
}

macro_rules! aliases {
    ($($name:ident: $function:ident($($argument:ident)*)$(, $tail:expr)*;)*) => {$(
        #[test]
        fn $name() {
            let memory = Memory::new(&[(BASE, GRANULES)]);
            let rmm = memory.rmm();
            let mut furnished = furnished(&memory, &rmm);
            let arguments = [$(furnished.$argument,)* $($tail,)*];
            furnished.bench.fail(ERROR_INPUT, fid::$function, &arguments, stringify!($name));
        }
    )*};
}

aliases! {
    data_is_the_descriptor: DATA_CREATE_UNKNOWN(rd rd), 0x1000;
    measured_data_is_the_descriptor: DATA_CREATE(rd rd), 0x1000, BASE + 63 * PAGE, 1;
    data_is_the_table_it_goes_into: DATA_CREATE_UNKNOWN(rd table), 0x1000;
    data_is_the_start_table: DATA_CREATE_UNKNOWN(rd start_table), 0x1000;
    data_is_memory_of_the_same_realm: DATA_CREATE_UNKNOWN(rd data), 0x1000;
    data_is_a_rec: DATA_CREATE_UNKNOWN(rd rec), 0x1000;
    data_is_an_auxiliary_granule: DATA_CREATE_UNKNOWN(rd aux), 0x1000;
    table_is_the_descriptor: RTT_CREATE(rd rd), 0x20_0000, 3;
    table_is_the_table_above: RTT_CREATE(rd start_table), 0x20_0000, 3;
    table_is_memory: RTT_CREATE(rd data), 0x20_0000, 3;
    rec_is_the_descriptor: REC_CREATE(rd rd page);
    rec_is_a_rec: REC_CREATE(rd rec page);
    rec_is_the_parameters: REC_CREATE(rd page page);
    rec_of_a_ripas_change_is_the_descriptor: RTT_SET_RIPAS(rd rd), 0, 0x1000;
    rec_of_a_ripas_change_is_a_table: RTT_SET_RIPAS(rd start_table), 0, 0x1000;
    parameters_are_the_descriptor: REALM_CREATE(free rd);
    parameters_are_the_new_descriptor: REALM_CREATE(free free);
    descriptor_is_a_table: DATA_CREATE_UNKNOWN(start_table free), 0x1000;
    descriptor_is_the_data: DATA_CREATE_UNKNOWN(free free), 0x1000;
}

#[test]
fn an_auxiliary_granule_is_the_rec_or_the_descriptor_or_twice_the_same() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut furnished = furnished(&memory, &rmm);
    let Furnished {
        rd,
        rec,
        free,
        page,
        data,
        table,
        ..
    } = furnished;
    let bench = &mut furnished.bench;
    let good = bench.rec_params(rd);
    for position in 0..AUX_GRANULES {
        for alias in [
            free,
            rd,
            rec,
            page,
            data,
            table,
            good.aux[(position + 1) % AUX_GRANULES],
        ] {
            let mut params = good;
            params.aux[position] = alias;
            bench.write(page, &params);
            bench.fail(ERROR_INPUT, fid::REC_CREATE, &[rd, free, page], "aliased");
        }
    }
}

#[test]
fn the_descriptor_is_inside_the_range_of_the_start_tables() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let mut params = realm_params(34, 2, 16);
    params.rtt_base = bench.start_tables(16);
    let page = bench.host_granule();
    bench.write(page, &params);
    for number in 0..16 {
        let rd = params.rtt_base + number * PAGE;
        bench.fail(
            ERROR_INPUT,
            fid::REALM_CREATE,
            &[rd, page],
            "one of the tables",
        );
    }
    let rd = bench.delegated();
    bench.succeed(fid::REALM_CREATE, &[rd, page]);
}

/// Tables side by side are found by their common alignment.
#[test]
fn the_base_of_concatenated_tables_is_aligned_to_all_of_them() {
    for (width, tables) in [(40, 2_u64), (41, 4), (42, 8), (43, 16)] {
        let memory = Memory::new(&[(BASE, 64)]);
        let rmm = memory.rmm();
        let mut bench = Bench::new(&memory, &rmm);
        let first = bench.start_tables(32);
        let (rd, page) = (bench.delegated(), bench.host_granule());
        for offset in 1..tables {
            let mut params = realm_params(width, 1, u32::try_from(tables).unwrap());
            params.rtt_base = first + offset * PAGE;
            bench.write(page, &params);
            bench.fail(ERROR_INPUT, fid::REALM_CREATE, &[rd, page], "not aligned");
        }
    }
}

/// A call that fails leaves nothing locked: everything that it had to do with can be used by the
/// next call. (That nothing stays mapped, the machine checks after every call.)
#[test]
fn error_paths_leave_nothing_locked() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut furnished = furnished(&memory, &rmm);
    let Furnished {
        rd,
        rec,
        free,
        page,
        ..
    } = furnished;
    let bench = &mut furnished.bench;
    // REC_CREATE with everything locked and the wrong index.
    let mut params = bench.rec_params(rd);
    params.mpidr = 5;
    bench.write(page, &params);
    bench.fail(ERROR_INPUT, fid::REC_CREATE, &[rd, free, page], "index");
    // With the last auxiliary granule not delegated.
    params.aux[AUX_GRANULES - 1] = page;
    bench.write(page, &params);
    bench.fail(
        ERROR_INPUT,
        fid::REC_CREATE,
        &[rd, free, page],
        "auxiliary granule",
    );
    // RTT_CREATE at an entry that is a table, and with a walk that ends early.
    bench.fail(error_rtt(2), fid::RTT_CREATE, &[rd, free, 0, 3], "a table");
    bench.fail(
        error_rtt(1),
        fid::RTT_CREATE,
        &[rd, free, 1 << 38, 3],
        "no table",
    );
    bench.fail(error_rtt(3), fid::RTT_DESTROY, &[rd, 0, 3], "live");
    bench.fail(error_rtt(3), fid::RTT_FOLD, &[rd, 0, 3], "not homogeneous");
    bench.fail(
        error_rtt(3),
        fid::DATA_CREATE_UNKNOWN,
        &[rd, free, 0],
        "assigned",
    );
    bench.fail(ERROR_REALM, fid::REALM_DESTROY, &[rd], "live");
    bench.fail(
        ERROR_INPUT,
        fid::RTT_SET_RIPAS,
        &[rd, rec, 0, PAGE],
        "not asked for",
    );
    // `snapshot` waits for every lock there is.
    memory.snapshot();
    for granule in [&[free], &params.aux[..AUX_GRANULES - 1]].concat() {
        bench.succeed(fid::GRANULE_UNDELEGATE, &[granule]);
    }
}

/// Numbers of the host that wrap when they are added to, multiplied or shifted.
#[test]
fn arithmetic_of_the_hosts_numbers() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut furnished = furnished(&memory, &rmm);
    let Furnished {
        rd,
        rec,
        free,
        page,
        ..
    } = furnished;
    let bench = &mut furnished.bench;
    let edges = [
        0,
        1,
        0xfff,
        PAGE,
        (1 << 31) - 1,
        1 << 32,
        1 << 38,
        1 << 39,
        (1 << 40) - PAGE,
        1 << 40,
        1 << 48,
        1 << 52,
        1 << 63,
        (1 << 63) - 1,
        u64::MAX - 0x3fff_ffff,
        u64::MAX - 0x1f_ffff,
        u64::MAX - 0xfff,
        u64::MAX - 3,
        u64::MAX - 2,
        u64::MAX - 1,
        u64::MAX,
    ];
    // The bench holds every reply against the model, and the core checks its arithmetic.
    for first in edges {
        bench.call(fid::GRANULE_DELEGATE, &[first]);
        bench.call(fid::DATA_DESTROY, &[rd, first]);
        bench.call(fid::DATA_CREATE, &[rd, free, 0x20_0000, page, first | 2]);
        for second in edges {
            bench.call(fid::RTT_DESTROY, &[rd, first, second]);
            bench.call(fid::RTT_FOLD, &[rd, first, second]);
            bench.call(fid::RTT_READ_ENTRY, &[rd, first, second]);
            bench.call(fid::RTT_UNMAP_UNPROTECTED, &[rd, first, second]);
            bench.call(fid::RTT_INIT_RIPAS, &[rd, first, second]);
            bench.call(fid::RTT_SET_RIPAS, &[rd, rec, first, second]);
            for level in [1, 3] {
                bench.call(fid::RTT_MAP_UNPROTECTED, &[rd, first, level, second]);
            }
        }
    }
    bench.check_all();
}
