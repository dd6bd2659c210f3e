//! Comparing with reference values under a policy.

use attestation_token::appraise::{Appraisal, appraise, appraise_platform};
use attestation_token::check::{Reason, Subject, Verdict};
use attestation_token::claims::{LifecycleState, MecPolicy};
use attestation_token::policy::Policy;
use attestation_token::reference::extract::from_token;
use attestation_token::reference::{MaskedBytes, PlatformReference, ReferenceValues};
use attestation_token::trustworthiness::{Tier, Vectors};
use attestation_token::{HashValue, Lifecycle, PlatformToken, Token};

use crate::samples::{CHALLENGE, Sample, component};

type Change<'a> = &'a dyn Fn(&mut Sample);

pub(crate) fn run(sample: &Sample, references: &ReferenceValues, policy: &Policy) -> Appraisal {
    let token = Token::decode(&sample.token()).unwrap();
    let verification = sample.verifier().verify(&token, Some(&CHALLENGE));
    appraise(&token, &verification, references, policy)
}

pub(crate) fn references(sample: &Sample) -> ReferenceValues {
    from_token(&Token::decode(&sample.token()).unwrap())
}

/// The reason of the only check that failed.
fn only_failure(appraisal: &Appraisal) -> (Subject, Reason) {
    assert!(!appraisal.is_accepted());
    let failed: Vec<_> = appraisal
        .checks()
        .iter()
        .filter(|check| check.verdict == Verdict::Failed)
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    (failed[0].subject.clone(), failed[0].reason.clone())
}

fn policy(text: &str) -> Policy {
    Policy::parse(text.as_bytes()).unwrap()
}

#[test]
fn everything_as_expected() {
    for sample in [Sample::new(), Sample::v2024(), Sample::legacy()] {
        let appraisal = run(&sample, &references(&sample), &Policy::default());
        assert!(appraisal.is_accepted() && appraisal.is_compared());
        for check in appraisal.checks() {
            assert_eq!(check.verdict, Verdict::Affirmed, "{check}");
        }
        let vectors = Vectors::from_appraisal(&appraisal);
        assert_eq!(vectors.platform.tier(), Tier::Affirming);
        assert_eq!(vectors.realm.tier(), Tier::Affirming);
        assert_eq!(vectors.realm.executables, 2);
        assert_eq!(vectors.platform.executables, 3);
    }
}

#[test]
fn without_reference_values_nothing_is_compared_and_that_is_said() {
    let sample = Sample::v2024();
    let appraisal = run(&sample, &ReferenceValues::default(), &Policy::default());
    assert!(appraisal.is_accepted() && !appraisal.is_compared());
    let mut not_compared = 0;
    for check in appraisal.checks() {
        if check.verdict == Verdict::NotCompared {
            assert_eq!(check.reason, Reason::NoReferenceValue);
            not_compared += 1;
        }
    }
    // Implementation, two configurations, two components, RIM, four REMs, RPV.
    assert_eq!(not_compared, 11);
    let vectors = Vectors::from_appraisal(&appraisal);
    assert_eq!(vectors.realm.executables, 0);
    assert_eq!(vectors.platform.executables, 0);
}

