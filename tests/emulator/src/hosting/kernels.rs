//! Stock kernels of several versions as hosts: each loads the module that was built for it, and runs a Realm
//! to its end.

use super::checks::{
    Run, expect_guest, expected_disk, gives_back, host_boots, module_loads, module_unloads,
    no_complaints, power_off,
};
use super::guest::Guest;
use super::launch::{Launch, Memory};
use super::{Host, token_among};
use crate::log::TestLog;
use crate::session::Session;
use crate::suite::{Limits, Observer, Outcome, Report, Verdict};

/// A challenge that nobody verifies an answer to; tokens are judged elsewhere.
const CHALLENGE_DIGITS: usize = 128;
/// Checks of each kernel.
pub(crate) const CHECKS: u64 = 6;

/// A kernel that is not there.
pub(crate) fn skip(release: &str, report: &mut Report, observer: &mut dyn Observer) {
    let outcome = Outcome {
        name: format!("{}/boots", family(release)),
        verdict: Verdict::Skipped("the archive does not have this kernel any more".to_owned()),
        seconds: 0.0,
        log: None,
    };
    observer.ended(&outcome);
    report.outcomes.push(outcome);
}

/// Boots this kernel and runs a Realm on it.
pub(crate) fn check(
    release: &str,
    session: &mut dyn Session,
    limits: Limits,
    log: &mut dyn TestLog,
    observer: &mut dyn Observer,
) -> Report {
    let mut run = Run::new(&family(release), session, limits, log, observer);
    let boots = run.check("boots", |host| {
        host_boots(host)?;
        let running = host.command("uname -r")?;
        if running.iter().any(|line| line == release) {
            Ok(())
        } else {
            Err(format!("another kernel has booted: {running:?}"))
        }
    });
    if boots {
        run.check("module-loads", module_loads);
        run.check("realm-runs", realm_runs);
        run.check("module-unloads", module_unloads);
        run.check("no-complaints", no_complaints);
        run.check("power-off", power_off);
    }
    run.report
}

fn family(release: &str) -> String {
    format!("kernels/{release}")
}

/// A Realm finds its disk as it is, shows a token, and ends; and everything comes back.
fn realm_runs(host: &mut Host<'_>) -> Result<(), String> {
    let challenge = format!("cloister.challenge={}", "5a".repeat(CHALLENGE_DIGITS / 2));
    let guest = Guest::realm(2, &[&expected_disk(), &challenge]);
    gives_back(host, |host| {
        let lines = host.guests(&guest.run().text())?.success()?;
        expect_guest(&lines, 2, true)?;
        token_among(&lines)?;
        host.note(format!("launch: {}", Launch::among(&lines)?));
        Memory::among(&lines)?.expect_blocks()
    })
}
