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
use crate::memory::can_read;

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

/// Identification registers of an Arm `PrimeCell` in the order of their addresses, from this offset
/// on, a byte in each word: part number 0x011 and designer of the UART, whatever its revision, then
/// what all `PrimeCell`s have (DDI 0183, "Peripheral identification registers").
const IDENTIFICATION_OFFSET: u64 = 0xfe0;
const IDENTIFICATION: [Option<u32>; 8] = [
    Some(0x11),
    Some(0x10),
    None,
    Some(0x00),
    Some(0x0d),
    Some(0xf0),
    Some(0x05),
    Some(0xb1),
];

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

/// Whether what is mapped at [`layout::CONSOLE`] says of itself that it is a PL011.
///
/// # Safety
///
/// Something must be mapped there, and reading the last words of the page have no effect.
pub unsafe fn is_pl011() -> bool {
    let registers = (layout::CONSOLE + IDENTIFICATION_OFFSET..).step_by(size_of::<u32>());
    registers.zip(IDENTIFICATION).all(|(register, expected)| {
        // SAFETY: by the contract of this function; a fault is an answer like any other.
        unsafe {
            can_read(register)
                && expected.is_none_or(|expected| {
                    (register as *const u32).read_volatile() & 0xff == expected
                })
        }
    })
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
