//! Signatures, binding, challenge, and whose key is believed for which machine.

use attestation_token::check::{Reason, Subject, Verdict};
use attestation_token::claims::{InstanceId, RealmKey};
use attestation_token::crypto::RustCrypto;
use attestation_token::key::KeyError;
use attestation_token::trust::Identity;
use attestation_token::{
    Challenge, Curve, PublicKey, Token, TrustAnchor, TrustAnchors, Verification, Verifier,
};

use crate::forge::{ES384, no_header, sign1};
use crate::samples::{CHALLENGE, IMPLEMENTATION_ID, Sample, key, verifier};

/// Verdict and reason of one check.
fn outcome(verification: &Verification, subject: &Subject) -> (Verdict, Reason) {
    let check = verification
        .checks()
        .iter()
        .find(|check| check.subject == *subject)
        .unwrap();
    (check.verdict, check.reason.clone())
}

fn verify(token: &[u8], verifier: &Verifier<RustCrypto>) -> Verification {
    verifier.verify(&Token::decode(token).unwrap(), Some(&CHALLENGE))
}

/// After the first check that failed, nothing is affirmed but what was before it.
fn nothing_after_a_failure(verification: &Verification) {
    assert!(!verification.is_trusted());
    for subject in [Subject::Binding, Subject::Challenge] {
        let expected = (Verdict::NotChecked, Reason::NotTrusted);
        assert_eq!(outcome(verification, &subject), expected);
    }
}

#[test]
fn a_signature_of_another_machine() {
    let sample = Sample::new();
    let mut other = sample.clone();
    other.platform_key = key(Curve::P384, 9);
    let verification = verify(&other.token(), &sample.verifier());
    let expected = (Verdict::Failed, Reason::SignatureInvalid);
    assert_eq!(
        outcome(&verification, &Subject::PlatformSignature),
        expected
    );
    assert_eq!(verification.anchor(), None);
    nothing_after_a_failure(&verification);
}

#[test]
fn a_signature_of_another_realm_key() {
    let mut sample = Sample::new();
    sample.realm_key = key(Curve::P384, 9);
    let verification = sample.verify().unwrap();
    let expected = (Verdict::Failed, Reason::SignatureInvalid);
    assert_eq!(outcome(&verification, &Subject::RealmSignature), expected);
    nothing_after_a_failure(&verification);
}

#[test]
fn swapped_signatures() {
    let sample = Sample::new();
    let platform = sample.platform_token();
    let realm = sample.realm_token();
    let (platform_body, platform_signature) = platform.split_at(platform.len() - 96);
    let (realm_body, realm_signature) = realm.split_at(realm.len() - 96);
    let token = sample.wrapper.encode(
        &[platform_body, realm_signature].concat(),
        &[realm_body, platform_signature].concat(),
    );
    let verification = verify(&token, &sample.verifier());
    for subject in [Subject::PlatformSignature, Subject::RealmSignature] {
        let expected = (Verdict::Failed, Reason::SignatureInvalid);
        assert_eq!(outcome(&verification, &subject), expected);
    }
    nothing_after_a_failure(&verification);
}

#[test]
fn a_realm_token_on_the_platform_token_of_another_launch() {
    let sample = Sample::new();
    let mut other = sample.clone();
    other.set_realm_key(key(Curve::P384, 9));
    let token = sample
        .wrapper
        .encode(&other.platform_token(), &sample.realm_token());
    let verification = verify(&token, &sample.verifier());
    assert!(!verification.is_trusted());
    let (verdict, reason) = outcome(&verification, &Subject::Binding);
    assert_eq!(verdict, Verdict::Failed);
    let expected = Reason::Differs {
        expected: vec![other.platform.challenge.to_string()],
        found: sample.platform.challenge.to_string(),
    };
    // What the platform token vouches for is expected; what the realm token has is found.
    assert_eq!(reason, expected);
    let expected = (Verdict::NotChecked, Reason::NotTrusted);
    assert_eq!(outcome(&verification, &Subject::Challenge), expected);
}

