//! The console: a PL011, whole lines at a time.
#![allow(unsafe_code)]

use core::fmt::{self, Write};

use core::sync::atomic::{AtomicU64, Ordering};

use el3_monitor::index;
use spin::Mutex;

use crate::platform;

/// A UART, at the address of its registers.
struct Uart(u64);

const DATA: u64 = 0x00;
const FLAGS: u64 = 0x18;
const CONTROL: u64 = 0x30;
const TRANSMIT_FULL: u32 = 1 << 5;
const ENABLE: u32 = 1 << 0 | 1 << 8;

/// The UART in use.
static BASE: AtomicU64 = AtomicU64::new(platform::EARLY_CONSOLE);
/// Held for a line.
static LINE: Mutex<()> = Mutex::new(());

impl Uart {
    fn register(&self, offset: u64) -> *mut u32 {
        core::ptr::with_exposed_provenance_mut(index(self.0 + offset))
    }

    fn put(&mut self, byte: u8) {
        // SAFETY: the registers are mapped as a device; writing a byte to send has no effect on
        // memory. A UART that never takes one hangs the machine where it would say why.
        unsafe {
            while self.register(FLAGS).read_volatile() & TRANSMIT_FULL != 0 {}
            self.register(DATA).write_volatile(u32::from(byte));
        }
    }
}

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.put(byte));
        Ok(())
    }
}

/// Moves the console to the UART of the device tree, whose registers are mapped.
pub(crate) fn open(base: u64) {
    BASE.store(base, Ordering::Relaxed);
    // SAFETY: as in `put`.
    unsafe { Uart(base).register(CONTROL).write_volatile(ENABLE) };
}

/// Prints a line.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let _line = LINE.lock();
    write_line(text);
}

/// Prints a line although another CPU, or this one, may be about to print.
pub(crate) fn line_at_any_cost(text: fmt::Arguments<'_>) {
    let _line = LINE.try_lock();
    write_line(text);
}

fn write_line(text: fmt::Arguments<'_>) {
    // The UART takes everything.
    let _ = write!(Uart(BASE.load(Ordering::Relaxed)), "el3: {text}\r\n");
}

/// Prints a line of the monitor.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::console::line(format_args!($($text)*))
    };
}

/// Prints a line that says why the machine cannot go on, and switches it off.
macro_rules! fatal {
    ($($text:tt)*) => {{
        $crate::console::line_at_any_cost(format_args!($($text)*));
        $crate::power::off()
    }};
}

pub(crate) use {fatal, say};
