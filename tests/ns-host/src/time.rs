//! The system counter.

#![allow(unsafe_code)]

use core::time::Duration;

use crate::register;

/// Counter ticks per second.
pub(crate) fn frequency() -> u64 {
    register::read!("cntfrq_el0")
}

/// Counter ticks since the machine started.
pub(crate) fn now() -> u64 {
    // SAFETY: only keeps the counter from being read early.
    unsafe { core::arch::asm!("isb", options(nomem, nostack, preserves_flags)) };
    register::read!("cntpct_el0")
}

/// A moment to give up at.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(u64);

impl Deadline {
    /// That much time from now.
    pub(crate) fn after(duration: Duration) -> Self {
        let ticks = duration.as_nanos() * u128::from(frequency()) / 1_000_000_000;
        Self(now().saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX)))
    }

    /// Whether it is over.
    pub(crate) fn passed(self) -> bool {
        now() >= self.0
    }
}

/// One turn of a loop that waits for another CPU.
pub(crate) fn relax() {
    // SAFETY: a hint. The emulator switches to another CPU here when they share a thread.
    unsafe { core::arch::asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// Waits until `condition` holds; `false` when it did not within `duration`.
pub(crate) fn wait_until(duration: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Deadline::after(duration);
    while !condition() {
        if deadline.passed() {
            return condition();
        }
        relax();
    }
    true
}
