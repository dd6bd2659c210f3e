//! Vector registers. Compiled code does not use them, so what is put there stays.

#![allow(unsafe_code)]

use core::arch::global_asm;

use realm_payload::pattern::{
    FIRST_FAULT, Kind, PREDICATE_WORDS, VECTOR_WORDS, first_fault_byte, pattern, predicate_index,
    vector_index,
};

use crate::calls::{Mismatch, expect};
use crate::rec::ScalableRegisters;

global_asm!(include_str!("asm/simd.S"));

unsafe extern "C" {
    fn load_vectors(values: &[u64; 64]);
    fn store_vectors(values: &mut [u64; 64]);
    fn load_scalable(vectors: *const u64, predicates: *const u64);
    fn store_scalable(vectors: *mut u64, predicates: *mut u64);
    fn vector_bytes() -> usize;
    fn use_longest_vectors();
}

/// Lets the CPU use the longest vectors that it has. It has SVE.
pub(crate) fn use_longest() {
    // SAFETY: compiled code uses no vectors.
    unsafe { use_longest_vectors() };
}

/// Fills V0 to V31.
pub(crate) fn fill_fpsimd(seed: u16) {
    let values = core::array::from_fn(|index| pattern(seed, Kind::Fpsimd, index));
    // SAFETY: compiled code uses no vectors.
    unsafe { load_vectors(&values) };
}

/// Checks V0 to V31.
pub(crate) fn check_fpsimd(seed: u16) -> Result<(), Mismatch> {
    let mut values = [0; 64];
    // SAFETY: the routine writes the array and nothing else.
    unsafe { store_vectors(&mut values) };
    for (index, found) in values.into_iter().enumerate() {
        expect(index, pattern(seed, Kind::Fpsimd, index), found)?;
    }
    Ok(())
}

/// Bytes of a vector, at the length that is in use. The CPU has SVE.
fn length() -> usize {
    // SAFETY: asks for the length only. No CPU has more than the buffers hold.
    unsafe { vector_bytes() }.min(8 * VECTOR_WORDS)
}

/// The byte of the predicates' pattern at a place in memory, with `bytes` of a predicate.
fn predicate_byte(seed: u16, bytes: usize, place: usize) -> u8 {
    let (number, byte) = (place / bytes, place % bytes);
    if number == FIRST_FAULT {
        return first_fault_byte(seed, 8 * bytes, byte);
    }
    pattern(seed, Kind::Sve, predicate_index(number, byte / 8)).to_le_bytes()[byte % 8]
}

/// A word of all predicates in memory, the last one filled up with zeros.
fn predicate_word(seed: u16, bytes: usize, word: usize) -> u64 {
    u64::from_le_bytes(core::array::from_fn(|byte| {
        let place = 8 * word + byte;
        if place < (FIRST_FAULT + 1) * bytes {
            predicate_byte(seed, bytes, place)
        } else {
            0
        }
    }))
}

/// The word of a vector's pattern at a place in memory, with `words` of a vector.
fn vector_word(seed: u16, words: usize, place: usize) -> u64 {
    pattern(seed, Kind::Sve, vector_index(place / words, place % words))
}

/// Fills Z0 to Z31, P0 to P15 and FFR at the length that is in use. Bytes of a vector.
pub(crate) fn fill_scalable(buffer: &mut ScalableRegisters, seed: u16) -> usize {
    let length = length();
    let words = length / 8;
    for (place, word) in buffer.vectors.iter_mut().enumerate().take(32 * words) {
        *word = vector_word(seed, words, place);
    }
    for (place, word) in buffer.predicates.iter_mut().enumerate() {
        *word = predicate_word(seed, length / 8, place);
    }
    // SAFETY: the buffers are large enough for any length; compiled code uses no vectors.
    unsafe { load_scalable(buffer.vectors.as_ptr(), buffer.predicates.as_ptr()) };
    length
}

/// Checks them. Bytes of a vector.
pub(crate) fn check_scalable(buffer: &mut ScalableRegisters, seed: u16) -> Result<usize, Mismatch> {
    let length = length();
    let words = length / 8;
    buffer.predicates = [0; 17 * PREDICATE_WORDS];
    // SAFETY: as above; the routine writes no more than the buffers.
    unsafe { store_scalable(buffer.vectors.as_mut_ptr(), buffer.predicates.as_mut_ptr()) };
    for (place, found) in buffer.vectors.into_iter().enumerate().take(32 * words) {
        let index = vector_index(place / words, place % words);
        expect(index, vector_word(seed, words, place), found)?;
    }
    for (place, found) in buffer.predicates.into_iter().enumerate() {
        let index = predicate_index(0, 0) + place;
        expect(index, predicate_word(seed, length / 8, place), found)?;
    }
    Ok(length)
}
