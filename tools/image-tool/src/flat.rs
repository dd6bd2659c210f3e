//! ELF to flat binary: what a loader that knows no ELF puts at the load address.

use std::path::Path;

use object::elf::{self, FileHeader64};
use object::read::elf::{ElfFile, FileHeader as _, ProgramHeader as _};
use object::{Endianness, elf::ProgramHeader64};

use crate::atomic::{self, FileError};
use crate::hole::{Hole, HoleError};

/// More unused space than this between two segments is a link script gone wrong, not an image.
const LARGEST_GAP: u64 = 64 << 20;
/// A flat file larger than this is refused: every machine here loads it into memory at once.
const LARGEST_IMAGE: u64 = 256 << 20;

/// Why an ELF file has no flat form.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("not a little-endian 64-bit ELF file for aarch64: {0}")]
    NotElf(&'static str),
    #[error("the ELF file is damaged: {0}")]
    Damaged(object::Error),
    #[error("the ELF file has nothing to load (no PT_LOAD segment with bytes in the file)")]
    Empty,
    #[error("segment at {address:#x} with {size:#x} bytes does not fit the address space")]
    OutOfRange { address: u64, size: u64 },
    #[error(
        "segment at {address:#x} is both writable and executable: give code and data segments of their own in the link script"
    )]
    WritableCode { address: u64 },
    #[error("segments overlap: one ends at {end:#x}, the next starts at {start:#x}")]
    Overlap { end: u64, start: u64 },
    #[error(
        "gap of {} MiB between segments ({end:#x} to {start:#x}), the limit is {} MiB: check the link script",
        (start - end) >> 20, LARGEST_GAP >> 20
    )]
    Gap { end: u64, start: u64 },
    #[error(
        "it has no symbols, which say what the flat file has to be like: give the file before it was stripped"
    )]
    Stripped,
    #[error(transparent)]
    Hole(#[from] HoleError),
    #[error("the image would be {} MiB, the limit is {} MiB", size >> 20, LARGEST_IMAGE >> 20)]
    TooLarge { size: u64 },
}

/// A failed conversion of one file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConvertError {
    #[error("{path}: {source}")]
    Image { path: String, source: ImageError },
    #[error(transparent)]
    File(#[from] FileError),
}

/// One piece of the image: where it is loaded, and what it has in the file.
struct Piece<'data> {
    address: u64,
    bytes: &'data [u8],
}

/// Reads an ELF file and writes its flat form. Returns the number of bytes written.
pub(crate) fn convert(elf: &Path, out: &Path) -> Result<usize, ConvertError> {
    let content = atomic::read(elf)?;
    let flat = with_symbols(&content).and_then(|()| flatten(&content));
    let flat = flat.map_err(|source| ConvertError::Image {
        path: elf.display().to_string(),
        source,
    })?;
    atomic::write(out, &flat)?;
    Ok(flat.len())
}

/// Whether the file has symbols: without them a hole would not be seen, and would go into the flat file.
fn with_symbols(content: &[u8]) -> Result<(), ImageError> {
    segments(content)?;
    let file = ElfFile::<FileHeader64<Endianness>>::parse(content).map_err(ImageError::Damaged)?;
    if file.elf_symbol_table().is_empty() {
        return Err(ImageError::Stripped);
    }
    Ok(())
}

/// The bytes from the lowest to the highest loaded physical address. Memory that only exists at
/// run time (`.bss`, a hole in the data) is not part of it; space between segments is zero.
pub(crate) fn flatten(content: &[u8]) -> Result<Vec<u8>, ImageError> {
    let pieces = pieces(content)?;
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
        return Err(ImageError::Empty);
    };
    let base = first.address;
    let size = last.address - base + last.bytes.len() as u64;
    if size > LARGEST_IMAGE {
        return Err(ImageError::TooLarge { size });
    }
    let mut flat = Vec::new();
    for piece in &pieces {
        // Pieces are sorted, do not overlap, and `size` bounds every offset.
        let offset =
            usize::try_from(piece.address - base).map_err(|_| ImageError::TooLarge { size })?;
        flat.resize(offset, 0);
        flat.extend_from_slice(piece.bytes);
    }
    let file = ElfFile::parse(content).map_err(ImageError::Damaged)?;
    if let Some(hole) = Hole::of(&file, base)? {
        hole.take_out(&mut flat)?;
    }
    Ok(flat)
}

