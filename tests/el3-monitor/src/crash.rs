//! The last words: an exception at EL3 that nobody expected, or a panic.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::panic::PanicInfo;

use crate::console::line_at_any_cost;
use crate::memory::{Stack, Uninitialised};
use crate::power;
use crate::registers::read_register;

/// Where `switch.S` leaves the registers.
#[repr(C)]
pub(crate) struct CrashFrame {
    /// One more than the number of the vector, zero before a crash.
    claimed: u32,
    reserved: [u32; 3],
    general: [u64; 31],
    stack: u64,
}

pub(crate) struct Frame(UnsafeCell<CrashFrame>);

// SAFETY: only the first CPU that crashes touches it, `switch.S` sees to that.
unsafe impl Sync for Frame {}

pub(crate) static CRASH_FRAME: Frame = Frame(UnsafeCell::new(CrashFrame {
    claimed: 0,
    reserved: [0; 3],
    general: [0; 31],
    stack: 0,
}));

pub(crate) const CRASH_STACK_SIZE: usize = 0x4000;

#[unsafe(link_section = ".uninit.crash_stack")]
pub(crate) static CRASH_STACK: Uninitialised<Stack<CRASH_STACK_SIZE>> = Uninitialised::new();

macro_rules! print {
    ($($text:tt)*) => { line_at_any_cost(format_args!($($text)*)) };
}

/// Reports an exception that EL3 did not expect and switches the machine off.
pub(crate) extern "C" fn handle_crash() -> ! {
    const KINDS: [&str; 4] = [
        "synchronous exception",
        "interrupt",
        "fast interrupt",
        "system error",
    ];
    const ORIGINS: [&str; 4] = [
        "EL3 on SP_EL0",
        "EL3",
        "a lower level",
        "a lower level (AArch32)",
    ];
    // SAFETY: this CPU claimed the frame and is done writing it.
    let frame = unsafe { &*CRASH_FRAME.0.get() };
    let number = frame.claimed.wrapping_sub(1) as usize % 16;
    print!(
        "unexpected {} from {}, CPU {:#x}",
        KINDS[number % 4],
        ORIGINS[number / 4],
        read_register!("mpidr_el1") & 0xff_00ff_ffff
    );
    print!(
        "  ESR_EL3 {:#018x}  ELR_EL3 {:#018x}  SPSR_EL3 {:#018x}",
        read_register!("esr_el3"),
        read_register!("elr_el3"),
        read_register!("spsr_el3")
    );
    print!(
        "  FAR_EL3 {:#018x}  MFAR_EL3 {:#018x}  SCR_EL3 {:#018x}",
        read_register!("far_el3"),
        read_register!("s3_6_c6_c0_5"),
        read_register!("scr_el3")
    );
    for (row, values) in frame.general.chunks(2).enumerate() {
        let first = row * 2;
        match values {
            [one, two] => print!("  x{first:<2} {one:#018x}  x{:<2} {two:#018x}", first + 1),
            _ => print!(
                "  x{first:<2} {:#018x}  sp  {:#018x}",
                values[0], frame.stack
            ),
        }
    }
    power::off()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(location) => print!("panic at {location}: {}", info.message()),
        None => print!("panic: {}", info.message()),
    }
    power::off()
}
