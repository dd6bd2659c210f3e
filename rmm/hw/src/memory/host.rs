//! Reading the host's memory, which may stop being the host's at any moment.

use core::arch::global_asm;

use rmm_core::{HostFault, WORDS_PER_GRANULE};

use super::Recoverable;
use crate::slot::{HostMapping, Mapping};

global_asm!(include_str!("host.S"), options(raw));

unsafe extern "C" {
    fn rmm_copy_from_host(to: *mut u64, from: *const u64) -> u64;
    static rmm_copy_from_host_loads: u8;
    static rmm_copy_from_host_loads_end: u8;
    static rmm_copy_from_host_fault: u8;
}

/// The loads of the routine, not its stores.
pub(super) fn recoverable() -> Recoverable {
    Recoverable {
        first: &raw const rmm_copy_from_host_loads,
        end: &raw const rmm_copy_from_host_loads_end,
        next: &raw const rmm_copy_from_host_fault,
    }
}

/// Copies a granule of the host into words of the RMM's own, each read once.
///
/// # Errors
///
/// [`HostFault`]; `into` may have been written in part.
pub fn read(
    source: &HostMapping<'_>,
    into: &mut [u64; WORDS_PER_GRANULE],
) -> Result<(), HostFault> {
    // SAFETY: `into` is a granule's worth of words that nobody else uses. The source is mapped,
    // its words change at any time, and the routine's loads of them may fault.
    result(unsafe { rmm_copy_from_host(into.as_mut_ptr(), source.start()) })
}

/// Copies a granule of the host into one of the Realm world, each word read once.
///
/// # Errors
///
/// [`HostFault`]; `into` may have been written in part.
pub fn copy(source: &HostMapping<'_>, into: &Mapping<'_>) -> Result<(), HostFault> {
    // SAFETY: as in `read`; the words of a mapping are atomics, so they may be written through
    // a shared reference, and naturally aligned stores of registers are single-copy atomic.
    result(unsafe { rmm_copy_from_host(into.as_ptr().cast_mut().cast(), source.start()) })
}

fn result(fault: u64) -> Result<(), HostFault> {
    if fault == 0 { Ok(()) } else { Err(HostFault) }
}
