//! Shape of the program's flat image.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Intermediate physical address that the image is linked at.
pub const IMAGE_BASE: u64 = 0x4000_0000;

/// The program never needs more memory than this, in bytes.
pub const MAXIMUM_MEMORY: u64 = 1 << 20;

/// What [`ImageHeader::magic`] holds.
pub const MAGIC: [u8; 8] = *b"CLSTRPLD";

/// The first bytes of the image. The first REC starts at its first byte, with its number in X0;
/// exactly one REC does. The others start at the secondary entry, by PSCI `CPU_ON` with their
/// number as context.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ImageHeader {
    /// A branch over this header.
    pub branch: u32,
    reserved_1: [u8; 4],
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// Bytes of the flat image.
    pub file_size: u64,
    /// Bytes of memory that the program uses from [`IMAGE_BASE`] on: the image, what it clears at
    /// boot, and stacks. All of it has to be RAM.
    pub memory_size: u64,
    /// Where secondary RECs start, from [`IMAGE_BASE`].
    pub secondary_entry: u64,
    reserved_2: [u8; 24],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<ImageHeader>() == 64);
    assert!(offset_of!(ImageHeader, magic) == 8);
    assert!(offset_of!(ImageHeader, file_size) == 16);
    assert!(offset_of!(ImageHeader, memory_size) == 24);
    assert!(offset_of!(ImageHeader, secondary_entry) == 32);
};

impl ImageHeader {
    /// The header of an image, if it is one and its sizes fit each other and the file.
    pub fn of(image: &[u8]) -> Option<Self> {
        let (header, _) = Self::read_from_prefix(image).ok()?;
        let fits = header.magic == MAGIC
            && header.file_size == image.len() as u64
            && header.file_size <= header.memory_size
            && header.memory_size <= MAXIMUM_MEMORY
            && header.secondary_entry < header.file_size
            && header.secondary_entry.is_multiple_of(4);
        fits.then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<u8> {
        let header = ImageHeader {
            branch: 0x1400_0010,
            reserved_1: [0; 4],
            magic: MAGIC,
            file_size: 256,
            memory_size: 4096,
            secondary_entry: 128,
            reserved_2: [0; 24],
        };
        let mut image = header.as_bytes().to_vec();
        image.resize(256, 0);
        image
    }

    #[test]
    fn an_image_is_recognised_by_its_header() {
        let header = ImageHeader::of(&image()).unwrap();
        assert_eq!(header.memory_size, 4096);
        assert_eq!(header.secondary_entry, 128);
    }

    #[test]
    fn what_does_not_fit_is_no_image() {
        let damaged = |offset: usize, byte: u8| {
            let mut image = image();
            image[offset] = byte;
            ImageHeader::of(&image).is_some()
        };
        assert!(!damaged(8, b'X'), "magic");
        assert!(!damaged(16, 1), "another file size");
        assert!(!damaged(25, 0), "less memory than file");
        assert!(!damaged(27, 1), "more memory than the program ever needs");
        assert!(!damaged(33, 1), "secondary entry behind the end");
        assert!(!damaged(32, 130), "secondary entry between instructions");
        assert!(ImageHeader::of(&image()[..63]).is_none());
        assert!(ImageHeader::of(&image()[..255]).is_none());
    }
}
