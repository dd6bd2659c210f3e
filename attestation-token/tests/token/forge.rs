//! Tokens that nobody should make.

use attestation_token::crypto::SigningKey;
use ciborium::Value;

use crate::samples::Sample;

/// A protected header that says ES384.
pub(crate) const ES384: &[u8] = &[0xa1, 0x01, 0x38, 0x22];

/// An item as CBOR.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// The entries of a map.
pub(crate) type Entries = Vec<(Value, Value)>;

/// The entries of a payload.
pub(crate) fn entries(payload: &[u8]) -> Entries {
    let value: Value = ciborium::from_reader(payload).unwrap();
    value.into_map().unwrap()
}

/// A `COSE_Sign1` whose signature is right, whatever its headers are.
pub(crate) fn sign1(
    protected: &[u8],
    unprotected: Value,
    payload: &[u8],
    key: &SigningKey,
) -> Vec<u8> {
    let array = Value::Array(vec![
        Value::Bytes(protected.to_vec()),
        unprotected,
        Value::Bytes(payload.to_vec()),
        Value::Bytes(signature(protected, payload, key)),
    ]);
    encode(&Value::Tag(18, Box::new(array)))
}

pub(crate) fn signature(protected: &[u8], payload: &[u8], key: &SigningKey) -> Vec<u8> {
    let to_be_signed = Value::Array(vec![
        Value::Text("Signature1".into()),
        Value::Bytes(protected.to_vec()),
        Value::Bytes(Vec::new()),
        Value::Bytes(payload.to_vec()),
    ]);
    key.sign_deterministic(&encode(&to_be_signed))
}

/// An empty header.
pub(crate) fn no_header() -> Value {
    Value::Map(Vec::new())
}

impl Sample {
    /// The token with another payload in the platform token, rightly signed.
    pub(crate) fn with_platform_payload(&self, payload: &[u8]) -> Vec<u8> {
        let platform = sign1(ES384, no_header(), payload, &self.platform_key);
        self.wrapper.encode(&platform, &self.realm_token())
    }

    /// The token with another payload in the realm token, rightly signed.
    pub(crate) fn with_realm_payload(&self, payload: &[u8]) -> Vec<u8> {
        let realm = sign1(ES384, no_header(), payload, &self.realm_key);
        self.wrapper.encode(&self.platform_token(), &realm)
    }
}