#[test]
fn the_two_parts_in_each_others_place() {
    let sample = Sample::new();
    let token = sample
        .wrapper
        .encode(&sample.realm_token(), &sample.platform_token());
    Token::decode(&token).unwrap_err();
}

#[test]
fn another_challenge() {
    let sample = Sample::new();
    let token = Token::decode(&sample.token()).unwrap();
    let verifier = sample.verifier();
    for index in [0, 31, 32, 63] {
        let mut challenge = CHALLENGE;
        challenge.0[index] ^= 1;
        let verification = verifier.verify(&token, Some(&challenge));
        assert!(!verification.is_trusted());
        let (verdict, reason) = outcome(&verification, &Subject::Challenge);
        assert_eq!(verdict, Verdict::Failed);
        assert!(matches!(reason, Reason::Differs { .. }));
    }
    let verification = verifier.verify(&token, None);
    assert!(verification.is_trusted());
    let expected = (Verdict::NotChecked, Reason::NoChallenge);
    assert_eq!(outcome(&verification, &Subject::Challenge), expected);
}

#[test]
fn short_challenges_have_zeroes_behind_them() {
    let mut sample = Sample::new();
    sample.realm.challenge[32..].fill(0);
    let token = Token::decode(&sample.token()).unwrap();
    let padded = Challenge::padded(&[0x5a; 32]).unwrap();
    assert!(sample.verifier().verify(&token, Some(&padded)).is_trusted());
    assert_eq!(Challenge::padded(&[0x5a; 64]), Some(CHALLENGE));
    assert_eq!(Challenge::padded(&[0x5a; 31]), None);
    assert_eq!(Challenge::padded(&[0x5a; 65]), None);
}

#[test]
fn keys_and_algorithms_have_to_fit() {
    // The token says ES256, the machine's key is on P-384.
    let sample = Sample::new();
    let mut other = sample.clone();
    other.platform_key = key(Curve::P256, 1);
    let verification = verify(&other.token(), &sample.verifier());
    let expected = Reason::AlgorithmMismatch {
        algorithm: attestation_token::Algorithm::Es256,
        curve: Curve::P384,
    };
    let (verdict, reason) = outcome(&verification, &Subject::PlatformSignature);
    assert_eq!((verdict, reason), (Verdict::Failed, expected));

    // The realm token says ES384, its key is on P-256.
    let mut sample = Sample::new();
    let signing = sample.realm_key.clone();
    sample.set_realm_key(key(Curve::P256, 1));
    let realm = sign1(ES384, no_header(), &sample.realm.encode(), &signing);
    let token = sample.wrapper.encode(&sample.platform_token(), &realm);
    let verification = verify(&token, &sample.verifier());
    let (verdict, reason) = outcome(&verification, &Subject::RealmSignature);
    assert_eq!(verdict, Verdict::Failed);
    assert!(matches!(reason, Reason::AlgorithmMismatch { .. }));
}

#[test]
fn points_off_the_curve() {
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        let good = key(curve, 5).public_key();
        let mut y = good.y().to_vec();
        *y.last_mut().unwrap() ^= 1;
        let off = PublicKey::from_coordinates(curve, good.x(), &y).unwrap();
        let zero = vec![0; curve.coordinate_bytes()];
        let zero = PublicKey::from_coordinates(curve, &zero, &zero).unwrap();
        let large = vec![0xff; curve.coordinate_bytes()];
        let large = PublicKey::from_coordinates(curve, &large, &large).unwrap();
        for bad in [off, zero, large] {
            let anchors = TrustAnchors::new(&RustCrypto, [TrustAnchor::from(bad.clone())]);
            assert_eq!(anchors.unwrap_err(), KeyError::NotOnCurve);

            // In a realm token that a platform token vouches for.
            let mut sample = Sample::new();
            sample.set_realm_key(key(curve, 5));
            sample.realm.public_key = RealmKey::new(bad);
            sample.bind();
            let verification = sample.verify().unwrap();
            let expected = (Verdict::Failed, Reason::Key(KeyError::NotOnCurve));
            assert_eq!(outcome(&verification, &Subject::RealmSignature), expected);
            nothing_after_a_failure(&verification);
        }
    }
}

