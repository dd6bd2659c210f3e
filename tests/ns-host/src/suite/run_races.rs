//! A REC that runs on one CPU while others work on what it needs.

mod commands;
mod many;

pub(crate) use commands::{
    data_destroy, realm_destroy, rec_destroy, rtt_destroy, set_ripas, unmap_unprotected,
};
pub(crate) use many::{eight_recs, from_cpu_to_cpu, host_that_never_comes_back};

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use spin::Mutex;

use crate::gic;
use crate::outcome::{Outcome, ensure};
use crate::realm::{Exit, Replied, Vcpu};
use crate::rmi;
use crate::suite::Host;
use crate::time::{relax, wait_until};

/// How long it may take until the REC is inside.
const ENTRY_TIME: Duration = Duration::from_secs(10);

/// Whether a REC runs, asked in a way that changes nothing: without a request of the Realm the range
/// is wrong.
fn runs(rd: u64, rec: u64) -> Outcome<bool> {
    let reply = rmi::commands::set_ripas(rd, rec, 0, 0x1000)?;
    Ok(reply.code == rmi::ERROR_REC)
}

/// Keeps a REC at work on CPU 1 and runs `meanwhile` on CPU 0 when it is inside. Afterwards CPU 1 is
/// brought out, and the payload comes to the end of its work.
pub(crate) fn while_it_runs(
    host: &Host,
    rd: u64,
    vcpu: &mut Vcpu,
    meanwhile: &(dyn Fn() -> Outcome + Sync),
) -> Outcome {
    let rec = vcpu.rec;
    let over = AtomicBool::new(false);
    let gone = AtomicBool::new(false);
    let vcpu = Mutex::new(vcpu);
    host.cpus.check(2, &|cpu| {
        if cpu == 1 {
            let outcome = keep_at_work(&mut vcpu.lock(), &over);
            gone.store(true, Ordering::Release);
            return outcome;
        }
        let inside = wait_until(ENTRY_TIME, || {
            gone.load(Ordering::Acquire) || runs(rd, rec).is_ok_and(|runs| runs)
        });
        let outcome = if inside { meanwhile() } else { Ok(()) };
        over.store(true, Ordering::Release);
        while !gone.load(Ordering::Acquire) {
            gic::kick(host.cpus.affinity(1));
            for _ in 0..1000 {
                relax();
            }
        }
        ensure!(inside, "the REC does not get to run");
        outcome
    })
}

/// Enters the REC again and again until it is enough.
fn keep_at_work(vcpu: &mut Vcpu, over: &AtomicBool) -> Outcome {
    while !over.load(Ordering::Acquire) {
        let report = vcpu.work()?;
        ensure!(
            report.exit == Exit::Irq,
            "exit of a Realm at work: {:x?}",
            report.exit
        );
        while gic::take().is_some() {}
        let report = vcpu.run()?;
        vcpu.finish(&report)?.done("work")?;
    }
    Ok(())
}
