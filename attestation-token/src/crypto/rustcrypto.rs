//! The portable back-end: ECDSA in Rust, also without an operating system.

mod signing;

pub use signing::SigningKey;

use p256::ecdsa::signature::Verifier as _;

use super::{Crypto, SignatureError};
use crate::algorithm::{Curve, HashAlgorithm};
use crate::claims::HashValue;
use crate::key::{KeyError, PublicKey};

/// Cryptography in portable Rust.
#[derive(Clone, Copy, Default, Debug)]
pub struct RustCrypto;

/// A key that is ready to verify.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum VerifyingKey {
    /// On P-256.
    P256(p256::ecdsa::VerifyingKey),
    /// On P-384.
    P384(p384::ecdsa::VerifyingKey),
    /// On P-521.
    P521(p521::ecdsa::VerifyingKey),
}

impl Crypto for RustCrypto {
    type VerifyingKey = VerifyingKey;

    fn verifying_key(&self, key: &PublicKey) -> Result<VerifyingKey, KeyError> {
        let point = key.sec1();
        match key.curve() {
            Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(VerifyingKey::P256)
                .map_err(|_| KeyError::NotOnCurve),
            Curve::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(VerifyingKey::P384)
                .map_err(|_| KeyError::NotOnCurve),
            Curve::P521 => p521::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(VerifyingKey::P521)
                .map_err(|_| KeyError::NotOnCurve),
        }
    }

    fn verify(
        &self,
        key: &VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        match key {
            VerifyingKey::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .and_then(|signature| key.verify(message, &signature)),
            VerifyingKey::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .and_then(|signature| key.verify(message, &signature)),
            VerifyingKey::P521(key) => p521::ecdsa::Signature::from_slice(signature)
                .and_then(|signature| key.verify(message, &signature)),
        }
        .map_err(|_| SignatureError)
    }

    fn hash(&self, algorithm: HashAlgorithm, message: &[u8]) -> HashValue {
        super::hash(algorithm, message)
    }
}
