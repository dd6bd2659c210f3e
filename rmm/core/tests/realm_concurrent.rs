//! Several CPUs on the same Realms and granules at the same time. What they saw must be explained by
//! some order of their calls, and what is left must be what that order leads to. (A call may also be
//! refused because another is about to change one of its granules.)
//!
//! `CLOISTER_STEPS` says how many calls, twenty times over; five thousand when it is not set.
#![allow(missing_docs)]

#[path = "realm_concurrent/arena.rs"]
mod arena;
#[path = "realm_concurrent/interleaved.rs"]
mod interleaved;
#[path = "realm_concurrent/order.rs"]
mod order;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use arena::{
    AUX, Arena, BASE, DESCRIPTORS, GRANULES, LAST_AUX, LEVEL_1, LEVEL_2, POOL, PROTECTED,
    REALM_PARAMETERS, REC_PARAMETERS, SOURCE, START_TABLES, Subject, UNPROTECTED, done, registers,
};
use fake_machine::{Memory, PAGE, Stage2Registers};
use order::Done;
use rmm_abi::rmi::fid;
use rmm_model::Granule;
use rmm_model::realm::World;

/// Pseudo-random numbers, reproducible for each CPU (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// A granule in a state at the beginning of the round, or any other.
fn granule(random: &mut Random, world: &World, wanted: Granule) -> u64 {
    let of_the_kind: Vec<u64> = world
        .granules()
        .filter(|(address, granule)| *granule == wanted && POOL.contains(address))
        .map(|(address, _)| address)
        .collect();
    if of_the_kind.is_empty() || random.below(6) == 0 {
        POOL.start + random.below(11) * PAGE
    } else {
        random.one_of(&of_the_kind)
    }
}

fn table_call(random: &mut Random, world: &World) -> [u64; 8] {
    let rd = random.one_of(&DESCRIPTORS);
    let delegated = granule(random, world, Granule::Delegated);
    let page = random.one_of(&PROTECTED);
    let host = random.one_of(&UNPROTECTED);
    let level = random.one_of(&[2, 3]);
    let either = random.one_of(&[page, host]);
    let table = either & !(if level == 3 { LEVEL_2 } else { LEVEL_1 } - 1);
    match random.below(12) {
        0 => [fid::DATA_CREATE, rd, delegated, page, SOURCE, 1, 0, 0],
        1 | 2 => [fid::DATA_CREATE_UNKNOWN, rd, delegated, page, 0, 0, 0, 0],
        3 => [fid::DATA_DESTROY, rd, page, 0, 0, 0, 0, 0],
        4 | 5 => [fid::RTT_CREATE, rd, delegated, table, level, 0, 0, 0],
        6 => [fid::RTT_DESTROY, rd, table, level, 0, 0, 0, 0],
        7 => [fid::RTT_FOLD, rd, table, level, 0, 0, 0, 0],
        8 => [fid::RTT_MAP_UNPROTECTED, rd, host, 3, 0x4000_00d8, 0, 0, 0],
        9 => [fid::RTT_UNMAP_UNPROTECTED, rd, host, 3, 0, 0, 0, 0],
        10 => [fid::RTT_READ_ENTRY, rd, either, 3, 0, 0, 0, 0],
        _ => [fid::RTT_INIT_RIPAS, rd, page, page + PAGE, 0, 0, 0, 0],
    }
}

fn life_cycle_call(random: &mut Random, world: &World) -> [u64; 8] {
    let which = usize::try_from(random.below(2)).unwrap();
    let rd = random.one_of(&DESCRIPTORS);
    match random.below(12) {
        0 | 1 => [
            fid::REALM_CREATE,
            rd,
            REALM_PARAMETERS[which],
            0,
            0,
            0,
            0,
            0,
        ],
        2 | 3 => [fid::REALM_DESTROY, rd, 0, 0, 0, 0, 0, 0],
        4 => [fid::REALM_ACTIVATE, rd, 0, 0, 0, 0, 0, 0],
        5 | 6 => {
            let rec = granule(random, world, Granule::Delegated);
            [
                fid::REC_CREATE,
                DESCRIPTORS[which],
                rec,
                REC_PARAMETERS[which],
                0,
                0,
                0,
                0,
            ]
        }
        7 | 8 => [
            fid::REC_DESTROY,
            granule(random, world, Granule::Rec),
            0,
            0,
            0,
            0,
            0,
            0,
        ],
        9 => {
            let address = granule(random, world, Granule::Undelegated);
            [fid::GRANULE_DELEGATE, address, 0, 0, 0, 0, 0, 0]
        }
        10 => {
            let address = random.one_of(&[AUX, AUX + PAGE, LAST_AUX, START_TABLES[0], rd]);
            [fid::GRANULE_UNDELEGATE, address, 0, 0, 0, 0, 0, 0]
        }
        _ => {
            let address = random.one_of(&[AUX, AUX + PAGE, LAST_AUX, START_TABLES[0], rd]);
            [fid::GRANULE_DELEGATE, address, 0, 0, 0, 0, 0, 0]
        }
    }
}

