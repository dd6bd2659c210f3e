//! What EL3 may hand over, every combination of it: machines that no emulator has.

use rmm_abi::manifest::{Console, DramBank, List};
use rmm_abi::{GRANULE_SIZE, Version};
use rmm_core::boot::{
    BootError, BootManifest, ColdBootRegisters, HIGHEST_INTERFACE, LOWEST_INTERFACE, MAX_CPUS,
    MAX_GRANULES, MemoryPlan,
};

use super::page::{CONSOLES_AT, PAGE_ADDRESS, Page, UART, address, bank, list};

const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

const OTHER: Console = Console {
    name: *b"uart16\0\0",
    base: 0x904_0000,
    ..UART
};

/// Memory with holes of all sizes; the last bank ends at the 1 TiB line.
const BANKS: [&[DramBank]; 6] = [
    &[bank(0x4000_0000, GIB)],
    &[bank(0x4000_0000, GIB), bank(0x8000_1000, 0x1000)],
    &[bank(0x1000, 0x1000), bank(TIB - GIB, GIB)],
    &[
        bank(0x4000_0000, 0x8000_0000),
        bank(0x8_8000_0000, 16 * GIB),
        bank(TIB - 0x1000, 0x1000),
    ],
    &[
        bank(0x4000_0000, 0x4000_0000),
        // Touches the one before it.
        bank(0x8000_0000, 0x2000),
        bank(64 * GIB, 128 * GIB),
        bank(TIB - 3 * GIB, 3 * GIB),
    ],
    &[bank(TIB, TIB)],
];

/// Console lists, and how many of the consoles the RMM can use.
const CONSOLES: [(&[Console], usize); 5] = [
    (&[], 0),
    (&[UART], 1),
    (&[OTHER], 0),
    (&[OTHER, UART], 1),
    (&[UART; 6], 4),
];

const CPUS: [u64; 7] = [1, 2, 4, 8, 64, 511, 512];

/// Minor versions of manifests: all that are known, and some that are not.
const MINORS: [u16; 8] = [1, 2, 3, 4, 5, 6, 100, 0xffff];

#[test]
fn every_combination_boots() {
    let mut combinations = 0;
    for minor in MINORS {
        for banks in BANKS {
            for (consoles, usable) in CONSOLES {
                let mut page = Page::new(banks, consoles);
                page.manifest.version = minor.into();
                let manifest = page.read().unwrap();
                assert_eq!(manifest.version, Version::new(0, minor));
                let expected_banks: &[_] = if minor >= 2 { banks } else { &[] };
                let found: Vec<_> = manifest
                    .dram
                    .iter()
                    .map(|(base, size)| bank(base, size))
                    .collect();
                assert_eq!(found, expected_banks);
                let expected = if minor >= 3 { usable } else { 0 };
                assert_eq!(manifest.consoles().count(), expected);
                for cpus in CPUS {
                    check_plan(&manifest, cpus, expected_banks);
                    combinations += 1;
                }
            }
        }
    }
    assert_eq!(combinations, 8 * 6 * 5 * 7);
}

/// The memory that the RMM asks for has room for everything, each part beside the others.
fn check_plan(manifest: &BootManifest, cpus: u64, banks: &[DramBank]) {
    const TABLE_PAGES: u64 = 36;
    const STACKS: u64 = 0xe000;
    let base = 0x4048_a000;
    let registers = ColdBootRegisters {
        cpu: cpus - 1,
        interface: 8,
        cpus,
        shared_page: PAGE_ADDRESS,
    };
    let parameters = registers.check().unwrap();
    let plan = MemoryPlan::new(
        address(base),
        &parameters,
        &manifest.dram,
        TABLE_PAGES,
        STACKS,
    )
    .unwrap();
    let granules: u64 = banks.iter().map(|bank| bank.size / 0x1000).sum();
    assert_eq!(plan.stacks.base.get(), base + TABLE_PAGES * 0x1000);
    assert_eq!(
        plan.records.base.get(),
        plan.stacks.base.get() + cpus * STACKS
    );
    assert!(plan.records.size >= 2 * granules && plan.records.size < 2 * granules + 0x1000);
    let end = plan.records.base.get() + plan.records.size;
    assert_eq!(plan.statistics.base.get(), end);
    assert_eq!(plan.statistics.size, cpus * 0x1000);
    let end = end + plan.statistics.size;
    assert_eq!(plan.whole().base.get() + plan.whole().size, end);
}

#[test]
fn every_interface_and_number_of_cpus() {
    for (interface, fits) in [
        (Version::new(0, 0), false),
        (Version::new(0, 1), false),
        (LOWEST_INTERFACE, true),
        (Version::new(0, 3), true),
        (HIGHEST_INTERFACE, true),
        (Version::new(0, 9), true),
        (Version::new(0, 0xffff), true),
        (Version::new(1, 0), false),
        (Version::new(2, 0), false),
    ] {
        for cpus in 0..=u64::from(MAX_CPUS) + 1 {
            for cpu in [0, cpus.saturating_sub(1), cpus] {
                let registers = ColdBootRegisters {
                    cpu,
                    interface: interface.word(),
                    cpus,
                    shared_page: PAGE_ADDRESS,
                };
                let good = fits && (1..=u64::from(MAX_CPUS)).contains(&cpus) && cpu < cpus;
                assert_eq!(registers.check().is_ok(), good, "{registers:x?}");
            }
        }
    }
}

