//! The arm64 Linux `Image` format, which the normal-world program comes in.

use core::fmt;

use crate::region::GRANULE;

/// Bytes at the start of a file that say all of it.
pub const HEADER_SIZE: usize = 64;

/// What the header asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KernelImage {
    /// Where it is loaded, from a 2 MiB boundary.
    pub text_offset: u64,
    /// Memory that it wants from there on, its file included.
    pub memory_size: u64,
}

/// Why a file is not a program for the normal world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KernelImageError {
    /// Shorter than its header.
    TooShort,
    /// The magic number is not there.
    NotAnImage,
    /// It asks for a big-endian machine.
    BigEndian,
    /// The text offset is 2 MiB or more, or not a multiple of the granule size.
    TextOffset(u64),
    /// It asks for less memory than its file has.
    MemorySize(u64),
}

impl fmt::Display for KernelImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => write!(f, "it is shorter than an arm64 Image header"),
            Self::NotAnImage => write!(
                f,
                "it is not in the arm64 Image format (no ARM\\x64 at 0x38)"
            ),
            Self::BigEndian => write!(f, "it is a big-endian kernel"),
            Self::TextOffset(offset) => write!(f, "its text offset {offset:#x} cannot be used"),
            Self::MemorySize(size) => {
                write!(
                    f,
                    "it asks for {size} bytes of memory, less than its file has"
                )
            }
        }
    }
}

impl KernelImage {
    /// Reads the first bytes of a file of `file_size` bytes.
    ///
    /// # Errors
    ///
    /// See [`KernelImageError`].
    pub fn parse(header: &[u8], file_size: u64) -> Result<Self, KernelImageError> {
        let header: &[u8; HEADER_SIZE] = header
            .first_chunk()
            .filter(|_| file_size >= HEADER_SIZE as u64)
            .ok_or(KernelImageError::TooShort)?;
        let word = |offset: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[offset..offset + 8]);
            u64::from_le_bytes(bytes)
        };
        if header[0x38..0x3c] != *b"ARM\x64" {
            return Err(KernelImageError::NotAnImage);
        }
        if word(0x18) & 1 != 0 {
            return Err(KernelImageError::BigEndian);
        }
        let text_offset = word(0x08);
        if text_offset >= crate::region::MIB_2 || !text_offset.is_multiple_of(GRANULE) {
            return Err(KernelImageError::TextOffset(text_offset));
        }
        let memory_size = word(0x10);
        if memory_size < file_size {
            return Err(KernelImageError::MemorySize(memory_size));
        }
        Ok(Self {
            text_offset,
            memory_size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text_offset: u64, memory_size: u64, flags: u64) -> [u8; HEADER_SIZE] {
        let mut header = [0; HEADER_SIZE];
        header[0x08..0x10].copy_from_slice(&text_offset.to_le_bytes());
        header[0x10..0x18].copy_from_slice(&memory_size.to_le_bytes());
        header[0x18..0x20].copy_from_slice(&flags.to_le_bytes());
        header[0x38..0x3c].copy_from_slice(b"ARM\x64");
        header
    }

    #[test]
    fn a_good_header_is_read() {
        // A program may need no memory besides its file.
        for file_size in [0x10_0000, 0x20_0000] {
            assert_eq!(
                KernelImage::parse(&header(0x8_0000, 0x20_0000, 0xa), file_size),
                Ok(KernelImage {
                    text_offset: 0x8_0000,
                    memory_size: 0x20_0000
                })
            );
        }
    }

    #[test]
    fn bad_headers_are_refused_by_reason() {
        let good = header(0, 0x1000, 0);
        assert_eq!(
            KernelImage::parse(&good[..63], 63),
            Err(KernelImageError::TooShort)
        );
        assert_eq!(
            KernelImage::parse(&good, 63),
            Err(KernelImageError::TooShort)
        );
        assert_eq!(
            KernelImage::parse(&[0; 64], 64),
            Err(KernelImageError::NotAnImage)
        );
        assert_eq!(
            KernelImage::parse(&header(0, 0x1000, 1), 0x1000),
            Err(KernelImageError::BigEndian)
        );
        for offset in [0x20_0000, 0x800, u64::MAX] {
            assert_eq!(
                KernelImage::parse(&header(offset, 0x1000, 0), 0x1000),
                Err(KernelImageError::TextOffset(offset))
            );
        }
        assert_eq!(
            KernelImage::parse(&good, 0x1001),
            Err(KernelImageError::MemorySize(0x1000))
        );
    }
}
