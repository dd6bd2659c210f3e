//! Attestation tokens of the Arm Confidential Compute Architecture.
//!
//! A CCA token is a pair: a platform token, signed by a key of the machine, and a realm token,
//! signed by a key that the platform token vouches for. This library has two halves.
//!
//! * [`build`] makes tokens, in an RMM or in firmware: claims, COSE, signatures made elsewhere.
//! * [`Token::decode`] takes a token apart, strictly; [`Verifier`] checks signatures, binding and
//!   challenge against trust anchors.
//!
//! Nothing here needs an operating system: `no_std` with `alloc`. Cryptography is behind the
//! [`Crypto`] trait; feature `rustcrypto` (on by default) is the portable back-end.
#![no_std]

extern crate alloc;

pub mod algorithm;
#[cfg(feature = "appraisal")]
pub mod appraise;
pub mod build;
mod cbor;
pub mod check;
pub mod claims;
mod collection;
pub mod crypto;
#[cfg(feature = "appraisal")]
pub mod ear;
#[cfg(feature = "appraisal")]
pub mod encoding;
mod error;
#[cfg(feature = "appraisal")]
pub mod json;
pub mod key;
#[cfg(feature = "appraisal")]
pub mod policy;
#[cfg(feature = "appraisal")]
pub mod reference;
#[cfg(feature = "rego")]
pub mod rego;
pub mod rim;
mod sign1;
mod token;
pub mod trust;
#[cfg(feature = "appraisal")]
pub mod trustworthiness;
mod verify;

pub use algorithm::{Algorithm, Curve, HashAlgorithm};
pub use cbor::{CborError, CborProblem, MAX_TOKEN_BYTES};
pub use check::{Check, Reason, Subject, Verdict};
pub use claims::{HashValue, Lifecycle, PlatformClaims, RealmClaims, SoftwareComponent};
pub use collection::Wrapper;
pub use crypto::Crypto;
pub use error::{ClaimProblem, DecodeError, Part, Problem};
pub use key::PublicKey;
pub use token::{PlatformToken, RealmToken, Token};
pub use trust::{TrustAnchor, TrustAnchors};
pub use verify::{Challenge, Verification, VerifiedPlatforms, Verifier};

/// The example in the README compiles.
#[cfg(all(doctest, feature = "appraisal", feature = "rustcrypto"))]
#[doc = include_str!("../README.md")]
mod readme {}
