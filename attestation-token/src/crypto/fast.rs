//! The fast back-end: AWS-LC.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey,
};

use super::{Crypto, SignatureError};
use crate::algorithm::{Curve, HashAlgorithm};
use crate::claims::HashValue;
use crate::key::{KeyError, PublicKey};

/// Cryptography by AWS-LC.
#[derive(Clone, Copy, Default, Debug)]
pub struct AwsLc;

/// A key that is ready to verify.
#[derive(Clone, Debug)]
pub struct AwsLcKey(ParsedPublicKey);

impl Crypto for AwsLc {
    type VerifyingKey = AwsLcKey;

    fn verifying_key(&self, key: &PublicKey) -> Result<AwsLcKey, KeyError> {
        let algorithm = match key.curve() {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED,
            Curve::P521 => &ECDSA_P521_SHA512_FIXED,
        };
        ParsedPublicKey::new(algorithm, key.sec1())
            .map(AwsLcKey)
            .map_err(|_| KeyError::NotOnCurve)
    }

    fn verify(
        &self,
        key: &AwsLcKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        key.0
            .verify_sig(message, signature)
            .map_err(|_| SignatureError)
    }

    fn hash(&self, algorithm: HashAlgorithm, message: &[u8]) -> HashValue {
        let digest = digest::digest(
            match algorithm {
                HashAlgorithm::Sha256 => &digest::SHA256,
                HashAlgorithm::Sha384 => &digest::SHA384,
                HashAlgorithm::Sha512 => &digest::SHA512,
            },
            message,
        );
        // Its digests have the lengths that a hash value can have.
        HashValue::from_slice(digest.as_ref()).unwrap_or_else(|| super::hash(algorithm, message))
    }
}
