//! Policies in Rego.
#![cfg(feature = "rego")]

use attestation_token::Token;
use attestation_token::check::{Subject, Verdict};
use attestation_token::policy::Policy;
use attestation_token::reference::ReferenceValues;
use attestation_token::rego::{RegoError, RegoPolicy, input};

use crate::appraisal::{references, run};
use crate::samples::Sample;

/// Verdict and text of a policy on the default sample.
pub(crate) fn ask(policy: &str) -> (Verdict, String) {
    let sample = Sample::v2024();
    let token = Token::decode(&sample.token()).unwrap();
    let mut appraisal = run(&sample, &references(&sample), &Policy::default());
    assert!(appraisal.is_accepted());
    let data = serde_json::json!({ "owner": "77".repeat(64) });
    RegoPolicy::parse("test.rego", policy.as_bytes(), Some(data))
        .unwrap()
        .apply(&token, &mut appraisal);
    let check = appraisal.checks().last().unwrap();
    assert_eq!(check.subject, Subject::Policy("rego".into()));
    assert_eq!(appraisal.is_accepted(), check.verdict == Verdict::Affirmed);
    (check.verdict, check.reason.to_string())
}

#[test]
fn all_claims_of_both_parts_are_there() {
    let policy = r#"
        package cca
        default allow := false
        allow if {
            input.accepted
            input["wrapper-tag"] == 907
            input.platform["cca-platform-lifecycle"] == 12291
            input.platform["cca-platform-lifecycle-state"] == "secured"
            input.platform["cca-platform-config"] == "cfcfcfcf"
            input.platform["cca-platform-manufacturing-config"] == "abababab"
            some component in input.platform["cca-platform-sw-components"]
            component["component-type"] == "RMM"
            component.version == "1.2"
            count(input.platform["cca-platform-extension"]) == 1
            count(input.realm["cca-realm-extensible-measurements"]) == 4
            input.realm["cca-realm-mec-policy"] == 1
            input.realm["cca-realm-personalization-value"] == data.owner
            some check in input.checks
            check.check == "realm.initial-measurement"
            check.verdict == "affirmed"
        }
    "#;
    assert_eq!(ask(policy).0, Verdict::Affirmed);
}

#[test]
fn only_true_is_true() {
    for body in [
        "default allow := false",
        "allow if false",
        "allow := \"true\"",
        "allow := 1",
        "allow := {\"result\": true}",
        "allow if input.nothing.like.it",
        "allow if 1 % 0 == 1",
        "allow if to_number(\"x\") == 1",
    ] {
        let (verdict, text) = ask(&format!("package cca\n{body}\n"));
        assert_eq!(verdict, Verdict::Failed, "{body}: {text}");
    }
    assert_eq!(ask("package cca\nallow := true\n").0, Verdict::Affirmed);
}

#[test]
fn reasons_are_passed_on() {
    let (verdict, text) = ask("package cca\n\
        default allow := false\n\
        reasons contains \"not on Sundays\" if not allow\n");
    assert_eq!(verdict, Verdict::Failed);
    assert!(text.contains("not on Sundays"), "{text}");
}

#[test]
fn what_the_built_in_rules_refuse_stays_refused() {
    let mut sample = Sample::new();
    let good = references(&sample);
    sample.realm.personalization_value = [0; 64];
    let token = Token::decode(&sample.token()).unwrap();
    let mut appraisal = run(&sample, &good, &Policy::default());
    let policy = RegoPolicy::parse("p", b"package cca\nallow := true\n", None).unwrap();
    policy.apply(&token, &mut appraisal);
    assert!(!appraisal.is_accepted());
    assert_eq!(input(&token, &appraisal)["accepted"], false);
}

#[test]
fn a_policy_is_not_asked_about_a_token_that_is_not_trusted() {
    let mut sample = Sample::new();
    sample.platform.challenge = [0; 32].into();
    let token = Token::decode(&sample.token()).unwrap();
    let mut appraisal = run(&sample, &ReferenceValues::default(), &Policy::default());
    let policy = RegoPolicy::parse("p", b"package cca\nallow := true\n", None).unwrap();
    policy.apply(&token, &mut appraisal);
    assert!(!appraisal.is_accepted());
    assert_eq!(
        appraisal.checks().last().unwrap().verdict,
        Verdict::NotChecked
    );
}

#[test]
fn one_policy_serves_many_tokens() {
    let policy = b"package cca\nallow if input.realm[\"cca-realm-challenge\"] == \"5a5a\"\n\
                   allow if input[\"wrapper-tag\"] == 907\n";
    let policy = RegoPolicy::parse("p", policy, None).unwrap();
    for (sample, allowed) in [
        (Sample::v2024(), true),
        (Sample::new(), false),
        (Sample::v2024(), true),
    ] {
        let token = Token::decode(&sample.token()).unwrap();
        let mut appraisal = run(&sample, &ReferenceValues::default(), &Policy::default());
        policy.apply(&token, &mut appraisal);
        assert_eq!(appraisal.is_accepted(), allowed);
    }
}

#[test]
fn what_is_not_a_policy_is_refused() {
    let error = |text: &[u8]| RegoPolicy::parse("p.rego", text, None).unwrap_err();
    assert!(matches!(
        error(b"package cca\nallow {"),
        RegoError::Syntax(_)
    ));
    assert!(matches!(error(b""), RegoError::Syntax(_)));
    assert_eq!(error(b"package other\nallow := true\n"), RegoError::NoAllow);
    assert_eq!(error(b"package cca\nallowed := true\n"), RegoError::NoAllow);
    assert_eq!(error(&[0xff]), RegoError::NotText);
    assert!(matches!(error(&vec![b' '; 2 << 20]), RegoError::Syntax(_)));
}
