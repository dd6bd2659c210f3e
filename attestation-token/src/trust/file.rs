//! Trust anchors as people keep them: PEM, JSON Web Keys, COSE keys.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use spki::der::Decode as _;
use spki::der::asn1::{BitStringRef, ObjectIdentifier};
use spki::der::pem;

use super::{Identity, TrustAnchor};
use crate::algorithm::Curve;
use crate::cbor;
use crate::claims::InstanceId;
use crate::encoding;
use crate::key::{KeyError, PublicKey};

/// Most bytes that a file of trust anchors may have.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// Why a file has no trust anchors.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AnchorFileError {
    /// More than [`MAX_BYTES`].
    TooLong,
    /// Neither PEM nor JSON nor CBOR.
    Unknown,
    /// PEM that is broken.
    Pem,
    /// PEM of something else than a public key: its label.
    PemLabel(String),
    /// A public key that cannot be used.
    Key(KeyError),
    /// JSON that is not a key, a set of keys or a list of anchors. Where and why.
    Json(String),
    /// An identifier that is not one.
    Identifier(&'static str),
    /// No key in it.
    Empty,
}

impl fmt::Display for AnchorFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("too long"),
            Self::Unknown => f.write_str("neither PEM nor JSON Web Key nor COSE_Key"),
            Self::Pem => f.write_str("not readable as PEM"),
            Self::PemLabel(label) => {
                write!(f, "PEM of a {label}; what is needed is a PUBLIC KEY")
            }
            Self::Key(error) => error.fmt(f),
            Self::Json(text) => f.write_str(text),
            Self::Identifier(name) => write!(f, "{name} is not one"),
            Self::Empty => f.write_str("no key in it"),
        }
    }
}

impl core::error::Error for AnchorFileError {}

impl From<KeyError> for AnchorFileError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

/// The trust anchors in a file: PEM (any number of public keys), a JSON Web Key or a set of them,
/// a JSON list of anchors with `instance-id`, `implementation-id` and `pkey`, a `COSE_Key` or a
/// `COSE_KeySet`.
///
/// # Errors
///
/// If it is none of these, or has no usable key.
pub fn parse(bytes: &[u8]) -> Result<Vec<TrustAnchor>, AnchorFileError> {
    if bytes.len() > MAX_BYTES {
        return Err(AnchorFileError::TooLong);
    }
    let anchors = match core::str::from_utf8(bytes).map(str::trim_start) {
        Ok(text) if text.starts_with("-----BEGIN ") => parse_pem(text)?,
        Ok(text) if text.starts_with(['{', '[']) => parse_json(text)?,
        _ => parse_cbor(bytes)?,
    };
    if anchors.is_empty() {
        return Err(AnchorFileError::Empty);
    }
    Ok(anchors)
}

/// The public key in one PEM block.
///
/// # Errors
///
/// If it is not PEM of a public key on a known curve.
pub fn key_from_pem(text: &str) -> Result<PublicKey, AnchorFileError> {
    let (label, der) = pem::decode_vec(text.as_bytes()).map_err(|_| AnchorFileError::Pem)?;
    if label != "PUBLIC KEY" {
        return Err(AnchorFileError::PemLabel(label.into()));
    }
    let info = spki::SubjectPublicKeyInfo::<ObjectIdentifier, BitStringRef<'_>>::from_der(&der)
        .map_err(|_| KeyError::NotEllipticCurve)?;
    if info.algorithm.oid != EC_PUBLIC_KEY {
        return Err(KeyError::NotEllipticCurve.into());
    }
    let curve = match info.algorithm.parameters {
        Some(P256) => Curve::P256,
        Some(P384) => Curve::P384,
        Some(P521) => Curve::P521,
        _ => return Err(KeyError::CurveUnknown.into()),
    };
    let point = info
        .subject_public_key
        .as_bytes()
        .ok_or(KeyError::NotAPoint)?;
    let key = PublicKey::from_sec1(point)?;
    if key.curve() != curve {
        return Err(KeyError::NotAPoint.into());
    }
    Ok(key)
}

fn parse_pem(text: &str) -> Result<Vec<TrustAnchor>, AnchorFileError> {
    const END: &str = "-----END ";
    let mut rest = text.trim();
    let mut anchors = Vec::new();
    while !rest.is_empty() {
        let end = rest
            .find(END)
            .and_then(|start| {
                let label = start + END.len();
                rest[label..].find("-----").map(|dashes| label + dashes + 5)
            })
            .ok_or(AnchorFileError::Pem)?;
        let (block, behind) = rest.split_at(end);
        anchors.push(key_from_pem(block)?.into());
        rest = behind.trim_start();
    }
    Ok(anchors)
}

