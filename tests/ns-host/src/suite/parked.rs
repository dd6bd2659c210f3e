//! After the RMM has given up: EL3 refuses to give a granule back, which leaves the RMM without
//! an answer that would be true. It must end its service, and nothing else.
//!
//! These tests need the fault `refuse-undelegate` in EL3. Each of them can come first.

#![allow(unsafe_code)]

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use rmm_abi::rmi::{VERSION_1_0, fid, is_rmi};
use rmm_abi::smc::{NOT_SUPPORTED, SVE_HINT, psci, standard_service};
use spin::Mutex;

use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::rmi::{self, must_delegate};
use crate::smc::{self, Registers};
use crate::suite::{Host, expect};
use crate::time::{Deadline, relax, wait_until};

/// The granule that EL3 did not give back.
static KEPT: Mutex<Option<u64>> = Mutex::new(None);

/// Calls that a parked RMM is tried with; the last is one that it never knew.
const CALLS: [u64; 5] = [
    fid::VERSION,
    fid::FEATURES,
    fid::GRANULE_DELEGATE,
    fid::GRANULE_UNDELEGATE,
    standard_service(0x18e),
];

/// Makes a call that nobody may serve. Only X0 to X3 may change, and X1 to X3 only to zero.
fn must_be_unserved(function: u64, argument: u64) -> Outcome {
    let before = Registers::new(function, &[argument]);
    let after = before.call();
    ensure_word!(after.0[0], NOT_SUPPORTED, "x0 of {function:#x}");
    ensure!(
        after.0[1..4] == [0; 3],
        "x1 to x3 are {:x?} instead of zeroes after {function:#x}",
        &after.0[1..4]
    );
    after.expect_kept(&before, 4)
}

/// Makes the RMM give up, unless a test before has. The granule that it could not give back.
fn park(host: &Host) -> Outcome<u64> {
    if let Some(granule) = *KEPT.lock() {
        return Ok(granule);
    }
    let granule = host.granule()?;
    must_delegate(granule)?;
    *KEPT.lock() = Some(granule);
    must_be_unserved(fid::GRANULE_UNDELEGATE, granule)?;
    Ok(granule)
}

/// While CPUs with even numbers undelegate the granule, those with odd ones keep asking for it, so
/// that some wait for its lock when the RMM gives up. All must come back.
pub(crate) fn waiting_cpus(host: &Host) -> Outcome {
    if KEPT.lock().is_some() {
        return fail!("a test before made the RMM give up already");
    }
    let granule = host.granule()?;
    must_delegate(granule)?;
    *KEPT.lock() = Some(granule);
    let count = host.cpus.count();
    let busy = AtomicUsize::new(0);
    host.cpus.check(count, &|cpu| {
        if cpu.is_multiple_of(2) {
            let met = wait_until(Duration::from_secs(5), || {
                busy.load(Ordering::Relaxed) == count / 2
            });
            ensure!(met, "the other CPUs do not call");
            return must_be_unserved(fid::GRANULE_UNDELEGATE, granule);
        }
        let deadline = Deadline::after(Duration::from_secs(8));
        let mut served = 0u32;
        loop {
            let before = Registers::new(fid::GRANULE_DELEGATE, &[granule]);
            let after = before.call();
            after.expect_kept(&before, 4)?;
            ensure!(
                after.0[1..4] == [0; 3],
                "x1 to x3 are {:x?} instead of zeroes on CPU {cpu}",
                &after.0[1..4]
            );
            match after.0[0] {
                rmi::ERROR_INPUT => served += 1,
                NOT_SUPPORTED => return Ok(()),
                word => return fail!("delegate on CPU {cpu} returned {word:#x}"),
            }
            if served == 100 {
                busy.fetch_add(1, Ordering::Relaxed);
            }
            ensure!(!deadline.passed(), "CPU {cpu} is served for ever");
            // On an emulator with one thread this is where the CPUs change.
            relax();
        }
    })?;
    host.cpus
        .check(count, &|_| must_be_unserved(fid::VERSION, granule))
}

pub(crate) fn refused_undelegate(host: &Host) -> Outcome {
    let (others, granule) = (host.granule()?, park(host)?);
    // SAFETY: the pool gave the granule out.
    unsafe { expect::protected(granule) }?;
    // Neither that granule moves any more nor another one.
    must_be_unserved(fid::GRANULE_UNDELEGATE, granule)?;
    must_be_unserved(fid::GRANULE_DELEGATE, others)?;
    // SAFETY: the pool gave the granule out.
    unsafe { expect::protected(granule) }?;
    expect::accessible(others)
}

pub(crate) fn every_command(host: &Host) -> Outcome {
    let granule = park(host)?;
    let numbers = (0x150..=0x18f).chain(0x1d0..=0x2cf);
    for function in numbers.map(standard_service) {
        ensure!(is_rmi(function), "{function:#x} is no RMI number");
        must_be_unserved(function, granule)?;
        must_be_unserved(function | SVE_HINT, VERSION_1_0.word())?;
    }
    Ok(())
}

pub(crate) fn every_cpu(host: &Host) -> Outcome {
    let granule = park(host)?;
    host.cpus.check(host.cpus.count(), &|_| {
        for _ in 0..100 {
            for function in CALLS {
                must_be_unserved(function, granule)?;
            }
        }
        // SAFETY: the pool gave the granule out.
        unsafe { expect::protected(granule) }
    })
}

pub(crate) fn el3_goes_on(host: &Host) -> Outcome {
    park(host)?;
    host.cpus.check(host.cpus.count(), &|cpu| {
        let version = smc::psci(psci::VERSION, &[]);
        ensure!(
            version == 0x1_0001,
            "PSCI_VERSION returned {version:#x} on CPU {cpu}"
        );
        let state = smc::psci(psci::AFFINITY_INFO, &[host.cpus.affinity(cpu), 0]);
        ensure!(
            state == psci::SUCCESS,
            "AFFINITY_INFO returned {state} on CPU {cpu}"
        );
        Ok(())
    })
}

/// The RMM does not boot again on a CPU that comes back, after which EL3 may answer in its place,
/// on all CPUs. What the Realm world has stays where it is.
pub(crate) fn off_and_on_again(host: &Host) -> Outcome {
    let granule = park(host)?;
    let count = host.cpus.count();
    let last = count - 1;
    host.cpus.power_off(last)?;
    must_be_unserved(fid::VERSION, VERSION_1_0.word())?;
    host.cpus.power_on(last)?;
    host.cpus.check(count, &|cpu| {
        for function in CALLS {
            let before = Registers::new(function, &[granule]);
            let after = before.call();
            ensure_word!(
                after.0[0],
                NOT_SUPPORTED,
                "x0 of {function:#x} on CPU {cpu}"
            );
            for number in 1..4 {
                let (now, was) = (after.0[number], before.0[number]);
                ensure!(now == was || now == 0, "x{number} is {now:#x} on CPU {cpu}");
            }
            after.expect_kept(&before, 4)?;
        }
        // SAFETY: the pool gave the granule out.
        unsafe { expect::protected(granule) }
    })
}
