//! Calls with the ticks that they take.

#![allow(unsafe_code)]

use core::arch::asm;

use crate::outcome::{Outcome, ensure_word};
use crate::rmi::SUCCESS;

/// A call that was made.
pub(super) struct Timed {
    pub(super) ticks: u64,
    /// X0.
    pub(super) code: u64,
    /// X1.
    pub(super) output: u64,
}

/// Makes a call with up to five arguments.
pub(super) fn timed(function: u64, arguments: &[u64]) -> Timed {
    let argument = |number: usize| arguments.get(number).copied().unwrap_or(0);
    let (code, output, start, end): (u64, u64, u64, u64);
    // SAFETY: none of the functions that are measured changes memory that Rust knows of; all
    // registers that a call may change are given.
    unsafe {
        asm!(
            "isb",
            "mrs x20, cntpct_el0",
            "smc #0",
            "isb",
            "mrs x21, cntpct_el0",
            inout("x0") function => code,
            inout("x1") argument(0) => output,
            inout("x2") argument(1) => _,
            inout("x3") argument(2) => _,
            inout("x4") argument(3) => _,
            inout("x5") argument(4) => _,
            out("x20") start,
            out("x21") end,
            clobber_abi("C"),
            options(nostack),
        );
    }
    Timed {
        ticks: end.wrapping_sub(start),
        code,
        output,
    }
}

/// Ticks of a call that must succeed.
pub(super) fn timed_success(function: u64, arguments: &[u64]) -> Outcome<u64> {
    let Timed { ticks, code, .. } = timed(function, arguments);
    ensure_word!(code, SUCCESS, "call {function:#x} of {arguments:x?}");
    Ok(ticks)
}

/// Ticks of nothing.
pub(super) fn floor() -> u64 {
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