/// The loadable pieces of the file by rising physical address, checked against each other.
fn pieces(content: &[u8]) -> Result<Vec<Piece<'_>>, ImageError> {
    let (segments, endian) = segments(content)?;
    let mut pieces = Vec::new();
    for segment in segments {
        if segment.p_type(endian) != elf::PT_LOAD {
            continue;
        }
        let address = segment.p_paddr(endian);
        let flags = segment.p_flags(endian);
        if flags.contains(elf::PF_W) && flags.contains(elf::PF_X) {
            return Err(ImageError::WritableCode { address });
        }
        if segment.p_filesz(endian) == 0 {
            continue;
        }
        let size = segment.p_filesz(endian);
        if address.checked_add(size).is_none() {
            return Err(ImageError::OutOfRange { address, size });
        }
        let bytes = segment.data(endian, content).map_err(|()| {
            ImageError::NotElf("a segment points outside the file (is it cut off?)")
        })?;
        pieces.push(Piece { address, bytes });
    }
    pieces.sort_by_key(|piece| piece.address);
    for pair in pieces.windows(2) {
        let end = pair[0].address + pair[0].bytes.len() as u64;
        let start = pair[1].address;
        if end > start {
            return Err(ImageError::Overlap { end, start });
        }
        if start - end > LARGEST_GAP {
            return Err(ImageError::Gap { end, start });
        }
    }
    Ok(pieces)
}

