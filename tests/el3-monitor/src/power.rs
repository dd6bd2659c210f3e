//! Switching the machine off: two lines of a GPIO controller.
#![allow(unsafe_code)]

use el3_monitor::index;
use el3_monitor::machine::PowerLines;
use spin::Once;

use crate::boot;
use crate::registers::execute;

static LINES: Once<PowerLines> = Once::new();

/// Registers of a PL061. The data register is a window: address bits 9:2 select the lines.
const DIRECTION: u64 = 0x400;

/// Makes the lines known; the controller's registers are mapped.
pub(crate) fn init(lines: PowerLines) {
    LINES.call_once(|| lines);
}

/// Switches the machine off.
pub(crate) fn off() -> ! {
    if let Some(lines) = LINES.get() {
        raise(lines.controller, lines.off);
    }
    stop()
}

/// Resets the machine.
pub(crate) fn reset() -> ! {
    boot::close_mailbox();
    if let Some(lines) = LINES.get() {
        raise(lines.controller, lines.reset);
    }
    stop()
}

/// Drives a line from low to high.
fn raise(controller: u64, line: u8) {
    let mask = 1_u32 << line;
    let register = |offset: u64| core::ptr::with_exposed_provenance_mut(index(controller + offset));
    let window: *mut u32 = register(u64::from(mask) << 2);
    let direction: *mut u32 = register(DIRECTION);
    // SAFETY: the registers are mapped as a device, and nothing but power hangs on them.
    unsafe {
        direction.write_volatile(direction.read_volatile() | mask);
        window.write_volatile(0);
        window.write_volatile(mask);
    }
}

fn stop() -> ! {
    loop {
        // SAFETY: waits.
        unsafe { execute!("wfi") };
    }
}
