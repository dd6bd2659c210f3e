//! The boot manifest, which EL3 leaves at the start of the shared page (RMM-EL3 interface,
//! "Boot Manifest").
//!
//! All fields are little-endian. A list is a count, the physical address of an array and a
//! checksum such that count, address, every 64-bit word of the array and the checksum add up to
//! zero modulo 2^64.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Version;

/// The newest manifest revision that this crate describes.
pub const VERSION: Version = Version::new(0, 5);

/// A counted, checksummed array somewhere in memory.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct List {
    /// Elements in the array.
    pub count: u64,
    /// Physical address of the first element; zero when there is none.
    pub address: u64,
    /// Completes the sum to zero.
    pub checksum: u64,
}

/// The manifest up to and including the fields of revision 0.5. A reader ignores what its
/// revision does not have.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Manifest {
    /// Version word.
    pub version: u32,
    /// Padding.
    pub reserved: u32,
    /// Physical address of platform-specific data, or zero.
    pub platform_data: u64,
    /// DRAM banks, [`DramBank`]. Since 0.2.
    pub dram: List,
    /// Consoles, [`Console`]. Since 0.3.
    pub consoles: List,
    /// Non-coherent device memory, [`DramBank`] layout. Since 0.4.
    pub non_coherent_devices: List,
    /// Coherent device memory, [`DramBank`] layout. Since 0.4.
    pub coherent_devices: List,
    /// SMMUs. Since 0.5.
    pub smmus: List,
    /// Root complexes. Since 0.5.
    pub root_complexes: RootComplexList,
}

/// The root-complex list, which carries a version of its own.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct RootComplexList {
    /// Elements in the array.
    pub count: u64,
    /// Version word of the array's layout.
    pub version: u32,
    /// Padding.
    pub reserved: u32,
    /// Physical address of the first element.
    pub address: u64,
    /// Completes the sum to zero.
    pub checksum: u64,
}

/// A contiguous range of DRAM.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct DramBank {
    /// Physical address of the first byte.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

/// A console that the RMM may print on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Console {
    /// Physical address of its registers.
    pub base: u64,
    /// Granules to map.
    pub map_pages: u64,
    /// Kind, zero-padded ASCII, for example `pl011`.
    pub name: [u8; 8],
    /// Clock, in hertz.
    pub clock_hz: u64,
    /// Line speed, in baud.
    pub baud_rate: u64,
    /// Flags; none are defined.
    pub flags: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<List>() == 24);
    assert!(size_of::<DramBank>() == 16);
    assert!(size_of::<Console>() == 48);
    assert!(size_of::<Manifest>() == 168);
    assert!(offset_of!(Manifest, platform_data) == 8);
    assert!(offset_of!(Manifest, dram) == 16);
    assert!(offset_of!(Manifest, consoles) == 40);
    assert!(offset_of!(Manifest, non_coherent_devices) == 64);
    assert!(offset_of!(Manifest, coherent_devices) == 88);
    assert!(offset_of!(Manifest, smmus) == 112);
    assert!(offset_of!(Manifest, root_complexes) == 136);
};
