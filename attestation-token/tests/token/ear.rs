//! Attestation results.

use attestation_token::ear::{EarContext, EarFormat, claims, policy_id, sign};
use attestation_token::encoding::{base64url, from_base64url};
use attestation_token::policy::Policy;
use attestation_token::reference::ReferenceValues;
use attestation_token::trust::file::to_jwk;
use attestation_token::{Crypto as _, Curve, Token, crypto::RustCrypto};
use serde_json::Value;

use crate::appraisal::{references, run};
use crate::samples::{Sample, key};

fn context(format: EarFormat) -> EarContext<'static> {
    EarContext {
        format,
        developer: "https://example.com",
        build: "test 1",
        issued_at: 1_800_000_000,
        expires: Some(1_800_000_300),
        nonce: Some(b"what the relying party sent"),
        policy_id: Some("policy:test"),
    }
}

#[test]
fn a_signed_result_verifies_and_says_what_came_out() {
    let sample = Sample::v2024();
    let token = Token::decode(&sample.token()).unwrap();
    let appraisal = run(&sample, &references(&sample), &Policy::default());
    for (curve, algorithm) in [(Curve::P256, "ES256"), (Curve::P384, "ES384")] {
        let mut signer = key(curve, 40);
        let jwt = sign(
            &token,
            &appraisal,
            &context(EarFormat::Draft04),
            &mut signer,
        )
        .unwrap();
        let (message, signature) = jwt.rsplit_once('.').unwrap();
        let ready = RustCrypto.verifying_key(&signer.public_key()).unwrap();
        let signature = from_base64url(signature).unwrap();
        RustCrypto
            .verify(&ready, message.as_bytes(), &signature)
            .unwrap();
        let parts: Vec<Value> = message
            .split('.')
            .map(|part| serde_json::from_slice(&from_base64url(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0]["alg"], algorithm);
        let ear = &parts[1];
        assert_eq!(ear["eat_profile"], "tag:ietf.org,2026:rats/ear#04");
        assert_eq!(ear["iat"], 1_800_000_000);
        assert_eq!(ear["ear_status"], "affirming");
        // The nonce is the relying party's, not the Realm's challenge.
        assert_eq!(ear["eat_nonce"], base64url(b"what the relying party sent"));
        assert_eq!(ear["ear_verifier_id"]["developer"], "https://example.com");
        for part in ["CCA_SSD_PLATFORM", "CCA_REALM"] {
            let part = &ear["submods"][part];
            assert_eq!(part["ear_status"], "affirming");
            assert_eq!(part["ear_trustworthiness_vector"]["instance-identity"], 2);
            assert_eq!(part["ear_appraisal_policy_ids"][0], "policy:test");
            assert!(part["ear_attester_claims"].is_object());
        }
    }
}

/// Relying parties read results with a library that has nothing to do with this one.
#[test]
fn another_library_verifies_it() {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

    let sample = Sample::v2024();
    let token = Token::decode(&sample.token()).unwrap();
    let accepted = run(&sample, &references(&sample), &Policy::default());
    let mut other = sample.clone();
    other.realm.initial_measurement = [0xbb; 32].into();
    let rejected = run(&other, &references(&sample), &Policy::default());
    let context = EarContext {
        // The other library looks at the clock.
        expires: Some(4_102_444_800),
        ..context(EarFormat::Draft04)
    };
    for (curve, algorithm) in [
        (Curve::P256, Algorithm::ES256),
        (Curve::P384, Algorithm::ES384),
    ] {
        let mut signer = key(curve, 40);
        let read = |jwt: &str, key: &str| {
            let key: Jwk = serde_json::from_str(key).unwrap();
            let key = DecodingKey::from_jwk(&key).unwrap();
            decode::<Value>(jwt, &key, &Validation::new(algorithm)).map(|data| data.claims)
        };
        let public = to_jwk(&signer.public_key());
        for (appraisal, status, executables) in [
            (&accepted, "affirming", 2),
            (&rejected, "contraindicated", 96),
        ] {
            let jwt = sign(&token, appraisal, &context, &mut signer).unwrap();
            let ear = read(&jwt, &public).unwrap_or_else(|error| panic!("{algorithm:?}: {error}"));
            assert_eq!(ear["ear_status"], status);
            let realm = &ear["submods"]["CCA_REALM"];
            assert_eq!(realm["ear_status"], status);
            let vector = &realm["ear_trustworthiness_vector"];
            assert_eq!(vector["executables"], executables);
            assert_eq!(vector["instance-identity"], 2);
            let platform = &ear["submods"]["CCA_SSD_PLATFORM"];
            assert_eq!(platform["ear_trustworthiness_vector"]["hardware"], 2);
            // Neither of another signer nor changed.
            let stranger = to_jwk(&key(curve, 41).public_key());
            assert!(read(&jwt, &stranger).is_err());
            let mut changed = jwt.clone().into_bytes();
            let middle = jwt.find('.').unwrap() + 20;
            changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
            assert!(read(std::str::from_utf8(&changed).unwrap(), &public).is_err());
        }
    }
}

#[test]
fn the_older_form() {
    let sample = Sample::new();
    let token = Token::decode(&sample.token()).unwrap();
    let appraisal = run(&sample, &references(&sample), &Policy::default());
    let ear = claims(&token, &appraisal, &context(EarFormat::Veraison2023));
    assert_eq!(ear["eat_profile"], "tag:github.com,2023:veraison/ear");
    let realm = &ear["submods"]["CCA_REALM"];
    assert_eq!(realm["ear.status"], "affirming");
    assert_eq!(realm["ear.trustworthiness-vector"]["executables"], 2);
    assert_eq!(realm["ear.appraisal-policy-id"], "policy:test");
    let rim = &realm["ear.veraison.annotated-evidence"]["cca-realm-initial-measurement"];
    assert_eq!(*rim, sample.realm.initial_measurement.to_string());
}

#[test]
fn what_is_not_compared_is_not_affirmed() {
    let sample = Sample::new();
    let token = Token::decode(&sample.token()).unwrap();
    let appraisal = run(&sample, &ReferenceValues::default(), &Policy::default());
    assert!(appraisal.is_accepted());
    let ear = claims(&token, &appraisal, &context(EarFormat::Draft04));
    assert_eq!(ear["ear_status"], "none");
    assert_eq!(ear["submods"]["CCA_REALM"]["ear_status"], "none");
    assert_eq!(ear["submods"]["CCA_SSD_PLATFORM"]["ear_status"], "none");
    // Only one of the two.
    let mut realm_only = references(&sample);
    realm_only.platforms.clear();
    let appraisal = run(&sample, &realm_only, &Policy::default());
    let ear = claims(&token, &appraisal, &context(EarFormat::Draft04));
    assert_eq!(ear["submods"]["CCA_REALM"]["ear_status"], "affirming");
    assert_eq!(ear["ear_status"], "none");
}

#[test]
fn once_a_signature_failed_nothing_is_affirmed_or_passed_on() {
    let mut sample = Sample::new();
    let good = references(&sample);
    sample.realm_key = key(Curve::P384, 9);
    let token = Token::decode(&sample.token()).unwrap();
    let appraisal = run(&sample, &good, &Policy::default());
    for format in [EarFormat::Draft04, EarFormat::Veraison2023] {
        let ear = claims(&token, &appraisal, &context(format));
        for (_, part) in ear["submods"].as_object().unwrap() {
            let part = part.as_object().unwrap();
            for (name, value) in part {
                if name.ends_with("status") {
                    assert_eq!(value, "contraindicated");
                } else if name.ends_with("vector") {
                    for (_, value) in value.as_object().unwrap() {
                        assert_eq!(*value, 99);
                    }
                } else {
                    assert!(name.contains("policy"), "{name}");
                }
            }
        }
    }
}

#[test]
fn a_refusal_by_the_owners_policy_is_a_refusal() {
    let sample = Sample::new();
    let token = Token::decode(&sample.token()).unwrap();
    let policy = Policy::parse(b"mec-policy = \"private\"").unwrap();
    let appraisal = run(&sample, &references(&sample), &policy);
    let ear = claims(&token, &appraisal, &context(EarFormat::Draft04));
    assert_eq!(ear["ear_status"], "contraindicated");
}

#[test]
fn policies_have_identifiers() {
    assert_eq!(
        policy_id(b""),
        "policy:sha-256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}
