use std::convert::Infallible;

use super::*;
use crate::test_kernel::{PE_OFFSET, SECTIONS, TestKernel};

impl File for &[u8] {
    type Error = Infallible;

    fn bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, room: &mut [u8]) -> Result<(), Infallible> {
        let from = usize::try_from(offset).unwrap();
        room.copy_from_slice(&self[from..from + room.len()]);
        Ok(())
    }
}

fn parse(file: &[u8]) -> Result<Image, ImageError> {
    Image::parse(&file).map_err(|error| match error {
        ParseError::Image(error) => error,
    })
}

fn kernel() -> Vec<u8> {
    TestKernel::default().build()
}

/// The default kernel with other bytes somewhere.
fn with(at: usize, bytes: &[u8]) -> Result<Image, ImageError> {
    let mut file = kernel();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    parse(&file)
}

#[test]
fn a_kernel_is_taken_apart() {
    let image = parse(&kernel()).unwrap();
    assert_eq!(
        image,
        Image {
            text_offset: 0,
            memory_bytes: 0x5000
        }
    );
    let offset = TestKernel {
        text_offset: 0x8_0000,
        ..TestKernel::default()
    };
    assert_eq!(parse(&offset.build()).unwrap().text_offset, 0x8_0000);
}

#[test]
fn a_file_that_is_longer_than_its_memory_gets_as_much_as_it_has() {
    // As with a signature behind it.
    let mut file = kernel();
    file.resize(0x6001, 0);
    assert_eq!(parse(&file).unwrap().memory_bytes, 0x6001);
}

#[test]
fn a_kernel_that_is_no_efi_program_is_one_all_the_same() {
    let expected = parse(&kernel());
    assert_eq!(with(0x3c, &[0; 4]), expected);
    assert_eq!(with(0, b"\0\0"), expected);
}

#[test]
fn every_truncation_is_seen() {
    let file = kernel();
    for length in 0..file.len() {
        let error = parse(&file[..length]).unwrap_err();
        if length < HEADER_BYTES {
            assert_eq!(error, ImageError::NotAKernel, "{length}");
        } else {
            let ImageError::Truncated { expected, found } = error else {
                panic!("{length}: {error}");
            };
            assert!(
                expected <= file.len() as u64 && expected > found,
                "{length}"
            );
            assert_eq!(found, length as u64);
        }
    }
}

#[test]
fn headers_that_cannot_be() {
    assert_eq!(with(0x10, &[0; 8]), Err(ImageError::NoSize));
    assert_eq!(with(0x18, &[0xb]), Err(ImageError::BigEndian));
    for offset in [1, 0x800, 0x20_0000, u64::MAX] {
        let error = ImageError::TextOffset(offset);
        assert_eq!(with(0x08, &offset.to_le_bytes()), Err(error));
    }
    for size in [MAX_IMAGE_BYTES + 1, u64::MAX] {
        let error = ImageError::TooLarge(size);
        assert_eq!(with(0x10, &size.to_le_bytes()), Err(error));
    }
    assert!(with(0x10, &MAX_IMAGE_BYTES.to_le_bytes()).is_ok());
    assert_eq!(with(0x38, b"ARM\0"), Err(ImageError::NotAKernel));
    assert_eq!(with(PE_OFFSET, b"EP"), Err(ImageError::NotAKernel));
    // An EFI program for x86-64.
    assert_eq!(
        with(PE_OFFSET + 4, &[0x64, 0x86]),
        Err(ImageError::NotAKernel)
    );
}

#[test]
fn an_efi_header_with_any_numbers_is_no_trap() {
    let truncated = |result| matches!(result, Err(ImageError::Truncated { .. }));
    assert!(truncated(with(0x3c, &u32::MAX.to_le_bytes())));
    assert!(truncated(with(0x3c, &0x2340_u32.to_le_bytes())));
    assert!(truncated(with(PE_OFFSET + 6, &u16::MAX.to_le_bytes())));
    assert!(truncated(with(PE_OFFSET + 20, &u16::MAX.to_le_bytes())));
    assert!(truncated(with(SECTIONS + 16, &u32::MAX.to_le_bytes())));
    assert!(truncated(with(SECTIONS + 20, &u32::MAX.to_le_bytes())));
    // No sections: nothing is said of a length.
    assert!(with(PE_OFFSET + 6, &[0, 0]).is_ok());
}

#[test]
fn no_byte_of_the_headers_can_do_harm() {
    let file = kernel();
    for at in 0..SECTIONS + 40 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut file = file.clone();
            file[at] = value;
            if let Ok(image) = parse(&file) {
                assert!(image.memory_bytes <= MAX_IMAGE_BYTES);
                assert!(image.memory_bytes >= file.len() as u64);
                assert!(image.text_offset < BLOCK_BYTES);
            }
        }
    }
}

#[test]
fn other_files_are_recognised() {
    let padded = |magic: &[u8]| {
        let mut file = magic.to_vec();
        file.resize(0x400, 0);
        file
    };
    for (magic, expected) in [
        (&b"\x1f\x8b\x08"[..], ImageError::Compressed("gzip")),
        (b"\x28\xb5\x2f\xfd", ImageError::Compressed("zstd")),
        (b"\xfd7zXZ\0", ImageError::Compressed("xz")),
        (b"MZ\0\0zimg", ImageError::CompressedEfi),
        (b"\x7fELF", ImageError::Elf),
        (b"", ImageError::NotAKernel),
        (b"#!/bin/sh", ImageError::NotAKernel),
    ] {
        assert_eq!(parse(&padded(magic)), Err(expected), "{magic:?}");
        assert_eq!(parse(magic), Err(expected), "{magic:?}");
    }
    let mut x86 = padded(b"MZ");
    x86[0x202..0x206].copy_from_slice(b"HdrS");
    assert_eq!(parse(&x86), Err(ImageError::X86));
}