#[test]
fn each_difference_is_found_and_named() {
    let sample = Sample::v2024();
    let good = references(&sample);
    let changed = |change: &dyn Fn(&mut Sample)| {
        let mut sample = sample.clone();
        change(&mut sample);
        only_failure(&run(&sample, &good, &Policy::default()))
    };
    let hash = HashValue::from([0xbb; 32]);
    let cases: [(Change, Subject); 9] = [
        (
            &|s| s.realm.initial_measurement = hash,
            Subject::InitialMeasurement,
        ),
        (
            &|s| s.realm.extensible_measurements[0] = hash,
            Subject::ExtensibleMeasurement(0),
        ),
        (
            &|s| s.realm.extensible_measurements[3] = hash,
            Subject::ExtensibleMeasurement(3),
        ),
        (
            &|s| s.realm.personalization_value[63] ^= 1,
            Subject::PersonalizationValue,
        ),
        (&|s| s.platform.config[0] ^= 1, Subject::PlatformConfig),
        (
            &|s| s.platform.manufacturing_config = Some(vec![1]),
            Subject::ManufacturingConfig,
        ),
        (
            &|s| s.platform.software_components[1].measurement = hash,
            Subject::SoftwareComponent("RMM".into()),
        ),
        (
            &|s| s.platform.software_components[1].signer_id = hash,
            Subject::SoftwareComponent("RMM".into()),
        ),
        (
            &|s| s.platform.software_components[0].version = None,
            Subject::SoftwareComponent("MONITOR".into()),
        ),
    ];
    for (change, subject) in cases {
        let (found, reason) = changed(change);
        assert_eq!(found, subject);
        let Reason::Differs { expected, found } = &reason else {
            panic!("{reason:?}");
        };
        assert!(expected.len() == 1 && expected[0] != *found);
        let text = reason.to_string();
        assert!(text.contains(found.as_str()) && text.contains(&expected[0]));
    }
    // Instead of differing, it can be absent.
    let (subject, reason) = changed(&|s| s.platform.manufacturing_config = None);
    assert_eq!(
        (subject, reason),
        (Subject::ManufacturingConfig, Reason::Absent)
    );
}

#[test]
fn another_kind_of_machine_differs() {
    let mut sample = Sample::new();
    let good = references(&sample);
    sample.platform.implementation_id = [1; 32];
    let (subject, reason) = only_failure(&run(&sample, &good, &Policy::default()));
    assert_eq!(subject, Subject::ImplementationId);
    assert!(matches!(reason, Reason::Differs { .. }));
    // An entry for machines of every kind beside it.
    let mut with_any = good;
    with_any.platforms.push(PlatformReference::default());
    assert!(run(&sample, &with_any, &Policy::default()).is_accepted());
}

#[test]
fn firmware_that_is_missing_or_not_listed() {
    let sample = Sample::new();
    let good = references(&sample);
    let mut missing = sample.clone();
    missing.platform.software_components.remove(1);
    let expected = (Subject::SoftwareComponent("RMM".into()), Reason::Absent);
    assert_eq!(
        only_failure(&run(&missing, &good, &Policy::default())),
        expected
    );
    let mut optional = good.clone();
    optional.platforms[0].software_components[1].optional = true;
    assert!(run(&missing, &optional, &Policy::default()).is_accepted());

    let mut more = sample.clone();
    more.platform.software_components.push(component("IMPLANT"));
    let expected = (
        Subject::SoftwareComponent("IMPLANT".into()),
        Reason::NoReferenceValue,
    );
    assert_eq!(
        only_failure(&run(&more, &good, &Policy::default())),
        expected
    );
    let lenient = policy("unlisted-components = \"accept\"");
    let appraisal = run(&more, &good, &lenient);
    assert!(appraisal.is_accepted());
    assert_eq!(Vectors::from_appraisal(&appraisal).platform.executables, 33);

    // A second of a kind that is listed has to be good too.
    let mut twice = sample.clone();
    let mut evil = component("RMM");
    evil.measurement = HashValue::from([0xbb; 32]);
    twice.platform.software_components.push(evil);
    let (subject, _) = only_failure(&run(&twice, &good, &lenient));
    assert_eq!(subject, Subject::SoftwareComponent("RMM#2".into()));

    // One without a type is only good by its measurement.
    let mut unnamed = sample;
    unnamed.platform.software_components[1].component_type = None;
    assert!(!run(&unnamed, &good, &Policy::default()).is_accepted());
    let mut by_measurement = good;
    by_measurement.platforms[0].software_components[1].component_type = None;
    assert!(run(&unnamed, &by_measurement, &Policy::default()).is_accepted());
}

