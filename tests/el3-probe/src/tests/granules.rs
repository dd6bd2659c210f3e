//! Granules between the worlds.

use rmm_abi::el3::{ServiceCode, fid};

use crate::memory::{ManifestPage, own_address, read, write};
use crate::report::{Outcome, Problem, expect_equal, fail};
use crate::smc::code;

const GRANULE: u64 = 0x1000;

/// Addresses to aim at.
pub(crate) struct Places {
    /// A granule of the normal world, with neighbours that are too.
    normal: u64,
    first: u64,
    end: u64,
    console: u64,
    shared: u64,
}

impl Places {
    pub(crate) fn new(page: &ManifestPage) -> Self {
        let end = page.banks().last().map_or(0, |bank| bank.base + bank.size);
        Self {
            // The top of memory is the normal world's.
            normal: end.saturating_sub(16 * GRANULE),
            first: page.banks().next().map_or(0, |bank| bank.base),
            end,
            console: page.console().map_or(0, |console| console.base),
            shared: page.address(),
        }
    }

    /// A granule of the normal world.
    pub(crate) fn normal(&self) -> u64 {
        self.normal
    }
}

pub(crate) fn delegate(address: u64) -> ServiceCode {
    code(fid::GTSI_DELEGATE, &[address])
}

pub(crate) fn undelegate(address: u64) -> ServiceCode {
    code(fid::GTSI_UNDELEGATE, &[address])
}

fn expect_fault(address: u64, what: &str) -> Outcome {
    match read(address) {
        Err(exception) if exception.is_granule_protection_fault() => Ok(()),
        other => fail!(
            "reading {what} at {address:#x}: expected a granule protection fault, saw {other:x?}"
        ),
    }
}

pub(crate) fn there_and_back(places: &Places) -> Outcome {
    let address = places.normal;
    expect_fault(address, "a granule of the normal world")?;
    expect_equal!(delegate(address), ServiceCode::Ok, "delegate");
    for offset in [0, 8, GRANULE - 8] {
        let pattern = 0x5a5a_0000_0000_0000 | offset;
        expect_equal!(
            write(address + offset, pattern),
            Ok(()),
            "write at {offset:#x}"
        );
        expect_equal!(read(address + offset), Ok(pattern), "read at {offset:#x}");
    }
    for offset in [0, 8, GRANULE - 8] {
        expect_equal!(write(address + offset, 0), Ok(()), "clearing");
    }
    expect_equal!(undelegate(address), ServiceCode::Ok, "undelegate");
    expect_fault(address, "a granule that went back")?;
    match write(address, 1) {
        Err(exception) if exception.is_granule_protection_fault() => Ok(()),
        other => fail!("writing a granule that went back: {other:x?}"),
    }
}

pub(crate) fn neighbours(places: &Places) -> Outcome {
    let address = places.normal;
    expect_equal!(delegate(address), ServiceCode::Ok, "delegate");
    expect_fault(address - GRANULE, "the granule below")?;
    expect_fault(address + GRANULE, "the granule above")?;
    expect_equal!(undelegate(address), ServiceCode::Ok, "undelegate");
    Ok(())
}

pub(crate) fn twice(places: &Places) -> Outcome {
    let address = places.normal;
    expect_equal!(
        undelegate(address),
        ServiceCode::BadPas,
        "undelegate of a normal granule"
    );
    expect_equal!(delegate(address), ServiceCode::Ok, "delegate");
    expect_equal!(delegate(address), ServiceCode::BadPas, "second delegate");
    expect_equal!(undelegate(address), ServiceCode::Ok, "undelegate");
    expect_equal!(
        undelegate(address),
        ServiceCode::BadPas,
        "second undelegate"
    );
    Ok(())
}

pub(crate) fn unaligned(places: &Places) -> Outcome {
    // Of two errors the alignment comes first: the same offsets in this program's own memory.
    for base in [places.normal, own_address() & !0xfff] {
        for offset in [1, 8, 0x7ff, 0x800, 0xfff] {
            expect_equal!(
                delegate(base + offset),
                ServiceCode::BadAddress,
                "delegate {offset:#x}"
            );
            expect_equal!(
                undelegate(base + offset),
                ServiceCode::BadAddress,
                "undelegate {offset:#x}"
            );
        }
    }
    expect_fault(places.normal, "the granule")
}

pub(crate) fn out_of_range(places: &Places) -> Outcome {
    let beyond = places.end.next_multiple_of(1 << 30);
    for address in [beyond, 1 << 47, 1 << 52, 1 << 62, 1 << 63, !0xfff] {
        expect_equal!(
            delegate(address),
            ServiceCode::BadAddress,
            "delegate {address:#x}"
        );
        expect_equal!(
            undelegate(address),
            ServiceCode::BadAddress,
            "undelegate {address:#x}"
        );
        // Bits above an address do not make it another granule.
        if address >= 1 << 52 {
            let high = address | places.normal;
            expect_equal!(
                delegate(high),
                ServiceCode::BadAddress,
                "delegate {high:#x}"
            );
        }
    }
    expect_fault(places.normal, "the granule")
}

pub(crate) fn devices(places: &Places) -> Outcome {
    expect_equal!(
        delegate(places.console),
        ServiceCode::BadAddress,
        "delegate"
    );
    expect_equal!(
        undelegate(places.console),
        ServiceCode::BadAddress,
        "undelegate"
    );
    Ok(())
}

pub(crate) fn other_worlds(places: &Places) -> Outcome {
    const SEARCH: u64 = 2048;
    // Firmware keeps memory near the RMM's: a granule that is neither the normal world's, which
    // could be delegated, nor ours, which could be read.
    let mut found = 0;
    for distance in 1..SEARCH {
        let address = (own_address() & !0xfff).wrapping_sub(distance * GRANULE);
        if address < places.first {
            break;
        }
        match delegate(address) {
            ServiceCode::Ok => {
                expect_equal!(
                    undelegate(address),
                    ServiceCode::Ok,
                    "undelegate {address:#x}"
                );
            }
            ServiceCode::BadPas if read(address).is_err() => {
                found += 1;
                expect_fault(address, "a granule of Root or Secure")?;
                expect_equal!(
                    undelegate(address),
                    ServiceCode::BadPas,
                    "undelegate {address:#x}"
                );
            }
            ServiceCode::BadPas => {}
            other => fail!("delegate {address:#x}: {other:?}"),
        }
    }
    if found == 0 {
        return Err(Problem::Skipped(
            "no memory of Root or Secure near the RMM's",
        ));
    }
    Ok(())
}

pub(crate) fn own_memory(places: &Places) -> Outcome {
    for address in [own_address(), places.shared] {
        expect_equal!(
            delegate(address),
            ServiceCode::BadPas,
            "delegate {address:#x}"
        );
        if read(address).is_err() {
            fail!("{address:#x} is gone");
        }
    }
    Ok(())
}

pub(crate) fn first_and_last(places: &Places) -> Outcome {
    let last = places.end - GRANULE;
    expect_equal!(
        delegate(last),
        ServiceCode::Ok,
        "delegate of the last granule"
    );
    expect_equal!(read(last).is_ok(), true, "read of the last granule");
    expect_equal!(
        undelegate(last),
        ServiceCode::Ok,
        "undelegate of the last granule"
    );
    // The first may be firmware's, but it is memory.
    match delegate(places.first) {
        ServiceCode::Ok => {
            expect_equal!(
                undelegate(places.first),
                ServiceCode::Ok,
                "undelegate of the first granule"
            );
        }
        ServiceCode::BadPas => {}
        other => fail!("delegate of the first granule: {other:?}"),
    }
    Ok(())
}
