//! Making tokens, where the key may be somewhere else.
//!
//! A token is made in two steps, so that a signature can come from behind an interface or take
//! many turns: [`Unsigned`] has the bytes to be signed, and becomes a token when it is given the
//! signature. [`Unsigned::sign`] does both with a [`Signer`].
//!
//! ```
//! # use attestation_token::build::{BuildError, Unsigned};
//! # use attestation_token::{Algorithm, RealmClaims, Wrapper};
//! # fn example(
//! #     claims: &RealmClaims, platform_token: &[u8], sign: impl Fn(&[u8]) -> [u8; 96],
//! # ) -> Result<Vec<u8>, BuildError> {
//! let unsigned = Unsigned::realm(claims, Algorithm::Es384)?;
//! // Somewhere else, perhaps in many steps:
//! let signature = sign(unsigned.to_be_signed());
//! let realm_token = unsigned.signed(&signature)?;
//! Ok(Wrapper::Cca.encode(platform_token, &realm_token))
//! # }
//! ```

use alloc::vec::Vec;
use core::fmt;

use coset::{CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _};

use crate::algorithm::Algorithm;
use crate::claims::{PlatformClaims, RealmClaims, RealmProfile};

/// Something that signs, perhaps by asking somebody else.
pub trait Signer {
    /// Why there is no signature.
    type Error;

    /// The algorithm of its key.
    fn algorithm(&self) -> Algorithm;

    /// Signs `message`: R and S, each as long as a coordinate.
    ///
    /// # Errors
    ///
    /// If there is no signature: no entropy, nobody who answers.
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, Self::Error>;
}

/// Why there is no token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The profile demands a claim that is not given.
    MissingClaim(&'static str),
    /// The realm key is on another curve than the algorithm's.
    KeyMismatch,
    /// The signature has another length than the algorithm's.
    SignatureLength,
    /// COSE could not be written.
    Encoding,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingClaim(name) => write!(f, "the profile demands the claim {name}"),
            Self::KeyMismatch => f.write_str("the key is not one of the algorithm's"),
            Self::SignatureLength => f.write_str("the signature has another length"),
            Self::Encoding => f.write_str("COSE could not be written"),
        }
    }
}

impl core::error::Error for BuildError {}

/// Why a token is not signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SignError<E> {
    /// There cannot be a token.
    Build(BuildError),
    /// There is no signature.
    Signer(E),
}

impl<E: fmt::Display> fmt::Display for SignError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Signer(error) => write!(f, "no signature: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for SignError<E> {}

/// A token that lacks its signature.
#[derive(Clone, Debug)]
pub struct Unsigned {
    algorithm: Algorithm,
    sign1: CoseSign1,
    to_be_signed: Vec<u8>,
}

impl Unsigned {
    /// A platform token to be signed with the machine's attestation key.
    ///
    /// # Errors
    ///
    /// [`BuildError::MissingClaim`] if there is not one software component.
    pub fn platform(claims: &PlatformClaims, algorithm: Algorithm) -> Result<Self, BuildError> {
        if claims.software_components.is_empty() {
            let claim = crate::claims::SOFTWARE_COMPONENTS;
            return Err(BuildError::MissingClaim(claim.name));
        }
        Ok(Self::new(claims.encode(), algorithm))
    }

    /// A realm token to be signed with the key that its claims have.
    ///
    /// # Errors
    ///
    /// [`BuildError::MissingClaim`] if the 2024 profile is asked for without instance id or MEC
    /// policy, [`BuildError::KeyMismatch`] if the key is not one of `algorithm`.
    pub fn realm(claims: &RealmClaims, algorithm: Algorithm) -> Result<Self, BuildError> {
        if claims.public_key.key().algorithm() != algorithm {
            return Err(BuildError::KeyMismatch);
        }
        if claims.profile == RealmProfile::V2024 {
            if claims.instance_id.is_none() {
                return Err(BuildError::MissingClaim("cca-realm-instance-id"));
            }
            if claims.mec_policy.is_none() {
                return Err(BuildError::MissingClaim("cca-realm-mec-policy"));
            }
        }
        Ok(Self::new(claims.encode(), algorithm))
    }

    fn new(payload: Vec<u8>, algorithm: Algorithm) -> Self {
        let sign1 = CoseSign1Builder::new()
            .protected(HeaderBuilder::new().algorithm(algorithm.cose()).build())
            .payload(payload)
            .build();
        let to_be_signed = sign1.tbs_data(&[]);
        Self {
            algorithm,
            sign1,
            to_be_signed,
        }
    }

    /// What the signature is over: the `Sig_structure` of RFC 9052, section 4.4, before it is
    /// hashed with the algorithm's hash.
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// The algorithm that the token says it is signed with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The token, with a signature made elsewhere: R and S, each as long as a coordinate.
    ///
    /// # Errors
    ///
    /// [`BuildError::SignatureLength`] if it has another length than the algorithm's.
    pub fn signed(mut self, signature: &[u8]) -> Result<Vec<u8>, BuildError> {
        if signature.len() != self.algorithm.signature_bytes() {
            return Err(BuildError::SignatureLength);
        }
        self.sign1.signature = signature.to_vec();
        self.sign1.to_tagged_vec().map_err(|_| BuildError::Encoding)
    }

    /// The token, signed now.
    ///
    /// # Errors
    ///
    /// [`BuildError::KeyMismatch`] if the signer has another algorithm, [`SignError::Signer`] if it
    /// does not sign.
    pub fn sign<S: Signer>(self, signer: &mut S) -> Result<Vec<u8>, SignError<S::Error>> {
        if signer.algorithm() != self.algorithm {
            return Err(SignError::Build(BuildError::KeyMismatch));
        }
        let signature = signer.sign(&self.to_be_signed).map_err(SignError::Signer)?;
        self.signed(&signature).map_err(SignError::Build)
    }
}
