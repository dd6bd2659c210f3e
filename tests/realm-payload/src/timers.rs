//! The EL1 timers.

#![allow(unsafe_code)]

use core::arch::asm;

use realm_payload::command::TimerKind;

use crate::registers::read_register;

/// `ENABLE` of a control register.
pub(crate) const ENABLE: u64 = 1 << 0;
/// `IMASK` of a control register.
const MASKED: u64 = 1 << 1;
/// `ISTATUS` of a control register.
pub(crate) const EXPIRED: u64 = 1 << 2;

macro_rules! write_register {
    ($name:literal, $value:expr) => {
        // SAFETY: timers change no memory, and the vectors are prepared for their interrupts.
        unsafe {
            asm!(
                concat!("msr ", $name, ", {}"),
                "isb",
                in(reg) $value,
                options(nostack, preserves_flags)
            );
        }
    };
}

/// Ticks since some time.
pub(crate) fn now() -> u64 {
    // SAFETY: a barrier changes nothing that Rust knows of.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
    read_register!("cntvct_el0")
}

/// Ticks of a second.
pub(crate) fn frequency() -> u64 {
    read_register!("cntfrq_el0")
}

/// Keeps the virtual timer from interrupting.
pub(crate) fn mask_virtual() {
    let control = read_register!("cntv_ctl_el0");
    write_register!("cntv_ctl_el0", control & ENABLE | MASKED);
}

/// Keeps the physical timer from interrupting.
pub(crate) fn mask_physical() {
    let control = read_register!("cntp_ctl_el0");
    write_register!("cntp_ctl_el0", control & ENABLE | MASKED);
}

/// Switches both timers off.
pub(crate) fn mask_all() {
    write_register!("cntv_ctl_el0", MASKED);
    write_register!("cntp_ctl_el0", MASKED);
}

/// The control register and the compare value of a timer.
pub(crate) fn get(timer: TimerKind) -> (u64, u64) {
    match timer {
        TimerKind::Virtual => (
            read_register!("cntv_ctl_el0"),
            read_register!("cntv_cval_el0"),
        ),
        TimerKind::Physical => (
            read_register!("cntp_ctl_el0"),
            read_register!("cntp_cval_el0"),
        ),
    }
}

/// Arms a timer or switches it off. Its compare value.
pub(crate) fn set(timer: TimerKind, ticks: u64, enable: bool) -> u64 {
    let compare = now().wrapping_add(ticks);
    let control = if enable { ENABLE } else { 0 };
    match timer {
        TimerKind::Virtual => {
            write_register!("cntv_cval_el0", compare);
            write_register!("cntv_ctl_el0", control);
        }
        TimerKind::Physical => {
            write_register!("cntp_cval_el0", compare);
            write_register!("cntp_ctl_el0", control);
        }
    }
    compare
}
