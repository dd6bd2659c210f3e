//! A shared page, put together field by field.

use rmm_abi::GRANULE_SIZE;
use rmm_abi::manifest::{Console, DramBank, List, Manifest};
use rmm_core::boot::{BootError, BootManifest};
use rmm_core::granule::GranuleAddress;
use zerocopy::IntoBytes;

pub(crate) const PAGE_ADDRESS: u64 = 0x418f_f000;
pub(crate) const BANKS_AT: usize = 256;
pub(crate) const CONSOLES_AT: usize = 2048;
pub(crate) const UART: Console = Console {
    base: 0x900_0000,
    map_pages: 1,
    name: *b"pl011\0\0\0",
    clock_hz: 1,
    baud_rate: 115_200,
    flags: 0,
};

pub(crate) fn address(address: u64) -> GranuleAddress {
    GranuleAddress::new(address).unwrap()
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
}

pub(crate) fn list(count: usize, offset: usize, words: impl Iterator<Item = u64>) -> List {
    let mut list = List {
        count: count as u64,
        address: PAGE_ADDRESS + offset as u64,
        checksum: 0,
    };
    list.checksum = words
        .fold(list.count.wrapping_add(list.address), u64::wrapping_add)
        .wrapping_neg();
    list
}

/// A shared page with a manifest, put together field by field.
pub(crate) struct Page {
    pub(crate) manifest: Manifest,
    pub(crate) content: [u8; GRANULE_SIZE],
}

impl Page {
    pub(crate) fn new(banks: &[DramBank], consoles: &[Console]) -> Self {
        let mut page = Self {
            manifest: Manifest::default(),
            content: [0; GRANULE_SIZE],
        };
        page.manifest.version = 5;
        page.set_banks(banks);
        page.put(CONSOLES_AT, consoles.as_bytes());
        page.manifest.consoles = list(consoles.len(), CONSOLES_AT, words(consoles.as_bytes()));
        page
    }

    pub(crate) fn good() -> Self {
        Self::new(
            &[
                bank(0x4000_0000, 0xc000_0000),
                bank(0x8_8000_0000, 0x8000_0000),
            ],
            &[UART],
        )
    }

    pub(crate) fn set_banks(&mut self, banks: &[DramBank]) {
        self.put(BANKS_AT, banks.as_bytes());
        self.manifest.dram = list(banks.len(), BANKS_AT, words(banks.as_bytes()));
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.content[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn bytes(&self) -> [u8; GRANULE_SIZE] {
        let mut bytes = self.content;
        bytes[..size_of::<Manifest>()].copy_from_slice(self.manifest.as_bytes());
        bytes
    }

    pub(crate) fn read(&self) -> Result<BootManifest, BootError> {
        BootManifest::read(&self.bytes(), address(PAGE_ADDRESS), 48)
    }

    pub(crate) fn error(&self) -> BootError {
        self.read().expect_err("the manifest must be refused")
    }
}

pub(crate) const fn bank(base: u64, size: u64) -> DramBank {
    DramBank { base, size }
}