/// A JSON Web Key (RFC 7517) on an elliptic curve, and whose it is.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    alg: Option<String>,
    #[serde(rename = "instance-id")]
    instance_id: Option<String>,
    #[serde(rename = "implementation-id")]
    implementation_id: Option<String>,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

/// An anchor as other verifiers for CCA keep it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct AnchorEntry {
    #[serde(alias = "key")]
    pkey: Jwk,
    instance_id: Option<String>,
    implementation_id: Option<String>,
}

fn parse_json(text: &str) -> Result<Vec<TrustAnchor>, AnchorFileError> {
    let json = |error: serde_json::Error| AnchorFileError::Json(alloc::format!("{error}"));
    if text.starts_with('[') {
        let entries: Vec<AnchorEntry> = serde_json::from_str(text).map_err(json)?;
        return entries.iter().map(anchor_from_entry).collect();
    }
    let value: serde_json::Value = serde_json::from_str(text).map_err(json)?;
    if value.get("keys").is_some() {
        let set: JwkSet = serde_json::from_value(value).map_err(json)?;
        return set.keys.iter().map(anchor_from_jwk).collect();
    }
    if value.get("pkey").is_some() {
        let entry: AnchorEntry = serde_json::from_value(value).map_err(json)?;
        return Ok(alloc::vec![anchor_from_entry(&entry)?]);
    }
    let jwk: Jwk = serde_json::from_value(value).map_err(json)?;
    Ok(alloc::vec![anchor_from_jwk(&jwk)?])
}

fn anchor_from_entry(entry: &AnchorEntry) -> Result<TrustAnchor, AnchorFileError> {
    Ok(TrustAnchor {
        identity: identity(
            entry.instance_id.as_deref(),
            entry.implementation_id.as_deref(),
        )?,
        key: key_from_jwk(&entry.pkey)?,
    })
}

fn anchor_from_jwk(jwk: &Jwk) -> Result<TrustAnchor, AnchorFileError> {
    Ok(TrustAnchor {
        identity: identity(jwk.instance_id.as_deref(), jwk.implementation_id.as_deref())?,
        key: key_from_jwk(jwk)?,
    })
}

fn identity(
    instance_id: Option<&str>,
    implementation_id: Option<&str>,
) -> Result<Identity, AnchorFileError> {
    let instance_id = instance_id
        .map(|text| {
            encoding::from_text(text)
                .and_then(|bytes| InstanceId::from_slice(&bytes))
                .ok_or(AnchorFileError::Identifier("instance-id"))
        })
        .transpose()?;
    let implementation_id = implementation_id
        .map(|text| {
            encoding::from_text(text)
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or(AnchorFileError::Identifier("implementation-id"))
        })
        .transpose()?;
    Ok(Identity {
        instance_id,
        implementation_id,
    })
}

fn key_from_jwk(jwk: &Jwk) -> Result<PublicKey, KeyError> {
    if jwk.kty != "EC" {
        return Err(KeyError::NotEllipticCurve);
    }
    let curve = [Curve::P256, Curve::P384, Curve::P521]
        .into_iter()
        .find(|curve| curve.name() == jwk.crv)
        .ok_or(KeyError::CurveUnknown)?;
    if let Some(algorithm) = &jwk.alg
        && algorithm != curve.algorithm().name()
    {
        return Err(KeyError::AlgorithmMismatch);
    }
    let coordinate = |text: &str| encoding::from_base64url(text).ok_or(KeyError::Coordinate);
    PublicKey::from_coordinates(curve, &coordinate(&jwk.x)?, &coordinate(&jwk.y)?)
}

fn parse_cbor(bytes: &[u8]) -> Result<Vec<TrustAnchor>, AnchorFileError> {
    let value = cbor::decode(bytes).map_err(|_| AnchorFileError::Unknown)?;
    let keys = match value {
        ciborium::Value::Array(keys) => keys,
        key @ ciborium::Value::Map(_) => alloc::vec![key],
        _ => return Err(AnchorFileError::Unknown),
    };
    keys.into_iter()
        .map(|key| Ok(PublicKey::from_cose_value(key)?.into()))
        .collect()
}

/// A public key as a JSON Web Key.
pub fn to_jwk(key: &PublicKey) -> String {
    alloc::format!(
        "{{\n  \"kty\": \"EC\",\n  \"crv\": \"{}\",\n  \"x\": \"{}\",\n  \"y\": \"{}\"\n}}\n",
        key.curve(),
        encoding::base64url(key.x()),
        encoding::base64url(key.y())
    )
}
