//! Bytes as a token, as each of its parts, as claims, and as a key.
#![no_main]

use attestation_token::{PlatformToken, PublicKey, RealmToken, Token};
use ciborium::Value;
use libfuzzer_sys::fuzz_target;

/// A `COSE_Sign1` with ES384 and a signature of the right length.
fn wrapped(payload: &[u8]) -> Vec<u8> {
    let array = Value::Array(vec![
        Value::Bytes(vec![0xa1, 0x01, 0x38, 0x22]),
        Value::Map(Vec::new()),
        Value::Bytes(payload.to_vec()),
        Value::Bytes(vec![1; 96]),
    ]);
    let mut bytes = Vec::new();
    ciborium::into_writer(&Value::Tag(18, Box::new(array)), &mut bytes).unwrap();
    bytes
}

fn check_platform(token: &PlatformToken) {
    let again = PlatformToken::decode(&wrapped(&token.claims().encode())).unwrap();
    assert_eq!(again.claims(), token.claims());
}

fn check_realm(token: &RealmToken) {
    let again = RealmToken::decode(&wrapped(&token.claims().encode())).unwrap();
    assert_eq!(again.claims(), token.claims());
}

fuzz_target!(|bytes: &[u8]| {
    match Token::decode(bytes) {
        Ok(token) => {
            check_platform(&token.platform);
            check_realm(&token.realm);
            let _ = attestation_token::json::token(&token).to_string();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for input in [bytes, &wrapped(bytes)] {
        match PlatformToken::decode(input) {
            Ok(token) => check_platform(&token),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        match RealmToken::decode(input) {
            Ok(token) => check_realm(&token),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if let Ok(key) = PublicKey::from_cose_key(bytes) {
        assert_eq!(PublicKey::from_cose_key(&key.to_cose_key()), Ok(key));
    }
});
