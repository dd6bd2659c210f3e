//! Checks on memory that the families share.

#![allow(unsafe_code)]

use ns_host::fault::{Fault, FaultKind};

use crate::machine::CarveOut;
use crate::memory::{self, GRANULE_WORDS, Range};
use crate::outcome::{Outcome, ensure, fail};
use crate::suite::Host;

/// The instruction `ret`.
const RETURN: u64 = 0xd65f_03c0;

/// Loads a doubleword; a fault ends the test.
pub(crate) fn read(address: u64) -> Outcome<u64> {
    match memory::try_read(address) {
        Some(Ok(value)) => Ok(value),
        Some(Err(fault)) => fail!("read of {address:#x}: {fault}"),
        None => fail!("read of {address:#x}: too far to be mapped"),
    }
}

/// Stores a doubleword; a fault ends the test. For granules that tests were given.
pub(crate) fn write(address: u64, value: u64) -> Outcome {
    // SAFETY: the pool gives out memory that nothing of this program uses.
    match unsafe { memory::try_write(address, value) } {
        Some(Ok(())) => Ok(()),
        Some(Err(fault)) => fail!("write of {address:#x}: {fault}"),
        None => fail!("write of {address:#x}: too far to be mapped"),
    }
}

/// Fills a granule.
pub(crate) fn fill(granule: u64, value: impl Fn(u64) -> u64) -> Outcome {
    for index in 0..GRANULE_WORDS {
        write(granule + 8 * index, value(index))?;
    }
    Ok(())
}

/// The granule must hold exactly that.
pub(crate) fn holds(granule: u64, value: impl Fn(u64) -> u64) -> Outcome {
    for index in 0..GRANULE_WORDS {
        let address = granule + 8 * index;
        let (seen, expected) = (read(address)?, value(index));
        ensure!(
            seen == expected,
            "{address:#x} holds {seen:#x} instead of {expected:#x}"
        );
    }
    Ok(())
}

/// Loads, stores and instruction fetches must all reach the granule, which loses its content.
pub(crate) fn accessible(granule: u64) -> Outcome {
    let address = granule + 0x7f8;
    write(address, RETURN)?;
    let seen = read(address)?;
    ensure!(
        seen == RETURN,
        "{address:#x} holds {seen:#x} after {RETURN:#x} was written to it"
    );
    // SAFETY: there is a `ret`.
    match unsafe { memory::try_execute(address) } {
        Some(Ok(())) => Ok(()),
        Some(Err(fault)) => fail!("execution at {address:#x}: {fault}"),
        None => fail!("execution at {address:#x}: too far to be mapped"),
    }
}

/// Loads, stores and instruction fetches of the granule must all take a granule protection fault.
///
/// # Safety
///
/// Nothing of this program lives in the granule.
pub(crate) unsafe fn protected(granule: u64) -> Outcome {
    for address in [granule, granule + 0x7f8, granule + 0xff8] {
        fault_of("read", address, memory::try_read(address), |fault| {
            !fault.is_fetch() && !fault.is_write()
        })?;
        // SAFETY: the caller vouches for the granule.
        let write = unsafe { memory::try_write(address, 0xbad) };
        fault_of("write", address, write, Fault::is_write)?;
        // SAFETY: whatever is there, the test fails when it can be fetched. A granule that
        // the host cannot reach holds no code of the host.
        let execution = unsafe { memory::try_execute(address) };
        fault_of("execution", address, execution, Fault::is_fetch)?;
    }
    Ok(())
}

fn fault_of<T: Copy>(
    what: &str,
    address: u64,
    result: Option<Result<T, Fault>>,
    direction: impl Fn(Fault) -> bool,
) -> Outcome {
    match result {
        Some(Err(fault)) if fault.kind() == FaultKind::GranuleProtection && direction(fault) => {
            Ok(())
        }
        Some(Err(fault)) => {
            fail!("{what} of {address:#x}: expected a granule protection fault, took: {fault}")
        }
        Some(Ok(_)) => fail!("{what} of {address:#x} did not fault"),
        None => fail!("{what} of {address:#x}: too far to be mapped"),
    }
}

/// A carve-out that the device tree has to list.
pub(crate) fn carve_out(host: &Host, wanted: CarveOut) -> Outcome<Range> {
    match host.machine.carve_out(wanted) {
        Some(range) if range.size() > 0 => Ok(range),
        _ => fail!(
            "the device tree lists no {}@* under /reserved-memory",
            wanted.name()
        ),
    }
}
