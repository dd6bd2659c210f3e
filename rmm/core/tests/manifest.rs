//! The boot manifest: every version, every field that can be wrong, and bytes that are no
//! manifest at all.
#![allow(missing_docs)]

#[path = "manifest/matrix.rs"]
mod matrix;
#[path = "manifest/page.rs"]
mod page;

use proptest::prelude::*;
use rmm_abi::el3::BootCode;
use rmm_abi::manifest::{Console, List};
use rmm_abi::{GRANULE_SIZE, Version};
use rmm_core::boot::{
    BootError, BootManifest, BootParameters, ConsoleKind, MAX_GRANULES, MemoryPlan,
};

use page::{BANKS_AT, CONSOLES_AT, PAGE_ADDRESS, Page, UART, address, bank, list};

#[test]
fn a_manifest_of_today() {
    let manifest = Page::good().read().unwrap();
    assert_eq!(manifest.version, Version::new(0, 5));
    assert_eq!(manifest.dram.granules(), 0xc_0000 + 0x8_0000);
    assert_eq!(
        manifest.dram.iter().collect::<Vec<_>>(),
        [(0x4000_0000, 0xc000_0000), (0x8_8000_0000, 0x8000_0000)]
    );
    let consoles: Vec<_> = manifest.consoles().collect();
    assert_eq!(consoles.len(), 1);
    assert_eq!(
        (consoles[0].base.get(), consoles[0].kind),
        (0x900_0000, ConsoleKind::Pl011)
    );
}

#[test]
fn versions() {
    let mut page = Page::good();
    for (word, banks, consoles) in [
        (1, 0, 0),
        (2, 2, 0),
        (3, 2, 1),
        (4, 2, 1),
        (5, 2, 1),
        (0xffff, 2, 1),
    ] {
        page.manifest.version = word;
        let manifest = page.read().unwrap();
        assert_eq!(manifest.dram.count(), banks, "version word {word:#x}");
        assert_eq!(
            manifest.consoles().count(),
            consoles,
            "version word {word:#x}"
        );
    }
    for word in [0, 0x1_0000, 0x2_0000, 0x8000_0005] {
        page.manifest.version = word;
        assert_eq!(page.error(), BootError::ManifestVersion { word });
        assert_eq!(page.error().code(), BootCode::ManifestVersion);
    }
}

#[test]
fn fields_beyond_the_version_are_not_looked_at() {
    let mut page = Page::good();
    page.manifest.version = 2;
    page.manifest.consoles = List {
        count: u64::MAX,
        address: 1,
        checksum: 7,
    };
    assert!(page.read().is_ok());
    page.manifest.version = 1;
    page.manifest.dram = List {
        count: 3,
        address: 0,
        checksum: 7,
    };
    assert!(page.read().is_ok());
}

#[test]
fn lists_must_be_in_the_page() {
    let end = PAGE_ADDRESS + GRANULE_SIZE as u64;
    for (count, at) in [
        (1, 0),
        (1, PAGE_ADDRESS - 16),
        (1, PAGE_ADDRESS - 8),
        (1, end - 8),
        (1, end),
        (2, end - 16),
        (1, PAGE_ADDRESS + 4),
        (1, u64::MAX - 7),
    ] {
        let mut page = Page::good();
        page.manifest.dram = List {
            count,
            address: at,
            checksum: 0,
        };
        assert_eq!(
            page.error(),
            BootError::ListOutside {
                list: "DRAM",
                count,
                address: at
            }
        );
        assert_eq!(page.error().code(), BootCode::ManifestData);
    }
    for count in [86, 1 << 32, u64::MAX / 48, u64::MAX] {
        let mut page = Page::good();
        page.manifest.consoles.count = count;
        assert!(
            matches!(
                page.error(),
                BootError::ListOutside {
                    list: "console",
                    ..
                }
            ),
            "{count}"
        );
    }
}

#[test]
fn checksums_must_be_right() {
    let mut page = Page::good();
    page.manifest.dram.checksum ^= 1;
    assert_eq!(page.error(), BootError::ListChecksum { list: "DRAM" });
    let mut page = Page::good();
    page.content[BANKS_AT + 9] ^= 1;
    assert_eq!(page.error(), BootError::ListChecksum { list: "DRAM" });
    let mut page = Page::good();
    page.manifest.consoles.checksum ^= 1 << 40;
    assert_eq!(page.error(), BootError::ListChecksum { list: "console" });
    assert_eq!(page.error().code(), BootCode::ManifestData);
}

#[test]
fn the_console_checksum_of_older_firmware_leaves_out_name_and_flags() {
    let mut page = Page::good();
    let summed = [UART.base, UART.map_pages, UART.clock_hz, UART.baud_rate];
    page.manifest.consoles = list(1, CONSOLES_AT, summed.into_iter());
    assert_eq!(page.read().unwrap().consoles().count(), 1);
}

