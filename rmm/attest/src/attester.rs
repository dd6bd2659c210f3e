//! Key and platform token, and making tokens of them.

use alloc::vec::Vec;
use core::fmt;

use attestation_token::build::{BuildError, Unsigned};
use attestation_token::claims::{RealmKey, RealmProfile};
use attestation_token::{Algorithm, HashAlgorithm, HashValue, PublicKey, RealmClaims, Wrapper};
use p384::NistP384;
use p384::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha256, Sha384};

use crate::entropy::Entropy;

/// Bytes of a private key: a scalar of P-384.
pub const KEY_SIZE: usize = 48;
/// Bytes of the hash that binds a platform token to the key.
pub const BINDING_SIZE: usize = 32;
/// Most bytes that a token may have; the RSI's upper bound.
pub const LARGEST_TOKEN: usize = 4096;
/// What a token has beside the platform token, at most: a realm token with SHA-512, heads of the
/// collection.
const LARGEST_REALM_PART: usize = 800;
/// Most bytes of a platform token.
pub const LARGEST_PLATFORM_TOKEN: usize = LARGEST_TOKEN - LARGEST_REALM_PART;

/// Measurement registers of a Realm: the RIM and four REMs.
pub const MEASUREMENTS: usize = 5;

/// What a token is to say of its Realm.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the Realm wants to find in the token.
    pub challenge: [u8; 64],
    /// What the host gave the Realm when it was made.
    pub personalization: [u8; 64],
    /// What the measurements are made with.
    pub algorithm: HashAlgorithm,
    /// RIM and REMs; of each as many bytes count as the algorithm's values have.
    pub measurements: [[u8; 64]; MEASUREMENTS],
}

/// Why bytes are no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyError {
    /// Zero, or not below the order of the curve.
    OutOfRange,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => f.write_str("it is no scalar of P-384"),
        }
    }
}

impl core::error::Error for KeyError {}

/// Why there is no token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenError {
    /// There is no platform token.
    NoPlatformToken,
    /// It would be larger than the place for it.
    TooLarge,
    /// A measurement has a length that none has.
    Measurement,
    /// The claims do not make a token.
    Build(BuildError),
}

impl From<BuildError> for TokenError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlatformToken => f.write_str("there is no platform token"),
            Self::TooLarge => f.write_str("the token is too large"),
            Self::Measurement => f.write_str("no measurement has this length"),
            Self::Build(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TokenError {}

/// The realm attestation key, and the platform token that vouches for it.
pub struct Attester {
    key: SigningKey,
    public_key: RealmKey,
    platform_token: Vec<u8>,
}

impl fmt::Debug for Attester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attester")
            .field("public_key", &self.public_key)
            .finish_non_exhaustive()
    }
}

impl Attester {
    /// Takes a private key: a scalar, most significant byte first. There are no tokens until there
    /// is a platform token.
    ///
    /// What this leaves on the stack is as secret as the key.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the bytes are no key.
    pub fn new(scalar: &[u8; KEY_SIZE]) -> Result<Self, KeyError> {
        let key = SigningKey::from_slice(scalar).map_err(|_| KeyError::OutOfRange)?;
        let point = key.verifying_key().to_sec1_point(false);
        let public_key =
            PublicKey::from_sec1(point.as_bytes()).map_err(|_| KeyError::OutOfRange)?;
        Ok(Self {
            key,
            public_key: RealmKey::new(public_key),
            platform_token: Vec::new(),
        })
    }

    /// What the platform token has to have as its challenge: the SHA-256 of the public key as it stands
    /// in the realm token (reference, section 10.4).
    pub fn binding(&self) -> [u8; BINDING_SIZE] {
        Sha256::digest(self.public_key.encoded()).into()
    }

    /// Takes the platform token for this key.
    ///
    /// # Errors
    ///
    /// [`TokenError::TooLarge`] when it is larger than [`LARGEST_PLATFORM_TOKEN`],
    /// [`TokenError::NoPlatformToken`] when it is empty.
    pub fn set_platform_token(&mut self, token: &[u8]) -> Result<(), TokenError> {
        if token.is_empty() {
            return Err(TokenError::NoPlatformToken);
        }
        if token.len() > LARGEST_PLATFORM_TOKEN {
            return Err(TokenError::TooLarge);
        }
        self.platform_token = token.to_vec();
        Ok(())
    }

    /// Makes a token, with entropy for the nonce of its signature; how many bytes of `into` it takes.
    ///
    /// What this leaves on stack and heap is as secret as the key.
    ///
    /// # Errors
    ///
    /// [`TokenError`] when there is none.
    pub fn token(
        &self,
        request: &Request,
        entropy: &Entropy,
        into: &mut [u8; LARGEST_TOKEN],
    ) -> Result<usize, TokenError> {
        if self.platform_token.is_empty() {
            return Err(TokenError::NoPlatformToken);
        }
        let realm_token = {
            let unsigned = Unsigned::realm(&self.claims(request)?, Algorithm::Es384)?;
            let digest = Sha384::digest(unsigned.to_be_signed());
            unsigned.signed(&self.sign(&digest, entropy).to_bytes())?
        };
        let [platform_head, realm_head] =
            Wrapper::Cca.heads(self.platform_token.len(), realm_token.len());
        let mut size = 0;
        for part in [
            &platform_head,
            &self.platform_token,
            &realm_head,
            &realm_token,
        ] {
            let place = into
                .get_mut(size..)
                .and_then(|rest| rest.get_mut(..part.len()))
                .ok_or(TokenError::TooLarge)?;
            place.copy_from_slice(part);
            size += part.len();
        }
        Ok(size)
    }

    /// ECDSA with a nonce made of key, message and entropy (RFC 6979, section 3.6): bad entropy does
    /// not give the key away, and without faults in the CPU no nonce comes twice.
    fn sign(&self, digest: &[u8], entropy: &Entropy) -> Signature {
        ecdsa::hazmat::sign_prehashed_rfc6979::<NistP384, Sha384>(
            self.key.as_nonzero_scalar(),
            digest,
            entropy.as_bytes(),
        )
        .0
    }

    fn claims(&self, request: &Request) -> Result<RealmClaims, TokenError> {
        let size = match request.algorithm {
            HashAlgorithm::Sha256 => 32,
            HashAlgorithm::Sha384 => 48,
            HashAlgorithm::Sha512 => 64,
        };
        let value = |register: usize| {
            HashValue::from_slice(&request.measurements[register][..size])
                .ok_or(TokenError::Measurement)
        };
        Ok(RealmClaims {
            profile: RealmProfile::V2023,
            challenge: request.challenge,
            instance_id: None,
            personalization_value: request.personalization,
            hash_algorithm: request.algorithm,
            public_key: self.public_key.clone(),
            public_key_hash_algorithm: HashAlgorithm::Sha256,
            initial_measurement: value(0)?,
            extensible_measurements: [value(1)?, value(2)?, value(3)?, value(4)?],
            mec_policy: None,
            lfa_policy: None,
            devices_token_hash: None,
        })
    }
}
