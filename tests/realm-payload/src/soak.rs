//! Random steps that a REC takes by itself, and what the host has to do meanwhile.
//!
//! The host serves the exits:
//!
//! * host calls with [`immediate::INVERT`](crate::immediate::INVERT): each register comes back
//!   inverted;
//! * reads of the device page: the value is [`device_value`] of the offset. Writes there have the
//!   same value, which the host may check;
//! * RIPAS changes of the REC's own scratch pages; those of the last two it may reject, if they are
//!   to RAM. The second page, which is asked to be RAM, it changes in one call;
//! * accesses to the last two pages while they are RAM: it provides memory;
//! * PSCI `CPU_SUSPEND`, writes of `ICC_SGI1R_EL1`, trapped `WFI`, interrupts: it comes back.
//!
//! A timer can expire just before the `WFI` that waits for it. A host that does not give the timers'
//! interrupts to the Realm has to end the wait in another way: entries trap `WFI`, or an interrupt
//! of the host's own comes from time to time. The same goes for [`Exit::Wfi`](crate::exit::Exit).
//!
//! REC `n` of the first four extends REM `n + 1`, and nobody else may. If a check fails, the index of
//! the reply is the number of steps that were done, times 2¹⁶, plus the number of the [`Step`], times
//! 2⁸, plus a number that says which check of the step it is: `src/soak/` of the program has them.
//! Checks of registers between the steps count as [`Step::Refill`], and the number is that of the
//! [`Kind`].

use crate::pattern::{Kind, pattern};

/// A kind of step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Step {
    /// An RSI call that succeeds.
    Rsi = 0,
    /// An RSI call with arguments that are refused.
    RsiRefused = 1,
    /// A measurement is extended, or read and compared with what it should be.
    Measurement = 2,
    /// RIPAS is changed, or read and compared with what it should be.
    Ripas = 3,
    /// A PSCI call that the RMM answers.
    Psci = 4,
    /// A host call with patterns.
    HostCall = 5,
    /// A load or store that the host emulates.
    Device = 6,
    /// `WFI` until a timer expires.
    Wait = 7,
    /// An exit under which all registers are watched.
    CanaryExit = 8,
    /// Registers get new patterns.
    Refill = 9,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Rsi,
        Self::RsiRefused,
        Self::Measurement,
        Self::Ripas,
        Self::Psci,
        Self::HostCall,
        Self::Device,
        Self::Wait,
        Self::CanaryExit,
        Self::Refill,
    ];
}

/// What a doubleword of the device holds, by its address. A smaller access moves a part of it: the
/// lowest bytes, wherever in the doubleword it goes to.
pub const fn device_value(address: u64) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "an offset in a page")]
    let offset = (address % rmm_abi::GRANULE_SIZE as u64) as usize;
    pattern(0xde71, Kind::Host, offset & !7)
}

/// The index of a check that has failed.
pub const fn check_index(steps: u64, step: Step, check: u8) -> u64 {
    steps << 16 | (step as u64) << 8 | check as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_in_their_order() {
        for (number, step) in (0..).zip(Step::ALL) {
            assert_eq!(step as u8, number);
        }
    }

    #[test]
    fn the_device_differs_from_doubleword_to_doubleword() {
        assert_ne!(device_value(0x1_0000), device_value(0x1_0008));
        assert_eq!(device_value(0x1_0008), device_value(0x1_000f));
        assert_eq!(device_value(0x1_0008), device_value(0x5_0008));
    }

    #[test]
    fn an_index_has_its_parts() {
        assert_eq!(check_index(5, Step::Refill, 0x34), 0x5_0934);
    }
}
