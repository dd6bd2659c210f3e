//! RECs on several CPUs at once, and moving between them.

use core::sync::atomic::{AtomicUsize, Ordering};

use arrayvec::ArrayVec;
use ns_host::random::Random;
use rmm_abi::rmi::Ripas;
use rmm_abi::rsi;
use rmm_abi::smc::psci;
use spin::Mutex;

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{
    Command, Exit, MOST_RECS, Options, PAGE_LEVEL, Replied, RunningRealm, SPARE, Vcpu, command,
};
use crate::suite::Host;

/// One REC, each command on another CPU.
pub(crate) fn from_cpu_to_cpu(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let count = host.cpus.count();
    let turn = AtomicUsize::new(0);
    let address = realm.vcpus[0].hello.scratch;
    let vcpu = Mutex::new(realm.first());
    host.cpus.check(count, &|cpu| {
        loop {
            let mut vcpu = vcpu.lock();
            let number = turn.load(Ordering::Acquire);
            if number >= 40 {
                return Ok(());
            }
            if number % count != cpu {
                drop(vcpu);
                crate::time::relax();
                continue;
            }
            let outcome = add(&mut vcpu, address, number as u64);
            if outcome.is_err() {
                turn.store(usize::MAX, Ordering::Release);
            } else {
                turn.store(number + 1, Ordering::Release);
            }
            outcome?;
        }
    })?;
    realm.tear_down()
}

/// The payload's own registers and memory move with it.
fn add(vcpu: &mut Vcpu, address: u64, number: u64) -> Outcome {
    let old = vcpu.command(&command::load(address, 8))?.done("load")?;
    ensure_word!(old[0], number, "what the CPU before has left");
    vcpu.command(&command::store(address, 8, number + 1))?
        .done("store")?;
    let tpidr = [3, 3, 13, 0, 2];
    let read = command::read_register(3, 3, 13, 0, 2);
    if number > 0 {
        let register = vcpu.command(&read)?.done("read of TPIDR_EL0")?;
        ensure_word!(
            register[0],
            !number,
            "TPIDR_EL0 that the CPU before has left"
        );
    }
    let write = command::write_register(tpidr, !(number + 1));
    vcpu.command(&write)?.done("write of TPIDR_EL0").map(|_| ())
}

/// Eight RECs of one Realm, which all CPUs take in turns, whoever is free. They switch each other off
/// and on.
pub(crate) fn eight_recs(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(MOST_RECS))?;
    for index in 1..MOST_RECS {
        realm.switch_on(index)?;
    }
    // Only pages are missing: two hosts that make the same table would be in each other's way.
    realm.realm.tables(SPARE, PAGE_LEVEL)?;
    let (memory, options) = (&realm.realm, realm.options);
    let vcpus: ArrayVec<Mutex<&mut Vcpu>, MOST_RECS> =
        realm.vcpus.iter_mut().map(Mutex::new).collect();
    host.cpus.check(host.cpus.count(), &|cpu| {
        let mut random = Random::new(40 + cpu as u64);
        let mut rounds = 0;
        while rounds < 60 {
            let index = usize::try_from(random.below(vcpus.len() as u64)).unwrap_or(0);
            let Some(mut vcpu) = vcpus[index].try_lock() else {
                crate::time::relax();
                continue;
            };
            step(memory, &mut vcpu, index, &mut random)?;
            rounds += 1;
        }
        Ok(())
    })?;
    drop(vcpus);
    ensure!(options.recs == MOST_RECS, "a REC got lost");
    // Each of them off and on again, by the first one.
    for index in 1..MOST_RECS {
        let report = realm.vcpus[index].begin(&command::smc(&[psci::CPU_OFF]))?;
        ensure!(
            report.exit == Exit::psci(psci::CPU_OFF, [0; 3]),
            "exit of CPU_OFF: {:x?}",
            report.exit
        );
    }
    for index in 1..MOST_RECS {
        realm.switch_on(index)?;
    }
    realm.tear_down()
}

/// One command of some kind for a REC, with memory of its own.
fn step(
    memory: &crate::realm::Realm,
    vcpu: &mut Vcpu,
    index: usize,
    random: &mut Random,
) -> Outcome {
    let own = SPARE + index as u64 * GRANULE;
    match random.below(5) {
        0 => {
            let value = random.word();
            let report = vcpu.begin(&command::store(own, 8, value))?;
            memory.serve(vcpu, &report)?.done("store")?;
            let seen = vcpu.command(&command::load(own, 8))?.done("load")?;
            ensure_word!(seen[0], value, "what REC {index} has written");
        }
        1 => {
            let other = random.below(MOST_RECS as u64);
            let report = vcpu.begin(&command::smc(&[psci::AFFINITY_INFO, other, 0]))?;
            let on = memory.serve(vcpu, &report)?.done("AFFINITY_INFO")?;
            ensure_word!(on[0], 0, "AFFINITY_INFO of REC {other}");
        }
        2 => {
            let request = [
                rsi::fid::IPA_STATE_SET,
                own,
                own + GRANULE,
                Ripas::Ram as u64,
                rsi::CHANGE_DESTROYED,
            ];
            let report = vcpu.begin(&command::smc(&request))?;
            let results = memory.serve(vcpu, &report)?.done("IPA_STATE_SET")?;
            ensure_word!(results[0], 0, "IPA_STATE_SET");
            ensure_word!(results[1], own + GRANULE, "new base of IPA_STATE_SET");
        }
        3 => {
            let results = vcpu.command(&Command::Yield { count: 20_000 })?;
            results.done("work")?;
        }
        _ => {
            let report = vcpu.begin(&command::smc(&[psci::CPU_SUSPEND, 0, 0, 0]))?;
            let results = memory.serve(vcpu, &report)?.done("CPU_SUSPEND")?;
            ensure_word!(results[0], 0, "CPU_SUSPEND");
        }
    }
    Ok(())
}

/// Realms whose RECs stopped in the middle of something can be taken down all the same.
pub(crate) fn host_that_never_comes_back(host: &Host) -> Outcome {
    type Middle = fn(&RunningRealm) -> Command;
    let middles: [Middle; 8] = [
        |_| command::load(SPARE, 8),
        |realm| command::load(realm.unprotected(0), 8),
        |realm| command::store(realm.unprotected(0), 8, 1),
        |_| command::fetch(SPARE),
        |realm| command::smc(&[psci::CPU_ON, 1, realm.vcpus[0].hello.secondary_entry, 1]),
        |_| command::smc(&[psci::AFFINITY_INFO, 1, 0]),
        |_| {
            command::smc(&[
                rsi::fid::IPA_STATE_SET,
                SPARE,
                SPARE + GRANULE,
                Ripas::Empty as u64,
                0,
            ])
        },
        |_| command::smc(&[psci::SYSTEM_OFF]),
    ];
    for middle in middles {
        let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
        let command = middle(&realm);
        let report = realm.first().begin(&command)?;
        ensure!(
            !matches!(report.exit, Exit::HostCall { .. } | Exit::Irq),
            "exit of {command:x?}: {:x?}",
            report.exit
        );
        realm.tear_down()?;
    }
    Ok(())
}
