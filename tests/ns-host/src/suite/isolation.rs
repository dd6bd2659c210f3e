//! What a delegated granule, and another world's memory, is to the host.

#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use ns_host::fault::FaultKind;
use ns_host::random::Random;
use spin::Mutex;

use crate::machine::CarveOut;
use crate::memory::{self, GRANULE, GRANULE_WORDS};
use crate::outcome::{Outcome, ensure, fail};
use crate::realm::{Kind, Specimens};
use crate::rmi::{self, must_delegate, must_undelegate};
use crate::suite::{Host, expect};
use crate::time::{Deadline, relax, wait_until};

pub(crate) fn delegated_granule(host: &Host) -> Outcome {
    let first = host.granules(3)?;
    let [before, granule, behind] = [0, 1, 2].map(|index| first + index * GRANULE);
    expect::accessible(granule)?;
    expect::fill(before, |index| index)?;
    expect::fill(behind, |index| !index)?;
    must_delegate(granule)?;
    // SAFETY: the pool gave the granule out.
    unsafe { expect::protected(granule) }?;
    expect::holds(before, |index| index)?;
    expect::holds(behind, |index| !index)?;
    expect::accessible(before)?;
    expect::accessible(behind)?;
    must_undelegate(granule)?;
    expect::holds(granule, |_| 0)?;
    expect::accessible(granule)
}

pub(crate) fn every_cpu(host: &Host) -> Outcome {
    let count = host.cpus.count();
    let granule = host.granule()?;
    for _ in 0..3 {
        // Every CPU has used the granule before, so that it could remember how to get there.
        host.cpus.check(count, &|cpu| {
            expect::write(granule + 8 * cpu as u64, cpu as u64)?;
            expect::read(granule + 0x800).map(|_| ())
        })?;
        must_delegate(granule)?;
        host.cpus.check(count, &|_| {
            // SAFETY: the pool gave the granule out.
            unsafe { expect::protected(granule) }
        })?;
        must_undelegate(granule)?;
        host.cpus.check(count, &|_| expect::holds(granule, |_| 0))?;
    }
    Ok(())
}

pub(crate) fn dirty_granule(host: &Host) -> Outcome {
    let granule = host.granule()?;
    for byte in [0xff, 0x5a, 0x01] {
        let word = u64::from_ne_bytes([byte; 8]);
        expect::fill(granule, |_| word)?;
        expect::holds(granule, |_| word)?;
        must_delegate(granule)?;
        must_undelegate(granule)?;
        expect::holds(granule, |_| 0)?;
    }
    Ok(())
}

pub(crate) fn carve_outs(host: &Host) -> Outcome {
    for carve_out in CarveOut::ALL {
        let range = expect::carve_out(host, carve_out)?.whole_granules();
        // The ends, and granules in between.
        let step = (range.size() / 16).max(GRANULE) & !(GRANULE - 1);
        let mut granule = range.start();
        while granule < range.end() {
            // SAFETY: it belongs to another world.
            unsafe { expect::protected(granule) }?;
            granule += step;
        }
        // SAFETY: as above.
        unsafe { expect::protected(range.last_granule()) }?;
    }
    Ok(())
}

/// Every kind of granule that a Realm has, from every CPU.
pub(crate) fn granules_of_a_realm(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    for active in [false, true] {
        if active {
            specimens.realm.activate()?;
        }
        for (kind, granule) in specimens.granules() {
            if *kind == Kind::Undelegated {
                continue;
            }
            host.cpus.check(host.cpus.count(), &|_| {
                // SAFETY: the pool gave the granule out.
                unsafe { expect::protected(*granule) }
            })?;
        }
        specimens.are_unchanged("accesses of the host")?;
    }
    specimens.tear_down()
}

/// Time for the rounds of one test below, and how many are enough.
const ROUNDS_TIME: Duration = Duration::from_secs(5);
const ROUNDS: u64 = 300;
/// How long the other CPU may take to see a change.
const REACTION: Duration = Duration::from_secs(4);

/// CPU 1 works on a granule in rounds that CPU 0 starts and ends.
struct Rounds {
    started: AtomicU64,
    finished: AtomicU64,
    /// Accesses that reached the granule.
    steps: AtomicU64,
    /// No more rounds: enough, or one has failed.
    over: AtomicBool,
}

impl Rounds {
    const fn new() -> Self {
        Self {
            started: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// On CPU 1: runs `round` each time that CPU 0 asks for it.
    fn follow(&self, mut round: impl FnMut(u64) -> Outcome) -> Outcome {
        let mut last = 0;
        loop {
            let started = self.started.load(Ordering::Acquire);
            if started != last {
                last = started;
                let outcome = round(started);
                if outcome.is_err() {
                    self.over.store(true, Ordering::Release);
                }
                self.finished.store(started, Ordering::Release);
                outcome?;
            } else if self.over.load(Ordering::Acquire) {
                return Ok(());
            }
            relax();
        }
    }

    /// On CPU 0: runs rounds until they are enough.
    fn lead(&self, round: impl FnMut(&Self) -> Outcome) -> Outcome {
        let outcome = self.lead_rounds(round);
        self.over.store(true, Ordering::Release);
        outcome
    }

    fn lead_rounds(&self, mut round: impl FnMut(&Self) -> Outcome) -> Outcome {
        let time = Deadline::after(ROUNDS_TIME);
        for number in 1..=ROUNDS {
            self.started.store(number, Ordering::Release);
            round(self)?;
            if time.passed() || self.over.load(Ordering::Acquire) {
                break;
            }
        }
        Ok(())
    }

    /// On CPU 0: waits until CPU 1 is at work, and then for some more of its accesses.
    fn wait_for_work(&self, random: &mut Random) -> Outcome {
        let goal = self.steps.load(Ordering::Acquire) + 1 + random.below(200);
        let at_work = wait_until(REACTION, || {
            self.steps.load(Ordering::Acquire) >= goal || self.has_finished()
        });
        ensure!(at_work, "the other CPU does not get to work");
        Ok(())
    }

    fn has_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire) == self.started.load(Ordering::Relaxed)
    }
}

