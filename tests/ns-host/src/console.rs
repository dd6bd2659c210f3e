//! The console: whole lines, whichever CPU they come from.

#![allow(unsafe_code)]

use core::fmt::{self, Write};

use arm_pl011_uart::{PL011Registers, Uart, UniqueMmioPointer};
use spin::Mutex;

static CONSOLE: Mutex<Option<Uart<'static>>> = Mutex::new(None);

/// Starts to use the PL011 at `address`, which firmware has set up.
///
/// # Safety
///
/// `address` is that of a PL011, mapped as a device, that nothing else in this program uses.
pub(crate) unsafe fn start(address: u64) {
    let registers = core::ptr::NonNull::new(address as *mut PL011Registers);
    *CONSOLE.lock() = registers.map(|registers| {
        // SAFETY: the caller vouches for the registers.
        Uart::new(unsafe { UniqueMmioPointer::new(registers) })
    });
}

/// Prints a line with the speaker in front.
pub(crate) fn print(text: fmt::Arguments) {
    let mut console = CONSOLE.lock();
    write_line(console.as_mut(), text);
}

/// Prints a line before the program ends, even when this CPU was interrupted in the middle of
/// another one.
pub(crate) fn print_last(text: fmt::Arguments) {
    for _ in 0..1_000_000 {
        if let Some(mut console) = CONSOLE.try_lock() {
            write_line(console.as_mut(), text);
            return;
        }
        crate::time::relax();
    }
    // SAFETY: whoever holds the lock has not released it for long; the program ends after this,
    // and until then two writers only mix their characters.
    unsafe { CONSOLE.force_unlock() };
    if let Some(mut console) = CONSOLE.try_lock() {
        if let Some(console) = console.as_mut() {
            let _ = console.write_str("\n");
        }
        write_line(console.as_mut(), text);
    }
}

fn write_line(console: Option<&mut Uart<'static>>, text: fmt::Arguments) {
    if let Some(console) = console {
        // The driver waits for room and does not fail.
        let _ = console.write_str("ns-host: ");
        let _ = OneLine(console).write_fmt(text);
        let _ = console.write_str("\n");
    }
}

/// Keeps text from outside on its line and within ASCII.
struct OneLine<'a>(&'a mut Uart<'static>);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let printable = character == ' ' || character.is_ascii_graphic();
            self.0.write_char(if printable { character } else { '?' })?;
        }
        Ok(())
    }
}

/// Prints a line of the report.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::console::print(format_args!($($text)*))
    };
}

/// Prints a line for people.
macro_rules! note {
    ($($text:tt)*) => {
        $crate::console::print(format_args!("note {}", format_args!($($text)*)))
    };
}

pub(crate) use {note, say};
