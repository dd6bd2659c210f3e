//! The timers of a Realm: told at each exit, and a reason to exit when their output changes.

use core::time::Duration;

use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{
    Command, Exit, Replied, Report, RunningRealm, Surroundings, Timer, Vcpu, command,
};
use crate::suite::Host;
use crate::time::{Deadline, frequency, now};
use crate::timer;

const ENABLE: u64 = 1 << 0;
const MASK: u64 = 1 << 1;
const STATUS: u64 = 1 << 2;

/// Control and deadline that the host is told.
fn told(which: Timer, surroundings: &Surroundings) -> (u64, u64) {
    match which {
        Timer::Virtual => (surroundings.cntv_ctl, surroundings.cntv_cval),
        Timer::Physical => (surroundings.cntp_ctl, surroundings.cntp_cval),
    }
}

const fn other(which: Timer) -> Timer {
    match which {
        Timer::Virtual => Timer::Physical,
        Timer::Physical => Timer::Virtual,
    }
}

/// Makes a timer of the Realm what these two say; the first exit after that.
fn set(vcpu: &mut Vcpu, which: Timer, control: u64, deadline: u64) -> Outcome<Report> {
    let [set_deadline, set_control] = command::timer(which, control, deadline);
    vcpu.command(&set_deadline)?.done("deadline of a timer")?;
    vcpu.begin(&set_control)
}

/// Values in the registers, without an interrupt.
pub(crate) fn timers_are_told(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    timer::silence();
    let far = now() + (1 << 45);
    for which in [Timer::Virtual, Timer::Physical] {
        for (control, deadline, expected) in [
            (0, far, 0),
            (MASK, far + 1, MASK),
            (ENABLE, far + 2, ENABLE),
            (ENABLE | MASK, far + 3, ENABLE | MASK),
            // Its time has come, but it is masked.
            (ENABLE | MASK, 1, ENABLE | MASK | STATUS),
            (0, u64::MAX, 0),
        ] {
            let vcpu = realm.first();
            let report = set(vcpu, which, control, deadline)?;
            ensure!(
                matches!(report.exit, Exit::HostCall { .. }),
                "exit while {which:?} is set to {control:#x}: {:x?}",
                report.exit
            );
            let (seen, value) = told(which, &report.surroundings);
            // Whether a timer that is off has met its condition is open.
            let open = if control & ENABLE == 0 { STATUS } else { 0 };
            ensure_word!(seen & !open, expected, "control of {which:?}");
            ensure_word!(value, deadline, "deadline of {which:?}");
            let (seen, _) = told(other(which), &report.surroundings);
            ensure_word!(seen & ENABLE, 0, "control of the other timer");
            vcpu.finish(&report)?.done("timer")?;
        }
    }
    realm.tear_down()
}

pub(crate) fn virtual_timer(host: &Host) -> Outcome {
    fires(host, Timer::Virtual)
}

pub(crate) fn physical_timer(host: &Host) -> Outcome {
    fires(host, Timer::Physical)
}

/// A timer fires while the Realm works: one exit, and no more until its output changes.
fn fires(host: &Host, which: Timer) -> Outcome {
    const ROUNDS: u64 = 6;
    let mut realm = RunningRealm::plain(host)?;
    let mut interrupted = 0;
    for round in 0..ROUNDS {
        timer::silence();
        // In the past, or soon.
        let deadline = now() + round * frequency() / 200;
        let vcpu = realm.first();
        let report = until_told(vcpu, which, deadline)?;
        ensure!(now() >= deadline, "{which:?} fires before its time");
        told_to_fire(which, &report.surroundings, deadline)?;
        if report.exit == Exit::Irq {
            interrupted += 1;
            vcpu.stop_work()?;
        }
        // The host knows now: the Realm goes on while the output stays as it is.
        for _ in 0..3 {
            let report = vcpu.begin(&Command::Yield { count: 20_000 })?;
            ensure!(
                matches!(report.exit, Exit::HostCall { .. }),
                "exit for a timer that the host knows: {:x?}",
                report.exit
            );
            told_to_fire(which, &report.surroundings, deadline)?;
            vcpu.finish(&report)?.done("work")?;
        }
        // Off again: that is a change too, which the host learns at the latest with the next exit.
        let report = set(vcpu, which, 0, deadline)?;
        let (control, _) = told(which, &report.surroundings);
        ensure_word!(control & ENABLE, 0, "control of {which:?} after it is off");
        vcpu.finish(&report)?.done("timer")?;
        vcpu.command(&Command::Yield { count: 1000 })?
            .done("work")?;
    }
    timer::silence();
    ensure!(
        interrupted > 0,
        "in none of {ROUNDS} rounds {which:?} brought the REC out"
    );
    realm.tear_down()
}

/// Starts a timer of the Realm and lets it work until the host is told that it fires: by an exit for
/// that reason, or by another that comes at the same moment.
fn until_told(vcpu: &mut Vcpu, which: Timer, deadline: u64) -> Outcome<Report> {
    let give_up = Deadline::after(Duration::from_secs(5));
    let mut report = set(vcpu, which, ENABLE, deadline)?;
    loop {
        let (control, _) = told(which, &report.surroundings);
        if control == ENABLE | STATUS {
            return Ok(report);
        }
        ensure!(!give_up.passed(), "{which:?} does not fire");
        ensure!(
            matches!(report.exit, Exit::HostCall { .. }),
            "exit before {which:?} fires: {:x?}",
            report.exit
        );
        vcpu.finish(&report)?.done("work")?;
        report = vcpu.begin(&Command::Yield { count: 1_000_000 })?;
    }
}

fn told_to_fire(which: Timer, surroundings: &Surroundings, deadline: u64) -> Outcome {
    let (control, value) = told(which, surroundings);
    ensure_word!(control, ENABLE | STATUS, "control of {which:?} that fires");
    ensure_word!(value, deadline, "deadline of {which:?} that fires");
    Ok(())
}
