//! Reference values and trust anchors as CoRIM, in the profile for Arm CCA
//! (draft-ydb-rats-cca-endorsements), under either spelling of its names.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use corim::cbor::DecodeLimits;
use corim::document::{TimeCheck, ValidationContext, validate};
use corim::profile::ProfileRegistry;
use corim::types::comid::ComidTag;
use corim::types::corim::ProfileChoice;
use corim::types::signed::CoseAlgorithm;

use super::ReferenceValues;
use crate::algorithm::Algorithm;
use crate::crypto::Crypto;
use crate::key::{KeyError, PublicKey};
use crate::trust::TrustAnchor;

mod platform;
mod realm;
mod write;

pub use write::{Documents, WriteError, write};

const PLATFORM_PROFILES: [&str; 2] = [
    "tag:arm.com,2025:endorsements/cca_platform#1.0.0",
    "tag:arm.com,2025:cca_platform#1.0.0",
];
const REALM_PROFILES: [&str; 2] = [
    "tag:arm.com,2025:endorsements/cca_realm#1.0.0",
    "tag:arm.com,2025:cca_realm#1.0.0",
];

/// Bounds on what is decoded: a CoRIM for a whole product line is some hundred KiB.
const LIMITS: fn() -> DecodeLimits = || {
    let mut limits = DecodeLimits::default();
    limits.max_input_bytes = 4 * 1024 * 1024;
    limits.max_values = 200_000;
    limits.max_depth = 32;
    limits.max_collection_items = 50_000;
    limits
};

/// What a CoRIM endorses.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Endorsements {
    /// Good states of machines or Realms.
    pub references: ReferenceValues,
    /// Keys of machines.
    pub anchors: Vec<TrustAnchor>,
}

/// Why a CoRIM cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CorimError {
    /// Not a CoRIM, or not valid now. Why.
    Invalid(String),
    /// No profile, or another than those for Arm CCA.
    Profile(String),
    /// It is signed, and nobody said by whom.
    SignerUnknown,
    /// It has to be signed, and is not.
    NotSigned,
    /// It is not signed by the expected key.
    Signature,
    /// The key of the signer cannot be used.
    SignerKey(KeyError),
    /// It holds something besides CoMID tags, which would be lost.
    OtherTags,
    /// A triple that the profile does not have, or that is not as the profile says. Why.
    Triple(String),
    /// A measurement that is not as the profile says: its key, and why.
    Measurement {
        /// The measurement's key.
        key: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Nothing in it.
    Empty,
}

impl fmt::Display for CorimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) => write!(f, "not a valid CoRIM: {text}"),
            Self::Profile(profile) => write!(f, "CoRIM profile {profile:?} is not for Arm CCA"),
            Self::SignerUnknown => f.write_str("the CoRIM is signed; give its signer's key"),
            Self::NotSigned => f.write_str("the CoRIM is not signed, though a signer is given"),
            Self::Signature => f.write_str("the CoRIM is not signed by the given key"),
            Self::SignerKey(error) => write!(f, "the signer's key: {error}"),
            Self::OtherTags => f.write_str("the CoRIM holds other tags than CoMID"),
            Self::Triple(text) => write!(f, "triple: {text}"),
            Self::Measurement { key, problem } => write!(f, "measurement {key:?}: {problem}"),
            Self::Empty => f.write_str("no reference value and no key in the CoRIM"),
        }
    }
}

impl core::error::Error for CorimError {}

/// Whether bytes look like a CoRIM: tagged as such (501), or as something signed (18).
pub fn is_corim(bytes: &[u8]) -> bool {
    matches!(crate::cbor::tag(bytes), Some(501 | 18))
}

/// What a CoRIM endorses that is not signed, at the time `now` (seconds since 1970).
///
/// # Errors
///
/// If it is signed, not valid now, not of the profile, or has anything that is not understood:
/// what is not understood may be what would refuse a token.
pub fn parse(bytes: &[u8], now: i64) -> Result<Endorsements, CorimError> {
    parse_inner(bytes, now, |_, _, _| Err(CorimError::SignerUnknown), false)
}

