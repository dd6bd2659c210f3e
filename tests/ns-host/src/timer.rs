//! The timers of EL2, which interrupt a Realm that runs on the same CPU.

#![allow(unsafe_code)]

use core::time::Duration;

use crate::gic::{self, HOST_PHYSICAL_TIMER, HOST_VIRTUAL_TIMER};
use crate::register;
use crate::time::{frequency, now};

const ENABLE: u64 = 1 << 0;

/// A timer of this CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HostTimer {
    /// For tests.
    Physical,
    /// For the host, to take back its CPU from a Realm that does not come back.
    Virtual,
}

impl HostTimer {
    /// Its interrupt.
    pub(crate) const fn interrupt(self) -> u64 {
        match self {
            Self::Physical => HOST_PHYSICAL_TIMER,
            Self::Virtual => HOST_VIRTUAL_TIMER,
        }
    }

    /// Interrupts in that time from now.
    pub(crate) fn start(self, duration: Duration) {
        let ticks = duration.as_nanos() * u128::from(frequency()) / 1_000_000_000;
        self.start_ticks(u64::try_from(ticks).unwrap_or(u64::MAX));
    }

    /// Interrupts in so many ticks of the counter from now; zero: at once.
    /// That moment of the counter.
    pub(crate) fn start_ticks(self, ticks: u64) -> u64 {
        let deadline = now().saturating_add(ticks);
        // SAFETY: the timers of EL2 do nothing but interrupt, and that is masked.
        unsafe {
            match self {
                Self::Physical => {
                    register::write!("cnthp_cval_el2", deadline);
                    register::write!("cnthp_ctl_el2", ENABLE);
                }
                Self::Virtual => {
                    register::write!("S3_4_C14_C3_2", deadline);
                    register::write!("S3_4_C14_C3_1", ENABLE);
                }
            }
        }
        deadline
    }

    /// Does not interrupt any more.
    pub(crate) fn stop(self) {
        // SAFETY: as above.
        unsafe {
            match self {
                Self::Physical => register::write!("cnthp_ctl_el2", 0),
                Self::Virtual => register::write!("S3_4_C14_C3_1", 0),
            }
        }
    }

    /// Whether its time has come.
    pub(crate) fn fires(self) -> bool {
        const STATUS: u64 = 1 << 2;
        let control = match self {
            Self::Physical => register::read!("cnthp_ctl_el2"),
            Self::Virtual => register::read!("S3_4_C14_C3_1"),
        };
        control & (ENABLE | STATUS) == ENABLE | STATUS
    }
}

/// Takes what is pending on this CPU. A timer that fires is stopped, or it would do so again.
pub(crate) fn acknowledge() {
    // Each turn ends one interrupt; there are few.
    for _ in 0..32 {
        match gic::take() {
            Some(HOST_PHYSICAL_TIMER) => HostTimer::Physical.stop(),
            Some(HOST_VIRTUAL_TIMER) => HostTimer::Virtual.stop(),
            Some(_) => {}
            None => break,
        }
    }
}

/// Forgets all timers and what is pending of them on this CPU.
pub(crate) fn silence() {
    HostTimer::Physical.stop();
    HostTimer::Virtual.stop();
    acknowledge();
}
