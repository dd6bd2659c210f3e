//! `RSI_MEASUREMENT_READ` and `RSI_MEASUREMENT_EXTEND` (DEN0137 section B5.3).

use core::sync::atomic::AtomicU64;

use rmm_abi::rsi::{MEASUREMENT_REGISTERS, MEASUREMENT_SIZE, ReturnCode};

use super::refuse;
use crate::Machine;
use crate::error::Fatal;
use crate::granule::Rd;
use crate::measurement::MEASUREMENT_WORDS;
use crate::session::{Next, Session};

/// Reads the RIM, register 0, or a REM.
pub(super) fn read<M: Machine>(session: &Session<'_, M>, register: u64) -> Result<Next, Fatal> {
    let Some(register) = existing(register) else {
        return Ok(refuse(session, ReturnCode::ErrorInput));
    };
    let value = {
        let _locked = session.context.lock_known::<Rd>(session.owner)?;
        session.realm.measurement(register)
    };
    for (number, word) in value.words().into_iter().enumerate() {
        session.rec.set_general(1 + number, word);
    }
    session.rec.set_general(0, ReturnCode::Success.word());
    session.advance();
    Ok(None)
}

/// Extends a REM by the first `size` bytes of X3 to X10.
pub(super) fn extend<M: Machine>(
    session: &Session<'_, M>,
    register: u64,
    size: u64,
) -> Result<Next, Fatal> {
    let (Some(register @ 1..), 0..=64) = (existing(register), size) else {
        return Ok(refuse(session, ReturnCode::ErrorInput));
    };
    const { assert!(MEASUREMENT_SIZE == 64) };
    let value: [u64; MEASUREMENT_WORDS] = core::array::from_fn(|word| {
        let word_start = word as u64 * 8;
        let bytes = size.saturating_sub(word_start).min(8);
        session.rec.general(3 + word) & low_bytes(bytes)
    });
    let _locked = session.context.lock_known::<Rd>(session.owner)?;
    let old = session.realm.measurement(register).words();
    // The old value in full, what is added, zeroes (reference, section 9.6, definition A).
    let words: [AtomicU64; 2 * MEASUREMENT_WORDS] = core::array::from_fn(|word| {
        AtomicU64::new(match word.checked_sub(MEASUREMENT_WORDS) {
            None => old[word],
            Some(word) => value[word],
        })
    });
    let new = crate::measurement::Measurement::of(
        session.machine(),
        session.rec.hash_algorithm(),
        &words,
    );
    session.realm.set_measurement(register, &new);
    Ok(session.reply([ReturnCode::Success.word(), 0, 0, 0]))
}

fn existing(register: u64) -> Option<usize> {
    usize::try_from(register)
        .ok()
        .filter(|register| *register < MEASUREMENT_REGISTERS)
}

/// A mask of the first 0 to 8 bytes of a word.
const fn low_bytes(bytes: u64) -> u64 {
    if bytes == 0 {
        0
    } else {
        u64::MAX >> (64 - 8 * bytes)
    }
}
