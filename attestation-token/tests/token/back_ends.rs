//! The fast back-end says what the portable one says.
#![cfg(feature = "fast")]

use attestation_token::crypto::{AwsLc, RustCrypto, hash};
use attestation_token::{
    Crypto as _, Curve, HashAlgorithm, PublicKey, Token, TrustAnchors, Verifier,
};

use crate::samples::{CHALLENGE, Sample, key};

const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

#[test]
fn both_verify_the_same_signatures() {
    for curve in CURVES {
        let signer = key(curve, 3);
        let public = signer.public_key();
        let portable = RustCrypto.verifying_key(&public).unwrap();
        let fast = AwsLc.verifying_key(&public).unwrap();
        let message = b"what is signed";
        let good = signer.sign_deterministic(message);
        let mut candidates = vec![good.clone(), Vec::new(), vec![0; good.len()]];
        candidates.push(vec![0xff; good.len()]);
        candidates.push([good.as_slice(), &[0]].concat());
        for index in 0..good.len() {
            let mut flipped = good.clone();
            flipped[index] ^= 0x40;
            candidates.push(flipped);
        }
        for (index, signature) in candidates.iter().enumerate() {
            let expected = RustCrypto.verify(&portable, message, signature);
            assert_eq!(expected.is_ok(), index == 0);
            assert_eq!(
                AwsLc.verify(&fast, message, signature),
                expected,
                "{curve} {index}"
            );
        }
        AwsLc.verify(&fast, b"something else", &good).unwrap_err();
    }
}

#[test]
fn both_refuse_the_same_keys() {
    for curve in CURVES {
        let good = key(curve, 3).public_key();
        let length = curve.coordinate_bytes();
        let mut y = good.y().to_vec();
        y[length - 1] ^= 1;
        for (x, y) in [
            (good.x().to_vec(), y),
            (vec![0; length], vec![0; length]),
            (vec![0xff; length], vec![0xff; length]),
        ] {
            let bad = PublicKey::from_coordinates(curve, &x, &y).unwrap();
            assert!(RustCrypto.verifying_key(&bad).is_err());
            assert!(AwsLc.verifying_key(&bad).is_err());
        }
    }
}

#[test]
fn both_hash_the_same() {
    for algorithm in [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ] {
        for length in [0, 1, 111, 112, 1000] {
            let message = vec![7; length];
            assert_eq!(AwsLc.hash(algorithm, &message), hash(algorithm, &message));
        }
    }
}

#[test]
fn whole_tokens() {
    for sample in [Sample::new(), Sample::v2024(), Sample::legacy()] {
        let anchors = TrustAnchors::new(&AwsLc, [sample.anchor()]).unwrap();
        let verifier = Verifier::new(AwsLc, anchors);
        let token = Token::decode(&sample.token()).unwrap();
        let verification = verifier.verify(&token, Some(&CHALLENGE));
        assert_eq!(
            verification,
            sample.verifier().verify(&token, Some(&CHALLENGE))
        );
        assert!(verification.is_trusted());
    }
}
