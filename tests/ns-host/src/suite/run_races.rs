//! A REC that runs on one CPU while others work on what it needs.

mod commands;
mod many;
mod psci;
mod realms;
mod spinner;
mod tokens;

pub(crate) use commands::{
    data_destroy, realm_destroy, rec_destroy, rtt_destroy, set_ripas, unmap_unprotected,
};
pub(crate) use many::{eight_recs, from_cpu_to_cpu, host_that_never_comes_back};
pub(crate) use psci::{system_off, target_that_runs};
pub(crate) use realms::{fold_and_unfold, shapes, vmid_again};
pub(crate) use tokens::{token_from_cpu_to_cpu, tokens_at_once};

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use spin::Mutex;

use crate::gic;
use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{Exit, Realm, Replied, RunningRealm, Vcpu};
use crate::suite::Host;
use crate::time::wait_until;
use crate::timer;
use spinner::Spinner;

/// How long a REC may take to come out.
const KICK_TIME: Duration = Duration::from_secs(5);

/// Keeps a REC at work on CPU 1, without an exit, and runs `meanwhile` on CPU 0 when it is inside.
pub(crate) fn while_it_runs(
    host: &Host,
    realm: &Realm,
    vcpu: &mut Vcpu,
    meanwhile: &(dyn Fn() -> Outcome + Sync),
) -> Outcome {
    let spinner = Spinner::new(host, realm, vcpu, None)?;
    spinner.prepare()?;
    let vcpu = Mutex::new(vcpu);
    host.cpus.check(2, &|cpu| {
        if cpu == 1 {
            let reply = vcpu.lock().command(&spinner.command());
            return reply?.done("work").map(|_| ());
        }
        let outcome = spinner.wait_for_progress().and_then(|()| meanwhile());
        spinner.end()?;
        outcome
    })
}

/// An interrupt from another CPU brings the REC out, and nothing is lost by it.
pub(crate) fn kicked(host: &Host) -> Outcome {
    const ROUNDS: u64 = 20;
    let mut realm = RunningRealm::plain(host)?;
    let RunningRealm {
        realm: memory,
        vcpus,
        ..
    } = &mut realm;
    let vcpu = &mut vcpus[0];
    let spinner = Spinner::new(host, memory, vcpu, None)?;
    spinner.prepare()?;
    let (vcpu, came_out) = (Mutex::new(vcpu), AtomicU64::new(0));
    host.cpus.check(2, &|cpu| {
        if cpu == 1 {
            let mut vcpu = vcpu.lock();
            timer::silence();
            let mut report = vcpu.begin(&spinner.command())?;
            while report.exit == Exit::Irq {
                let taken = gic::take().unwrap_or(u64::MAX);
                ensure_word!(taken, gic::KICK, "the interrupt that brought the REC out");
                came_out.fetch_add(1, Ordering::AcqRel);
                report = vcpu.run()?;
            }
            return vcpu.finish(&report)?.done("work").map(|_| ());
        }
        let outcome = (1..=ROUNDS).try_for_each(|round| {
            spinner.wait_for_progress()?;
            gic::kick(host.cpus.affinity(1));
            let out = wait_until(KICK_TIME, || came_out.load(Ordering::Acquire) >= round);
            ensure!(out, "the REC does not come out for an interrupt");
            Ok(())
        });
        spinner.end()?;
        outcome
    })?;
    realm.tear_down()
}