/// A page in which one thing is wrong, and what the line for the console has to say of it.
type Wrong = (fn(&mut Page), &'static [&'static str]);

const WRONG: [Wrong; 17] = [
    (
        |page| page.manifest.version = 0,
        &["version word 0x0", "0.1 to 0.5"],
    ),
    (
        |page| page.manifest.version = 0x1_0005,
        &["version word 0x10005", "0.1 to 0.5"],
    ),
    (
        |page| page.manifest.version = 0x8000_0005,
        &["version word 0x80000005"],
    ),
    (
        |page| page.manifest.dram.checksum ^= 1,
        &["DRAM", "checksum"],
    ),
    (
        |page| page.manifest.consoles.checksum ^= 1 << 63,
        &["console", "checksum"],
    ),
    (|page| page.manifest.dram = List::default(), &["no DRAM"]),
    (
        |page| page.manifest.dram.address = 0,
        &["DRAM list", "2 at 0x0", "shared page"],
    ),
    (
        |page| page.manifest.dram.address += GRANULE_SIZE as u64,
        &["DRAM list", "at 0x41900100", "shared page"],
    ),
    // Cut off by the end of the page.
    (
        |page| page.manifest.dram.address = PAGE_ADDRESS + 0xff0,
        &["DRAM list", "at 0x418ffff0", "shared page"],
    ),
    (
        |page| page.manifest.consoles.address = PAGE_ADDRESS + 0xff8,
        &["console list", "at 0x418ffff8", "shared page"],
    ),
    (
        |page| page.manifest.dram.count = 65,
        &["65 DRAM banks", "64"],
    ),
    (
        |page| page.manifest.dram.count = u64::MAX,
        &["18446744073709551615 DRAM banks"],
    ),
    (
        |page| page.manifest.consoles.count = 1 << 62,
        &["console list, 4611686018427387904"],
    ),
    (
        |page| page.set_banks(&[bank(0x4000_0000, GIB), bank(0x4000_0000, GIB)]),
        &["DRAM bank 1", "0x40000000 bytes at 0x40000000"],
    ),
    (
        |page| page.set_banks(&[bank(0x4000_0000, 0x1800)]),
        &["DRAM bank 0", "0x1800 bytes"],
    ),
    (
        |page| page.set_banks(&[bank(0x4000_0000, 1 << 63)]),
        &["DRAM bank 0", "0x8000000000000000 bytes"],
    ),
    (
        |page| page.set_banks(&[bank(GIB, MAX_GRANULES * 0x1000), bank(4 * TIB, 0x1000)]),
        &["268435457 granules", "268435456"],
    ),
];

#[test]
fn whatever_is_wrong_is_named() {
    for (number, (spoil, words)) in WRONG.into_iter().enumerate() {
        let mut page = Page::good();
        spoil(&mut page);
        let text = page.error().to_string();
        for word in words {
            assert!(text.contains(word), "{number}: '{text}' lacks '{word}'");
        }
    }
}

/// Everything that is wrong with the registers is named by its register.
#[test]
fn whatever_register_is_wrong_is_named() {
    let good = ColdBootRegisters {
        cpu: 0,
        interface: 8,
        cpus: 4,
        shared_page: PAGE_ADDRESS,
    };
    for (registers, words) in [
        (
            ColdBootRegisters {
                interface: 0x2_0000,
                ..good
            },
            ["interface 2.0", "0.2 to 0.8"],
        ),
        (
            ColdBootRegisters {
                interface: 1 << 31,
                ..good
            },
            ["0x80000000", "no version"],
        ),
        (ColdBootRegisters { cpus: 513, ..good }, ["513", "(x2)"]),
        (ColdBootRegisters { cpu: 4, ..good }, ["CPU 4 (x0)", "(x2)"]),
        (
            ColdBootRegisters {
                shared_page: PAGE_ADDRESS + 8,
                ..good
            },
            ["0x418ff008", "(x3)"],
        ),
    ] {
        let text = registers.check().unwrap_err().to_string();
        for word in words {
            assert!(text.contains(word), "'{text}' lacks '{word}'");
        }
    }
    let faults = BootError::SharedPageFaults {
        address: address(PAGE_ADDRESS),
    };
    assert!(faults.to_string().contains("0x418ff000 (x3)"));
}

/// The page ends anywhere: what is beyond reads as zero.
#[test]
fn a_page_that_is_cut_off() {
    let whole = Page::good().bytes();
    for kept in 0..=GRANULE_SIZE {
        let mut page = whole;
        page[kept..].fill(0);
        let result = BootManifest::read(&page, address(PAGE_ADDRESS), 48);
        let cut_nothing = page == whole;
        assert_eq!(result.is_ok(), cut_nothing, "{kept} bytes kept: {result:?}");
    }
}

#[test]
fn a_console_list_of_older_firmware_in_every_version() {
    let mut page = Page::new(&[bank(0x4000_0000, GIB)], &[UART]);
    let summed = [UART.base, UART.map_pages, UART.clock_hz, UART.baud_rate];
    page.manifest.consoles = list(1, CONSOLES_AT, summed.into_iter());
    for minor in 3..=6 {
        page.manifest.version = minor;
        assert_eq!(page.read().unwrap().consoles().count(), 1);
    }
}
