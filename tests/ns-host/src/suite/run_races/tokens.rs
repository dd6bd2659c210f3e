//! Tokens that are made on several CPUs.

use core::sync::atomic::{AtomicUsize, Ordering};

use spin::Mutex;

use crate::outcome::{Outcome, fail};
use crate::realm::token::{Arriving, Expected, challenge, fetch_by};
use crate::realm::{Exit, Options, RunningRealm, Vcpu};
use crate::suite::Host;
use crate::timer::{self, HostTimer};

/// Times that tokens have to go on on another CPU. How many it takes depends on the machine under this
/// one: its timers may be late.
const FEWEST_MOVES: usize = 12;
const MOST_TOKENS: u8 = 100;

/// Ticks that a CPU works on a token before the next one goes on with it.
const TURN: u64 = 60_000;

/// Each CPU in turn makes a part of one token.
pub(crate) fn token_from_cpu_to_cpu(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let count = host.cpus.count();
    let mut moves = 0;
    for round in 0..MOST_TOKENS {
        if moves >= FEWEST_MOVES {
            return realm.tear_down();
        }
        let challenge = challenge(round);
        let vcpu = realm.first();
        HostTimer::Physical.start_ticks(TURN);
        let (token, report) = Arriving::begin(vcpu, &challenge)?;
        HostTimer::Physical.stop();
        let turn = AtomicUsize::new(0);
        let work = Mutex::new((vcpu, token, report));
        host.cpus.check(count, &|cpu| {
            timer::silence();
            loop {
                let mut work = work.lock();
                let number = turn.load(Ordering::Acquire);
                if number == usize::MAX {
                    return Ok(());
                }
                if number % count != cpu {
                    drop(work);
                    crate::time::relax();
                    continue;
                }
                let (vcpu, token, report) = &mut *work;
                turn.store(usize::MAX, Ordering::Release);
                if token.take(report)?.is_none() {
                    HostTimer::Physical.start_ticks(TURN);
                    *report = vcpu.run()?;
                    HostTimer::Physical.stop();
                    // Pieces of the token are fetched by whoever has them.
                    let next = if report.exit == Exit::Irq {
                        number + 1
                    } else {
                        number
                    };
                    turn.store(next, Ordering::Release);
                }
            }
        })?;
        let (_, mut token, report) = work.into_inner();
        moves += token.interruptions;
        let expected = Expected::of(&realm, challenge);
        match token.take(&report)? {
            Some(token) => expected.check(token)?,
            None => return fail!("the token has no end"),
        }
    }
    fail!("{MOST_TOKENS} tokens were put aside {moves} times only")
}

/// RECs of one Realm make tokens on all CPUs at the same time, and are interrupted.
pub(crate) fn tokens_at_once(host: &Host) -> Outcome {
    const TOKENS: u8 = 6;
    let count = host.cpus.count();
    let mut realm = RunningRealm::greeted(host, Options::with_recs(count))?;
    for index in 1..count {
        realm.switch_on(index)?;
    }
    let expected = |realm, round| Expected::of(realm, challenge(round));
    let vcpus: arrayvec::ArrayVec<Mutex<Vcpu>, { crate::realm::MOST_RECS }> =
        realm.vcpus.drain(..).map(Mutex::new).collect();
    let outcome = host.cpus.check(count, &|cpu| {
        timer::silence();
        let mut vcpu = vcpus[cpu].lock();
        let mine = u8::try_from(cpu).unwrap_or(u8::MAX);
        for round in 0..TOKENS {
            let round = round.wrapping_mul(16) ^ mine;
            let run = |vcpu: &mut Vcpu| {
                HostTimer::Physical.start_ticks(50_000 + 10_000 * cpu as u64);
                let report = vcpu.run();
                HostTimer::Physical.stop();
                report
            };
            fetch_by(&mut vcpu, &challenge(round), run, |token| {
                expected(&realm, round).check(token)
            })?;
        }
        Ok(())
    });
    realm.vcpus.extend(vcpus.into_iter().map(Mutex::into_inner));
    outcome?;
    realm.tear_down()
}
