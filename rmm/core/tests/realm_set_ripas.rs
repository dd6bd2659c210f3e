//! `RMI_RTT_SET_RIPAS` with a request of the Realm pending.
#![allow(missing_docs)]

use fake_machine::{Bench, Memory, PAGE, WORDS_PER_GRANULE, realm_params};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{ExitReason, RecEnter};
use rmm_abi::rsi;
use rmm_core::Rmm;

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = 64;
const BLOCK: u64 = 0x20_0000;

const ERROR_INPUT: u64 = 1;
const ERROR_REC: u64 = 3;
const EMPTY: u64 = 0;
const RAM: u64 = 1;
const DESTROYED: u64 = 2;

const fn error_rtt(level: u64) -> u64 {
    level << 8 | 4
}

struct Fixture<'m> {
    memory: &'m Memory,
    rmm: &'m Rmm<'m>,
    rd: u64,
    rec: u64,
    run: u64,
}

impl Fixture<'_> {
    /// The Realm asks for a change.
    fn request(&self, base: u64, top: u64, value: u64, may_change_destroyed: bool) {
        let arguments = [
            rsi::fid::IPA_STATE_SET,
            base,
            top,
            value,
            may_change_destroyed.into(),
        ];
        self.memory.program(self.rec, move |guest| async move {
            guest.smc(&arguments).await;
        });
        assert_eq!(self.call(fid::REC_ENTER, &[self.rec, self.run])[0], 0);
        let reason = self.memory.host_read(self.run, WORDS_PER_GRANULE / 2);
        assert_eq!(reason, Ok(ExitReason::RipasChange as u64));
    }

    fn call(&self, function: u64, arguments: &[u64]) -> [u64; 5] {
        let mut registers = [0; 8];
        registers[0] = function;
        registers[1..=arguments.len()].copy_from_slice(arguments);
        self.memory.cpu(0).call(self.rmm, &registers)
    }

    /// X0 and X1 of `RMI_RTT_SET_RIPAS`.
    fn set(&self, base: u64, top: u64) -> (u64, u64) {
        let [code, reached, ..] = self.call(fid::RTT_SET_RIPAS, &[self.rd, self.rec, base, top]);
        (code, reached)
    }

    /// State and RIPAS of the page at an address.
    fn entry(&self, ipa: u64) -> (u64, u64) {
        let [code, _, state, _, ripas] = self.call(fid::RTT_READ_ENTRY, &[self.rd, ipa, 3]);
        assert_eq!(code, 0);
        (state, ripas)
    }
}

