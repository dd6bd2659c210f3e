//! `WFI`, `WFE` and their forms with a time limit.

use core::time::Duration;

use rmm_abi::rmi::run::enter_flags::{TRAP_WFE, TRAP_WFI};

use super::expect;
use crate::outcome::{Outcome, ensure, fail, skip};
use crate::realm::{Command, Exit, Replied, Report, RunningRealm, Vcpu, esr, reply_in};
use crate::register;
use crate::suite::Host;
use crate::time::now;
use crate::timer::{self, HostTimer};

/// Values of ISS.TI.
const WFI: u64 = 0;
const WFE: u64 = 1;
const WFIT: u64 = 2;
const WFET: u64 = 3;

const fn wait(kind: u64, timeout: u64) -> Exit {
    Exit::Wait {
        esr: esr::of(esr::WAIT, kind),
        timeout,
    }
}

pub(crate) fn wfi(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    for flags in [TRAP_WFI, TRAP_WFI | TRAP_WFE] {
        vcpu.enter.flags = flags;
        let report = vcpu.begin(&Command::Wfi)?;
        expect("WFI", &report, wait(WFI, 0))?;
        // The instruction is done.
        vcpu.enter.flags = flags;
        let report = vcpu.run()?;
        vcpu.finish(&report)?.done("WFI")?;
    }
    realm.tear_down()
}

/// Without a trap the CPU sleeps in the Realm until the host has an interrupt.
pub(crate) fn untrapped(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    timer::silence();
    for flags in [0, TRAP_WFE] {
        let vcpu = realm.first();
        vcpu.enter.flags = flags;
        HostTimer::Physical.start(Duration::from_millis(20));
        let start = now();
        let report = vcpu.begin(&Command::Wfi)?;
        let fired = HostTimer::Physical.fires();
        HostTimer::Physical.stop();
        expect("a WFI that is not trapped", &report, Exit::Irq)?;
        ensure!(
            fired && now() > start,
            "a WFI that is not trapped exits before there is an interrupt"
        );
        wake_until_it_replies(vcpu, report)?;
    }
    realm.tear_down()
}

/// The interrupt may have come before the Realm slept, which then sleeps without one.
fn wake_until_it_replies(vcpu: &mut Vcpu, mut report: Report) -> Outcome {
    const MOST: usize = 100;
    for _ in 0..MOST {
        if reply_in(&report)?.is_some() {
            return vcpu.finish(&report)?.done("WFI").map(|_| ());
        }
        timer::silence();
        HostTimer::Physical.start(Duration::from_millis(20));
        report = vcpu.run()?;
        HostTimer::Physical.stop();
    }
    fail!("a Realm that sleeps does not wake")
}

/// Emulators may let `WFE` pass; then there is nothing to see but that it ends.
pub(crate) fn wfe(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    vcpu.enter.flags = TRAP_WFI;
    vcpu.command(&Command::Wfe)?
        .done("a WFE that is not trapped")?;
    vcpu.enter.flags = TRAP_WFE;
    let report = vcpu.begin(&Command::Wfe)?;
    let trapped = !matches!(report.exit, Exit::HostCall { .. });
    if trapped {
        expect("WFE", &report, wait(WFE, 0))?;
        let report = vcpu.run()?;
        vcpu.finish(&report)?.done("WFE")?;
    } else {
        vcpu.finish(&report)?.done("WFE")?;
    }
    realm.tear_down()?;
    if trapped {
        Ok(())
    } else {
        skip!("this CPU lets WFE pass although it is to be trapped")
    }
}

pub(crate) fn with_timeout(host: &Host) -> Outcome {
    if register::read!("S3_0_C0_C6_2") & 0xf != 2 {
        return skip!("the CPU has no WFIT");
    }
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    let far = now() + (1 << 40);
    let mut known = true;
    for (command, flags, kind, without_limit, timeout) in [
        (Command::Wfit { deadline: far }, TRAP_WFI, WFIT, WFI, far),
        (
            Command::Wfit { deadline: u64::MAX },
            TRAP_WFI,
            WFIT,
            WFI,
            u64::MAX,
        ),
        (Command::Wfet { deadline: far }, TRAP_WFE, WFET, WFE, far),
    ] {
        vcpu.enter.flags = flags;
        let report = vcpu.begin(&command)?;
        let report = if report.exit == wait(kind, timeout) {
            vcpu.run()?
        } else {
            known = false;
            match report.exit {
                // Emulators that do not know them apart.
                exit if exit == wait(without_limit, 0) => vcpu.run()?,
                Exit::HostCall { .. } => report,
                _ => {
                    expect("a wait with a time limit", &report, wait(kind, timeout))?;
                    report
                }
            }
        };
        vcpu.finish(&report)?.done("a wait with a time limit")?;
    }
    // One whose time is over may pass.
    vcpu.enter.flags = TRAP_WFI;
    let report = vcpu.begin(&Command::Wfit { deadline: 0 })?;
    let report = match report.exit {
        Exit::Wait { .. } => vcpu.run()?,
        _ => report,
    };
    vcpu.finish(&report)?.done("WFIT")?;
    // Without a trap it ends by itself.
    let soon = now() + crate::time::frequency() / 100;
    vcpu.command(&Command::Wfit { deadline: soon })?
        .done("WFIT")?;
    ensure!(now() >= soon, "WFIT ended before its time");
    realm.tear_down()?;
    if known {
        Ok(())
    } else {
        skip!("this CPU does not tell that a trapped wait has a time limit")
    }
}
