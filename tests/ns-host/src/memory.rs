//! Physical memory: ranges of it, and accesses that may fault.

#![allow(unsafe_code)]

use ns_host::fault::Fault;

use crate::exceptions;
use crate::paging::{self, IDENTITY_LIMIT, Use};

/// Bytes of a granule.
pub(crate) const GRANULE: u64 = 0x1000;
/// Doublewords of a granule.
pub(crate) const GRANULE_WORDS: u64 = GRANULE / 8;

/// A range of physical addresses that does not wrap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    start: u64,
    size: u64,
}

impl Range {
    /// A range. What goes beyond the last address is cut off.
    pub(crate) const fn new(start: u64, size: u64) -> Self {
        let room = u64::MAX - start;
        let size = if size < room { size } else { room };
        Self { start, size }
    }

    /// First address.
    pub(crate) const fn start(&self) -> u64 {
        self.start
    }

    /// First address behind it.
    pub(crate) const fn end(&self) -> u64 {
        self.start + self.size
    }

    /// Bytes.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Whether an address is inside.
    pub(crate) const fn contains(&self, address: u64) -> bool {
        self.start <= address && address < self.end()
    }

    /// The last granule that starts in the range.
    pub(crate) const fn last_granule(&self) -> u64 {
        self.end().saturating_sub(1) & !(GRANULE - 1)
    }

    /// What is left when pieces of granules at the ends are dropped.
    pub(crate) const fn whole_granules(&self) -> Self {
        let start = self.start.next_multiple_of(GRANULE);
        let end = self.end() & !(GRANULE - 1);
        Self {
            start,
            size: end.saturating_sub(start),
        }
    }
}

/// Loads the doubleword at a physical address. The answer is `None` for an address that cannot be
/// mapped at all.
pub(crate) fn try_read(address: u64) -> Option<Result<u64, Fault>> {
    access(address, exceptions::read)
}

/// Stores a doubleword at a physical address.
///
/// # Safety
///
/// Nothing in this program lives there.
pub(crate) unsafe fn try_write(address: u64, value: u64) -> Option<Result<(), Fault>> {
    // SAFETY: the caller vouches for the memory.
    access(address, |address| unsafe {
        exceptions::write(address, value)
    })
}

/// Calls the subroutine at a physical address. It is expected to fault, or to be a `ret`.
///
/// # Safety
///
/// When the instructions there can be fetched, they keep to the procedure call standard.
pub(crate) unsafe fn try_execute(address: u64) -> Option<Result<(), Fault>> {
    let offset = address % GRANULE;
    // SAFETY: the caller vouches for the instructions.
    paging::with_page(address, Use::Code, |page| unsafe {
        exceptions::execute(page + offset)
    })
}

fn access<R>(address: u64, access: impl FnOnce(u64) -> R) -> Option<R> {
    if address < IDENTITY_LIMIT {
        Some(access(address))
    } else {
        let offset = address % GRANULE;
        paging::with_page(address, Use::Data, |page| access(page + offset))
    }
}

/// Granules for the tests. Each is given out once, so that a test that fails in the middle does
/// not hand its traces to the next.
#[derive(Debug)]
pub(crate) struct Pool {
    next: u64,
    end: u64,
}

impl Pool {
    /// The granules of a range.
    pub(crate) const fn new(range: Range) -> Self {
        let range = range.whole_granules();
        Self {
            next: range.start(),
            end: range.end(),
        }
    }

    /// The first of `count` granules in a row, at a multiple of `alignment` bytes.
    pub(crate) fn take(&mut self, count: u64, alignment: u64) -> Option<u64> {
        let first = self.next.checked_next_multiple_of(alignment)?;
        let end = first.checked_add(count.checked_mul(GRANULE)?)?;
        if end > self.end {
            return None;
        }
        self.next = end;
        Some(first)
    }
}
