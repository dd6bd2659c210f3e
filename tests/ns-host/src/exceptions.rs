//! Exceptions: those of an access that may fault become its result, others end the program.

#![allow(unsafe_code)]

use core::arch::global_asm;

use ns_host::fault::Fault;

use crate::console::print_last;
use crate::cpus::current;
use crate::exit::{ExitCode, exit};
use crate::paging::{self, Use};

global_asm!(include_str!("asm/vectors.S"));
global_asm!(include_str!("asm/access.S"));

/// What the vectors save.
#[repr(C)]
struct Frame {
    registers: [u64; 31],
    return_address: u64,
    saved_state: u64,
    syndrome: u64,
    fault_address: u64,
    padding: u64,
}

/// Synchronous, with the stack pointer of EL2.
const SYNCHRONOUS: u64 = 4;

/// Result of the assembly routines: the value loaded, and zero or the syndrome.
#[repr(C)]
struct Access {
    value: u64,
    syndrome: u64,
}

unsafe extern "C" {
    fn access_read(address: u64) -> Access;
    fn access_write(address: u64, value: u64) -> Access;
    fn access_execute(address: u64) -> Access;
    static access_read_instruction: u32;
    static access_write_instruction: u32;
    static access_execute_return: u32;
}

impl Access {
    // No exception class is zero with bit 25 (32-bit instruction) clear, so zero means none.
    fn result(self) -> Result<u64, Fault> {
        match self.syndrome {
            0 => Ok(self.value),
            syndrome => Err(Fault { syndrome }),
        }
    }
}

/// Loads the doubleword at a virtual address.
pub(crate) fn read(address: u64) -> Result<u64, Fault> {
    // SAFETY: a load changes nothing, and its exceptions come back as values.
    unsafe { access_read(address) }.result()
}

/// Stores a doubleword at a virtual address.
///
/// # Safety
///
/// Nothing in this program lives there.
pub(crate) unsafe fn write(address: u64, value: u64) -> Result<(), Fault> {
    // SAFETY: the caller vouches for the memory.
    unsafe { access_write(address, value) }.result().map(|_| ())
}

/// Calls a subroutine in the window of this CPU.
///
/// # Safety
///
/// The subroutine keeps to the procedure call standard.
pub(crate) unsafe fn execute(address: u64) -> Result<(), Fault> {
    // SAFETY: the caller vouches for the subroutine.
    unsafe { access_execute(address) }.result().map(|_| ())
}

#[unsafe(no_mangle)]
extern "C" fn exception(frame: &mut Frame, vector: u64) {
    if vector == SYNCHRONOUS && recover(frame) {
        return;
    }
    print_last(format_args!(
        "note exception that no test expected, on CPU {}: vector {vector}, {}",
        current(),
        Fault {
            syndrome: frame.syndrome
        }
    ));
    print_last(format_args!(
        "note at {:#x} for address {:#x}, ESR {:#x}, SPSR {:#x}",
        frame.return_address, frame.fault_address, frame.syndrome, frame.saved_state
    ));
    for (number, registers) in frame.registers.chunks(4).enumerate() {
        print_last(format_args!("note x{:<2} {registers:016x?}", number * 4));
    }
    exit(ExitCode::Exception)
}

/// Continues behind an access that may fault.
fn recover(frame: &mut Frame) -> bool {
    let fault = Fault {
        syndrome: frame.syndrome,
    };
    let at = frame.return_address;
    let is_data_abort = fault.class() == 0x25;
    if is_data_abort
        && (at == (&raw const access_read_instruction) as u64
            || at == (&raw const access_write_instruction) as u64)
    {
        frame.registers[1] = frame.syndrome;
        frame.return_address += 4;
        return true;
    }
    let window = paging::window(current(), Use::Code);
    if (window..window + crate::memory::GRANULE).contains(&at) {
        // The stack is as it was at the branch unless the granule held code that moved it.
        frame.registers[1] = frame.syndrome;
        frame.return_address = (&raw const access_execute_return) as u64;
        return true;
    }
    false
}

#[unsafe(no_mangle)]
extern "C" fn stack_overflowed(return_address: u64, fault_address: u64) -> ! {
    print_last(format_args!(
        "note stack overflow on CPU {} at {return_address:#x} for address {fault_address:#x}",
        current()
    ));
    exit(ExitCode::Exception)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    let message = info.message();
    match info.location() {
        Some(place) => print_last(format_args!(
            "note panic on CPU {} at {}:{}: {message}",
            current(),
            place.file(),
            place.line()
        )),
        None => print_last(format_args!("note panic on CPU {}: {message}", current())),
    }
    exit(ExitCode::Exception)
}
