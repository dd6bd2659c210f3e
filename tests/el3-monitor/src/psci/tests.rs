//! Tests of PSCI.

use super::*;
use core::cell::Cell;

#[derive(Default)]
struct Machine {
    woken: Cell<Option<usize>>,
}

impl Hardware for Machine {
    fn is_normal_memory(&self, address: u64) -> bool {
        (0x4000_0000..0x5000_0000).contains(&address)
    }
    fn wake(&self, cpu: usize) {
        self.woken.set(Some(cpu));
    }
}

const AFFINITIES: [u64; 3] = [0, 1, 0x100];

fn value(cpus: &Cpus<'_>, function: u64, arguments: [u64; 3]) -> i64 {
    match cpus.call(&Machine::default(), 0, function, arguments) {
        Some(Outcome::Return(value)) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_life_of_a_cpu() {
    let cpus = Cpus::new(&AFFINITIES);
    let info = || value(&cpus, psci::AFFINITY_INFO, [0x100, 0, 0]);
    let on = || value(&cpus, psci::CPU_ON, [0x100, 0x4000_1000, 77]);
    assert_eq!(value(&cpus, psci::AFFINITY_INFO, [0, 0, 0]), psci::SUCCESS);
    assert_eq!(info(), psci::AFFINITY_OFF);
    assert_eq!(cpus.start(2), None);
    let machine = Machine::default();
    let outcome = cpus.call(&machine, 0, psci::CPU_ON, [0x100, 0x4000_1000, 77]);
    assert_eq!(outcome, Some(Outcome::Return(psci::SUCCESS)));
    assert_eq!(machine.woken.get(), Some(2));
    assert_eq!(info(), psci::AFFINITY_ON_PENDING);
    assert_eq!(on(), psci::ON_PENDING);
    let start = Start {
        entry: 0x4000_1000,
        context: 77,
    };
    assert_eq!(cpus.start(2), Some(start));
    assert_eq!(cpus.start(2), None);
    assert_eq!(info(), psci::SUCCESS);
    assert_eq!(on(), psci::ALREADY_ON);
    assert_eq!(
        cpus.call(&machine, 2, psci::CPU_OFF, [0; 3]),
        Some(Outcome::Off)
    );
    assert_eq!(info(), psci::AFFINITY_OFF);
    assert_eq!(on(), psci::SUCCESS);
}

#[test]
fn bad_targets_and_addresses() {
    let cpus = Cpus::new(&AFFINITIES);
    for target in [2, 0x101, 1 << 31, 1 << 40, 1 << 32 | 1, u64::MAX] {
        assert_eq!(
            value(&cpus, psci::CPU_ON, [target, 0x4000_0000, 0]),
            psci::INVALID_PARAMETERS
        );
        assert_eq!(
            value(&cpus, psci::AFFINITY_INFO, [target, 0, 0]),
            psci::INVALID_PARAMETERS
        );
    }
    assert_eq!(
        value(&cpus, psci::AFFINITY_INFO, [1, 1, 0]),
        psci::INVALID_PARAMETERS
    );
    for entry in [0, 0x3fff_fffc, 0x5000_0000, 0x4000_0002, u64::MAX] {
        assert_eq!(
            value(&cpus, psci::CPU_ON, [1, entry, 0]),
            psci::INVALID_ADDRESS
        );
    }
    assert_eq!(
        value(&cpus, psci::CPU_ON, [0, 0x4000_0000, 0]),
        psci::ALREADY_ON
    );
}

#[test]
fn calls_of_32_bits_ignore_the_upper_halves() {
    let cpus = Cpus::new(&AFFINITIES);
    let dirty = 0xdead_beef << 32;
    let arguments = [dirty | 1, dirty | 0x4000_0000, dirty | 5];
    assert_eq!(value(&cpus, psci::CPU_ON_32, arguments), psci::SUCCESS);
    let start = Start {
        entry: 0x4000_0000,
        context: 5,
    };
    assert_eq!(cpus.start(1), Some(start));
    assert_eq!(
        value(&cpus, psci::AFFINITY_INFO_32, [dirty | 1, dirty, 0]),
        psci::SUCCESS
    );
    assert_eq!(
        value(&cpus, psci::FEATURES, [dirty | psci::CPU_ON, 0, 0]),
        psci::SUCCESS
    );
}

#[test]
fn the_rest() {
    let cpus = Cpus::new(&AFFINITIES);
    assert_eq!(value(&cpus, psci::VERSION, [0; 3]), 0x1_0001);
    for present in [
        psci::VERSION,
        psci::CPU_SUSPEND_32,
        psci::CPU_SUSPEND,
        psci::CPU_OFF,
        psci::CPU_ON_32,
        psci::CPU_ON,
        psci::AFFINITY_INFO_32,
        psci::AFFINITY_INFO,
        MIGRATE_INFO_TYPE,
        psci::SYSTEM_OFF,
        psci::SYSTEM_RESET,
        psci::FEATURES,
        SMCCC_VERSION,
    ] {
        assert_eq!(
            value(&cpus, psci::FEATURES, [present, 0, 0]),
            psci::SUCCESS,
            "{present:#x}"
        );
    }
    assert_eq!(value(&cpus, 0x8400_0006, [0; 3]), 2);
    for absent in [
        0x8400_0005,
        0x8400_000e,
        0xc400_0008,
        0xc400_0002,
        0x8400_0001 << 32,
    ] {
        assert_eq!(cpus.call(&Machine::default(), 0, absent, [0; 3]), None);
        assert_eq!(
            value(&cpus, psci::FEATURES, [absent, 0, 0]),
            psci::NOT_SUPPORTED
        );
    }
    let outcome = |function, first| cpus.call(&Machine::default(), 0, function, [first, 0, 0]);
    assert_eq!(outcome(psci::SYSTEM_OFF, 0), Some(Outcome::SystemOff));
    assert_eq!(outcome(psci::SYSTEM_RESET, 0), Some(Outcome::SystemReset));
    for state in [0, 1, 0xffff] {
        assert_eq!(outcome(psci::CPU_SUSPEND, state), Some(Outcome::Standby));
    }
    for state in [1 << 16, 1 << 17, 1 << 24, 1 << 26, 1 << 31] {
        assert_eq!(
            outcome(psci::CPU_SUSPEND_32, state),
            Some(Outcome::Return(psci::INVALID_PARAMETERS))
        );
    }
}

#[test]
fn one_of_many_switches_a_cpu_on() {
    struct Quiet;
    impl Hardware for Quiet {
        fn is_normal_memory(&self, _: u64) -> bool {
            true
        }
        fn wake(&self, _: usize) {}
    }
    let cpus = Cpus::new(&AFFINITIES);
    for _ in 0..200 {
        let call = || match cpus.call(&Quiet, 0, psci::CPU_ON, [1, 0, 0]) {
            Some(Outcome::Return(value)) => value,
            _ => panic!(),
        };
        let mut values = std::thread::scope(|scope| {
            let other = scope.spawn(call);
            [call(), other.join().unwrap()]
        });
        values.sort_unstable();
        assert_eq!(values, [psci::ON_PENDING, psci::SUCCESS]);
        assert!(cpus.start(1).is_some());
        cpus.call(&Quiet, 1, psci::CPU_OFF, [0; 3]);
    }
}

#[test]
fn a_cpu_starts_with_what_it_was_told_however_early_it_looks() {
    const ROUNDS: u64 = 50_000;
    let told = |round: u64| Start {
        entry: 0x4000_0000 + 4 * round,
        context: !round,
    };
    // Close to the other CPU, but not at its cost when both share one.
    let wait = |done: &dyn Fn() -> bool| {
        while !(0..200).any(|_| done()) {
            std::thread::yield_now();
        }
    };
    let cpus = Cpus::new(&AFFINITIES);
    let switch_on = || {
        for round in 1..=ROUNDS {
            let Start { entry, context } = told(round);
            wait(&|| value(&cpus, psci::CPU_ON, [1, entry, context]) == psci::SUCCESS);
        }
    };
    let come_up = || -> Vec<Start> {
        let start = |_| {
            let start = Cell::new(None);
            wait(&|| {
                start.set(cpus.start(1));
                start.get().is_some()
            });
            cpus.call(&Machine::default(), 1, psci::CPU_OFF, [0; 3]);
            start.get().unwrap()
        };
        (0..ROUNDS).map(start).collect()
    };
    let starts = std::thread::scope(|scope| {
        scope.spawn(switch_on);
        come_up()
    });
    for (round, start) in (1..).zip(starts) {
        assert_eq!(start, told(round), "round {round}");
    }
}
