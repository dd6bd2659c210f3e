//! What a Realm extensible measurement holds after each extension.

use rmm_abi::rmi::HashAlgorithm;
use rmm_abi::rsi::MEASUREMENT_SIZE;
use sha2::{Digest as _, Sha256, Sha512};

/// A measurement register as the specification defines it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measurement {
    algorithm: HashAlgorithm,
    value: [u8; MEASUREMENT_SIZE],
}

impl Measurement {
    /// A register that holds `value`.
    pub const fn new(algorithm: HashAlgorithm, value: [u8; MEASUREMENT_SIZE]) -> Self {
        Self { algorithm, value }
    }

    /// Extends it by up to 64 bytes: the hash of the whole old value and the new one, filled up
    /// with zeros to 64 bytes. Bytes beyond 64 are not looked at.
    pub fn extend(&mut self, bytes: &[u8]) {
        let mut padded = [0; MEASUREMENT_SIZE];
        for (to, from) in padded.iter_mut().zip(bytes) {
            *to = *from;
        }
        let old = self.value;
        self.value = [0; MEASUREMENT_SIZE];
        match self.algorithm {
            HashAlgorithm::Sha256 => {
                let hash = Sha256::new().chain_update(old).chain_update(padded);
                self.value[..32].copy_from_slice(&hash.finalize());
            }
            HashAlgorithm::Sha512 => {
                let hash = Sha512::new().chain_update(old).chain_update(padded);
                self.value.copy_from_slice(&hash.finalize());
            }
        }
    }

    /// What `RSI_MEASUREMENT_READ` returns for it.
    pub const fn value(&self) -> &[u8; MEASUREMENT_SIZE] {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_extension_of_nothing_is_the_hash_of_128_zeros() {
        let mut sha256 = Measurement::new(HashAlgorithm::Sha256, [0; 64]);
        sha256.extend(&[]);
        assert_eq!(sha256.value()[..32], Sha256::digest([0; 128])[..]);
        assert_eq!(sha256.value()[32..], [0; 32]);
        let mut sha512 = Measurement::new(HashAlgorithm::Sha512, [0; 64]);
        sha512.extend(&[]);
        assert_eq!(sha512.value()[..], Sha512::digest([0; 128])[..]);
        // Known from outside: SHA-256 of 128 zero bytes.
        assert_eq!(sha256.value()[..4], [0x38, 0x72, 0x3a, 0x2e],);
    }

    #[test]
    fn old_and_new_value_take_64_bytes_each() {
        let mut measurement = Measurement::new(HashAlgorithm::Sha256, [0x11; 64]);
        measurement.extend(&[1, 2, 3]);
        let mut input = [0; 128];
        input[..64].fill(0x11);
        input[64..67].copy_from_slice(&[1, 2, 3]);
        assert_eq!(measurement.value()[..32], Sha256::digest(input)[..]);
    }
}