fn segments(content: &[u8]) -> Result<(&[ProgramHeader64<Endianness>], Endianness), ImageError> {
    if !content.starts_with(&elf::ELFMAG) {
        return Err(ImageError::NotElf("it does not start with the ELF magic"));
    }
    let header = FileHeader64::<Endianness>::parse(content)
        .map_err(|_| ImageError::NotElf("the ELF header is not a 64-bit one"))?;
    let endian = header.endian().map_err(ImageError::Damaged)?;
    if endian != Endianness::Little {
        return Err(ImageError::NotElf("it is big-endian"));
    }
    if header.e_machine(endian) != elf::EM_AARCH64 {
        return Err(ImageError::NotElf("it is for another machine"));
    }
    let segments = header
        .program_headers(endian, content)
        .map_err(ImageError::Damaged)?;
    Ok((segments, endian))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE_EXECUTE: u32 = 3;
    const READ_EXECUTE: u32 = 5;
    const READ_WRITE: u32 = 6;
    const READ_WRITE_EXECUTE: u32 = 7;

    struct Segment {
        kind: u32,
        flags: u32,
        physical: u64,
        file: &'static [u8],
        memory: u64,
    }

    fn load(physical: u64, file: &'static [u8]) -> Segment {
        Segment {
            kind: elf::PT_LOAD.0,
            flags: READ_EXECUTE,
            physical,
            file,
            memory: file.len() as u64,
        }
    }

    /// A minimal ELF file, written out by the layout of the ELF-64 format.
    fn elf_file(machine: u16, segments: &[Segment]) -> Vec<u8> {
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend(2_u16.to_le_bytes());
        file.extend(machine.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        for word in [0_u64, 64, 0] {
            file.extend(word.to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        let count = u16::try_from(segments.len()).unwrap();
        for half in [64_u16, 56, count, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        assert_eq!(file.len(), 64);
        let mut offset = 64 + 56 * segments.len() as u64;
        for segment in segments {
            file.extend(segment.kind.to_le_bytes());
            file.extend(segment.flags.to_le_bytes());
            // The virtual address is another one on purpose: only the physical address counts.
            for word in [
                offset,
                0xffff_0000_0000_0000,
                segment.physical,
                segment.file.len() as u64,
                segment.memory,
                1,
            ] {
                file.extend(word.to_le_bytes());
            }
            offset += segment.file.len() as u64;
        }
        for segment in segments {
            file.extend(segment.file);
        }
        file
    }

    const AARCH64: u16 = 183;

    #[test]
    fn segments_land_at_their_physical_addresses() {
        let bss = Segment {
            kind: elf::PT_LOAD.0,
            flags: READ_WRITE,
            physical: 0x9000,
            file: b"",
            memory: 0x10_0000,
        };
        let note = Segment {
            kind: 4,
            flags: READ_WRITE_EXECUTE,
            physical: 0,
            file: b"note",
            memory: 4,
        };
        let file = elf_file(
            AARCH64,
            &[bss, load(0x1008, b"data"), note, load(0x1000, b"code")],
        );
        assert_eq!(flatten(&file).unwrap(), b"code\0\0\0\0data");
    }

    #[test]
    fn touching_segments_are_fine_and_overlapping_ones_are_not() {
        let touching = elf_file(AARCH64, &[load(0, b"1234"), load(4, b"5")]);
        assert_eq!(flatten(&touching).unwrap(), b"12345");
        let overlapping = elf_file(AARCH64, &[load(0, b"1234"), load(3, b"5")]);
        assert!(matches!(
            flatten(&overlapping),
            Err(ImageError::Overlap { end: 4, start: 3 })
        ));
    }

    #[test]
    fn what_can_be_written_must_not_be_executable() {
        for (file, memory) in [(b"code".as_slice(), 4), (b"", 0x1000)] {
            let flattened = |flags| {
                let segment = Segment {
                    kind: elf::PT_LOAD.0,
                    flags,
                    physical: 0x4000,
                    file,
                    memory,
                };
                flatten(&elf_file(AARCH64, &[load(0, b"a"), segment]))
            };
            for flags in [READ_WRITE_EXECUTE, WRITE_EXECUTE] {
                assert!(matches!(
                    flattened(flags),
                    Err(ImageError::WritableCode { address: 0x4000 })
                ));
            }
            for flags in [READ_WRITE, READ_EXECUTE] {
                assert!(flattened(flags).is_ok());
            }
        }
    }

    #[test]
    fn absurd_gaps_and_addresses_are_refused() {
        let gap = elf_file(AARCH64, &[load(0, b"a"), load(LARGEST_GAP + 2, b"b")]);
        assert!(matches!(flatten(&gap), Err(ImageError::Gap { .. })));
        let largest = elf_file(AARCH64, &[load(0, b"a"), load(LARGEST_GAP + 1, b"b")]);
        assert_eq!(flatten(&largest).unwrap().len() as u64, LARGEST_GAP + 2);
        let wrapping = elf_file(AARCH64, &[load(u64::MAX, b"ab")]);
        assert!(matches!(
            flatten(&wrapping),
            Err(ImageError::OutOfRange { .. })
        ));
    }

    #[test]
    fn the_sum_of_allowed_gaps_is_bounded_too() {
        let many: Vec<_> = (0..6_u64).map(|n| load(n * LARGEST_GAP, b"x")).collect();
        assert!(matches!(
            flatten(&elf_file(AARCH64, &many)),
            Err(ImageError::TooLarge { .. })
        ));
    }

    #[test]
    fn what_is_no_elf_for_this_machine_is_refused() {
        assert!(matches!(flatten(b"#!/bin/sh"), Err(ImageError::NotElf(_))));
        assert!(matches!(flatten(b""), Err(ImageError::NotElf(_))));
        let x86 = elf_file(62, &[load(0, b"a")]);
        assert!(matches!(flatten(&x86), Err(ImageError::NotElf(_))));
        assert!(matches!(
            flatten(&elf_file(AARCH64, &[])),
            Err(ImageError::Empty)
        ));
    }

    #[test]
    fn no_cut_of_a_file_panics_or_passes() {
        let file = elf_file(AARCH64, &[load(0x1000, b"code"), load(0x2000, b"data")]);
        for length in 0..file.len() {
            assert!(flatten(&file[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_refused_file_leaves_no_output() {
        let folder = tempfile::tempdir().unwrap();
        let (elf, out) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::write(&elf, b"nonsense").unwrap();
        let message = convert(&elf, &out).unwrap_err().to_string();
        assert!(message.contains("in: not a little-endian"), "{message}");
        std::fs::write(&elf, elf_file(AARCH64, &[load(0x1000, b"code")])).unwrap();
        let message = convert(&elf, &out).unwrap_err().to_string();
        assert!(message.contains("in: it has no symbols"), "{message}");
        assert!(!out.exists());
    }
}
