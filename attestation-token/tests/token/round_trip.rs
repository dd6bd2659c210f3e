//! What is built is taken apart into the same, in every generation and mixture.

use attestation_token::claims::{MecPolicy, PlatformProfile, RealmKey, RealmProfile};
use attestation_token::{Curve, HashAlgorithm, HashValue, PlatformToken, Token, Wrapper};

use crate::samples::{Sample, key};

fn check(sample: &Sample) {
    let token = Token::decode(&sample.token()).unwrap();
    assert_eq!(token.wrapper, sample.wrapper);
    assert_eq!(*token.platform.claims(), sample.platform);
    assert_eq!(*token.realm.claims(), sample.realm);
    let verification = sample.verify().unwrap();
    assert!(verification.is_trusted(), "{verification:?}");
}

#[test]
fn every_generation() {
    check(&Sample::new());
    check(&Sample::v2024());
    check(&Sample::legacy());
}

#[test]
fn mixed_pairs_in_both_wrappers() {
    for wrapper in [Wrapper::Cca, Wrapper::Cmw] {
        for platform in [
            PlatformProfile::Legacy,
            PlatformProfile::V2023,
            PlatformProfile::V2024,
        ] {
            for realm in [RealmProfile::None, RealmProfile::V2023, RealmProfile::V2024] {
                let mut sample = Sample::new();
                sample.wrapper = wrapper;
                sample.platform.profile = platform;
                sample.realm.profile = realm;
                if realm == RealmProfile::V2024 {
                    sample.realm.instance_id = Sample::v2024().realm.instance_id;
                    sample.realm.mec_policy = Some(MecPolicy::Shared);
                }
                check(&sample);
            }
        }
    }
}

#[test]
fn keys_on_every_curve() {
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        let mut sample = Sample::new();
        sample.platform_key = key(curve, 3);
        check(&sample);
        sample.set_realm_key(key(curve, 4));
        check(&sample);
    }
}

#[test]
fn binding_with_every_hash_algorithm() {
    for algorithm in [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ] {
        let mut sample = Sample::new();
        sample.realm.public_key_hash_algorithm = algorithm;
        sample.bind();
        assert_eq!(
            sample.platform.challenge.as_bytes().len(),
            algorithm.bytes()
        );
        check(&sample);
    }
}

#[test]
fn measurements_of_every_length() {
    for (algorithm, value) in [
        (HashAlgorithm::Sha256, HashValue::from([9; 32])),
        (HashAlgorithm::Sha384, HashValue::from([9; 48])),
        (HashAlgorithm::Sha512, HashValue::from([9; 64])),
    ] {
        let mut sample = Sample::new();
        sample.realm.hash_algorithm = algorithm;
        sample.realm.initial_measurement = value;
        sample.realm.extensible_measurements = [value; 4];
        check(&sample);
    }
}

#[test]
fn optional_claims_may_be_absent() {
    let mut sample = Sample::v2024();
    sample.platform.verification_service = None;
    sample.platform.manufacturing_config = None;
    sample.platform.extension.clear();
    sample.platform.rot_public_keys.clear();
    sample.platform.peer_signers = None;
    for component in &mut sample.platform.software_components {
        component.component_type = None;
        component.version = None;
        component.hash_algorithm = None;
        component.live_activation = None;
        component.countersigners.clear();
    }
    sample.realm.lfa_policy = None;
    sample.realm.devices_token_hash = None;
    check(&sample);
}

#[test]
fn an_rmm_between_generations_puts_its_mec_policy_into_a_2023_token() {
    let mut sample = Sample::new();
    sample.realm.mec_policy = Some(MecPolicy::Shared);
    check(&sample);
}

#[test]
fn the_key_hash_is_the_one_that_other_stacks_compute() {
    // TF-A's sample realm key and the challenge in its canned platform token.
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2)
            .map(|byte| u8::from_str_radix(&text[2 * byte..2 * byte + 2], 16).unwrap())
            .collect()
    };
    let scalar = "2011c7f03cee4325176e524f033c0ce1e21a76e6c1a4f0b839aa1df61e0e8a5c\
                  8a05740f9b69efa7eb1a4185bd117f68";
    let key =
        attestation_token::crypto::SigningKey::from_scalar(Curve::P384, &hex(scalar)).unwrap();
    let key = RealmKey::new(key.public_key());
    assert_eq!(key.encoded().len(), 107);
    assert_eq!(
        attestation_token::crypto::hash(HashAlgorithm::Sha256, key.encoded()).to_string(),
        "0d22e08a98469058486318283489bdb36f09dbefeb1864df433fa6e54ea2d711"
    );
}

#[test]
fn a_platform_token_alone() {
    let sample = Sample::v2024();
    let token = PlatformToken::decode(&sample.platform_token()).unwrap();
    assert_eq!(*token.claims(), sample.platform);
    assert!(sample.verifier().verify_platform(&token).is_trusted());
}

#[test]
fn sizes_are_those_of_the_reference_stack() {
    let mut sample = Sample::new();
    assert_eq!(sample.realm_token().len(), 590);
    sample.realm.hash_algorithm = HashAlgorithm::Sha512;
    sample.realm.initial_measurement = HashValue::from([9; 64]);
    sample.realm.extensible_measurements = [HashValue::from([9; 64]); 4];
    assert_eq!(sample.realm_token().len(), 750);
}
