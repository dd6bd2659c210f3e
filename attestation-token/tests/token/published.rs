//! Tokens of other projects, where they are at hand.

use std::path::PathBuf;

use attestation_token::check::{Reason, Subject, Verdict};
use attestation_token::{PlatformToken, PublicKey, Token, TrustAnchor, Wrapper};

use crate::samples::verifier;

/// The content of a published vector, unless this checkout has none beside it.
fn published(name: &str) -> Option<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    std::fs::read(folder.join(name)).ok()
}

/// The development key that signs all published platform tokens (TF-A and TF-M's test key).
fn development_key() -> TrustAnchor {
    TrustAnchor::from(
        PublicKey::from_coordinates(
            attestation_token::Curve::P384,
            &base64("IShnxS4rlQiwpCCpBWDzlNLfqiG911FP8akBr-fh94uxHU5m-Kijivp2r2oxxN6M"),
            &base64("hM4tr8mWQli1P61xh3T0ViDREbF26DGOEYfbAjWjGNN7pZf-6A4OTHYqEryz6m7U"),
        )
        .unwrap(),
    )
}

/// Bytes of URL-safe base64 without padding.
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = 0_u32;
    let mut count = 0;
    let mut bytes = Vec::new();
    for character in text.bytes() {
        let digit = ALPHABET
            .iter()
            .position(|other| *other == character)
            .unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}

#[test]
fn valid_tokens_of_every_generation_are_trusted() {
    for (name, wrapper) in [
        ("token-399-2023-pair.cbor", Wrapper::Cca),
        ("token-907-2023-platform-2024-realm.cbor", Wrapper::Cmw),
        ("token-399-legacy.cbor", Wrapper::Cca),
    ] {
        let Some(bytes) = published(name) else { return };
        let token = Token::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(token.wrapper, wrapper, "{name}");
        let verification = verifier([development_key()]).verify(&token, None);
        assert!(verification.is_trusted(), "{name}: {verification:?}");
    }
}

#[test]
fn a_wrong_binding_is_found_though_both_signatures_are_right() {
    let Some(bytes) = published("token-399-legacy-wrong-binding.cbor") else {
        return;
    };
    let token = Token::decode(&bytes).unwrap();
    let verification = verifier([development_key()]).verify(&token, None);
    assert!(!verification.is_trusted());
    for check in verification.checks() {
        match check.subject {
            Subject::PlatformSignature | Subject::RealmSignature => {
                assert_eq!(check.verdict, Verdict::Affirmed);
            }
            Subject::Binding => {
                assert_eq!(check.verdict, Verdict::Failed);
                assert!(matches!(check.reason, Reason::Differs { .. }));
            }
            _ => assert_eq!(check.verdict, Verdict::NotChecked),
        }
    }
}

#[test]
fn a_platform_token_alone_can_be_verified() {
    let Some(bytes) = published("platform-token-2023.cbor") else {
        return;
    };
    let token = PlatformToken::decode(&bytes).unwrap();
    assert_eq!(token.claims().software_components.len(), 13);
    assert!(
        verifier([development_key()])
            .verify_platform(&token)
            .is_trusted()
    );
}
