//! Exceptions at R-EL2. A test that expects one gets it as a value; any other ends the program.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;

use crate::registers::read_register;
use crate::report::{self, Exit};

/// A synchronous exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    syndrome: u64,
}

impl Exception {
    /// Whether it is a granule protection fault of a data access itself, not of a table walk.
    pub(crate) fn is_granule_protection_fault(self) -> bool {
        const DATA_ABORT_SAME_LEVEL: u64 = 0x25;
        const GRANULE_PROTECTION: u64 = 0x28;
        self.syndrome >> 26 == DATA_ABORT_SAME_LEVEL && self.syndrome & 0x3f == GRANULE_PROTECTION
    }
}

#[derive(Clone, Copy)]
enum State {
    NotExpected,
    Expected,
    Taken(Exception),
}

struct Shared(UnsafeCell<State>);

// SAFETY: one CPU; the handler runs between two instructions of the code that expects it, which
// goes through volatile accesses.
unsafe impl Sync for Shared {}

static STATE: Shared = Shared(UnsafeCell::new(State::NotExpected));

fn set(state: State) {
    // SAFETY: see `Shared`.
    unsafe { STATE.0.get().write_volatile(state) };
}

fn get() -> State {
    // SAFETY: see `Shared`.
    unsafe { STATE.0.get().read_volatile() }
}

/// Runs something whose one risky instruction may take an exception; it is skipped then.
pub(crate) fn catch<T>(action: impl FnOnce() -> T) -> Result<T, Exception> {
    set(State::Expected);
    let value = action();
    let state = get();
    set(State::NotExpected);
    match state {
        State::Taken(exception) => Err(exception),
        _ => Ok(value),
    }
}

/// Skips the instruction when a test expects the exception.
pub(crate) extern "C" fn synchronous_exception() {
    let place = read_register!("elr_el2");
    let exception = Exception {
        syndrome: read_register!("esr_el2"),
    };
    if !matches!(get(), State::Expected) {
        unexpected(4);
    }
    set(State::Taken(exception));
    // SAFETY: goes on after the instruction, as the test expects.
    unsafe { core::arch::asm!("msr elr_el2, {}", in(reg) place + 4) };
}

/// Reports an exception that no test expects.
pub(crate) extern "C" fn unexpected(vector: u64) -> ! {
    report::note(format_args!(
        "unexpected exception, vector {vector}: ESR {:#x}, ELR {:#x}, FAR {:#x}",
        read_register!("esr_el2"),
        read_register!("elr_el2"),
        read_register!("far_el2")
    ));
    report::exit(Exit::Exception)
}
