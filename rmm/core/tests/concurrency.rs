//! Many CPUs at once, each a thread.
#![allow(missing_docs)]

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use fake_machine::{Memory, WORDS_PER_GRANULE};
use rmm_abi::rmi::fid;
use rmm_model::{Command, Granule, GranuleSet, History, Workspace};

const BASE: u64 = 0x8000_0000;
const PAGE: u64 = 0x1000;

/// Pseudo-random numbers, reproducible for each CPU (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// Four CPUs delegate and undelegate the same few granules, a million calls in all. Every answer
/// must have a moment at which it was right, and what is left at the end must be what the answers
/// add up to.
#[test]
fn a_million_calls_on_overlapping_ranges() {
    const CPUS: usize = 4;
    const CALLS: usize = 1_000_000;
    const GRANULES: u64 = 24;

    let memory = Memory::new(&[(BASE, GRANULES)]);
    let rmm = memory.rmm();
    let events: Vec<AtomicU64> = (0..2 * CALLS).map(|_| AtomicU64::new(0)).collect();
    let history = History::new(&events);
    let start = Barrier::new(CPUS);
    thread::scope(|scope| {
        for cpu in 0..CPUS {
            let (memory, rmm, history, start) = (&memory, &rmm, &history, &start);
            scope.spawn(move || {
                let machine = memory.cpu(cpu);
                let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ cpu as u64);
                start.wait();
                while let Some(ticket) = history.begin() {
                    // Each CPU has a range of its own that overlaps with those of its neighbours.
                    let granule = (6 * cpu as u64 + random.below(12)) % GRANULES;
                    let (function, command) = if random.below(2) == 0 {
                        (fid::GRANULE_DELEGATE, Command::Delegate)
                    } else {
                        (fid::GRANULE_UNDELEGATE, Command::Undelegate)
                    };
                    let registers = [function, BASE + granule * PAGE, 0, 0, 0, 0, 0, 0];
                    let reply = rmm.call(&machine, &registers).expect("no fatal condition");
                    let granule = u32::try_from(granule).expect("few granules");
                    history.end(ticket, cpu, command, granule, reply[0]);
                }
            });
        }
    });
    assert_eq!(history.events().len(), 2 * CALLS);

    let mut states = vec![GranuleSet::of(Granule::Undelegated); usize::try_from(GRANULES).unwrap()];
    Workspace::new()
        .check(history.events(), &mut states)
        .unwrap();
    for (granule, states) in (0..).zip(states) {
        let expected = if memory.host_read(BASE + granule * PAGE, 0).is_ok() {
            Granule::Undelegated
        } else {
            Granule::Delegated
        };
        assert_eq!(states, GranuleSet::of(expected), "granule {granule}");
    }
}

/// While one CPU delegates and undelegates a granule, another keeps writing to it. Whatever was
/// written before the granule left, and whatever was on its way when it did, is gone when it
/// comes back.
#[test]
fn nothing_that_the_host_wrote_outlives_a_delegation() {
    const ROUNDS: u64 = 2_000;
    let memory = Memory::new(&[(BASE, 1)]);
    let rmm = memory.rmm();
    let (go, done) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(7);
            loop {
                go.wait();
                if done.load(Ordering::SeqCst) {
                    return;
                }
                // Writes until the granule is gone.
                while memory
                    .host_write(
                        BASE,
                        usize::try_from(random.below(WORDS_PER_GRANULE as u64)).unwrap(),
                        u64::MAX,
                    )
                    .is_ok()
                {}
                go.wait();
            }
        });
        let cpu = memory.cpu(0);
        let mut random = Random(11);
        for _ in 0..ROUNDS {
            go.wait();
            for _ in 0..random.below(300) {
                std::hint::spin_loop();
            }
            assert_eq!(
                rmm.call(&cpu, &[fid::GRANULE_DELEGATE, BASE, 0, 0, 0, 0, 0, 0])
                    .unwrap()[0],
                0
            );
            go.wait();
            assert_eq!(
                rmm.call(&cpu, &[fid::GRANULE_UNDELEGATE, BASE, 0, 0, 0, 0, 0, 0])
                    .unwrap()[0],
                0
            );
            for word in 0..WORDS_PER_GRANULE {
                assert_eq!(memory.host_read(BASE, word), Ok(0), "word {word}");
            }
        }
        done.store(true, Ordering::SeqCst);
        go.wait();
    });
}
