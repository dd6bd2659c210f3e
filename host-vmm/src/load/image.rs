//! The header of an arm64 kernel.
//!
//! The format is that of Linux's `Documentation/arch/arm64/booting.rst`: 64 bytes, little-endian,
//! with a magic number at 0x38. Kernels that are EFI programs too have the header of one behind it,
//! whose sections tell how long the file has to be; of a kernel that is none, nothing does.

use thiserror::Error;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::layout::{BLOCK_BYTES, PAGE_BYTES};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// From how many bytes one sees what a file is.
const RECOGNISED_BYTES: usize = 1024;
/// The device tree has to be within 512 MiB of the kernel's first byte, and takes 2 MiB.
pub const MAX_IMAGE_BYTES: u64 = (512 << 20) - 2 * BLOCK_BYTES;

const MAGIC: [u8; 4] = *b"ARM\x64";
const FLAG_BIG_ENDIAN: u64 = 1 << 0;

const PE_MAGIC: [u8; 4] = *b"PE\0\0";
const PE_MACHINE_ARM64: u16 = 0xaa64;

/// Why a file is not a kernel that can be started.
#[derive(Clone, Copy, PartialEq, Eq, Error, Debug)]
pub enum ImageError {
    /// Something else.
    #[error("not a kernel: an arm64 Image is wanted, as Debian installs it in /boot/vmlinuz-*")]
    NotAKernel,
    /// One for another architecture.
    #[error("a kernel for x86: an arm64 Image is wanted")]
    X86,
    /// `Image.gz`, `Image.zst` or the like.
    #[error("compressed with {0}: unpack it first; an arm64 Image is wanted")]
    Compressed(&'static str),
    /// `vmlinux`.
    #[error("an ELF file: an arm64 Image is wanted (arch/arm64/boot/Image, not vmlinux)")]
    Elf,
    /// An EFI program that unpacks a kernel.
    #[error("a compressed EFI kernel (zboot): unpack it first; an arm64 Image is wanted")]
    CompressedEfi,
    /// There is less of it than its header says.
    #[error("truncated: {found} bytes, and its header speaks of {expected}")]
    Truncated {
        /// Bytes that there should be.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// From before Linux 3.17.
    #[error("too old: a kernel that does not say how much memory it takes")]
    NoSize,
    /// Of the other byte order.
    #[error("a big-endian kernel: a little-endian one is wanted")]
    BigEndian,
    /// An offset that is none.
    #[error("its header is wrong: a text offset of {0:#x}")]
    TextOffset(u64),
    /// Larger than can be loaded.
    #[error("too large: it takes {0} bytes, and at most {MAX_IMAGE_BYTES} can be loaded")]
    TooLarge(u64),
}

/// A file that may be a kernel. Headers alone are read of it, wherever they are.
pub trait File {
    /// What reading may come to.
    type Error;

    /// How long it is.
    fn bytes(&self) -> u64;

    /// Reads what is at `offset`, as much as there is room for; that much there is.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    fn read_at(&self, offset: u64, room: &mut [u8]) -> Result<(), Self::Error>;
}

/// Why a file's headers say nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseError<E> {
    /// It is no kernel that can be started.
    Image(ImageError),
    /// It cannot be read.
    Read(E),
}

impl<E> From<ImageError> for ParseError<E> {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    code: [U32; 2],
    text_offset: U64,
    image_size: U64,
    flags: U64,
    reserved: [U64; 3],
    magic: [u8; 4],
    pe_offset: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct PeHeader {
    magic: [u8; 4],
    machine: U16,
    sections: U16,
    unused: [U32; 3],
    optional_header_bytes: U16,
    characteristics: U16,
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct PeSection {
    name: [u8; 8],
    virtual_size: U32,
    virtual_address: U32,
    raw_size: U32,
    raw_offset: U32,
    unused: [U32; 4],
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);
const _: () = assert!(size_of::<PeSection>() == 40);

/// What a kernel's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image {
    /// Where the kernel has to be, counted from a multiple of 2 MiB.
    pub text_offset: u64,
    /// Memory that it takes from there on, in bytes: at least as much as the file has.
    pub memory_bytes: u64,
}

impl Header {
    /// The header in the first [`RECOGNISED_BYTES`] of a file, or fewer if it has no more.
    fn of(begin: &[u8]) -> Result<Self, ImageError> {
        match Self::read_from_prefix(begin) {
            Ok((header, _)) if header.magic == MAGIC => Ok(header),
            _ => Err(something_else(begin)),
        }
    }
}

impl Image {
    /// Takes the headers of a file apart.
    ///
    /// # Errors
    ///
    /// If it is not a kernel, or one that cannot be started, or if it cannot be read.
    pub fn parse<F: File>(file: &F) -> Result<Self, ParseError<F::Error>> {
        let found = file.bytes();
        let mut begin = [0; RECOGNISED_BYTES];
        let length = usize::try_from(found).map_or(begin.len(), |found| found.min(begin.len()));
        let begin = &mut begin[..length];
        file.read_at(0, begin).map_err(ParseError::Read)?;
        let header = Header::of(begin)?;
        let text_offset = header.text_offset.get();
        let image_bytes = header.image_size.get();
        if image_bytes == 0 {
            return Err(ImageError::NoSize.into());
        }
        if header.flags.get() & FLAG_BIG_ENDIAN != 0 {
            return Err(ImageError::BigEndian.into());
        }
        if text_offset >= BLOCK_BYTES || !text_offset.is_multiple_of(PAGE_BYTES) {
            return Err(ImageError::TextOffset(text_offset).into());
        }
        let memory_bytes = image_bytes.max(found);
        if memory_bytes > MAX_IMAGE_BYTES {
            return Err(ImageError::TooLarge(memory_bytes).into());
        }
        let pe_offset = header.pe_offset.get();
        if pe_offset != 0 && begin.starts_with(b"MZ") {
            let expected = efi_bytes(file, pe_offset)?;
            if expected > found {
                return Err(ImageError::Truncated { expected, found }.into());
            }
        }
        Ok(Self {
            text_offset,
            memory_bytes,
        })
    }
}

/// How long an EFI program has to be, by its sections.
fn efi_bytes<F: File>(file: &F, pe_offset: u32) -> Result<u64, ParseError<F::Error>> {
    let found = file.bytes();
    let read = |offset: u64, room: &mut [u8]| {
        let expected = offset + room.len() as u64;
        if expected > found {
            return Err(ImageError::Truncated { expected, found }.into());
        }
        file.read_at(offset, room).map_err(ParseError::Read)
    };
    let mut header = PeHeader::new_zeroed();
    let offset = u64::from(pe_offset);
    read(offset, header.as_mut_bytes())?;
    if header.magic != PE_MAGIC || header.machine.get() != PE_MACHINE_ARM64 {
        return Err(ImageError::NotAKernel.into());
    }
    let mut sections = vec![PeSection::new_zeroed(); header.sections.get().into()];
    let offset =
        offset + size_of::<PeHeader>() as u64 + u64::from(header.optional_header_bytes.get());
    read(offset, sections.as_mut_bytes())?;
    let table_end = offset + size_of_val(sections.as_slice()) as u64;
    let ends = sections
        .iter()
        .map(|section| u64::from(section.raw_offset.get()) + u64::from(section.raw_size.get()));
    Ok(ends.max().unwrap_or(table_end))
}

/// What a file is that is not an arm64 kernel, as far as its first bytes tell.
fn something_else(file: &[u8]) -> ImageError {
    const X86_MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
    if file
        .get(X86_MAGIC.0..)
        .is_some_and(|rest| rest.starts_with(X86_MAGIC.1))
    {
        return ImageError::X86;
    }
    if file.get(4..8) == Some(b"zimg") {
        return ImageError::CompressedEfi;
    }
    for (magic, name) in [
        (&b"\x1f\x8b"[..], "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"\x02\x21\x4c\x18", "lz4"),
    ] {
        if file.starts_with(magic) {
            return ImageError::Compressed(name);
        }
    }
    if file.starts_with(b"\x7fELF") {
        return ImageError::Elf;
    }
    ImageError::NotAKernel
}

#[cfg(test)]
mod tests;
