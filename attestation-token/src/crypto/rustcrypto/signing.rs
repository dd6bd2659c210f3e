//! Signing in portable code: for development keys, tests and attestation results. An RMM signs
//! with its own arithmetic, which can be interrupted.

use alloc::vec::Vec;
use core::fmt;

use p256::ecdsa::signature::{self, RandomizedSigner as _, Signer as _};
use p256::elliptic_curve::Generate as _;
use p256::elliptic_curve::rand_core::TryCryptoRng;

use crate::algorithm::{Algorithm, Curve};
use crate::key::{KeyError, PublicKey};

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey(Key);

#[derive(Clone)]
enum Key {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, secret)", self.curve())
    }
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// Those of the random generator.
    pub fn generate<R: TryCryptoRng>(curve: Curve, rng: &mut R) -> Result<Self, R::Error> {
        Ok(Self(match curve {
            Curve::P256 => Key::P256(p256::ecdsa::SigningKey::try_generate_from_rng(rng)?),
            Curve::P384 => Key::P384(p384::ecdsa::SigningKey::try_generate_from_rng(rng)?),
            Curve::P521 => Key::P521(p521::ecdsa::SigningKey::try_generate_from_rng(rng)?),
        }))
    }

    /// The key with this private scalar, big-endian, as long as a coordinate.
    ///
    /// # Errors
    ///
    /// [`KeyError::Coordinate`] if it is zero, too large, or of another length.
    pub fn from_scalar(curve: Curve, scalar: &[u8]) -> Result<Self, KeyError> {
        let wrong = |_: signature::Error| KeyError::Coordinate;
        Ok(Self(match curve {
            Curve::P256 => Key::P256(p256::ecdsa::SigningKey::from_slice(scalar).map_err(wrong)?),
            Curve::P384 => Key::P384(p384::ecdsa::SigningKey::from_slice(scalar).map_err(wrong)?),
            Curve::P521 => Key::P521(p521::ecdsa::SigningKey::from_slice(scalar).map_err(wrong)?),
        }))
    }

    /// The curve.
    pub const fn curve(&self) -> Curve {
        match self.0 {
            Key::P256(_) => Curve::P256,
            Key::P384(_) => Curve::P384,
            Key::P521(_) => Curve::P521,
        }
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        let point = match &self.0 {
            Key::P256(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            Key::P384(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            Key::P521(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
        };
        PublicKey::from_uncompressed(self.curve(), point)
    }

    /// Signs with a nonce that is made from key and message alone (RFC 6979).
    pub fn sign_deterministic(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Key::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Key::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Key::P521(key) => {
                let signature: p521::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
        }
    }

    /// Signs with a nonce that is made from key, message and fresh entropy: neither a weak random
    /// generator nor a fault that hits the same message twice gives the key away.
    ///
    /// # Errors
    ///
    /// If the random generator fails.
    pub fn sign_hedged<R: TryCryptoRng>(
        &self,
        rng: &mut R,
        message: &[u8],
    ) -> Result<Vec<u8>, signature::Error> {
        Ok(match &self.0 {
            Key::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign_with_rng(rng, message)?;
                signature.to_bytes().to_vec()
            }
            Key::P384(key) => {
                let signature: p384::ecdsa::Signature = key.try_sign_with_rng(rng, message)?;
                signature.to_bytes().to_vec()
            }
            Key::P521(key) => {
                let signature: p521::ecdsa::Signature = key.try_sign_with_rng(rng, message)?;
                signature.to_bytes().to_vec()
            }
        })
    }
}

impl crate::build::Signer for SigningKey {
    type Error = core::convert::Infallible;

    fn algorithm(&self) -> Algorithm {
        self.curve().algorithm()
    }

    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, Self::Error> {
        Ok(self.sign_deterministic(message))
    }
}