#[test]
fn alternatives() {
    let sample = Sample::new();
    let good = references(&sample);
    let hash = HashValue::from([0xbb; 32]);

    // In a list.
    let mut wider = good.clone();
    wider.realms[0].initial_measurement.insert(0, hash);
    wider.platforms[0].software_components[1]
        .measurements
        .insert(0, hash);
    assert!(run(&sample, &wider, &Policy::default()).is_accepted());

    // As several entries: all of one has to fit, not something of each.
    let mut other = sample.clone();
    other.realm.initial_measurement = hash;
    other.realm.personalization_value = [1; 64];
    let mut both = good.clone();
    both.extend(references(&other));
    assert!(run(&sample, &both, &Policy::default()).is_accepted());
    assert!(run(&other, &both, &Policy::default()).is_accepted());
    let mut mixed = sample;
    mixed.realm.initial_measurement = hash;
    let appraisal = run(&mixed, &both, &Policy::default());
    assert!(!appraisal.is_accepted());
}

#[test]
fn masks() {
    let mut sample = Sample::new();
    sample.platform.config = vec![0x12, 0x34];
    let mut reference = references(&sample);
    for (value, mask, fits) in [
        (vec![0x12, 0x34], vec![0xff, 0xff], true),
        (vec![0x1f, 0x34], vec![0xf0, 0xff], true),
        (vec![0x1f, 0x34], vec![0xf1, 0xff], false),
        (vec![0x99, 0x99], vec![0x00, 0x00], true),
        (vec![0x12], vec![0xff], false),
        (vec![0x12, 0x34, 0x00], vec![0xff, 0xff, 0x00], false),
    ] {
        reference.platforms[0].config = vec![MaskedBytes::masked(value, mask).unwrap()];
        let appraisal = run(&sample, &reference, &Policy::default());
        assert_eq!(appraisal.is_accepted(), fits);
    }
    assert_eq!(MaskedBytes::masked(vec![1], vec![]), None);
}

#[test]
fn lifecycle_states() {
    let mut sample = Sample::new();
    for (lifecycle, name) in [
        (0x0000, "unknown"),
        (0x10ff, "assembly-and-test"),
        (0x2001, "rot-provisioning"),
        (0x4000, "non-platform-rot-debug"),
        (0x50aa, "recoverable-platform-rot-debug"),
        (0x6000, "decommissioned"),
    ] {
        sample.platform.lifecycle = Lifecycle(lifecycle);
        let appraisal = run(&sample, &references(&sample), &Policy::default());
        let expected = (Subject::Lifecycle, Reason::Lifecycle(Lifecycle(lifecycle)));
        assert_eq!(only_failure(&appraisal), expected);
        assert!(appraisal.is_trusted());
        let vectors = Vectors::from_appraisal(&appraisal);
        assert_eq!(vectors.platform.tier(), Tier::Contraindicated);

        // The owner allows it: accepted, but never affirmed.
        let allowed = policy(&format!("lifecycle = [\"secured\", \"{name}\"]"));
        let appraisal = run(&sample, &references(&sample), &allowed);
        assert!(appraisal.is_accepted());
        assert_eq!(
            appraisal.verdict(&Subject::Lifecycle),
            Some(Verdict::Warning)
        );
        let vectors = Vectors::from_appraisal(&appraisal);
        assert!(vectors.platform.tier() >= Tier::Warning);
    }
    for lifecycle in [0x3000, 0x3003, 0x30ff] {
        sample.platform.lifecycle = Lifecycle(lifecycle);
        assert!(run(&sample, &references(&sample), &Policy::default()).is_accepted());
        let never = policy("lifecycle = [\"decommissioned\"]");
        assert!(!run(&sample, &references(&sample), &never).is_accepted());
    }
    assert_eq!(LifecycleState::from_name("debug"), None);
}

