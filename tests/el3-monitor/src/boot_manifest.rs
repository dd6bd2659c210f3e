//! The boot manifest, at the start of the page that monitor and RMM share.

use alloc::vec::Vec;
use core::mem::size_of;

use rmm_abi::manifest::{self, Console, DramBank, List, Manifest, RootComplexList};
use rmm_abi::{GRANULE_SIZE, Version};
use zerocopy::{Immutable, IntoBytes};

use crate::Region;

/// The revision that is written.
pub const VERSION: Version = manifest::VERSION;

/// A page with the manifest for these banks and a PL011, for the page at this address. `None`
/// when the page is too small for so many banks.
pub fn build(address: u64, banks: &[Region], console: u64) -> Option<Vec<u8>> {
    let banks: Vec<DramBank> = banks
        .iter()
        .map(|bank| DramBank {
            base: bank.start,
            size: bank.size(),
        })
        .collect();
    let console = Console {
        base: console,
        map_pages: 1,
        name: *b"pl011\0\0\0",
        // QEMU's UART has no line; these are what its device tree and other firmware say.
        clock_hz: 24_000_000,
        baud_rate: 115_200,
        flags: 0,
    };
    let dram_address = address + size_of::<Manifest>() as u64;
    let console_address = dram_address + banks.as_bytes().len() as u64;
    let manifest = Manifest {
        version: u32::try_from(VERSION.word()).ok()?,
        reserved: 0,
        platform_data: 0,
        dram: list(dram_address, banks.len(), banks.as_slice()),
        consoles: list(console_address, 1, &console),
        non_coherent_devices: List::default(),
        coherent_devices: List::default(),
        smmus: List::default(),
        root_complexes: RootComplexList::default(),
    };
    let mut page = Vec::with_capacity(GRANULE_SIZE);
    page.extend_from_slice(manifest.as_bytes());
    page.extend_from_slice(banks.as_bytes());
    page.extend_from_slice(console.as_bytes());
    if page.len() > GRANULE_SIZE {
        return None;
    }
    page.resize(GRANULE_SIZE, 0);
    Some(page)
}

fn list<T: IntoBytes + Immutable + ?Sized>(address: u64, count: usize, elements: &T) -> List {
    let words = elements.as_bytes().chunks_exact(8).map(|bytes| {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        u64::from_le_bytes(word)
    });
    let count = count as u64;
    let sum = words.fold(count.wrapping_add(address), u64::wrapping_add);
    List {
        count,
        address,
        checksum: sum.wrapping_neg(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(page: &[u8], offset: usize) -> u64 {
        u64::from_le_bytes(page[offset..offset + 8].try_into().unwrap())
    }

    #[test]
    fn the_page_is_what_the_interface_document_says() {
        let banks = [
            Region::new(0x4000_0000, 0x4000_0000).unwrap(),
            Region::new(0x10_0000_0000, 0x8000_0000).unwrap(),
        ];
        let page = build(0x41ff_f000, &banks, 0x0900_0000).unwrap();
        assert_eq!(page.len(), 4096);
        assert_eq!(word(&page, 0), 5);
        assert_eq!(word(&page, 8), 0);
        assert_eq!((word(&page, 16), word(&page, 24)), (2, 0x41ff_f0a8));
        assert_eq!((word(&page, 40), word(&page, 48)), (1, 0x41ff_f0c8));
        // Absent lists are zero, checksum included.
        assert!(page[64..168].iter().all(|byte| *byte == 0));
        assert_eq!(
            [0xa8, 0xb0, 0xb8, 0xc0].map(|offset| word(&page, offset)),
            [0x4000_0000, 0x4000_0000, 0x10_0000_0000, 0x8000_0000]
        );
        assert_eq!(word(&page, 0xc8), 0x0900_0000);
        assert_eq!(word(&page, 0xd0), 1);
        assert_eq!(&page[0xd8..0xe0], b"pl011\0\0\0");
        // Count, address, elements and checksum add up to zero.
        for (start, from, to) in [(16, 0xa8, 0xc8), (40, 0xc8, 0xf8)] {
            let elements = (from..to).step_by(8).map(|offset| word(&page, offset));
            let sum = elements.fold(0, u64::wrapping_add);
            let header = (0..3).map(|place| word(&page, start + 8 * place));
            assert_eq!(header.fold(sum, u64::wrapping_add), 0);
        }
    }

    #[test]
    fn more_banks_than_fit_are_refused() {
        let bank = Region::new(0x1000, 0x1000).unwrap();
        assert!(build(0, &[bank; crate::machine::MAX_BANKS], 0).is_some());
        assert!(build(0, &[bank; 300], 0).is_none());
    }
}
