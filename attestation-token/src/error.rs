//! Why a token cannot be taken apart.

use alloc::string::String;
use core::fmt;

use crate::CborError;

/// Which part of a token an error is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The pair as a whole.
    Collection,
    /// The token of the machine.
    Platform,
    /// The token of the Realm.
    Realm,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Collection => "token collection",
            Self::Platform => "platform token",
            Self::Realm => "realm token",
        })
    }
}

/// Why a token cannot be taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// Where.
    pub part: Part,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a part of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// Not the CBOR that a token may consist of.
    Cbor(CborError),
    /// Neither of the tags of a token collection (399, 907). The tag, if there is one.
    NotACollection(Option<u64>),
    /// Not tagged as `COSE_Sign1` (18). The tag, if there is one.
    NotSign1(Option<u64>),
    /// Tagged as `COSE_Sign1`, but not made like one.
    Sign1,
    /// The payload is not there.
    DetachedPayload,
    /// A header parameter that must be understood and is not.
    CriticalHeader,
    /// A header that the signature does not cover holds more than a key identifier.
    UnprotectedHeader,
    /// The protected header does not say which algorithm signs.
    AlgorithmMissing,
    /// The algorithm is in the header that the signature does not cover.
    AlgorithmUnprotected,
    /// Not one of ES256, ES384 and ES512. The algorithm's number, if it is one.
    AlgorithmUnknown(Option<i64>),
    /// The signature has another length than the algorithm's. Bytes.
    SignatureLength {
        /// What the algorithm makes.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// The payload is not a map.
    NotClaims,
    /// The claims are of a profile that is not known.
    ProfileUnknown(String),
    /// The claims are of a draft profile whose rules are not final.
    ProfileDraft(String),
    /// A claim is not as its profile says.
    Claim {
        /// Its label, or its key if that is text.
        label: String,
        /// What the profile calls it.
        name: &'static str,
        /// What is wrong with it.
        problem: ClaimProblem,
    },
}

/// What is wrong with a claim.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClaimProblem {
    /// The profile demands it, and it is not there.
    Missing,
    /// The profile does not have it.
    Unknown,
    /// Another CBOR type. What the profile says.
    Type(&'static str),
    /// Another length. What the profile says, and what is there, in bytes or entries.
    Length {
        /// What the profile says.
        expected: &'static str,
        /// What is there.
        found: usize,
    },
    /// A value outside those of the profile. What the profile says.
    Value(&'static str),
    /// A key that cannot be one. Why.
    Key(crate::key::KeyError),
}

impl core::error::Error for DecodeError {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cbor(error) => error.fmt(f),
            Self::NotACollection(Some(tag)) => write!(f, "tag {tag}, not 399 or 907"),
            Self::NotACollection(None) => f.write_str("no tag 399 or 907"),
            Self::NotSign1(Some(tag)) => write!(f, "tag {tag}, not that of COSE_Sign1 (18)"),
            Self::NotSign1(None) => f.write_str("no tag of COSE_Sign1 (18)"),
            Self::Sign1 => f.write_str("not made like a COSE_Sign1"),
            Self::DetachedPayload => f.write_str("no payload in the COSE_Sign1"),
            Self::CriticalHeader => f.write_str("a critical header parameter that is not known"),
            Self::UnprotectedHeader => {
                f.write_str("the unprotected header holds more than a key identifier")
            }
            Self::AlgorithmMissing => f.write_str("no alg in the protected header"),
            Self::AlgorithmUnprotected => {
                f.write_str("alg is in the unprotected header, where anybody can change it")
            }
            Self::AlgorithmUnknown(Some(number)) => {
                write!(
                    f,
                    "alg is {number}, not ES256 (-7), ES384 (-35) or ES512 (-36)"
                )
            }
            Self::AlgorithmUnknown(None) => f.write_str("alg is not ES256, ES384 or ES512"),
            Self::SignatureLength { expected, found } => {
                write!(f, "the signature has {found} bytes, not {expected}")
            }
            Self::NotClaims => f.write_str("the payload is not a map of claims"),
            Self::ProfileUnknown(profile) => write!(f, "profile {profile:?} is not known"),
            Self::ProfileDraft(profile) => write!(
                f,
                "profile {profile:?} is of the 2026 draft generation, which binds the tokens in \
                 another way (claim 2408) and is not final: refused"
            ),
            Self::Claim {
                label,
                name,
                problem,
            } => write!(f, "claim {label} ({name}): {problem}"),
        }
    }
}

impl fmt::Display for ClaimProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Unknown => f.write_str("not a claim of this profile"),
            Self::Length { expected, found } => write!(f, "length {found}, not {expected}"),
            Self::Type(expected) | Self::Value(expected) => write!(f, "not {expected}"),
            Self::Key(error) => error.fmt(f),
        }
    }
}