#[test]
fn dram_must_make_sense() {
    let fine = bank(0x4000_0000, 0x4000_0000);
    for (wrong, why) in [
        (bank(0, 0x1000), "at zero"),
        (bank(0x8000_0800, 0x1000), "misaligned base"),
        (bank(0x8000_0000, 0x1800), "not whole granules"),
        (bank(0x8000_0000, 0), "empty"),
        (bank(0x7fff_f000, 0x1000), "overlaps"),
        (bank(0x1000, 0x1000), "not ascending"),
        (bank(1 << 48, 0x1000), "beyond the address space"),
        (
            bank((1 << 48) - 0x1000, 0x2000),
            "end beyond the address space",
        ),
        (bank(0x8000_0000, !0xfff), "wraps"),
    ] {
        let page = Page::new(&[fine, wrong], &[]);
        let expected = BootError::DramBank {
            index: 1,
            base: wrong.base,
            size: wrong.size,
        };
        assert_eq!(page.error(), expected, "{why}");
        assert_eq!(page.error().code(), BootCode::ManifestData);
    }
    assert!(
        Page::new(&[bank((1 << 48) - 0x1000, 0x1000)], &[])
            .read()
            .is_ok(),
        "the very end"
    );
    let most = bank(0x4000_0000, MAX_GRANULES * 0x1000);
    assert!(Page::new(&[most], &[]).read().is_ok());
    let more = bank(1 << 46, 0x1000);
    let expected = BootError::TooMuchDram {
        granules: MAX_GRANULES + 1,
    };
    assert_eq!(Page::new(&[most, more], &[]).error(), expected);
    assert_eq!(Page::new(&[], &[]).error(), BootError::NoDram);
    let many: Vec<_> = (1..=65).map(|index| bank(index << 30, 0x1000)).collect();
    assert_eq!(Page::new(&many[..64], &[]).read().unwrap().dram.count(), 64);
    assert_eq!(
        Page::new(&many, &[]).error(),
        BootError::TooManyDramBanks { count: 65 }
    );
}

#[test]
fn consoles_that_cannot_be_used_are_passed_over() {
    let other = Console {
        name: *b"other\0\0\0",
        ..UART
    };
    let at_zero = Console { base: 0, ..UART };
    let misaligned = Console {
        base: 0x900_0010,
        ..UART
    };
    let unmapped = Console {
        map_pages: 0,
        ..UART
    };
    let second = Console {
        base: 0x904_0000,
        ..UART
    };
    let page = Page::new(
        &[bank(0x4000_0000, 0x1000)],
        &[other, at_zero, misaligned, unmapped, second, UART],
    );
    let bases: Vec<_> = page
        .read()
        .unwrap()
        .consoles()
        .map(|console| console.base.get())
        .collect();
    assert_eq!(bases, [0x904_0000, 0x900_0000]);
    assert_eq!(
        Page::new(&[bank(0x4000_0000, 0x1000)], &[])
            .read()
            .unwrap()
            .consoles()
            .count(),
        0
    );
}

#[test]
fn consoles_are_found_in_a_manifest_that_is_refused() {
    let guesses = |page: &Page| {
        let guesses = BootManifest::guess_consoles(&page.bytes(), address(PAGE_ADDRESS));
        guesses
            .map(|guess| (guess.console.base.get(), guess.has_checksum))
            .collect::<Vec<_>>()
    };
    let mut page = Page::good();
    page.manifest.version = 0x2_0000;
    assert_eq!(guesses(&page), [(UART.base, true)]);
    // A list that does not add up may still be right about where the console is.
    page.manifest.consoles.checksum ^= 1;
    assert_eq!(guesses(&page), [(UART.base, false)]);
    page.manifest.consoles.checksum ^= 1;
    page.content[CONSOLES_AT + 1] ^= 1;
    assert_eq!(guesses(&page), []);
    page.content[CONSOLES_AT + 1] ^= 1;
    page.manifest.consoles.address = PAGE_ADDRESS + GRANULE_SIZE as u64;
    assert_eq!(guesses(&page), []);
}

#[test]
fn memory_plan() {
    let manifest = Page::new(&[bank(0x4000_0000, 0x4000_0000 + 0x1000)], &[])
        .read()
        .unwrap();
    let parameters = BootParameters {
        cpu: 0,
        interface: Version::new(0, 8),
        cpus: 4,
        shared_page: address(PAGE_ADDRESS),
    };
    let plan = |base| MemoryPlan::new(address(base), &parameters, &manifest.dram, 5, 0x8000);
    let memory = plan(0x4020_0000).unwrap();
    assert_eq!(
        (memory.tables.base.get(), memory.tables.size),
        (0x4020_0000, 0x5000)
    );
    assert_eq!(
        (memory.stacks.base.get(), memory.stacks.size),
        (0x4020_5000, 0x2_0000)
    );
    // Two bytes for each of 0x40001 granules, rounded up to granules.
    assert_eq!(
        (memory.records.base.get(), memory.records.size),
        (0x4022_5000, 0x8_1000)
    );
    assert_eq!(
        (memory.statistics.base.get(), memory.statistics.size),
        (0x402a_6000, 0x4000)
    );
    assert_eq!(memory.whole().size, 0x5000 + 0x2_0000 + 0x8_1000 + 0x4000);
    assert_eq!(plan(!0xfff), None);
}

/// Bytes that follow from a seed (a linear congruential generator, its upper half).
fn random_page(mut seed: u64) -> [u8; GRANULE_SIZE] {
    core::array::from_fn(|_| {
        seed = seed
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (seed >> 56) as u8
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// Bytes that are no manifest are refused or read, never anything else; banks that come out
    /// are disjoint, ascending and inside the address space.
    #[test]
    fn any_page_is_answered(
        seed in any::<u64>(),
        keep_header in any::<bool>(),
        flips in proptest::collection::vec((0_usize..512, any::<u8>()), 0..4),
    ) {
        let mut page = random_page(seed);
        if keep_header {
            let good = Page::good();
            page = good.bytes();
            for (at, value) in flips {
                page[at] = value;
            }
        }
        if let Ok(manifest) = BootManifest::read(&page, address(PAGE_ADDRESS), 40) {
            let mut last = 1;
            for (base, size) in manifest.dram.iter() {
                prop_assert!(base >= last && size >= 0x1000);
                last = base + size;
            }
            prop_assert!(last <= 1 << 40);
        }
    }
}