/// What a CoRIM endorses that `signer` signed, at the time `now` (seconds since 1970).
///
/// # Errors
///
/// As [`parse`], and if it is not signed by `signer`.
pub fn parse_signed<C: Crypto>(
    bytes: &[u8],
    now: i64,
    crypto: &C,
    signer: &PublicKey,
) -> Result<Endorsements, CorimError> {
    let key = crypto
        .verifying_key(signer)
        .map_err(CorimError::SignerKey)?;
    let verify = |algorithm, message: &[u8], signature: &[u8]| {
        if algorithm != signer.algorithm() {
            return Err(CorimError::Signature);
        }
        crypto
            .verify(&key, message, signature)
            .map_err(|_| CorimError::Signature)
    };
    parse_inner(bytes, now, verify, true)
}

fn parse_inner(
    bytes: &[u8],
    now: i64,
    verify: impl Fn(Algorithm, &[u8], &[u8]) -> Result<(), CorimError>,
    has_to_be_signed: bool,
) -> Result<Endorsements, CorimError> {
    let registry = ProfileRegistry::new();
    let context = ValidationContext::new(TimeCheck::At(now), &registry).with_limits(LIMITS());
    let document =
        validate(bytes, &context).map_err(|error| CorimError::Invalid(error.to_string()))?;
    match document.envelope() {
        None if has_to_be_signed => return Err(CorimError::NotSigned),
        None => {}
        Some(envelope) => {
            let algorithm = match envelope.protected().alg {
                CoseAlgorithm::Es256 | CoseAlgorithm::Esp256 => Algorithm::Es256,
                CoseAlgorithm::Es384 | CoseAlgorithm::Esp384 => Algorithm::Es384,
                CoseAlgorithm::Es512 | CoseAlgorithm::Esp512 => Algorithm::Es512,
                _ => return Err(CorimError::Signature),
            };
            let message = envelope
                .to_be_signed(&[])
                .map_err(|error| CorimError::Invalid(error.to_string()))?;
            verify(algorithm, &message, &envelope.signature)?;
        }
    }
    let payload = document.payload();
    let profile = match &payload.corim.profile {
        Some(ProfileChoice::Uri(profile)) => profile.as_str(),
        Some(other) => return Err(CorimError::Profile(other.to_string())),
        None => return Err(CorimError::Profile(String::from("none"))),
    };
    if payload.comids.len() != payload.corim.tags.len() {
        return Err(CorimError::OtherTags);
    }
    let mut endorsements = Endorsements::default();
    for comid in &payload.comids {
        if PLATFORM_PROFILES.contains(&profile) {
            refuse_other_triples(comid, true)?;
            platform::read(comid, &mut endorsements)?;
        } else if REALM_PROFILES.contains(&profile) {
            refuse_other_triples(comid, false)?;
            realm::read(comid, &mut endorsements)?;
        } else {
            return Err(CorimError::Profile(profile.to_string()));
        }
    }
    if endorsements.references.is_empty() && endorsements.anchors.is_empty() {
        return Err(CorimError::Empty);
    }
    Ok(endorsements)
}

/// Triples that the profile does not have could say that something is revoked.
fn refuse_other_triples(comid: &ComidTag, keys: bool) -> Result<(), CorimError> {
    let triples = &comid.triples;
    let other = [
        ("endorsed", triples.endorsed_triples.is_some()),
        ("identity", triples.identity_triples.is_some()),
        ("attest-key", triples.attest_key_triples.is_some() && !keys),
        ("dependency", triples.dependency_triples.is_some()),
        ("membership", triples.membership_triples.is_some()),
        ("coswid", triples.coswid_triples.is_some()),
        (
            "conditional-endorsement",
            triples.conditional_endorsement.is_some()
                || triples.conditional_endorsement_series.is_some(),
        ),
    ];
    match other.into_iter().find(|(_, is_there)| *is_there) {
        None => Ok(()),
        Some((name, _)) => Err(CorimError::Triple(format!(
            "{name} triples are not in the profile"
        ))),
    }
}
