//! What keeps a CPU or the kernel busy.

use std::hint::black_box;

/// Steps of arithmetic that are counted as one.
const THOUSAND: u64 = 1000;
const PAGE_BYTES: usize = 4096;

/// Arithmetic, each step of which needs the result of the one before.
pub(crate) fn cpu(thousands: u64) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..thousands {
        for _ in 0..THOUSAND {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state = state.wrapping_mul(0x2545_F491_4F6C_DD1D);
        }
        state = black_box(state);
    }
}

/// Passes over memory: each writes all of it, word by word, and reads it page by page in an order that no
/// prefetcher follows.
pub(crate) fn memory(bytes: usize, passes: u64) {
    let words = bytes / size_of::<u64>();
    let mut memory = vec![0_u64; words];
    let pages = bytes / PAGE_BYTES;
    let words_of_page = PAGE_BYTES / size_of::<u64>();
    for pass in 0..passes {
        for word in &mut memory {
            *word = word.wrapping_add(pass);
        }
        let mut sum = 0_u64;
        let mut page = 0;
        // Odd, so that all pages are reached where their number is a power of two.
        let stride = (pages / 3) | 1;
        for _ in 0..pages {
            let first = page * words_of_page;
            let read = memory[first..first + words_of_page].iter();
            sum = read.fold(sum, |sum, word| sum.wrapping_add(*word));
            page = (page + stride) % pages;
        }
        black_box(sum);
    }
}

/// Memory that the kernel has to give page by page, and gets back.
pub(crate) fn faults(bytes: usize, rounds: u64) {
    for _ in 0..rounds {
        // Fresh from the kernel, because it is so much.
        let mut memory = vec![0_u8; bytes];
        for page in memory.chunks_mut(PAGE_BYTES) {
            page[0] = 1;
        }
        black_box(&memory);
    }
}