/// Lets each CPU make its calls, all at the same time.
fn round(arena: &mut Arena<'_>, plans: &[Vec<[u64; 8]>], realm_runs: bool, seed: u64) {
    arena.prepare();
    let clock = AtomicU64::new(0);
    let ready = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let registers: Vec<Stage2Registers> = arena
        .world
        .realms()
        .map(|(_, realm)| registers(realm))
        .collect();
    let cpus: Vec<Vec<Done>> = thread::scope(|scope| {
        let (memory, rmm) = (arena.memory, arena.rmm);
        let (clock, ready, over) = (&clock, &ready, &over);
        if realm_runs {
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    for registers in &registers {
                        for ipa in PROTECTED.into_iter().chain(UNPROTECTED) {
                            memory.translate(registers, ipa);
                        }
                    }
                    thread::yield_now();
                }
            });
        }
        let threads: Vec<_> = plans
            .iter()
            .enumerate()
            .map(|(number, plan)| {
                scope.spawn(move || {
                    let cpu = memory.cpu(number);
                    let mut random = Random((seed ^ plan[0][1]) + number as u64 + 1);
                    cpu.interrupt(move || match random.below(16) {
                        0..=2 => thread::yield_now(),
                        3 | 4 => (0..random.below(4000)).for_each(|_| std::hint::spin_loop()),
                        _ => {}
                    });
                    ready.fetch_add(1, Ordering::SeqCst);
                    while ready.load(Ordering::SeqCst) < plans.len() {
                        thread::yield_now();
                    }
                    plan.iter()
                        .map(|call| done(rmm, &cpu, clock, call))
                        .collect()
                })
            })
            .collect();
        let joined: Vec<_> = threads
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        over.store(true, Ordering::SeqCst);
        joined
            .into_iter()
            .map(|calls| calls.expect("no CPU stops"))
            .collect()
    });
    arena.settle(&cpus);
}

fn run(subject: Subject, seed: u64) {
    const CALLS_OF_A_CPU: u64 = 4;
    let steps = std::env::var("CLOISTER_STEPS")
        .ok()
        .map(|text| text.parse().expect("a number"));
    let wanted = steps.unwrap_or(100_000_u64) / 20;
    let mut random = Random(seed);
    let mut calls = 0;
    let mut successes = 0;
    while calls < wanted {
        let memory = Memory::new(&[(BASE, GRANULES)]);
        let rmm = memory.rmm();
        let mut arena = Arena::new(&memory, &rmm, subject);
        for _ in 0..100 {
            let cpus = 2 + random.below(2);
            let mut plan = || -> Vec<[u64; 8]> {
                let mut call = || match subject {
                    Subject::Tables => table_call(&mut random, &arena.world),
                    Subject::LifeCycle => life_cycle_call(&mut random, &arena.world),
                };
                (0..CALLS_OF_A_CPU).map(|_| call()).collect()
            };
            let plans: Vec<_> = (0..cpus).map(|_| plan()).collect();
            let before = arena.world.clone();
            round(
                &mut arena,
                &plans,
                subject == Subject::Tables,
                random.below(1 << 30),
            );
            calls += cpus * CALLS_OF_A_CPU;
            successes += u64::from(!before.granules().eq(arena.world.granules()));
        }
    }
    println!("{calls} calls on shared Realms, {successes} rounds that changed something");
    assert!(successes > 0);
}

#[test]
fn tables_and_memory_of_the_same_realms() {
    run(Subject::Tables, 0x9e37_79b9_7f4a_7c15);
}

#[test]
fn realms_and_recs_of_the_same_granules() {
    run(Subject::LifeCycle, 0xbf58_476d_1ce4_e5b9);
}
