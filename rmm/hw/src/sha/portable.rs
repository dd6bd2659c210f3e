//! The compression functions without special instructions.

use core::sync::atomic::{AtomicU64, Ordering};

use sha2::block_api::{compress256, compress512};

use super::{SHA256_BLOCK, SHA512_BLOCK};

/// Runs the compression function of SHA-256 over whole blocks of eight words.
pub fn sha256(state: &mut [u32; 8], blocks: &[AtomicU64]) {
    for block in blocks.chunks_exact(SHA256_BLOCK) {
        compress256(state, &[bytes(block)]);
    }
}

/// Runs the compression function of SHA-512 over whole blocks of sixteen words.
pub fn sha512(state: &mut [u64; 8], blocks: &[AtomicU64]) {
    for block in blocks.chunks_exact(SHA512_BLOCK) {
        compress512(state, &[bytes(block)]);
    }
}

/// The bytes of some words in memory order.
fn bytes<const N: usize>(words: &[AtomicU64]) -> [u8; N] {
    let mut bytes = [0; N];
    for (bytes, word) in bytes.chunks_exact_mut(size_of::<u64>()).zip(words) {
        bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256, Sha512};

    use super::*;

    const SHA256_START: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    const SHA512_START: [u64; 8] = [
        0x6a09_e667_f3bc_c908,
        0xbb67_ae85_84ca_a73b,
        0x3c6e_f372_fe94_f82b,
        0xa54f_f53a_5f1d_36f1,
        0x510e_527f_ade6_82d1,
        0x9b05_688c_2b3e_6c1f,
        0x1f83_d9ab_fb41_bd6b,
        0x5be0_cd19_137e_2179,
    ];

    /// A message with its padding, as words in memory order. `block` in bytes; the length takes
    /// an eighth of one.
    fn padded(message: &[u8], block: usize) -> Vec<AtomicU64> {
        let mut bytes = message.to_vec();
        bytes.push(0x80);
        while bytes.len() % block != block - block / 8 {
            bytes.push(0);
        }
        bytes.resize(bytes.len() + block / 8 - 8, 0);
        bytes.extend((message.len() as u64 * 8).to_be_bytes());
        bytes
            .chunks_exact(8)
            .map(|word| AtomicU64::new(u64::from_le_bytes(word.try_into().unwrap())))
            .collect()
    }

    fn messages() -> impl Iterator<Item = Vec<u8>> {
        let pattern = |length: u32| (0..length).map(move |i| (i * 31 + length).to_le_bytes()[0]);
        (0..300).map(move |length| pattern(length).collect())
    }

    #[test]
    fn sha256_of_words_is_sha256_of_their_bytes() {
        for message in messages() {
            let mut state = SHA256_START;
            sha256(&mut state, &padded(&message, 64));
            let digest: Vec<u8> = state.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert_eq!(
                digest,
                Sha256::digest(&message).as_slice(),
                "{} bytes",
                message.len()
            );
        }
    }

    #[test]
    fn sha512_of_words_is_sha512_of_their_bytes() {
        for message in messages() {
            let mut state = SHA512_START;
            sha512(&mut state, &padded(&message, 128));
            let digest: Vec<u8> = state.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert_eq!(
                digest,
                Sha512::digest(&message).as_slice(),
                "{} bytes",
                message.len()
            );
        }
    }

    #[test]
    fn no_block_changes_nothing() {
        let mut state = SHA256_START;
        sha256(&mut state, &[]);
        assert_eq!(state, SHA256_START);
        let mut state = SHA512_START;
        sha512(&mut state, &[]);
        assert_eq!(state, SHA512_START);
    }
}
