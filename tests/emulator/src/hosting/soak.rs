//! Long and rough use of the host: launches by the dozen, VMMs that are killed, CPUs that come and go,
//! memory that runs out and memory that moves, a VMM that means harm, and Realms by the hundred and at once
//! (`tests/linux/host-soak`).

use std::time::Duration;

use super::checks::{Run, fills_memory, host_boots, module_loads, no_complaints, power_off};
use crate::log::TestLog;
use crate::session::Session;
use crate::suite::{Limits, Observer, Report};

/// What its lines that say how far it is begin with.
pub(crate) const SPEAKER: &str = "soak: ";
/// What the host has for it.
pub(crate) const PROGRAM: &str = "/bin/soak";

/// How much of each part; a part with zero is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Amounts {
    /// MiB of a Realm that fills its memory.
    pub(crate) memory: u32,
    /// Launches in a row.
    pub(crate) launches: u32,
    /// VMMs that are killed.
    pub(crate) kills: u32,
    /// Pairs of VMMs that race for the last memory.
    pub(crate) races: u32,
    /// Launches without memory.
    pub(crate) pressure: u32,
    /// Times that a CPU goes and comes.
    pub(crate) hotplugs: u32,
    /// Times that a Realm gives memory back and gets it again.
    pub(crate) moves: u32,
    /// Seconds of attack.
    pub(crate) hostile: u32,
    /// Small Realms started and ended one after the other.
    pub(crate) starts: u32,
    /// Realms at once.
    pub(crate) crowd: u32,
}

impl Amounts {
    /// The parts, each with its amount and the time that one of it may take.
    const fn parts(self) -> [(&'static str, u32, Duration); 9] {
        [
            ("launches", self.launches, Duration::from_mins(1)),
            ("kills", self.kills, Duration::from_mins(1)),
            ("race", self.races, Duration::from_mins(4)),
            ("pressure", self.pressure, Duration::from_mins(2)),
            ("hotplug", self.hotplugs, Duration::from_secs(20)),
            ("moves", self.moves, Duration::from_mins(4)),
            ("hostile", self.hostile, Duration::from_secs(2)),
            ("starts", self.starts, Duration::from_secs(20)),
            ("crowd", self.crowd, Duration::from_mins(15)),
        ]
    }
}

/// Every part begins with a Realm beside it, and ends when that has ended.
const AROUND: Duration = Duration::from_mins(6);

/// Boots the host and runs the parts.
pub(crate) fn soak(
    session: &mut dyn Session,
    limits: Limits,
    amounts: Amounts,
    log: &mut dyn TestLog,
    observer: &mut dyn Observer,
) -> Report {
    let parts = amounts.parts().into_iter().filter(|part| part.1 > 0);
    let parts: Vec<_> = parts.collect();
    let fills = u64::from(amounts.memory > 0);
    let mut run = Run::new("soak", session, limits, log, observer);
    run.observer.planned(parts.len() as u64 + 4 + fills);
    if !run.check("host-boots", host_boots) {
        return run.report;
    }
    run.check("module-loads", module_loads);
    if amounts.memory > 0 {
        let mebibytes = u64::from(amounts.memory);
        run.check("memory-in-blocks", |host| {
            fills_memory(host, mebibytes, "cloister.then=poweroff", Some(0))
        });
    }
    for (name, amount, each) in parts {
        run.check(name, |host| {
            let limit = AROUND + each * amount;
            host.within(&format!("{PROGRAM} {name} {amount}"), limit)
                .map(drop)
        });
    }
    run.check("no-complaints", no_complaints);
    run.check("power-off", power_off);
    run.report
}
