//! What a token says, and who believes it.

use attestation_token::claims::{HashValue, RealmProfile};
use attestation_token::{Algorithm, HashAlgorithm, Subject, Token, Verdict, Wrapper};
use ciborium::Value;
use rmm_attest::Attester;

use super::samples::{attester, platform_claims, request, scalar, signed};
use super::{token, verify};

const ALGORITHMS: [(HashAlgorithm, usize); 2] =
    [(HashAlgorithm::Sha256, 32), (HashAlgorithm::Sha512, 64)];

#[test]
fn it_is_believed_and_says_what_was_asked() {
    let attester = attester();
    for (algorithm, size) in ALGORITHMS {
        let request = request(algorithm);
        let token = Token::decode(&token(&attester, &request)).unwrap();
        let verification = verify(&token, request.challenge);
        assert!(verification.is_trusted());
        assert_eq!(verification.checks().len(), 4);
        for check in verification.checks() {
            assert_eq!(check.verdict, Verdict::Affirmed, "{check:?}");
        }

        assert_eq!(token.wrapper, Wrapper::Cca);
        assert_eq!(token.realm.algorithm(), Algorithm::Es384);
        assert_eq!(
            *token.platform.claims(),
            platform_claims(attester.binding())
        );
        let claims = token.realm.claims();
        assert_eq!(claims.profile, RealmProfile::V2023);
        assert_eq!(claims.challenge, request.challenge);
        assert_eq!(claims.personalization_value, request.personalization);
        assert_eq!(claims.hash_algorithm, algorithm);
        assert_eq!(claims.public_key_hash_algorithm, HashAlgorithm::Sha256);
        let [rim, rems @ ..] = request
            .measurements
            .map(|value| HashValue::from_slice(&value[..size]).unwrap());
        assert_eq!(claims.initial_measurement, rim);
        assert_eq!(claims.extensible_measurements, rems);
        assert_eq!(claims.instance_id, None);
        assert_eq!(claims.mec_policy, None);
        assert_eq!(claims.lfa_policy, None);
        assert_eq!(claims.devices_token_hash, None);
    }
}

/// What is behind a value of the algorithm's length does not come through.
#[test]
fn the_rest_of_a_measurement_is_left_out() {
    let attester = attester();
    let mut request = request(HashAlgorithm::Sha256);
    let first = token(&attester, &request);
    for measurement in &mut request.measurements {
        measurement[32..].fill(0xee);
    }
    assert_eq!(token(&attester, &request), first);
    request.measurements[4][31] ^= 1;
    assert_ne!(token(&attester, &request), first);
}

#[test]
fn it_is_not_believed_for_anything_else() {
    let request = request(HashAlgorithm::Sha256);
    let failed = |token: &[u8], challenge| {
        let token = Token::decode(token).unwrap();
        let verification = verify(&token, challenge);
        assert!(!verification.is_trusted());
        let failed = |check: &&attestation_token::Check| check.verdict == Verdict::Failed;
        let failures: Vec<_> = verification.checks().iter().filter(failed).collect();
        assert_eq!(failures.len(), 1, "{failures:?}");
        failures[0].subject.clone()
    };
    let good = token(&attester(), &request);
    let mut challenge = request.challenge;
    challenge[63] ^= 1;
    assert_eq!(failed(&good, challenge), Subject::Challenge);

    let mut bad = good;
    *bad.last_mut().unwrap() ^= 1;
    assert_eq!(failed(&bad, request.challenge), Subject::RealmSignature);

    // The platform token of another key.
    let mut other = scalar();
    other[47] ^= 1;
    let other = Attester::new(&other).unwrap();
    let mut attester = attester();
    let stolen = signed(&platform_claims(other.binding()));
    attester.set_platform_token(&stolen).unwrap();
    let token = token(&attester, &request);
    assert_eq!(failed(&token, request.challenge), Subject::Binding);
}

fn decode(bytes: &[u8]) -> Value {
    ciborium::from_reader(bytes).unwrap()
}

fn bytes(value: &Value) -> &[u8] {
    value.as_bytes().expect("a byte string")
}

/// Tags, headers and the order of the claims, as deployed RMMs have them (reference, sections 10.1
/// to 10.3).
#[test]
fn the_form_that_others_expect() {
    let attester = attester();
    for (algorithm, size) in ALGORITHMS {
        let request = request(algorithm);
        let token = token(&attester, &request);
        assert_eq!(token[..7], [0xd9, 0x01, 0x8f, 0xa2, 0x19, 0xac, 0xca]);
        let Value::Tag(399, collection) = decode(&token) else {
            panic!("no collection");
        };
        let members = collection.into_map().unwrap();
        let labels: Vec<_> = members.iter().map(|(label, _)| label.clone()).collect();
        assert_eq!(labels, [44234, 44241].map(Value::from));
        assert_eq!(
            bytes(&members[0].1),
            signed(&platform_claims(attester.binding()))
        );

        let realm = bytes(&members[1].1);
        assert_eq!(realm[..8], [0xd2, 0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0]);
        let Value::Tag(18, sign1) = decode(realm) else {
            panic!("no COSE_Sign1");
        };
        let sign1 = sign1.into_array().unwrap();
        assert_eq!(bytes(&sign1[3]).len(), 96);
        let claims = decode(bytes(&sign1[2])).into_map().unwrap();
        let labels: Vec<_> = claims.iter().map(|(label, _)| label.clone()).collect();
        let order = [10, 44235, 44237, 44236, 44240, 265, 44238, 44239];
        assert_eq!(labels, order.map(Value::from));

        let key = bytes(&claims[2].1);
        assert_eq!(key.len(), 107);
        let head = [0xa4, 0x01, 0x02, 0x20, 0x02, 0x21, 0x58, 0x30];
        assert_eq!(key[..8], head);
        assert_eq!(key[56..59], [0x22, 0x58, 0x30]);
        let name = format!("sha-{}", 8 * size);
        assert_eq!(claims[3].1, Value::from(name));
        assert_eq!(claims[4].1, Value::from("sha-256"));
        assert_eq!(claims[5].1, Value::from("tag:arm.com,2023:realm#1.0.0"));
        assert_eq!(bytes(&claims[6].1).len(), size);
        let rems = claims[7].1.as_array().unwrap();
        assert_eq!(rems.len(), 4);
        assert!(rems.iter().all(|rem| bytes(rem).len() == size));
    }
}