#[test]
fn signatures_that_are_zero_or_too_large() {
    let sample = Sample::new();
    let token = sample.platform_token();
    let (body, signature) = token.split_at(token.len() - 96);
    for (r, s) in [(0x00, 0x00), (0x00, 0xff), (0xff, 0x00), (0xff, 0xff)] {
        let mut forged = [r; 96];
        forged[48..].fill(s);
        let mut half = signature.to_vec();
        half[..48].fill(r);
        for signature in [forged.to_vec(), half] {
            let token = [body, &signature].concat();
            let token = sample.wrapper.encode(&token, &sample.realm_token());
            assert!(!verify(&token, &sample.verifier()).is_trusted());
        }
    }
}

#[test]
fn whose_key_is_believed_for_which_machine() {
    let sample = Sample::new();
    let token = Token::decode(&sample.token()).unwrap();
    let other_instance = InstanceId::from_random([0x30; 32]);
    let instance = Some(sample.platform.instance_id);
    let implementation = Some(sample.platform.implementation_id);
    for (instance_id, implementation_id, trusted) in [
        (None, None, true),
        (instance, None, true),
        (None, implementation, true),
        (instance, implementation, true),
        (Some(other_instance), None, false),
        (None, Some([0x18; 32]), false),
        (instance, Some([0x18; 32]), false),
        (Some(other_instance), implementation, false),
    ] {
        let anchor = TrustAnchor {
            identity: Identity {
                instance_id,
                implementation_id,
            },
            key: sample.platform_key.public_key(),
        };
        let verification = verifier([anchor.clone()]).verify(&token, Some(&CHALLENGE));
        assert_eq!(verification.is_trusted(), trusted, "{anchor:?}");
        if trusted {
            assert_eq!(verification.anchor(), Some(&anchor));
        } else {
            let expected = (Verdict::Failed, Reason::NoTrustAnchor);
            assert_eq!(
                outcome(&verification, &Subject::PlatformSignature),
                expected
            );
        }
    }
    assert!(!verifier([]).verify(&token, Some(&CHALLENGE)).is_trusted());
}

#[test]
fn the_key_of_a_machine_is_the_only_one_for_it() {
    // Somebody has the key of the kind, but this machine has a key of its own.
    let sample = Sample::new();
    let token = Token::decode(&sample.token()).unwrap();
    let own = TrustAnchor {
        key: key(Curve::P384, 9).public_key(),
        ..sample.anchor()
    };
    let of_the_kind = TrustAnchor {
        identity: Identity {
            instance_id: None,
            implementation_id: Some(sample.platform.implementation_id),
        },
        key: sample.platform_key.public_key(),
    };
    let any = TrustAnchor::from(sample.platform_key.public_key());
    let verification = verifier([own, of_the_kind, any]).verify(&token, Some(&CHALLENGE));
    assert!(!verification.is_trusted());
}

#[test]
fn a_key_for_another_kind_of_machine_is_not_tried() {
    let sample = Sample::new();
    let token = Token::decode(&sample.token()).unwrap();
    let with = |implementation_id, key| TrustAnchor {
        identity: Identity {
            instance_id: Some(sample.platform.instance_id),
            implementation_id: Some(implementation_id),
        },
        key,
    };
    let verification = verifier([
        with([0x18; 32], sample.platform_key.public_key()),
        with(IMPLEMENTATION_ID, key(Curve::P384, 9).public_key()),
    ])
    .verify(&token, Some(&CHALLENGE));
    assert!(!verification.is_trusted());
}

#[test]
fn several_keys_of_one_machine() {
    let sample = Sample::new();
    let token = Token::decode(&sample.token()).unwrap();
    let with = |key| TrustAnchor {
        key,
        ..sample.anchor()
    };
    let verification = verifier([
        with(key(Curve::P256, 1).public_key()),
        with(key(Curve::P384, 9).public_key()),
        sample.anchor(),
    ])
    .verify(&token, Some(&CHALLENGE));
    assert!(verification.is_trusted());
}
