//! The platform token.

use rmm_abi::el3::{ServiceCode, fid};

use crate::memory::{ManifestPage, read, write};
use crate::report::{self, Outcome, Problem, expect_equal, fail};
use crate::smc::{Results, call, code};

const PAGE: u64 = 0x1000;
/// The largest token that these tests take.
const ROOM: usize = 0x1000;
/// What is where EL3 has nothing to write.
const GUARD: u64 = 0x6775_6172_6421_2121;

/// A token as it came.
struct Token {
    bytes: [u8; ROOM],
    size: usize,
}

impl Token {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }
}

fn get(address: u64, size: u64, challenge: u64) -> Results {
    call(
        fid::ATTEST_GET_PLATFORM_TOKEN,
        [address, size, challenge, 0],
    )
}

fn get_code(address: u64, size: u64, challenge: u64) -> ServiceCode {
    code(fid::ATTEST_GET_PLATFORM_TOKEN, &[address, size, challenge])
}

/// A word of the shared page, which nothing may keep from being read.
fn shared(address: u64) -> Result<u64, Problem> {
    match read(address) {
        Ok(word) => Ok(word),
        Err(exception) => fail!("the shared page cannot be read: {exception:x?}"),
    }
}

/// Fills `size` bytes of the shared page with a word.
fn fill(address: u64, size: u64, word: u64) -> Outcome {
    for place in (address..address + size).step_by(8) {
        expect_equal!(write(place, word), Ok(()), "write of the shared page");
    }
    Ok(())
}

/// Fetches the token over a challenge of `challenge` bytes that are all `challenge`, through a
/// buffer of `room` bytes at `offset` in the shared page, both multiples of eight.
fn fetch(page: &ManifestPage, offset: u64, room: u64, challenge: u8) -> Result<Token, Problem> {
    let buffer = page.address() + offset;
    let mut token = Token {
        bytes: [0; ROOM],
        size: 0,
    };
    let mut argument = u64::from(challenge);
    let mut expected = None;
    loop {
        fill(page.address(), PAGE, GUARD)?;
        fill(buffer, argument, u64::from_ne_bytes([challenge; 8]))?;
        let results = get(buffer, room, argument);
        if argument != 0 && results.code() == ServiceCode::Unknown {
            return Err(Problem::Skipped(
                "EL3 has no platform token on this machine",
            ));
        }
        let (Some(size), remaining) = (results.value(), results.0[2]) else {
            fail!("after {} bytes: {results:x?}", token.size);
        };
        let whole = token.size as u64 + size + remaining;
        if size == 0 || size > room || (remaining > 0 && size < room) || whole > ROOM as u64 {
            fail!("a piece of {size} bytes, {remaining} to come, in a buffer of {room}");
        }
        expect_equal!(whole, *expected.get_or_insert(whole), "size of the token");
        take(buffer, size, &mut token)?;
        for place in [buffer.wrapping_sub(8), (buffer + size).next_multiple_of(8)] {
            // The challenge is left in the buffer behind a short piece.
            let inside = buffer..buffer + argument.max(size);
            let in_page = place >= page.address() && place < page.address() + PAGE;
            if in_page && !inside.contains(&place) {
                expect_equal!(shared(place)?, GUARD, "the word at {place:#x}");
            }
        }
        if remaining == 0 {
            return Ok(token);
        }
        argument = 0;
    }
}

/// Adds what came to a token.
fn take(buffer: u64, size: u64, token: &mut Token) -> Outcome {
    for index in 0..size {
        let place = buffer + index;
        let word = shared(place & !7)?.to_le_bytes();
        let Some(byte) = token.bytes.get_mut(token.size) else {
            fail!("the token is larger than {ROOM} bytes");
        };
        *byte = word[usize::try_from(place & 7).unwrap_or_default()];
        token.size += 1;
    }
    Ok(())
}

/// In one piece, for each size of a challenge. Whoever reads the report verifies what is in them.
pub(crate) fn success(page: &ManifestPage) -> Outcome {
    for (name, challenge) in [("of-32", 32), ("of-48", 48), ("of-64", 64)] {
        let token = fetch(page, 0, PAGE, challenge)?;
        report::token(name, token.as_bytes());
    }
    Ok(())
}

/// In pieces, at the ends of the page, after other challenges: for a challenge always the same.
pub(crate) fn in_pieces(page: &ManifestPage) -> Outcome {
    let whole = fetch(page, 0, PAGE, 32)?;
    for (offset, room) in [(0, 32), (PAGE - 40, 40), (PAGE - 64, 64), (8, 256)] {
        let pieces = fetch(page, offset, room, 32)?;
        if pieces.as_bytes() != whole.as_bytes() {
            fail!("pieces of {room} bytes make another token than one piece");
        }
    }
    let other = fetch(page, 0, 64, 48)?;
    if other.as_bytes() == whole.as_bytes() {
        fail!("another challenge has the same token");
    }
    Ok(())
}

/// What can be continued.
pub(crate) fn order(page: &ManifestPage) -> Outcome {
    let shared = page.address();
    let whole = fetch(page, 0, PAGE, 32)?;
    let proceed = |room| get_code(shared, room, 0);
    expect_equal!(proceed(PAGE), ServiceCode::Invalid, "after the last piece");
    fill(shared, 32, u64::from_ne_bytes([32; 8]))?;
    let first = get(shared, 64, 32);
    expect_equal!(first.value(), Some(64), "first piece");
    // Calls that are refused change nothing.
    expect_equal!(proceed(0), ServiceCode::Invalid, "no room");
    expect_equal!(get_code(shared, 64, 33), ServiceCode::Invalid, "33 bytes");
    expect_equal!(get_code(shared, 31, 32), ServiceCode::Invalid, "no room");
    let second = get(shared, PAGE, 0);
    let rest = whole.size as u64 - 64;
    expect_equal!(second.value(), Some(rest), "the rest");
    expect_equal!(second.0[2], 0, "what remains");
    expect_equal!(proceed(PAGE), ServiceCode::Invalid, "after the last piece");
    Ok(())
}

pub(crate) fn outside(page: &ManifestPage) -> Outcome {
    let shared = page.address();
    for (address, size) in [
        (shared - 8, 64),
        (shared + PAGE - 56, 64),
        (shared, PAGE + 1),
        (shared, u64::MAX),
        (0, PAGE),
    ] {
        for challenge in [0, 32, 33] {
            let seen = get_code(address, size, challenge);
            expect_equal!(
                seen,
                ServiceCode::BadAddress,
                "{size:#x} bytes at {address:#x}"
            );
        }
    }
    Ok(())
}

pub(crate) fn invalid(page: &ManifestPage) -> Outcome {
    let shared = page.address();
    for challenge in [1, 31, 33, 65, u64::MAX] {
        let seen = get_code(shared, PAGE, challenge);
        expect_equal!(seen, ServiceCode::Invalid, "challenge of {challenge} bytes");
    }
    // A challenge of a good size gets a token, or the documented error of firmware without one.
    for challenge in [32, 48, 64] {
        let seen = get_code(shared, PAGE, challenge);
        if !matches!(
            seen,
            ServiceCode::Ok | ServiceCode::Unknown | ServiceCode::Again
        ) {
            fail!("challenge of {challenge} bytes: {seen:?}");
        }
    }
    Ok(())
}
