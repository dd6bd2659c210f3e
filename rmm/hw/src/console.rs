//! The console: a device that EL3 has set up and that other worlds write to as well.
//!
//! The RMM writes whole lines, few of them: boot, refusals, errors.

use core::fmt::{self, Write};
use core::hint;
use core::sync::atomic::{AtomicBool, Ordering};

use rmm_core::rate_limit::RateLimit;

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTPCT_EL0};
use spin::Mutex;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite};
use tock_registers::{register_bitfields, register_structs};

use crate::layout;

register_bitfields! {
    u32,
    /// Flag register.
    Flag [
        /// The transmit FIFO is full.
        TXFF OFFSET(5) NUMBITS(1) [],
    ]
}

register_structs! {
    Pl011Registers {
        (0x000 => data: ReadWrite<u32>),
        (0x004 => _reserved),
        (0x018 => flag: ReadOnly<u32, Flag::Register>),
        (0x01c => @END),
    }
}

/// Offset of a PL011 register whose reading has no effect.
pub const PL011_FLAG_OFFSET: u64 = 0x18;

/// Times that the flag register is read before a character is given up: a device that never gets
/// ready must not stop the RMM.
const PATIENCE: u32 = 1 << 20;

/// Lines about errors in a row, and one more for each so many seconds: each such line is a defect or
/// an attack, and the console belongs to others too.
const ERROR_LINES: u64 = 16;
const SECONDS_PER_ERROR_LINE: u64 = 10;

static ERROR_LIMIT: Mutex<Option<RateLimit>> = Mutex::new(None);
static CONSOLE: Mutex<Option<Pl011>> = Mutex::new(None);
/// Whether the device is mapped, for good.
static MAPPED: AtomicBool = AtomicBool::new(false);

/// A PL011 that is mapped at [`layout::CONSOLE`].
struct Pl011;

impl Pl011 {
    fn put(byte: u8) {
        // SAFETY: a `Pl011` is made by `use_pl011`, whose caller has mapped the device, or after
        // that by `last_words`, which asks `MAPPED`.
        let registers = unsafe { &*(layout::CONSOLE as *const Pl011Registers) };
        for _ in 0..PATIENCE {
            if !registers.flag.is_set(Flag::TXFF) {
                registers.data.set(byte.into());
                return;
            }
            hint::spin_loop();
        }
    }
}

impl Write for Pl011 {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(Self::put);
        Ok(())
    }
}

/// Prints on a PL011 from now on.
///
/// # Safety
///
/// The device's registers must be mapped at [`layout::CONSOLE`], for good.
pub unsafe fn use_pl011() {
    *CONSOLE.lock() = Some(Pl011);
    MAPPED.store(true, Ordering::Release);
}

/// Prints a line.
pub fn line(text: fmt::Arguments<'_>) {
    if let Some(console) = CONSOLE.lock().as_mut() {
        print(console, text);
    }
}

/// Prints a line about something that went wrong, unless there have been too many lately.
pub fn error(text: fmt::Arguments<'_>) {
    let interval = CNTFRQ_EL0.get() * SECONDS_PER_ERROR_LINE;
    let dropped = ERROR_LIMIT
        .lock()
        .get_or_insert_with(|| RateLimit::new(ERROR_LINES, interval))
        .admit(CNTPCT_EL0.get());
    match dropped {
        Some(0) => line(text),
        Some(dropped) => line(format_args!(
            "{text} ({dropped} lines before this were left out)"
        )),
        None => {}
    }
}

/// Prints a line although somebody may hold the console: the last words of a CPU.
pub fn last_words(text: fmt::Arguments<'_>) {
    for _ in 0..PATIENCE {
        if let Some(mut console) = CONSOLE.try_lock() {
            if let Some(console) = console.as_mut() {
                print(console, text);
            }
            return;
        }
        hint::spin_loop();
    }
    // Whoever holds the console does not give it back. A garbled line is better than none.
    if MAPPED.load(Ordering::Acquire) {
        print(&mut Pl011, text);
    }
}

fn print(console: &mut Pl011, text: fmt::Arguments<'_>) {
    // `Pl011` does not fail; a `Display` that does loses its own text only.
    let _ = write!(console, "rmm: {text}\r\n");
}
