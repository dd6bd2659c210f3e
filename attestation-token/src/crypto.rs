//! Cryptography that tokens need, behind a trait.

use core::fmt;

use crate::algorithm::HashAlgorithm;
use crate::claims::HashValue;
use crate::key::{KeyError, PublicKey};

#[cfg(feature = "fast")]
mod fast;
#[cfg(feature = "rustcrypto")]
mod rustcrypto;
#[cfg(feature = "fast")]
pub use fast::{AwsLc, AwsLcKey};
#[cfg(feature = "rustcrypto")]
pub use rustcrypto::{RustCrypto, SigningKey, VerifyingKey};

/// A signature that is not one of this key over this message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignatureError;

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature is not one of this key over this content")
    }
}

impl core::error::Error for SignatureError {}

/// What verifying a token takes.
pub trait Crypto {
    /// A public key that is ready to be used many times.
    type VerifyingKey: fmt::Debug;

    /// Prepares a key.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotOnCurve`] if the point is not on its curve, or is its neutral element.
    fn verifying_key(&self, key: &PublicKey) -> Result<Self::VerifyingKey, KeyError>;

    /// Verifies the signature (R and S, each as long as a coordinate) with the algorithm that
    /// belongs to the key's curve.
    ///
    /// # Errors
    ///
    /// If it is not a signature of this key over `message`.
    fn verify(
        &self,
        key: &Self::VerifyingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError>;

    /// The hash of `message`.
    fn hash(&self, algorithm: HashAlgorithm, message: &[u8]) -> HashValue;
}

/// The hash of `message`, in portable code.
pub fn hash(algorithm: HashAlgorithm, message: &[u8]) -> HashValue {
    use sha2::{Digest, Sha256, Sha384, Sha512};
    match algorithm {
        HashAlgorithm::Sha256 => HashValue::from(<[u8; 32]>::from(Sha256::digest(message))),
        HashAlgorithm::Sha384 => HashValue::from(<[u8; 48]>::from(Sha384::digest(message))),
        HashAlgorithm::Sha512 => HashValue::from(<[u8; 64]>::from(Sha512::digest(message))),
    }
}
