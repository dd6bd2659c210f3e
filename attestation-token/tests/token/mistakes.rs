//! Mistakes that other verifiers made (reference, attestation.md, section 2). Those of commands
//! are tested with the command; those of decoding are in `cose` and `encoding`.

use std::sync::atomic::{AtomicUsize, Ordering};

use attestation_token::appraise::appraise;
use attestation_token::check::{Reason, Subject, Verdict};
use attestation_token::crypto::{RustCrypto, SignatureError, VerifyingKey};
use attestation_token::key::KeyError;
use attestation_token::policy::Policy;
use attestation_token::reference::ReferenceValues;
use attestation_token::trustworthiness::{Tier, Vectors};
use attestation_token::{
    Crypto, Curve, HashAlgorithm, HashValue, Lifecycle, PublicKey, Token, TrustAnchors, Verifier,
};

use crate::appraisal::{references, run};
use crate::samples::{CHALLENGE, Sample, key};

/// "Appraisal that hands out a good platform verdict though a signature failed."
#[test]
fn no_good_verdict_after_a_failed_signature() {
    let sample = Sample::new();
    let good = references(&sample);
    let breakages: [&dyn Fn(&mut Sample); 4] = [
        &|sample| sample.realm_key = key(Curve::P384, 9),
        &|sample| sample.platform_key = key(Curve::P384, 9),
        &|sample| sample.platform.challenge = HashValue::from([0; 32]),
        &|sample| sample.realm.challenge = [0; 64],
    ];
    for (index, breakage) in breakages.into_iter().enumerate() {
        let mut broken = sample.clone();
        breakage(&mut broken);
        let token = Token::decode(&broken.token()).unwrap();
        let verification = sample.verifier().verify(&token, Some(&CHALLENGE));
        let appraisal = appraise(&token, &verification, &good, &Policy::default());
        assert!(!appraisal.is_accepted(), "{index}");
        for check in &appraisal.checks()[4..] {
            let expected = (Verdict::NotChecked, &Reason::NotTrusted);
            assert_eq!((check.verdict, &check.reason), expected, "{index}: {check}");
        }
        let vectors = Vectors::from_appraisal(&appraisal);
        for (name, value) in [vectors.platform.claims(), vectors.realm.claims()].concat() {
            assert_eq!(value, 99, "{index}: {name}");
        }
    }
}

/// "Debug lifecycle reported as trustworthy."
#[test]
fn no_trust_in_a_machine_that_is_debugged() {
    let mut sample = Sample::new();
    sample.platform.lifecycle = Lifecycle(0x4000);
    let appraisal = run(&sample, &references(&sample), &Policy::default());
    assert!(!appraisal.is_accepted());
    assert_eq!(
        Vectors::from_appraisal(&appraisal).platform.tier(),
        Tier::Contraindicated
    );
}

/// "A REM mismatch still approved."
#[test]
fn a_rem_that_differs_is_not_approved() {
    for index in 0..4 {
        let mut sample = Sample::new();
        let good = references(&sample);
        sample.realm.extensible_measurements[index] = HashValue::from([0; 32]);
        let appraisal = run(&sample, &good, &Policy::default());
        assert!(!appraisal.is_accepted());
        let realm = Vectors::from_appraisal(&appraisal).realm;
        assert_eq!(realm.executables, 96);
        assert_eq!(realm.tier(), Tier::Contraindicated);
    }
}

/// "Platform software components, config and lifecycle computed, then not shown to the policy."
#[cfg(feature = "rego")]
#[test]
fn the_policy_is_shown_everything() {
    let sample = Sample::new();
    let token = Token::decode(&sample.token()).unwrap();
    let appraisal = run(&sample, &references(&sample), &Policy::default());
    let input = attestation_token::rego::input(&token, &appraisal);
    let platform = &input["platform"];
    assert_eq!(
        platform["cca-platform-sw-components"][1]["component-type"],
        "RMM"
    );
    assert_eq!(platform["cca-platform-config"], "cfcfcfcf");
    assert_eq!(platform["cca-platform-lifecycle"], 0x3003);
    let checks = input["checks"].as_array().unwrap();
    for subject in [
        "platform.config",
        "platform.lifecycle",
        "platform.software-component.RMM",
    ] {
        assert!(
            checks.iter().any(|check| check["check"] == subject),
            "{subject}"
        );
    }
}

/// "Realm warning that does not distinguish no reference values given from values differ."
#[test]
fn differing_and_not_compared_are_different_answers() {
    let mut sample = Sample::new();
    let good = references(&sample);
    let subject = Subject::InitialMeasurement;
    let without = run(&sample, &ReferenceValues::default(), &Policy::default());
    assert_eq!(without.verdict(&subject), Some(Verdict::NotCompared));
    sample.realm.initial_measurement = HashValue::from([0; 32]);
    let differing = run(&sample, &good, &Policy::default());
    assert_eq!(differing.verdict(&subject), Some(Verdict::Failed));
    let reason = |appraisal: &attestation_token::appraise::Appraisal| {
        let check = appraisal
            .checks()
            .iter()
            .find(|check| check.subject == subject);
        check.unwrap().reason.code()
    };
    assert_eq!(reason(&without), "no-reference-value");
    assert_eq!(reason(&differing), "differs");
}

/// Cryptography that counts the keys it prepares.
struct Counting<'a>(&'a AtomicUsize);

impl Crypto for Counting<'_> {
    type VerifyingKey = VerifyingKey;

    fn verifying_key(&self, key: &PublicKey) -> Result<VerifyingKey, KeyError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        RustCrypto.verifying_key(key)
    }

    fn verify(&self, key: &VerifyingKey, m: &[u8], s: &[u8]) -> Result<(), SignatureError> {
        RustCrypto.verify(key, m, s)
    }

    fn hash(&self, algorithm: HashAlgorithm, message: &[u8]) -> HashValue {
        RustCrypto.hash(algorithm, message)
    }
}

/// "Trust anchors and reference values re-read from disk on every request." A verifier has no way
/// to disk; and what it was given, it prepares once.
#[test]
fn trust_anchors_are_prepared_once() {
    let sample = Sample::new();
    let prepared = AtomicUsize::new(0);
    let anchors = TrustAnchors::new(&Counting(&prepared), [sample.anchor()]).unwrap();
    assert_eq!(prepared.load(Ordering::Relaxed), 1);
    let verifier = Verifier::new(Counting(&prepared), anchors);
    let token = Token::decode(&sample.token()).unwrap();
    for done in 1..=3 {
        assert!(verifier.verify(&token, Some(&CHALLENGE)).is_trusted());
        // Only the Realm's key, which is another in every token.
        assert_eq!(prepared.load(Ordering::Relaxed), 1 + done);
    }
}
