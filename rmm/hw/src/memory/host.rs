//! Reading the host's memory, which may stop being the host's at any moment.

use core::arch::global_asm;

use rmm_core::{HostFault, WORDS_PER_GRANULE};

use super::{Expected, Recoverable, Zeroer};
use crate::slot::{HostMapping, Mapping, WritableHostMapping};

global_asm!(include_str!("host.S"), options(raw));

unsafe extern "C" {
    fn rmm_copy_from_host(to: *mut u64, from: *const u64) -> u64;
    static rmm_copy_from_host_loads: u8;
    static rmm_copy_from_host_loads_end: u8;
    static rmm_copy_from_host_fault: u8;
    fn rmm_read_host_words(to: *mut u64, from: *const u64, count: usize) -> u64;
    static rmm_read_host_words_load: u8;
    static rmm_read_host_words_load_end: u8;
    fn rmm_write_host_words(to: *mut u64, from: *const u64, count: usize) -> u64;
    static rmm_write_host_words_store: u8;
    static rmm_write_host_words_store_end: u8;
    fn rmm_clear_host_words(from: *mut u64, to: *mut u64, block: u64) -> u64;
    static rmm_clear_host_words_store: u8;
    static rmm_clear_host_words_store_end: u8;
}

/// What of the routines touches the host's memory. All go on where the first one does, for they
/// have nothing on the stack.
pub(super) fn recoverable() -> [Recoverable; 4] {
    [
        (
            &raw const rmm_copy_from_host_loads,
            &raw const rmm_copy_from_host_loads_end,
        ),
        (
            &raw const rmm_read_host_words_load,
            &raw const rmm_read_host_words_load_end,
        ),
        (
            &raw const rmm_write_host_words_store,
            &raw const rmm_write_host_words_store_end,
        ),
        (
            &raw const rmm_clear_host_words_store,
            &raw const rmm_clear_host_words_store_end,
        ),
    ]
    .map(|(first, end)| Recoverable {
        first,
        end,
        next: &raw const rmm_copy_from_host_fault,
        expected: Expected::OnAccesses,
    })
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

/// Copies words of a granule of the host from number `first` on, each read once.
///
/// # Errors
///
/// [`HostFault`]; `into` may have been written in part.
///
/// # Panics
///
/// When the words are not all in the granule.
pub fn read_words(
    source: &HostMapping<'_>,
    first: usize,
    into: &mut [u64],
) -> Result<(), HostFault> {
    assert!(first + into.len() <= WORDS_PER_GRANULE);
    // SAFETY: as in `read`; the words are in the granule.
    result(unsafe { rmm_read_host_words(into.as_mut_ptr(), source.start().add(first), into.len()) })
}

/// Writes words of a granule of the host from number `first` on.
///
/// # Errors
///
/// [`HostFault`]; the granule may have been written in part.
///
/// # Panics
///
/// When the words are not all in the granule.
pub fn write_words(
    target: &WritableHostMapping<'_>,
    first: usize,
    from: &[u64],
) -> Result<(), HostFault> {
    assert!(first + from.len() <= WORDS_PER_GRANULE);
    // SAFETY: the target is mapped for writing, nobody has a reference to it, and the routine's
    // stores may fault. The words are in the granule.
    result(unsafe { rmm_write_host_words(target.start().add(first), from.as_ptr(), from.len()) })
}

/// Writes zeroes to the upper half of a granule of the host.
///
/// # Errors
///
/// [`HostFault`]; the half may have been written in part.
pub fn clear_upper_half(target: &WritableHostMapping<'_>, zeroer: Zeroer) -> Result<(), HostFault> {
    const HALF: usize = WORDS_PER_GRANULE / 2;
    // SAFETY: as in `write_words`. The largest block of DC ZVA is 2 KiB, half a granule.
    result(unsafe {
        let start = target.start().add(HALF);
        rmm_clear_host_words(start, start.add(HALF), zeroer.block().unwrap_or(0))
    })
}

fn result(fault: u64) -> Result<(), HostFault> {
    if fault == 0 { Ok(()) } else { Err(HostFault) }
}
