//! Random sequences of calls against the model, from one thread and from several.
//!
//! `CLOISTER_STEPS` says how many calls; a hundred thousand when it is not set.
#![allow(missing_docs)]

#[path = "realm_random/host.rs"]
mod host;
#[path = "realm_random/running.rs"]
mod running;
#[path = "realm_random/steps.rs"]
mod steps;
#[path = "realm_random/tables.rs"]
mod tables;
#[path = "realm_random/tokens.rs"]
mod tokens;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fake_machine::{Bench, FEATURES, Memory, PAGE};
use host::{BLOCK_GRANULES, Host, OTHER_GRANULES};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};
use rmm_abi::rmi::fid;
use rmm_abi::rsi;
use rmm_core::Rmm;
use steps::Step;

const BASE: u64 = 0x8000_0000;
const GRANULES: u64 = BLOCK_GRANULES + OTHER_GRANULES;
/// Distance of the memories of two hosts; keeps their blocks aligned.
const APART: u64 = 0x40_0000;

/// Commands of which the sequences must see both a success and a failure. `REC_AUX_COUNT` seldom
/// fails.
const COMMANDS: [u64; 17] = [
    fid::GRANULE_DELEGATE,
    fid::GRANULE_UNDELEGATE,
    fid::REALM_CREATE,
    fid::REALM_ACTIVATE,
    fid::REALM_DESTROY,
    fid::REC_CREATE,
    fid::REC_DESTROY,
    fid::DATA_CREATE,
    fid::DATA_CREATE_UNKNOWN,
    fid::DATA_DESTROY,
    fid::RTT_CREATE,
    fid::RTT_DESTROY,
    fid::RTT_FOLD,
    fid::RTT_READ_ENTRY,
    fid::RTT_MAP_UNPROTECTED,
    fid::RTT_UNMAP_UNPROTECTED,
    fid::RTT_INIT_RIPAS,
];

/// The same where Realms run.
const RUNNING_COMMANDS: [u64; 10] = [
    fid::DATA_CREATE_UNKNOWN,
    fid::DATA_DESTROY,
    fid::RTT_CREATE,
    fid::RTT_DESTROY,
    fid::RTT_MAP_UNPROTECTED,
    fid::RTT_UNMAP_UNPROTECTED,
    fid::RTT_SET_RIPAS,
    fid::REC_ENTER,
    fid::PSCI_COMPLETE,
    rsi::fid::ATTESTATION_TOKEN_CONTINUE,
];

fn wanted_calls() -> u64 {
    let calls = std::env::var("CLOISTER_STEPS")
        .ok()
        .map(|text| text.parse().expect("a number"));
    calls.unwrap_or(100_000)
}

/// Counts of what happened, by command and code.
#[derive(Default)]
struct Tally {
    calls: AtomicU64,
    outcomes: Mutex<BTreeMap<(u64, u64), u64>>,
}

impl Tally {
    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

/// Plays a sequence on a part of the machine, and compares everything at the end.
fn play<'m>(memory: &'m Memory, rmm: &'m Rmm<'m>, number: u16, steps: &[Step], tally: &Tally) {
    let base = BASE + u64::from(number) * APART;
    let granules = (0..GRANULES).map(|granule| base + granule * PAGE).collect();
    let mut bench = Bench::with_granules(memory, rmm, FEATURES, granules).quick();
    let mut host = Host::new(&mut bench, base, 8 * number);
    for step in steps {
        host.take(*step);
    }
    let (calls, tokens) = (host.calls, std::mem::take(&mut host.tokens));
    bench.check_all();
    bench.check_tables();
    tally.calls.fetch_add(calls, Ordering::Relaxed);
    let mut outcomes = tally.outcomes.lock().unwrap();
    for (outcome, count) in bench.outcomes().iter().chain(&tokens) {
        *outcomes.entry(*outcome).or_default() += count;
    }
}

/// Runs sequences until there were enough calls. A sequence that fails is made shorter and
/// simpler until only what matters is left of it.
fn run(
    sequence: impl Strategy<Value = Vec<Step>>,
    commands: &[u64],
    hosts: RangeInclusive<usize>,
    share: u64,
    what: &str,
) {
    let sequences = proptest::collection::vec(sequence, hosts);
    let tally = Tally::default();
    let wanted = wanted_calls() / share;
    while tally.calls() < wanted {
        let config = Config {
            cases: 8,
            failure_persistence: None,
            max_shrink_iters: 2_000,
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(&sequences, |sequences| {
            let banks: Vec<_> = (0..sequences.len() as u64)
                .map(|number| (BASE + number * APART, GRANULES))
                .collect();
            let memory = Memory::new(&banks);
            let rmm = memory.rmm();
            if let [only] = sequences.as_slice() {
                play(&memory, &rmm, 0, only, &tally);
            } else {
                std::thread::scope(|scope| {
                    for (number, steps) in (0..).zip(&sequences) {
                        let (memory, rmm, tally) = (&memory, &rmm, &tally);
                        scope.spawn(move || play(memory, rmm, number, steps, tally));
                    }
                });
            }
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
    }
    let outcomes = tally.outcomes.lock().unwrap();
    println!("{what}: {} calls without a difference", tally.calls());
    for ((function, code), count) in outcomes.iter() {
        println!("  {function:#x} replied {code:#05x} {count} times");
    }
    // Sequences that never get anywhere would agree with any model.
    let seen = |function, wanted: fn(u64) -> bool| {
        outcomes
            .keys()
            .any(|(other, code)| *other == function && wanted(*code))
    };
    for &function in commands {
        assert!(
            seen(function, |code| code == 0),
            "{function:#x} never succeeded"
        );
        assert!(
            seen(function, |code| code != 0),
            "{function:#x} never failed"
        );
    }
}

fn ordinary() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(steps::step(), 1..400)
}

#[test]
fn one_host() {
    run(ordinary(), &COMMANDS, 1..=1, 2, "one host");
}

#[test]
fn several_hosts_side_by_side() {
    run(ordinary(), &COMMANDS, 2..=4, 2, "two to four hosts");
}

#[test]
fn realms_that_run() {
    let what = "Realms that run";
    run(steps::running_steps(), &RUNNING_COMMANDS, 1..=2, 2, what);
}