/// Runs a test on a Realm with pages in its first 2 MiB, of which `assigned` have memory.
fn with_realm(assigned: &[u64], test: impl Fn(&Fixture<'_>)) {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    bench.tables(rd, 0, 3);
    for ipa in assigned {
        bench.succeed(fid::RTT_INIT_RIPAS, &[rd, *ipa, ipa + PAGE]);
        bench.data(rd, *ipa);
    }
    let rec = bench.rec(rd, true);
    bench.activate(rd);
    let run = bench.host_granule();
    bench.prepare(run, &RecEnter::default());
    drop(bench);
    test(&Fixture {
        memory: &memory,
        rmm: &rmm,
        rd,
        rec,
        run,
    });
}

#[test]
fn a_range_in_one_table() {
    with_realm(&[], |realm| {
        realm.request(PAGE, 5 * PAGE, RAM, false);
        assert_eq!(realm.set(PAGE, 5 * PAGE), (0, 5 * PAGE));
        for page in 0..6 {
            let expected = if (1..5).contains(&page) { RAM } else { EMPTY };
            assert_eq!(realm.entry(page * PAGE), (0, expected), "page {page}");
        }
        // The request is done: neither its old nor its new base leads on.
        assert_eq!(realm.set(PAGE, 5 * PAGE).0, ERROR_INPUT);
        assert_eq!(realm.set(5 * PAGE, 6 * PAGE).0, ERROR_INPUT);
    });
}

#[test]
fn the_host_may_do_it_in_parts() {
    with_realm(&[], |realm| {
        realm.request(0, 4 * PAGE, RAM, false);
        assert_eq!(realm.set(0, PAGE), (0, PAGE));
        assert_eq!(realm.set(0, 4 * PAGE).0, ERROR_INPUT, "the base has moved");
        assert_eq!(realm.set(PAGE, 4 * PAGE), (0, 4 * PAGE));
        assert_eq!(realm.entry(3 * PAGE), (0, RAM));
    });
}

#[test]
fn a_call_ends_with_its_table() {
    with_realm(&[], |realm| {
        realm.request(0, 2 * BLOCK, RAM, false);
        assert_eq!(realm.set(0, 2 * BLOCK), (0, BLOCK));
        // The next 2 MiB are one entry of the table above.
        assert_eq!(realm.set(BLOCK, 2 * BLOCK), (0, 2 * BLOCK));
        let [_, level, state, _, ripas] = realm.call(fid::RTT_READ_ENTRY, &[realm.rd, BLOCK, 2]);
        assert_eq!((level, state, ripas), (2, 0, RAM));
    });
}

#[test]
fn memory_becomes_empty_and_comes_back() {
    with_realm(&[0, PAGE], |realm| {
        assert_eq!(realm.entry(PAGE), (1, RAM));
        realm.request(0, 2 * PAGE, EMPTY, false);
        assert_eq!(realm.set(0, 2 * PAGE), (0, 2 * PAGE));
        assert_eq!(realm.entry(0), (1, EMPTY));
        realm.request(0, 2 * PAGE, RAM, false);
        assert_eq!(realm.set(0, 2 * PAGE), (0, 2 * PAGE));
        assert_eq!(realm.entry(PAGE), (1, RAM));
    });
}

#[test]
fn destroyed_memory_stops_a_change_unless_the_realm_allows_it() {
    with_realm(&[2 * PAGE], |realm| {
        assert_eq!(realm.call(fid::DATA_DESTROY, &[realm.rd, 2 * PAGE])[0], 0);
        assert_eq!(realm.entry(2 * PAGE), (0, DESTROYED));
        realm.request(0, 4 * PAGE, RAM, false);
        assert_eq!(realm.set(0, 4 * PAGE), (0, 2 * PAGE));
        assert_eq!(realm.set(2 * PAGE, 4 * PAGE).0, error_rtt(3), "no progress");
        assert_eq!(realm.entry(2 * PAGE), (0, DESTROYED));
        realm.request(2 * PAGE, 4 * PAGE, RAM, true);
        assert_eq!(realm.set(2 * PAGE, 4 * PAGE), (0, 4 * PAGE));
        assert_eq!(realm.entry(2 * PAGE), (0, RAM));
    });
}

#[test]
fn entries_larger_than_the_range() {
    with_realm(&[], |realm| {
        realm.request(BLOCK + PAGE, BLOCK + 2 * PAGE, RAM, false);
        assert_eq!(
            realm.set(BLOCK + PAGE, BLOCK + 2 * PAGE).0,
            error_rtt(2),
            "base not aligned"
        );
        realm.request(BLOCK, BLOCK + PAGE, RAM, false);
        assert_eq!(
            realm.set(BLOCK, BLOCK + PAGE).0,
            error_rtt(2),
            "reaches beyond top"
        );
        // What has the value already is no obstacle.
        realm.request(BLOCK + PAGE, BLOCK + 2 * PAGE, EMPTY, false);
        assert_eq!(
            realm.set(BLOCK + PAGE, BLOCK + 2 * PAGE),
            (0, BLOCK + 2 * PAGE)
        );
    });
}

#[test]
fn ranges_that_were_not_asked_for() {
    with_realm(&[], |realm| {
        realm.request(PAGE, 3 * PAGE, RAM, false);
        for (base, top, why) in [
            (0, 3 * PAGE, "below"),
            (2 * PAGE, 3 * PAGE, "not at the base"),
            (PAGE, 4 * PAGE, "beyond the top"),
            (PAGE, PAGE, "nothing"),
            (PAGE, 2 * PAGE + 8, "not of a granule"),
        ] {
            assert_eq!(realm.set(base, top).0, ERROR_INPUT, "{why}");
        }
        assert_eq!(realm.entry(PAGE), (0, EMPTY));
    });
}

#[test]
fn the_rec_of_another_realm() {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut bench = Bench::new(&memory, &rmm);
    let rd = bench.realm(&realm_params(40, 1, 2));
    let mut params = realm_params(40, 1, 2);
    params.vmid = 7;
    let other = bench.realm(&params);
    let rec = bench.rec(other, true);
    bench.activate(other);
    let run = bench.host_granule();
    bench.prepare(run, &RecEnter::default());
    drop(bench);
    let realm = Fixture {
        memory: &memory,
        rmm: &rmm,
        rd,
        rec,
        run,
    };
    realm.request(0, PAGE, RAM, false);
    assert_eq!(realm.set(0, PAGE).0, ERROR_REC);
}
