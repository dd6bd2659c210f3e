//! `COSE_Sign1` (RFC 9052, section 4.2), as both tokens are.

use alloc::vec::Vec;

use ciborium::Value;
use coset::iana::EnumI64 as _;
use coset::{AsCborValue as _, CoseError, CoseSign1, Header, RegisteredLabelWithPrivate};

use crate::algorithm::Algorithm;
use crate::cbor;
use crate::error::{DecodeError, Part, Problem};

/// The tag of a `COSE_Sign1`.
const TAG: u64 = 18;

/// A signed payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sign1 {
    pub(crate) algorithm: Algorithm,
    /// What the signature is over.
    pub(crate) to_be_signed: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Sign1 {
    /// Takes apart a tagged `COSE_Sign1` that stands alone.
    pub(crate) fn decode(part: Part, bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_inner(bytes).map_err(|problem| DecodeError { part, problem })
    }

    fn decode_inner(bytes: &[u8]) -> Result<Self, Problem> {
        let value = cbor::decode(bytes).map_err(Problem::Cbor)?;
        let sign1 = match value {
            Value::Tag(TAG, sign1) => *sign1,
            Value::Tag(other, _) => return Err(Problem::NotSign1(Some(other))),
            _ => return Err(Problem::NotSign1(None)),
        };
        // Inside the first byte string are headers that are parsed together with the rest.
        let protected = sign1
            .as_array()
            .and_then(|array| array.first())
            .and_then(Value::as_bytes)
            .ok_or(Problem::Sign1)?;
        if !protected.is_empty() {
            cbor::decode(protected).map_err(Problem::Cbor)?;
        }
        let sign1 = CoseSign1::from_cbor_value(sign1).map_err(|error| match error {
            CoseError::UnregisteredIanaValue | CoseError::UnregisteredIanaNonPrivateValue => {
                Problem::AlgorithmUnknown(None)
            }
            _ => Problem::Sign1,
        })?;
        let algorithm = algorithm(&sign1)?;
        if sign1.signature.len() != algorithm.signature_bytes() {
            return Err(Problem::SignatureLength {
                expected: algorithm.signature_bytes(),
                found: sign1.signature.len(),
            });
        }
        let to_be_signed = sign1.tbs_data(&[]);
        Ok(Self {
            algorithm,
            to_be_signed,
            payload: sign1.payload.ok_or(Problem::DetachedPayload)?,
            signature: sign1.signature,
        })
    }
}

/// The algorithm, from where the signature covers it.
fn algorithm(sign1: &CoseSign1) -> Result<Algorithm, Problem> {
    let protected = &sign1.protected.header;
    if !protected.crit.is_empty() {
        return Err(Problem::CriticalHeader);
    }
    match &protected.alg {
        None if sign1.unprotected.alg.is_some() => return Err(Problem::AlgorithmUnprotected),
        None => return Err(Problem::AlgorithmMissing),
        Some(_) => {}
    }
    // Nobody vouches for what is in there; a key identifier is only a hint, and is not used.
    let nothing_but_key_id = Header {
        key_id: sign1.unprotected.key_id.clone(),
        ..Header::default()
    };
    if sign1.unprotected != nothing_but_key_id {
        return Err(Problem::UnprotectedHeader);
    }
    match &protected.alg {
        Some(RegisteredLabelWithPrivate::Assigned(algorithm)) => {
            [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512]
                .into_iter()
                .find(|known| known.cose() == *algorithm)
                .ok_or_else(|| Problem::AlgorithmUnknown(Some(algorithm.to_i64())))
        }
        Some(RegisteredLabelWithPrivate::PrivateUse(number)) => {
            Err(Problem::AlgorithmUnknown(Some(*number)))
        }
        _ => Err(Problem::AlgorithmUnknown(None)),
    }
}
