//! The boot manifest, at the start of the page that monitor and RMM share.

use alloc::vec;
use alloc::vec::Vec;
use core::mem::size_of;

use rmm_abi::manifest::{self, Console, DramBank, List, Manifest, RootComplexList};
use rmm_abi::{GRANULE_SIZE, Version};
use zerocopy::IntoBytes;

use crate::Region;
use crate::hand_over::HandOver;

/// The revision that is written.
pub const VERSION: Version = manifest::VERSION;

/// What a manifest says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contents {
    /// Version word.
    pub version: u32,
    /// The machine's DRAM.
    pub banks: Vec<DramBank>,
    /// Consoles for the RMM.
    pub consoles: Vec<Console>,
}

impl Contents {
    /// The truth about a machine with these banks and a PL011.
    pub fn of(banks: &[Region], console: u64) -> Self {
        let banks = banks.iter().map(|bank| DramBank {
            base: bank.start,
            size: bank.size(),
        });
        Self {
            version: u32::from(VERSION.major()) << 16 | u32::from(VERSION.minor()),
            banks: banks.collect(),
            consoles: vec![Self::console(*b"pl011\0\0\0", console)],
        }
    }

    /// A console of this kind with these registers.
    pub const fn console(name: [u8; 8], base: u64) -> Console {
        Console {
            base,
            map_pages: 1,
            name,
            // QEMU's UART has no line; these are what its device tree and other firmware say.
            clock_hz: 24_000_000,
            baud_rate: 115_200,
            flags: 0,
        }
    }
}

/// A page with a manifest, for the page at this address. `None` when it is too small for so much.
pub fn build(address: u64, truth: &Contents, hand_over: &HandOver) -> Option<Vec<u8>> {
    let mut contents = truth.clone();
    hand_over.change(&mut contents);
    let banks = contents.banks.as_slice();
    let consoles = contents.consoles.as_slice();
    let mut dram = List {
        count: banks.len() as u64,
        address: address + size_of::<Manifest>() as u64,
        checksum: 0,
    };
    let mut console_list = List {
        count: consoles.len() as u64,
        address: dram.address + banks.as_bytes().len() as u64,
        checksum: 0,
    };
    hand_over.change_dram(&mut dram, |list| checksum(list, words(banks.as_bytes())));
    hand_over.change_consoles(&mut console_list, |list| {
        if hand_over.has_old_console_checksum() {
            let summed = consoles.iter().flat_map(|console| {
                [
                    console.base,
                    console.map_pages,
                    console.clock_hz,
                    console.baud_rate,
                ]
            });
            checksum(list, summed)
        } else {
            checksum(list, words(consoles.as_bytes()))
        }
    });
    let manifest = Manifest {
        version: contents.version,
        reserved: 0,
        platform_data: 0,
        dram,
        consoles: console_list,
        non_coherent_devices: List::default(),
        coherent_devices: List::default(),
        smmus: List::default(),
        root_complexes: RootComplexList::default(),
    };
    let mut page = Vec::with_capacity(GRANULE_SIZE);
    page.extend_from_slice(manifest.as_bytes());
    page.extend_from_slice(banks.as_bytes());
    page.extend_from_slice(consoles.as_bytes());
    if page.len() > GRANULE_SIZE {
        return None;
    }
    page.resize(GRANULE_SIZE, 0);
    hand_over.cut(&mut page);
    Some(page)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|word| u64::from_le_bytes(*word))
}

/// What makes count, address and these words add up to zero.
fn checksum(list: &List, words: impl Iterator<Item = u64>) -> u64 {
    words
        .fold(list.count.wrapping_add(list.address), u64::wrapping_add)
        .wrapping_neg()
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
        let contents = Contents::of(&banks, 0x0900_0000);
        let page = build(0x41ff_f000, &contents, &HandOver::default()).unwrap();
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
        let build = |banks: &[Region]| build(0, &Contents::of(banks, 0), &HandOver::default());
        assert!(build(&[bank; crate::machine::MAX_BANKS]).is_some());
        assert!(build(&[bank; 300]).is_none());
    }

    #[test]
    fn a_console_list_of_older_firmware_leaves_out_name_and_flags() {
        let bank = Region::new(0x4000_0000, 0x1000).unwrap();
        let contents = Contents::of(&[bank], 0x0900_0000);
        let old = HandOver::parse("console-checksum=old").unwrap();
        let page = build(0x41ff_f000, &contents, &old).unwrap();
        let summed = [0, 8, 24, 32].map(|offset| word(&page, 0xb8 + offset));
        let sum = summed.into_iter().fold(0, u64::wrapping_add);
        let header = [40, 48, 56].map(|offset| word(&page, offset));
        assert_eq!(header.into_iter().fold(sum, u64::wrapping_add), 0);
    }
}
