//! The timers of a Realm, as of its last exit. A Realm sees the counter unshifted, so the host can
//! compare.

use rmm_abi::rmi::run::RecExit;

use super::NEVER;
use crate::interrupts::{Consequences, Interrupts};
use crate::vgic::{PHYSICAL_TIMER, PMU, VIRTUAL_TIMER};

/// A timer's registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Timer {
    control: u64,
    compare: u64,
}

impl Timer {
    const OFF: Self = Self {
        control: 0,
        compare: 0,
    };

    /// Enabled, and not masked.
    const fn armed(self) -> bool {
        const ENABLE: u64 = 1 << 0;
        const MASK: u64 = 1 << 1;
        self.control & (ENABLE | MASK) == ENABLE
    }

    const fn line(self, now: u64) -> bool {
        self.armed() && now >= self.compare
    }

    const fn next(self, now: u64) -> u64 {
        if self.armed() && now < self.compare {
            self.compare
        } else {
            NEVER
        }
    }
}

/// What drives the PPIs of a vCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Timers {
    physical: Timer,
    virtual_: Timer,
    /// A counter of the PMU has overflowed.
    overflow: bool,
}

impl Timers {
    pub(super) const fn new() -> Self {
        Self {
            physical: Timer::OFF,
            virtual_: Timer::OFF,
            overflow: false,
        }
    }

    pub(super) const fn at_exit(exit: &RecExit) -> Self {
        Self {
            physical: Timer {
                control: exit.cntp_ctl,
                compare: exit.cntp_cval,
            },
            virtual_: Timer {
                control: exit.cntv_ctl,
                compare: exit.cntv_cval,
            },
            overflow: exit.pmu_ovf_status != 0,
        }
    }

    /// Sets the lines as they are at a time.
    pub(super) fn raise(
        &self,
        vcpu: usize,
        interrupts: &mut Interrupts,
        now: u64,
        consequences: &mut Consequences,
    ) {
        let Some(gic) = interrupts.gic() else {
            return;
        };
        for (ppi, level) in [
            (VIRTUAL_TIMER, self.virtual_.line(now)),
            (PHYSICAL_TIMER, self.physical.line(now)),
            (PMU, self.overflow),
        ] {
            // They are there, as the vCPU is.
            let _ = gic.set_ppi_level(vcpu, ppi, level, &mut consequences.effects);
        }
    }

    /// When one of them will come.
    pub(super) fn next(&self, now: u64) -> u64 {
        self.physical.next(now).min(self.virtual_.next(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_due_when_it_is_armed_and_its_time_has_come() {
        let timer = |control| Timer {
            control,
            compare: 100,
        };
        assert_eq!((timer(1).line(99), timer(1).next(99)), (false, 100));
        assert_eq!((timer(1).line(100), timer(1).next(100)), (true, NEVER));
        for off in [0, 2, 3] {
            assert_eq!((timer(off).line(100), timer(off).next(99)), (false, NEVER));
        }
    }
}
