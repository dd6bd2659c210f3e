//! A verifier that remembers platform tokens is as strict as one that does not.

use std::sync::atomic::{AtomicUsize, Ordering};

use attestation_token::check::{Reason, Subject, Verdict};
use attestation_token::crypto::{RustCrypto, SignatureError, VerifyingKey};
use attestation_token::key::KeyError;
use attestation_token::{
    Crypto, Curve, HashAlgorithm, HashValue, PublicKey, Token, TrustAnchor, TrustAnchors,
    VerifiedPlatforms, Verifier,
};

use crate::samples::{CHALLENGE, Sample, key, verifier};

/// Cryptography that counts the signatures it looks at.
struct Counting<'a>(&'a AtomicUsize);

impl Crypto for Counting<'_> {
    type VerifyingKey = VerifyingKey;

    fn verifying_key(&self, key: &PublicKey) -> Result<VerifyingKey, KeyError> {
        RustCrypto.verifying_key(key)
    }

    fn verify(&self, key: &VerifyingKey, m: &[u8], s: &[u8]) -> Result<(), SignatureError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        RustCrypto.verify(key, m, s)
    }

    fn hash(&self, algorithm: HashAlgorithm, message: &[u8]) -> HashValue {
        RustCrypto.hash(algorithm, message)
    }
}

fn token(sample: &Sample) -> Token {
    Token::decode(&sample.token()).unwrap()
}

#[test]
fn the_second_time_only_the_realm_token_is_verified() {
    let mut sample = Sample::new();
    let signatures = AtomicUsize::new(0);
    let anchors = TrustAnchors::new(&Counting(&signatures), [sample.anchor()]).unwrap();
    let verifier = Verifier::new(Counting(&signatures), anchors);
    let mut memory = VerifiedPlatforms::new(8);
    assert!(memory.is_empty());
    for (round, expected) in [(1, 2), (2, 3), (3, 4)] {
        // Another Realm of the same machine.
        sample.realm.personalization_value = [round; 64];
        let token = token(&sample);
        let verification = verifier.verify_with(&token, Some(&CHALLENGE), &mut memory);
        assert_eq!(verification, verifier.verify(&token, Some(&CHALLENGE)));
        assert!(verification.is_trusted());
        // What the comparison looked at is not counted.
        assert_eq!(signatures.fetch_sub(2, Ordering::Relaxed) - 2, expected);
    }
    assert_eq!(memory.len(), 1);
}

#[test]
fn other_bytes_are_another_token() {
    let sample = Sample::new();
    let mut memory = VerifiedPlatforms::new(8);
    let verifier = verifier([TrustAnchor::from(sample.platform_key.public_key())]);
    let good = sample.token();
    let known = verifier.verify_with(&token(&sample), Some(&CHALLENGE), &mut memory);
    assert!(known.is_trusted());
    // Every byte of both parts, the signature's and the claims' among them.
    for index in 0..good.len() {
        let mut changed = good.clone();
        changed[index] ^= 1;
        if let Ok(token) = Token::decode(&changed) {
            let verification = verifier.verify_with(&token, Some(&CHALLENGE), &mut memory);
            assert!(!verification.is_trusted(), "byte {index}");
        }
    }
    assert_eq!(memory.len(), 1);
}

#[test]
fn a_key_that_is_no_longer_believed_is_not_believed() {
    let sample = Sample::new();
    let token = token(&sample);
    let mut memory = VerifiedPlatforms::new(8);
    let believing = sample.verifier();
    assert!(
        believing
            .verify_with(&token, None, &mut memory)
            .is_trusted()
    );
    for (anchors, reason) in [
        (Vec::new(), Reason::NoTrustAnchor),
        (
            vec![key(Curve::P384, 9).public_key().into()],
            Reason::SignatureInvalid,
        ),
    ] {
        let verification = verifier(anchors).verify_with(&token, None, &mut memory);
        let check = &verification.checks()[0];
        assert_eq!(check.subject, Subject::PlatformSignature);
        assert_eq!((check.verdict, &check.reason), (Verdict::Failed, &reason));
        assert!(!verification.is_trusted() && verification.anchor().is_none());
    }
}

#[test]
fn what_failed_is_not_remembered_and_the_oldest_is_forgotten() {
    let mut sample = Sample::new();
    let anchor = TrustAnchor::from(sample.platform_key.public_key());
    let verifier = verifier([anchor]);
    let mut memory = VerifiedPlatforms::new(2);
    let mut stranger = sample.clone();
    stranger.platform_key = key(Curve::P384, 9);
    let refused = verifier.verify_with(&token(&stranger), None, &mut memory);
    assert!(!refused.is_trusted() && memory.is_empty());
    for (machine, expected) in [(1, 1), (2, 2), (3, 2), (3, 2), (1, 2)] {
        sample.platform.config = vec![machine];
        let token = token(&sample);
        assert!(verifier.verify_with(&token, None, &mut memory).is_trusted());
        assert_eq!(memory.len(), expected);
    }
    let mut none = VerifiedPlatforms::new(0);
    assert!(
        verifier
            .verify_with(&token(&sample), None, &mut none)
            .is_trusted()
    );
    assert!(none.is_empty());
}