/// Lets some time pass in which the other CPU works.
fn pause(random: &mut Random) {
    for _ in 0..random.below(3000) {
        core::hint::spin_loop();
    }
    relax();
}

pub(crate) fn under_writes(host: &Host) -> Outcome {
    let granule = host.granule()?;
    let rounds = Rounds::new();
    let writer = |round: u64| {
        let mut random = Random::new(round);
        let time = Deadline::after(REACTION);
        for count in 0u64.. {
            let address = granule + 8 * random.below(GRANULE_WORDS);
            // SAFETY: the pool gave the granule out.
            match unsafe { memory::try_write(address, !0) } {
                Some(Ok(())) => {
                    rounds.steps.fetch_add(1, Ordering::Release);
                }
                Some(Err(fault)) if fault.kind() == FaultKind::GranuleProtection => {
                    return Ok(());
                }
                Some(Err(fault)) => return fail!("write of {address:#x}: {fault}"),
                None => return fail!("{address:#x} cannot be mapped"),
            }
            if count % 64 == 63 {
                relax();
                if rounds.over.load(Ordering::Acquire) {
                    return Ok(());
                }
                ensure!(
                    !time.passed(),
                    "writes of {granule:#x} still work long after its delegation"
                );
            }
        }
        Ok(())
    };
    let mut random = Random::new(3);
    let leader = |rounds: &Rounds| {
        rounds.wait_for_work(&mut random)?;
        must_delegate(granule)?;
        let stopped = wait_until(REACTION, || rounds.has_finished());
        ensure!(stopped, "the writer did not stop");
        must_undelegate(granule)?;
        expect::holds(granule, |_| 0)
    };
    two_cpus(host, &rounds, writer, leader)
}

pub(crate) fn under_reads(host: &Host) -> Outcome {
    const OLD: u64 = 0x1111_2222_3333_4444;
    rmi::must_be_there()?;
    let granule = host.granule()?;
    let rounds = Rounds::new();
    let stop = AtomicU64::new(0);
    // What was in the granule before, then faults, then zeroes; nothing else, and in this order.
    let reader = |round: u64| {
        let mut random = Random::new(round);
        let address = granule + 8 * random.below(GRANULE_WORDS);
        let mut phase = 0;
        for count in 0u64.. {
            let now = match memory::try_read(address) {
                Some(Ok(OLD)) => 0,
                Some(Err(fault)) if fault.kind() == FaultKind::GranuleProtection => 1,
                Some(Ok(0)) => 2,
                Some(Ok(value)) => return fail!("{address:#x} shows {value:#x}"),
                Some(Err(fault)) => return fail!("read of {address:#x}: {fault}"),
                None => return fail!("{address:#x} cannot be mapped"),
            };
            ensure!(
                now >= phase,
                "{address:#x} went back from phase {phase} to phase {now} of old, faulting, zero"
            );
            phase = now;
            if now != 1 {
                rounds.steps.fetch_add(1, Ordering::Release);
            }
            if count % 64 == 63 {
                relax();
            }
            if stop.load(Ordering::Acquire) == round || rounds.over.load(Ordering::Acquire) {
                return Ok(());
            }
        }
        Ok(())
    };
    let mut random = Random::new(4);
    // The first round has no content to start with.
    expect::fill(granule, |_| OLD)?;
    let leader = |rounds: &Rounds| {
        let outcome = rounds
            .wait_for_work(&mut random)
            .and_then(|()| must_delegate(granule))
            .and_then(|()| {
                pause(&mut random);
                must_undelegate(granule)
            })
            .and_then(|()| rounds.wait_for_work(&mut random));
        stop.store(rounds.started.load(Ordering::Relaxed), Ordering::Release);
        let stopped = wait_until(REACTION, || rounds.has_finished());
        outcome?;
        ensure!(stopped, "the reader did not stop");
        expect::fill(granule, |_| OLD)
    };
    two_cpus(host, &rounds, reader, leader)
}

/// CPU 1 follows, CPU 0 leads. When both fail then the follower has seen it first.
fn two_cpus(
    host: &Host,
    rounds: &Rounds,
    follower: impl Fn(u64) -> Outcome + Sync,
    leader: impl FnMut(&Rounds) -> Outcome + Send,
) -> Outcome {
    let leader = Mutex::new(leader);
    let outcomes = [const { Mutex::new(Ok(())) }; 2];
    host.cpus.run(2, &|cpu| {
        *outcomes[cpu].lock() = match cpu {
            0 => rounds.lead(|rounds| (leader.lock())(rounds)),
            _ => rounds.follow(&follower),
        };
    });
    let [first, second] = outcomes.map(Mutex::into_inner);
    second.and(first)
}
