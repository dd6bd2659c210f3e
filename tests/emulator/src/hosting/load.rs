//! Guests under load, network both ways and disk, as an ordinary machine and as a Realm: what arrives has to be what
//! was sent, and what is read what was written (`tests/linux/host-load`).

use std::time::Duration;

use super::Host;
use super::checks::{
    Run, gives_back, host_boots, module_loads, module_unloads, no_complaints, power_off,
};
use super::overhead::Kind;
use crate::log::TestLog;
use crate::session::Session;
use crate::suite::{Limits, Observer, Report};
use crate::systems::HOST_LOAD;

/// What its lines that say how far it is begin with.
pub(crate) const SPEAKER: &str = "load: ";
/// A guest may take this long, but for what goes through its network.
const LIMIT: Duration = Duration::from_mins(15);
/// How long the emulator may take for a MiB of that.
const MEBIBYTE: Duration = Duration::from_secs(5);
/// Checks beside the guests'.
const CHECKS_OF_HOST: u64 = 5;

/// Boots the host and runs a guest of each kind; so many MiB go through its network, four times.
pub(crate) fn load(
    session: &mut dyn Session,
    limits: Limits,
    mebibytes: u32,
    log: &mut dyn TestLog,
    observer: &mut dyn Observer,
) -> Report {
    let mut run = Run::new("load", session, limits, log, observer);
    run.observer.planned(CHECKS_OF_HOST + 2);
    if !run.check("host-boots", host_boots) {
        return run.report;
    }
    run.check("module-loads", module_loads);
    for kind in Kind::ALL {
        let name = match kind {
            Kind::Machine => "ordinary-machine",
            Kind::Realm => "realm",
        };
        run.check(name, |host| match kind {
            // It leaves the disk that the Realm is to find.
            Kind::Machine => guest(host, kind, mebibytes),
            Kind::Realm => gives_back(host, |host| guest(host, kind, mebibytes)),
        });
    }
    run.check("module-unloads", module_unloads);
    run.check("no-complaints", no_complaints);
    run.check("power-off", power_off);
    run.report
}

fn guest(host: &mut Host<'_>, kind: Kind, mebibytes: u32) -> Result<(), String> {
    let limit = LIMIT + 4 * MEBIBYTE * mebibytes;
    let command = format!("{HOST_LOAD} test {} {mebibytes}", kind.name());
    host.within(&command, limit).map(drop)
}
