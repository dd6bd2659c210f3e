//! Public keys as tokens carry them: COSE keys, and bare points in the oldest tokens.

use alloc::vec::Vec;
use core::fmt;

use ciborium::Value;
use coset::iana::EnumI64 as _;
use coset::{AsCborValue as _, CborSerializable as _, CoseKey, CoseKeyBuilder, Label, iana};

use crate::algorithm::{Algorithm, Curve};
use crate::cbor;

/// The first byte of a point with both coordinates (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A public key: a point with both coordinates. It is not known to be on its curve until a
/// cryptography back-end has taken it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    curve: Curve,
    sec1: Vec<u8>,
}

/// Why bytes are not a usable public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// Not CBOR, or not a `COSE_Key`.
    NotCoseKey,
    /// Not an elliptic-curve key with two coordinates.
    NotEllipticCurve,
    /// Not P-256, P-384 or P-521.
    CurveUnknown,
    /// A coordinate is missing, compressed or has another length than the curve's.
    Coordinate,
    /// The key is for another algorithm than its curve's.
    AlgorithmMismatch,
    /// The key is not for verifying signatures.
    NotForVerifying,
    /// The point is not on its curve.
    NotOnCurve,
    /// A bare point has a length that belongs to no curve, or is compressed.
    NotAPoint,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotCoseKey => "not a COSE_Key",
            Self::NotEllipticCurve => "not an elliptic-curve key with two coordinates",
            Self::CurveUnknown => "not a key on P-256, P-384 or P-521",
            Self::Coordinate => "a coordinate is missing, compressed or of another length",
            Self::AlgorithmMismatch => "a key for another algorithm than its curve's",
            Self::NotForVerifying => "a key that is not for verifying signatures",
            Self::NotOnCurve => "a point that is not on its curve",
            Self::NotAPoint => "not a point with both coordinates",
        })
    }
}

impl core::error::Error for KeyError {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}", self.curve)?;
        for byte in &self.sec1 {
            write!(f, " {byte:02x}")?;
        }
        f.write_str(")")
    }
}

impl PublicKey {
    /// A key from its coordinates, each with leading zeroes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Coordinate`] if one has another length than the curve's.
    pub fn from_coordinates(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        let length = curve.coordinate_bytes();
        if x.len() != length || y.len() != length {
            return Err(KeyError::Coordinate);
        }
        let mut sec1 = Vec::with_capacity(1 + 2 * length);
        sec1.push(UNCOMPRESSED);
        sec1.extend_from_slice(x);
        sec1.extend_from_slice(y);
        Ok(Self { curve, sec1 })
    }

    /// A key from a point with both coordinates (0x04, X, Y); the length says the curve.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAPoint`] if it has none of the lengths, or is compressed.
    pub fn from_sec1(point: &[u8]) -> Result<Self, KeyError> {
        let curve = [Curve::P256, Curve::P384, Curve::P521]
            .into_iter()
            .find(|curve| point.len() == 1 + 2 * curve.coordinate_bytes())
            .filter(|_| point.first() == Some(&UNCOMPRESSED))
            .ok_or(KeyError::NotAPoint)?;
        Ok(Self {
            curve,
            sec1: point.to_vec(),
        })
    }

    /// A key from a point that is known to be of this form.
    #[cfg(feature = "rustcrypto")]
    pub(crate) const fn from_uncompressed(curve: Curve, sec1: Vec<u8>) -> Self {
        Self { curve, sec1 }
    }

    /// A key from a `COSE_Key` (RFC 9052, section 7).
    ///
    /// # Errors
    ///
    /// If the bytes are not strict CBOR, or not an elliptic-curve key for verifying.
    pub fn from_cose_key(bytes: &[u8]) -> Result<Self, KeyError> {
        let value = cbor::decode(bytes).map_err(|_| KeyError::NotCoseKey)?;
        Self::from_cose_value(value)
    }

    /// A key from strict CBOR.
    pub(crate) fn from_cose_value(value: Value) -> Result<Self, KeyError> {
        let key = CoseKey::from_cbor_value(value).map_err(|_| KeyError::NotCoseKey)?;
        Self::from_parsed(&key)
    }

    fn from_parsed(key: &CoseKey) -> Result<Self, KeyError> {
        use coset::{Algorithm as Alg, KeyOperation, KeyType};

        if key.kty != KeyType::Assigned(iana::KeyType::EC2) {
            return Err(KeyError::NotEllipticCurve);
        }
        let parameter = |label: iana::Ec2KeyParameter| {
            key.params
                .iter()
                .find(|(key, _)| *key == Label::Int(label.to_i64()))
                .map(|(_, value)| value)
        };
        let curve = parameter(iana::Ec2KeyParameter::Crv)
            .and_then(Value::as_integer)
            .and_then(|curve| i64::try_from(curve).ok())
            .and_then(iana::EllipticCurve::from_i64)
            .and_then(|curve| match curve {
                iana::EllipticCurve::P_256 => Some(Curve::P256),
                iana::EllipticCurve::P_384 => Some(Curve::P384),
                iana::EllipticCurve::P_521 => Some(Curve::P521),
                _ => None,
            })
            .ok_or(KeyError::CurveUnknown)?;
        if let Some(algorithm) = &key.alg
            && *algorithm != Alg::Assigned(curve.algorithm().cose())
        {
            return Err(KeyError::AlgorithmMismatch);
        }
        let verify = KeyOperation::Assigned(iana::KeyOperation::Verify);
        if !key.key_ops.is_empty() && !key.key_ops.contains(&verify) {
            return Err(KeyError::NotForVerifying);
        }
        let coordinate = |label| {
            parameter(label)
                .and_then(Value::as_bytes)
                .ok_or(KeyError::Coordinate)
        };
        let x = coordinate(iana::Ec2KeyParameter::X)?;
        let y = coordinate(iana::Ec2KeyParameter::Y)?;
        Self::from_coordinates(curve, x, y)
    }

    /// The key as a `COSE_Key` with nothing but type, curve and coordinates: the form whose hash
    /// binds a realm token to a platform token.
    pub fn to_cose_key(&self) -> Vec<u8> {
        let curve = match self.curve {
            Curve::P256 => iana::EllipticCurve::P_256,
            Curve::P384 => iana::EllipticCurve::P_384,
            Curve::P521 => iana::EllipticCurve::P_521,
        };
        CoseKeyBuilder::new_ec2_pub_key(curve, self.x().to_vec(), self.y().to_vec())
            .build()
            .to_vec()
            // Writing to memory does not fail, and the key is made of integers and bytes.
            .unwrap_or_default()
    }

    /// The curve.
    pub const fn curve(&self) -> Curve {
        self.curve
    }

    /// The algorithm that signatures of this key have.
    pub const fn algorithm(&self) -> Algorithm {
        self.curve.algorithm()
    }

    /// The point: 0x04, X, Y.
    pub fn sec1(&self) -> &[u8] {
        &self.sec1
    }

    /// The first coordinate.
    pub fn x(&self) -> &[u8] {
        &self.sec1[1..=self.curve.coordinate_bytes()]
    }

    /// The second coordinate.
    pub fn y(&self) -> &[u8] {
        &self.sec1[1 + self.curve.coordinate_bytes()..]
    }
}
