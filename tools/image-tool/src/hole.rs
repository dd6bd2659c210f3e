//! A hole in the data of an image: zeroes that its flat file leaves out.
//!
//! The link script marks it (`rmm/image/link.ld`): `__hole_start` and `__hole_end` are its ends, and at
//! `__tail_copy`, before it, is room for a copy of the 64 bytes behind it. The flat file has that copy and
//! ends at the hole; the program makes the zeroes and puts the bytes to their place before it does anything
//! else.

use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{ElfFile, ProgramHeader as _, Sym as _};

/// Bytes behind the hole.
const TAIL: usize = 64;

/// Why a hole cannot be left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum HoleError {
    #[error(
        "the image has one of __tail_copy, __hole_start and __hole_end and not all, or they are not in its data and in this order: check the link script"
    )]
    Place,
    #[error(
        "the byte at offset {0:#x} is not zero, and would not be in the flat file: give the static that it is of `#[link_section = \".data.first\"]`"
    )]
    NotZero(usize),
}

/// Offsets from the beginning of the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hole {
    copy: usize,
    start: usize,
    end: usize,
}

impl Hole {
    /// The hole of an image that begins at this physical address, if it has one.
    pub(crate) fn of(
        file: &ElfFile<'_, FileHeader64<Endianness>>,
        base: u64,
    ) -> Result<Option<Self>, HoleError> {
        let offset = |name: &str| {
            let address = physical(file, symbol(file, name)?)?;
            usize::try_from(address.checked_sub(base)?).ok()
        };
        let names = ["__tail_copy", "__hole_start", "__hole_end"];
        if names.iter().all(|name| symbol(file, name).is_none()) {
            return Ok(None);
        }
        match names.map(offset) {
            [Some(copy), Some(start), Some(end)] => Ok(Some(Self { copy, start, end })),
            _ => Err(HoleError::Place),
        }
    }

    /// Leaves the hole of a flat image out.
    pub(crate) fn take_out(self, flat: &mut Vec<u8>) -> Result<(), HoleError> {
        let Self { copy, start, end } = self;
        let behind = end.checked_add(TAIL).ok_or(HoleError::Place)?;
        if copy.checked_add(TAIL) != Some(start) || start > end || behind > flat.len() {
            return Err(HoleError::Place);
        }
        let unused = (copy..end).chain(behind..flat.len());
        if let Some(offset) = unused.into_iter().find(|&offset| flat[offset] != 0) {
            return Err(HoleError::NotZero(offset));
        }
        flat.copy_within(end..behind, copy);
        flat.truncate(start);
        Ok(())
    }
}

fn symbol(file: &ElfFile<'_, FileHeader64<Endianness>>, name: &str) -> Option<u64> {
    let table = file.elf_symbol_table();
    let found = table
        .symbols()
        .iter()
        .find(|symbol| table.symbol_name(file.endian(), *symbol) == Ok(name.as_bytes()));
    found.map(|symbol| symbol.st_value(file.endian()))
}

/// Where an address of the program is loaded.
fn physical(file: &ElfFile<'_, FileHeader64<Endianness>>, address: u64) -> Option<u64> {
    let endian = file.endian();
    file.elf_program_headers().iter().find_map(|segment| {
        let offset = address.checked_sub(segment.p_vaddr(endian))?;
        (offset < segment.p_filesz(endian)).then(|| segment.p_paddr(endian).checked_add(offset))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16 bytes of code, room for the copy, a hole of 128 bytes, what is behind it, and padding.
    fn image() -> (Vec<u8>, Hole) {
        let mut flat = vec![0; 16 + TAIL + 128 + TAIL + 32];
        flat[..16].fill(7);
        let behind = flat[16 + TAIL + 128..].iter_mut().take(TAIL);
        for (number, byte) in (1..).zip(behind) {
            *byte = number;
        }
        let hole = Hole {
            copy: 16,
            start: 16 + TAIL,
            end: 16 + TAIL + 128,
        };
        (flat, hole)
    }

    #[test]
    fn what_is_behind_the_hole_comes_before_it() {
        let (mut flat, hole) = image();
        assert_eq!(hole.take_out(&mut flat), Ok(()));
        let behind: Vec<u8> = (1..=64).collect();
        assert_eq!(flat, [&[7; 16][..], &behind].concat());
    }

    #[test]
    fn nothing_but_zeroes_is_left_out() {
        let (flat, hole) = image();
        for offset in 16..flat.len() {
            let is_tail = (hole.end..hole.end + TAIL).contains(&offset);
            let mut flat = flat.clone();
            flat[offset] ^= 0x80;
            let expected = if is_tail {
                Ok(())
            } else {
                Err(HoleError::NotZero(offset))
            };
            assert_eq!(hole.take_out(&mut flat), expected);
        }
    }

    #[test]
    fn a_hole_that_is_somewhere_else_is_refused() {
        let (flat, hole) = image();
        for hole in [
            Hole { copy: 8, ..hole },
            Hole {
                end: hole.start - 1,
                ..hole
            },
            Hole {
                end: flat.len() - TAIL + 1,
                ..hole
            },
            Hole {
                end: usize::MAX,
                ..hole
            },
            Hole {
                copy: usize::MAX,
                ..hole
            },
        ] {
            assert_eq!(hole.take_out(&mut flat.clone()), Err(HoleError::Place));
        }
    }
}
