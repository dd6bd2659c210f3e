//! Memory for the RMM at boot.

use rmm_abi::el3::{ServiceCode, fid};

use crate::memory::{own_address, read, write};
use crate::report::{Outcome, Problem, expect_equal, fail};
use crate::smc::{Results, call, code};

const GRANULE: u64 = 0x1000;
const NEAR: u64 = 1;

fn aligned_to(bits: u64) -> u64 {
    bits << 56
}

fn reserve(size: u64, how: u64) -> Results {
    call(fid::RESERVE_MEMORY, [size, how, 0, 0])
}

pub(crate) fn invalid() -> Outcome {
    for (size, how) in [
        (0, 0),
        (GRANULE, 2),
        (GRANULE, 1 << 55),
        (GRANULE, aligned_to(64)),
    ] {
        let seen = code(fid::RESERVE_MEMORY, &[size, how]);
        expect_equal!(seen, ServiceCode::Invalid, "{size:#x} bytes, {how:#x}");
    }
    Ok(())
}

pub(crate) fn distinct_and_usable() -> Outcome {
    // Twice the same alignment, so that one of them would miss it if nobody saw to it.
    let cases = [
        (GRANULE, 0),
        (2 * GRANULE, aligned_to(14)),
        (GRANULE, aligned_to(12) | NEAR),
        (GRANULE, aligned_to(14)),
    ];
    let mut bases = [0; 4];
    for (number, (size, how)) in (0..).zip(cases) {
        let results = reserve(size, how);
        let Some(start) = results.value() else {
            fail!("{size:#x} bytes, {how:#x}: {results:x?}");
        };
        let alignment = (1 << (how >> 56)).max(GRANULE);
        expect_equal!(start % alignment, 0, "alignment of {start:#x}");
        for place in [start, start + size - 8] {
            expect_equal!(write(place, pattern(number)), Ok(()), "write at {place:#x}");
        }
        bases[number] = start;
    }
    for (number, (size, _)) in (0..).zip(cases) {
        for place in [bases[number], bases[number] + size - 8] {
            let seen = read(place);
            expect_equal!(seen, Ok(pattern(number)), "what was written at {place:#x}");
        }
    }
    expect_equal!(read(own_address()).is_ok(), true, "this program");
    Ok(())
}

fn pattern(number: usize) -> u64 {
    0x7e57_0000_0000_0000 | number as u64
}

pub(crate) fn until_exhausted() -> Outcome {
    const MOST: usize = 1 << 18;
    expect_equal!(
        code(fid::RESERVE_MEMORY, &[1 << 50, 0]),
        ServiceCode::NoMemory,
        "a petabyte"
    );
    let mut last = 0;
    for number in 0..MOST {
        let results = reserve(GRANULE, 0);
        match (results.code(), results.value()) {
            (ServiceCode::Ok, Some(base)) => {
                if base == last {
                    fail!("{base:#x} was given twice");
                }
                last = base;
            }
            (ServiceCode::NoMemory, _) if number > 0 => {
                let seen = reserve(GRANULE, aligned_to(12)).code();
                expect_equal!(seen, ServiceCode::NoMemory, "once more");
                return Ok(());
            }
            _ => fail!("granule {number}: {results:x?}"),
        }
    }
    Err(Problem::Skipped("more than a GiB can be reserved"))
}
