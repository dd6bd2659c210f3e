//! Realms that take random steps by themselves while all CPUs serve them.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use arrayvec::ArrayVec;
use ns_host::random::Random;
use realm_payload::soak::Step;
use spin::Mutex;

use super::{different_options, is_right};
use crate::console::note;
use crate::gic;
use crate::outcome::{Outcome, ensure};
use crate::realm::{
    Command, MOST_RECS, Options, Realm, Replied, Reply, Report, RunningRealm, Surroundings, Vcpu,
    command, lr, needs_nothing, reply_in,
};
use crate::suite::Host;
use crate::time::relax;
use crate::timer::{self, HostTimer};

/// Realms at once.
const REALMS: usize = 4;
/// RECs of each.
const RECS: usize = 4;
/// All RECs.
const SLOTS: usize = REALMS * RECS;
/// Where the Realms find the device that the host plays, in the unprotected half.
const DEVICE: u64 = 0x900_0000;

/// A REC and how far it is.
struct Slot<'r> {
    realm: &'r Realm<'r>,
    number: usize,
    vcpu: &'r mut Vcpu,
    /// Its last exit; `None` before its command.
    report: Option<Report>,
    done: bool,
}

/// Four Realms with four RECs each.
pub(crate) fn four_realms(host: &Host) -> Outcome {
    let mut realms = ArrayVec::<RunningRealm, REALMS>::new();
    for options in different_options()?.into_iter().cycle().take(REALMS) {
        realms.push(running(
            host,
            Options {
                recs: RECS,
                ..options
            },
        )?);
    }
    soak(host, &mut realms)?;
    realms.into_iter().try_for_each(RunningRealm::tear_down)
}

/// One Realm with as many RECs as it can have here.
pub(crate) fn one_realm(host: &Host) -> Outcome {
    let mut realms = ArrayVec::<RunningRealm, 1>::new();
    realms.push(running(host, Options::with_recs(MOST_RECS))?);
    soak(host, &mut realms)?;
    realms.into_iter().try_for_each(RunningRealm::tear_down)
}

/// A Realm all of whose RECs wait for a command. Every other one takes interrupts.
fn running(host: &Host, options: Options) -> Outcome<RunningRealm<'_>> {
    let mut realm = RunningRealm::greeted(host, options)?;
    for index in 1..options.recs {
        realm.switch_on(index)?;
    }
    for vcpu in realm.vcpus.iter_mut().step_by(2) {
        vcpu.command(&command::interrupts(true))?
            .done("interrupts on")?;
    }
    Ok(realm)
}

fn soak(host: &Host, realms: &mut [RunningRealm]) -> Outcome {
    let steps = host.arguments.calls / 100;
    let mut slots = ArrayVec::<Mutex<Slot>, SLOTS>::new();
    for realm in realms {
        let memory = &realm.realm;
        for (number, vcpu) in realm.vcpus.iter_mut().enumerate() {
            slots.push(Mutex::new(Slot {
                realm: memory,
                number,
                vcpu,
                report: None,
                done: false,
            }));
        }
    }
    let (left, exits) = (AtomicUsize::new(slots.len()), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let counts = Mutex::new([0; Step::ALL.len()]);
    host.cpus.check(host.cpus.count(), &|cpu| {
        timer::silence();
        let mut random = Random::new(500 + cpu as u64);
        while left.load(Ordering::Acquire) > 0 && !failed.load(Ordering::Acquire) {
            let index = usize::try_from(random.below(slots.len() as u64)).unwrap_or(0);
            let Some(mut slot) = slots[index].try_lock() else {
                relax();
                continue;
            };
            if slot.done {
                drop(slot);
                relax();
                continue;
            }
            match some_exits(&mut slot, steps, &mut random, &exits) {
                Ok(None) => {}
                Ok(Some(results)) => {
                    for (count, result) in counts.lock().iter_mut().zip(results) {
                        *count += result;
                    }
                    left.fetch_sub(1, Ordering::AcqRel);
                }
                Err(stop) => {
                    failed.store(true, Ordering::Release);
                    return Err(stop);
                }
            }
        }
        timer::silence();
        Ok(())
    })?;
    let counts = counts.into_inner();
    let total: u64 = counts.iter().sum();
    note!(
        "{} RECs on {} CPUs: {total} steps {counts:?}, {} exits",
        slots.len(),
        host.cpus.count(),
        exits.into_inner()
    );
    ensure!(
        total == steps * slots.len() as u64,
        "the RECs took {total} steps instead of {steps} each"
    );
    Ok(())
}

/// Serves a REC for some exits, with an interrupt of the host now and then, and leaves it in the
/// middle of whatever it does. The counts of its steps when it has taken all of them.
fn some_exits(
    slot: &mut Slot,
    steps: u64,
    random: &mut Random,
    exits: &AtomicU64,
) -> Outcome<Option<[u64; 30]>> {
    for _ in 0..=random.below(12) {
        let vcpu = &mut *slot.vcpu;
        // Started last: whatever takes an interrupt before stops the timer.
        let patience = Duration::from_micros(100 + random.below(3000));
        let report = if let Some(report) = slot.report {
            if let Some(reply) = reply_in(&report)? {
                slot.done = true;
                is_right(reply, "soak", slot.number)?;
                return Ok(match reply {
                    Reply::Done(results) => Some(results),
                    _ => None,
                });
            }
            if !needs_nothing(&report) {
                slot.realm.attend(vcpu, &report.exit)?;
            }
            interrupts(vcpu, &report.surroundings, random);
            HostTimer::Physical.start(patience);
            vcpu.run()?
        } else {
            HostTimer::Physical.start(patience);
            vcpu.begin(&Command::Soak {
                steps,
                seed: random.word(),
                device: slot.realm.shape.half() + DEVICE,
            })?
        };
        HostTimer::Physical.stop();
        exits.fetch_add(1, Ordering::Relaxed);
        slot.report = Some(report);
    }
    Ok(None)
}

/// Puts the interrupts back that the REC has not ended, those of its timers that fire, and now and then
/// another.
fn interrupts(vcpu: &mut Vcpu, last: &Surroundings, random: &mut Random) {
    let count = vcpu.list_registers();
    let lrs = &mut vcpu.enter.gicv3_lrs[..count];
    for (lr, last) in lrs.iter_mut().zip(last.lrs) {
        if last & lr::STATE != 0 {
            *lr = last;
        }
    }
    let fires = |control: u64| control & 0b111 == 0b101;
    for (wanted, number) in [
        (fires(last.cntv_ctl), gic::VIRTUAL_TIMER),
        (fires(last.cntp_ctl), gic::PHYSICAL_TIMER),
        (random.below(8) == 0, random.below(16)),
    ] {
        let is_there = lrs
            .iter()
            .any(|lr| lr & lr::STATE != 0 && lr & lr::NUMBER == number);
        if !wanted || is_there {
            continue;
        }
        // When all are in use it has to wait.
        if let Some(free) = lrs.iter_mut().find(|lr| **lr & lr::STATE == 0) {
            *free = lr::pending(number);
        }
    }
}
