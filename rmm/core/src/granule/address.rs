//! Physical addresses of granules.

use core::fmt;

use rmm_abi::GRANULE_SIZE;

/// The physical address of a granule, a multiple of 4 KiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GranuleAddress(u64);

impl GranuleAddress {
    /// The lowest granule.
    pub(crate) const ZERO: Self = Self(0);

    /// The granule at a physical address; `None` when the address is not a multiple of 4 KiB.
    pub const fn new(address: u64) -> Option<Self> {
        if address.is_multiple_of(GRANULE_SIZE as u64) {
            Some(Self(address))
        } else {
            None
        }
    }

    /// The physical address.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for GranuleAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for GranuleAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
