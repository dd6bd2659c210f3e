//! The boot manifest.

use core::mem::size_of;

use rmm_abi::Version;
use rmm_abi::manifest::{Console, DramBank, List, RootComplexList};

use crate::memory::{ManifestPage, own_address, read};
use crate::report::{Outcome, expect_equal, fail};

pub(crate) fn version(page: &ManifestPage) -> Outcome {
    let version = Version::from_word(u64::from(page.manifest().version));
    let Some(version) = version else {
        fail!("{:#x} is not a version", page.manifest().version);
    };
    expect_equal!(version.major(), 0, "major version");
    if version.minor() < 5 {
        fail!("version {version} is below 0.5");
    }
    Ok(())
}

pub(crate) fn memory(page: &ManifestPage) -> Outcome {
    let list = page.manifest().dram;
    page.check_sum(&list, size_of::<DramBank>())?;
    if list.count == 0 {
        fail!("no bank");
    }
    let mut end = 0;
    let mut found = [
        (own_address(), "this program", false),
        (page.address(), "the shared page", false),
    ];
    for bank in page.banks() {
        let bank_end = bank.base.checked_add(bank.size).unwrap_or_default();
        if bank.base == 0 || bank_end <= bank.base || (bank.base | bank.size) & 0xfff != 0 {
            fail!("bank at {:#x} of {:#x} bytes", bank.base, bank.size);
        }
        if bank.base < end {
            fail!(
                "bank at {:#x} is below the end of the one before",
                bank.base
            );
        }
        end = bank_end;
        for (address, _, inside) in &mut found {
            *inside |= bank.base <= *address && *address < bank_end;
        }
    }
    for (address, what, inside) in found {
        if !inside {
            fail!("{what} at {address:#x} is in no bank");
        }
    }
    Ok(())
}

pub(crate) fn console(page: &ManifestPage) -> Outcome {
    const PERIPHERAL_ID_0: u64 = 0xfe0;
    let list = page.manifest().consoles;
    page.check_sum(&list, size_of::<Console>())?;
    let Some(console) = page.console() else {
        fail!("no console");
    };
    expect_equal!(&console.name, b"pl011\0\0\0", "name");
    if console.base & 0xfff != 0 || console.map_pages == 0 || console.clock_hz == 0 {
        fail!(
            "console at {:#x}, {} pages",
            console.base,
            console.map_pages
        );
    }
    expect_equal!(console.flags, 0, "flags");
    // A PL011 says so itself.
    let id = read(console.base + PERIPHERAL_ID_0).map(|word| word & 0xff);
    expect_equal!(id, Ok(0x11), "peripheral ID");
    Ok(())
}

pub(crate) fn absent_lists(page: &ManifestPage) -> Outcome {
    let manifest = page.manifest();
    for (what, list) in [
        ("non-coherent devices", manifest.non_coherent_devices),
        ("coherent devices", manifest.coherent_devices),
        ("SMMUs", manifest.smmus),
    ] {
        if list.count == 0 {
            expect_equal!(list, List::default(), "{what}");
        } else {
            page.check_sum(&list, size_of::<DramBank>())?;
        }
    }
    if manifest.root_complexes.count == 0 {
        let empty = RootComplexList {
            version: manifest.root_complexes.version,
            ..RootComplexList::default()
        };
        expect_equal!(manifest.root_complexes, empty, "root complexes");
    }
    Ok(())
}
