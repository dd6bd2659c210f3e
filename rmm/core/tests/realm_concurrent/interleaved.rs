//! One CPU stops in the middle of a call, at each place where it does something to the machine, until
//! another has made two calls or waits for the first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use fake_machine::{Memory, PAGE};
use rmm_abi::rmi::fid;

use crate::arena::{
    AUX, Arena, BASE, DESCRIPTORS, GRANULES, LAST_AUX, LEVEL_2, MIDDLE, POOL, REALM_PARAMETERS,
    REC_PARAMETERS, START_TABLES, Subject, done,
};

type Call = [u64; 8];

const RUNNING: u8 = 0;
const STOPPED: u8 = 1;
const GO_ON: u8 = 2;

const fn call<const N: usize>(function: u64, arguments: [u64; N]) -> Call {
    let mut call = [function, 0, 0, 0, 0, 0, 0, 0];
    let mut register = 0;
    while register < N {
        call[register + 1] = arguments[register];
        register += 1;
    }
    call
}

/// Lets `first` stop at one of its steps and `second` do its calls there. `false` when there is no
/// such step.
fn interleave(setup: &[Call], first: &Call, second: &[Call; 2], step: usize) -> bool {
    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let mut arena = Arena::new(&memory, &rmm, Subject::LifeCycle);
    arena.do_alone(setup);
    arena.prepare();
    let clock = AtomicU64::new(0);
    let gate = Arc::new(AtomicU8::new(RUNNING));
    let steps = Arc::new(AtomicUsize::new(0));
    let cpus = thread::scope(|scope| {
        let (memory, rmm, clock) = (&memory, &rmm, &clock);
        let (gate_of_first, steps) = (Arc::clone(&gate), Arc::clone(&steps));
        let first = scope.spawn(move || {
            let cpu = memory.cpu(0);
            let gate = Arc::clone(&gate_of_first);
            cpu.interrupt(move || {
                if steps.fetch_add(1, Ordering::SeqCst) == step {
                    gate.store(STOPPED, Ordering::SeqCst);
                    while gate.load(Ordering::SeqCst) == STOPPED {
                        thread::yield_now();
                    }
                }
            });
            let only = vec![done(rmm, &cpu, clock, first)];
            // The other may be waiting for a step that there is not.
            let _ = gate_of_first.compare_exchange(
                RUNNING,
                STOPPED,
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
            only
        });
        let gate = Arc::clone(&gate);
        let second = scope.spawn(move || {
            let cpu = memory.cpu(1);
            while gate.load(Ordering::SeqCst) == RUNNING {
                thread::yield_now();
            }
            let waiting = Arc::clone(&gate);
            cpu.when_waiting(move || waiting.store(GO_ON, Ordering::SeqCst));
            let calls = second
                .iter()
                .map(|call| done(rmm, &cpu, clock, call))
                .collect();
            gate.store(GO_ON, Ordering::SeqCst);
            calls
        });
        [
            first.join().expect("no CPU stops"),
            second.join().expect("no CPU stops"),
        ]
    });
    arena.settle(&cpus);
    steps.load(Ordering::SeqCst) > step
}

fn all_interleavings(setup: &[Call], calls: &[Call]) {
    let mut runs = 0;
    for first in calls {
        for second in calls {
            for third in calls {
                let mut step = 0;
                while interleave(setup, first, &[*second, *third], step) {
                    step += 1;
                }
                runs += step;
            }
        }
    }
    println!("{runs} interleavings");
    assert!(
        runs > calls.len().pow(2),
        "calls are hardly ever interrupted"
    );
}

const RD: u64 = DESCRIPTORS[0];
const CREATE_REALM: Call = call(fid::REALM_CREATE, [RD, REALM_PARAMETERS[0]]);
const CREATE_OTHER_REALM: Call = call(fid::REALM_CREATE, [DESCRIPTORS[1], REALM_PARAMETERS[1]]);

const fn pool(number: u64) -> u64 {
    POOL.start + number * PAGE
}

#[test]
fn realms_come_and_go() {
    let calls = [
        CREATE_OTHER_REALM,
        call(fid::REALM_DESTROY, [RD]),
        CREATE_REALM,
        call(fid::REALM_ACTIVATE, [RD]),
        call(fid::RTT_CREATE, [RD, pool(0), 0, 2]),
        call(fid::REC_CREATE, [RD, pool(0), REC_PARAMETERS[0]]),
        call(fid::GRANULE_UNDELEGATE, [RD]),
        call(fid::GRANULE_UNDELEGATE, [START_TABLES[0]]),
    ];
    all_interleavings(&[CREATE_REALM], &calls);
}

#[test]
fn recs_come_and_go() {
    let rec = pool(1);
    let calls = [
        call(fid::REC_DESTROY, [rec]),
        call(fid::REC_CREATE, [RD, pool(0), REC_PARAMETERS[0]]),
        call(fid::REALM_DESTROY, [RD]),
        call(fid::REALM_ACTIVATE, [RD]),
        call(fid::GRANULE_UNDELEGATE, [AUX]),
        call(fid::GRANULE_UNDELEGATE, [LAST_AUX]),
        call(fid::GRANULE_UNDELEGATE, [rec]),
        CREATE_OTHER_REALM,
    ];
    let create_rec = call(fid::REC_CREATE, [RD, rec, REC_PARAMETERS[0]]);
    all_interleavings(&[CREATE_REALM, create_rec], &calls);
    all_interleavings(&[CREATE_REALM], &calls);
}

#[test]
fn tables_and_memory_come_and_go() {
    let setup = [
        CREATE_REALM,
        call(fid::RTT_CREATE, [RD, pool(1), 0, 2]),
        call(fid::RTT_CREATE, [RD, pool(2), 0, 3]),
        call(fid::RTT_INIT_RIPAS, [RD, 0, PAGE]),
        call(fid::DATA_CREATE_UNKNOWN, [RD, pool(3), 0]),
        call(fid::RTT_CREATE, [RD, pool(4), MIDDLE, 2]),
        call(fid::RTT_CREATE, [RD, pool(5), MIDDLE, 3]),
        call(fid::RTT_MAP_UNPROTECTED, [RD, MIDDLE, 3, 0x4000_00d8]),
    ];
    let calls = [
        call(fid::DATA_DESTROY, [RD, 0]),
        call(fid::DATA_CREATE_UNKNOWN, [RD, pool(0), 0]),
        call(fid::RTT_CREATE, [RD, pool(0), LEVEL_2, 3]),
        call(fid::RTT_DESTROY, [RD, 0, 3]),
        call(fid::RTT_DESTROY, [RD, MIDDLE, 3]),
        call(fid::RTT_FOLD, [RD, MIDDLE, 3]),
        call(fid::RTT_UNMAP_UNPROTECTED, [RD, MIDDLE, 3]),
        call(fid::RTT_INIT_RIPAS, [RD, PAGE, 3 * PAGE]),
        call(fid::GRANULE_UNDELEGATE, [pool(3)]),
        call(fid::GRANULE_UNDELEGATE, [pool(5)]),
    ];
    all_interleavings(&setup, &calls);
}
