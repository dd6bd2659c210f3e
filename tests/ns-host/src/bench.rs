//! Instructions of each operation.
//!
//! With one instruction to a nanosecond (`-icount shift=0`) and a counter at 1 GHz, a tick is an
//! instruction. The figures include what reading the counter twice takes.

#![allow(unsafe_code)]

use core::arch::asm;

use rmm_abi::rmi::{VERSION_1_0, fid};
use rmm_abi::smc::SMCCC_VERSION;

use crate::console::{note, say};
use crate::exit::ExitCode;
use crate::outcome::{Outcome, Stop, ensure_word};
use crate::rmi::SUCCESS;
use crate::suite::Host;
use crate::{rmi, time};

const REPETITIONS: usize = 32;
const GIGAHERTZ: u64 = 1_000_000_000;

/// Prints the figures.
pub(crate) fn run(host: &Host) -> ExitCode {
    say!("plan 0");
    let code = if time::frequency() == GIGAHERTZ {
        match measure(host) {
            Ok(()) => ExitCode::Passed,
            Err(Stop::Fail(text) | Stop::Skip(text)) => {
                note!("{text}");
                ExitCode::Failed
            }
        }
    } else {
        note!(
            "the counter runs at {} Hz; a tick is an instruction only at {GIGAHERTZ} Hz with -icount shift=0",
            time::frequency()
        );
        ExitCode::Usage
    };
    say!("done 0 passed, 0 failed, 0 skipped");
    code
}

fn measure(host: &Host) -> Outcome {
    rmi::must_be_there()?;
    let floor = (0..REPETITIONS).map(|_| floor()).min().unwrap_or(0);
    note!("reading the counter takes {floor} of the instructions of each figure");
    let version = VERSION_1_0.word();
    minimum("EL3_ONLY", || Ok(timed(SMCCC_VERSION, 0).0))?;
    minimum("RMI_VERSION", || timed_success(fid::VERSION, version))?;
    minimum("RMI_FEATURES", || timed_success(fid::FEATURES, 0))?;
    let granule = host.granule()?;
    minimum("GRANULE_DELEGATE", || {
        let ticks = timed_success(fid::GRANULE_DELEGATE, granule)?;
        timed_success(fid::GRANULE_UNDELEGATE, granule)?;
        Ok(ticks)
    })?;
    minimum("GRANULE_UNDELEGATE", || {
        timed_success(fid::GRANULE_DELEGATE, granule)?;
        timed_success(fid::GRANULE_UNDELEGATE, granule)
    })
}

fn minimum(name: &str, mut operation: impl FnMut() -> Outcome<u64>) -> Outcome {
    let mut least = u64::MAX;
    for _ in 0..REPETITIONS {
        least = least.min(operation()?);
    }
    say!("bench {name} {least}");
    Ok(())
}

fn timed_success(function: u64, argument: u64) -> Outcome<u64> {
    let (ticks, x0) = timed(function, argument);
    ensure_word!(x0, SUCCESS, "call {function:#x} of {argument:#x}");
    Ok(ticks)
}

/// Ticks of a call, and its X0.
fn timed(function: u64, argument: u64) -> (u64, u64) {
    let (x0, start, end);
    // SAFETY: none of the functions that are measured changes memory that Rust knows of; all
    // registers that a call may change are given.
    unsafe {
        asm!(
            "isb",
            "mrs x20, cntpct_el0",
            "smc #0",
            "isb",
            "mrs x21, cntpct_el0",
            inout("x0") function => x0,
            inout("x1") argument => _,
            inout("x2") 0u64 => _,
            inout("x3") 0u64 => _,
            out("x20") start,
            out("x21") end,
            clobber_abi("C"),
            options(nostack),
        );
    }
    let (start, end): (u64, u64) = (start, end);
    (end.wrapping_sub(start), x0)
}

/// Ticks of nothing.
fn floor() -> u64 {
    let (start, end): (u64, u64);
    // SAFETY: reads a counter.
    unsafe {
        asm!(
            "isb",
            "mrs {}, cntpct_el0",
            "isb",
            "mrs {}, cntpct_el0",
            out(reg) start,
            out(reg) end,
            options(nomem, nostack, preserves_flags),
        );
    }
    end.wrapping_sub(start)
}