#[test]
fn what_a_policy_requires_has_to_have_been_compared() {
    let sample = Sample::new();
    let nothing = ReferenceValues::default();
    let good = references(&sample);
    for name in [
        "realm.initial-measurement",
        "realm.extensible-measurement",
        "realm.extensible-measurement.2",
        "realm.personalization-value",
        "platform.config",
        "platform.software-component",
        "platform.software-component.RMM",
        "platform.implementation-id",
    ] {
        let policy = policy(&format!("require = [\"{name}\"]"));
        assert!(run(&sample, &good, &policy).is_accepted(), "{name}");
        let appraisal = run(&sample, &nothing, &policy);
        let (subject, reason) = only_failure(&appraisal);
        assert_eq!(subject, Subject::Policy("require".into()));
        assert!(reason.to_string().contains(name), "{reason}");
    }
    // What is not there at all.
    for name in [
        "platform.manufacturing-config",
        "platform.software-component.BL31",
    ] {
        let policy = policy(&format!("require = [\"{name}\"]"));
        assert!(!run(&sample, &good, &policy).is_accepted(), "{name}");
    }
    // Of all REMs, each.
    let mut three = good.clone();
    three.realms[0].extensible_measurements[1].clear();
    let all = policy("require = [\"realm.extensible-measurement\"]");
    assert!(!run(&sample, &three, &all).is_accepted());
    assert!(run(&sample, &three, &Policy::default()).is_accepted());

    let fresh = policy("require = [\"challenge\"]");
    assert!(run(&sample, &good, &fresh).is_accepted());
    let token = Token::decode(&sample.token()).unwrap();
    let verification = sample.verifier().verify(&token, None);
    assert!(!appraise(&token, &verification, &good, &fresh).is_accepted());
    assert!(appraise(&token, &verification, &good, &Policy::default()).is_accepted());
}

#[test]
fn rules_on_generations_and_on_the_realm() {
    let old = Sample::new();
    let new = Sample::v2024();
    for (rule, for_old, for_new) in [
        (
            "platform-profile = [\"tag:arm.com,2023:cca_platform#1.0.0\"]",
            true,
            false,
        ),
        (
            "platform-profile = [\"tag:arm.com,2024:cca_platform#2.0.0\"]",
            false,
            true,
        ),
        (
            "realm-profile = [\"tag:arm.com,2024:realm#2.0.0\", \"none\"]",
            false,
            true,
        ),
        ("realm-profile = [\"none\"]", false, false),
        ("mec-policy = \"private\"", false, true),
        ("mec-policy = \"shared\"", false, false),
        ("lfa-policy = \"disallow\"", false, false),
        ("lfa-policy = \"allow\"", false, true),
        ("{\"mec-policy\": \"private\"}", false, true),
    ] {
        let policy = policy(rule);
        assert_eq!(
            run(&old, &references(&old), &policy).is_accepted(),
            for_old,
            "{rule}"
        );
        assert_eq!(
            run(&new, &references(&new), &policy).is_accepted(),
            for_new,
            "{rule}"
        );
    }
    let mut shared = new;
    shared.realm.mec_policy = Some(MecPolicy::Shared);
    let rule = policy("mec-policy = \"private\"");
    let (subject, _) = only_failure(&run(&shared, &references(&shared), &rule));
    assert_eq!(subject, Subject::Policy("mec-policy".into()));
}

#[test]
fn policies_that_are_not_one() {
    for text in [
        "lifecycle = [\"debug\"]",
        "lifecycle = \"secured\"",
        "lifecycel = [\"secured\"]",
        "require = [\"realm\"]",
        "require = [\"realm.initial-measurment\"]",
        "require = [\"realm.extensible-measurement.4\"]",
        "unlisted-components = true",
        "unlisted-components = \"maybe\"",
        "realm-profile = [\"tag:arm.com,2026:realm#2.0.0\"]",
        "mec-policy = \"PRIVATE\"",
        "[",
        "{",
        "lifecycle",
    ] {
        Policy::parse(text.as_bytes()).unwrap_err();
    }
    Policy::parse(&[0xff]).unwrap_err();
    Policy::parse(&vec![b' '; 2 << 20]).unwrap_err();
    assert_eq!(policy(""), Policy::default());
}

#[test]
fn a_platform_token_alone() {
    let sample = Sample::v2024();
    let token = PlatformToken::decode(&sample.platform_token()).unwrap();
    let verification = sample.verifier().verify_platform(&token);
    let good = references(&sample);
    let appraisal = appraise_platform(&token, &verification, &good, &Policy::default());
    assert!(appraisal.is_accepted());
    assert_eq!(appraisal.verdict(&Subject::InitialMeasurement), None);
    let required = policy("require = [\"realm.initial-measurement\"]");
    assert!(!appraise_platform(&token, &verification, &good, &required).is_accepted());
}
