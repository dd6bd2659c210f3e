//! Every claim of every generation: missing, of another type, of another length, of another value.

use attestation_token::claims::RealmProfile;
use attestation_token::{ClaimProblem, DecodeError, Part, Problem, Token};
use ciborium::Value;

use crate::forge::{Entries, encode, entries};
use crate::samples::Sample;

const PLATFORM_OPTIONAL: [i64; 5] = [2400, 2403, 2404, 2405, 2406];
const REALM_OPTIONAL: [i64; 3] = [265, 44244, 44257];

fn samples() -> [Sample; 3] {
    [Sample::new(), Sample::v2024(), Sample::legacy()]
}

/// The error of a token, which has to be about a claim.
fn claim_error(token: &[u8]) -> (Part, String, ClaimProblem) {
    match Token::decode(token).unwrap_err() {
        DecodeError {
            part,
            problem: Problem::Claim { label, problem, .. },
        } => (part, label, problem),
        error => panic!("{error}"),
    }
}

/// Changes each claim in turn, in both parts of each sample, and passes on what came out.
fn for_each_claim(change: impl Fn(&mut Entries, usize), check: impl Fn(Part, i64, &Sample, &[u8])) {
    for sample in samples() {
        for part in [Part::Platform, Part::Realm] {
            let payload = match part {
                Part::Platform => sample.platform.encode(),
                _ => sample.realm.encode(),
            };
            let original = entries(&payload);
            for index in 0..original.len() {
                let label = i64::try_from(original[index].0.as_integer().unwrap()).unwrap();
                let mut changed = original.clone();
                change(&mut changed, index);
                let payload = encode(&Value::Map(changed));
                let token = match part {
                    Part::Platform => sample.with_platform_payload(&payload),
                    _ => sample.with_realm_payload(&payload),
                };
                check(part, label, &sample, &token);
            }
        }
    }
}

#[test]
fn a_missing_claim_is_named_and_an_optional_one_is_not_missed() {
    for_each_claim(
        |claims, index| {
            claims.remove(index);
        },
        |part, label, sample, token| {
            let optional = match part {
                Part::Platform => PLATFORM_OPTIONAL.as_slice(),
                _ => REALM_OPTIONAL.as_slice(),
            };
            if label == 265 && part == Part::Realm && sample.realm.profile == RealmProfile::V2024 {
                // Without its profile it is one of an older generation, which has not the rest.
                let (_, _, problem) = claim_error(token);
                assert_eq!(problem, ClaimProblem::Unknown);
            } else if optional.contains(&label) {
                Token::decode(token).unwrap();
            } else {
                let expected = (part, label.to_string(), ClaimProblem::Missing);
                assert_eq!(claim_error(token), expected);
            }
        },
    );
}

#[test]
fn a_claim_of_another_type_is_named() {
    let others = [
        Value::from(false),
        Value::from(-1),
        Value::from("text"),
        Value::Bytes(vec![1, 2, 3]),
        Value::Array(vec![Value::from(1)]),
        Value::Map(vec![(Value::from(1), Value::from(1))]),
        Value::Tag(32, Box::new(Value::from("tagged"))),
    ];
    for other in others {
        for_each_claim(
            |claims, index| claims[index].1 = other.clone(),
            |part, label, _, token| match Token::decode(token) {
                Ok(_) => {
                    // Free text, and bytes of any length.
                    let free = match other {
                        Value::Text(_) => [2400, 2402].as_slice(),
                        _ => [2401, 2403, 2406].as_slice(),
                    };
                    assert!(
                        part == Part::Platform && free.contains(&label),
                        "{label} {other:?}"
                    );
                }
                Err(DecodeError {
                    problem: Problem::ProfileUnknown(profile),
                    ..
                }) => assert_eq!((label, profile.as_str()), (265, "text")),
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(&format!("claim {label}")), "{label}: {text}");
                    assert_eq!(error.part, part);
                }
            },
        );
    }
}

#[test]
fn bytes_of_another_length_are_named() {
    for length in [0, 1, 31, 33, 47, 49, 63, 65, 96, 1000] {
        for_each_claim(
            |claims, index| {
                if claims[index].1.is_bytes() {
                    claims[index].1 = Value::Bytes(vec![1; length]);
                } else {
                    claims.clear();
                }
            },
            |_, label, sample, token| {
                if [2401, 2403, 2406].contains(&label) {
                    Token::decode(token).unwrap();
                    return;
                }
                let right = label == 256 && length == 33;
                match Token::decode(token) {
                    Ok(_) => assert!(right, "{label} {length}"),
                    Err(error) => {
                        assert!(!right, "{error}");
                        let named = error.to_string().contains(&label.to_string());
                        let is_bytes = sample.platform.encode() != token;
                        assert!(named || is_bytes, "{label} {length}: {error}");
                    }
                }
            },
        );
    }
}

/// Changes one claim of the sample's platform token.
fn with_platform_claim(sample: &Sample, label: i64, value: Value) -> Vec<u8> {
    let mut claims = entries(&sample.platform.encode());
    claims.retain(|(key, _)| *key != Value::from(label));
    claims.push((Value::from(label), value));
    sample.with_platform_payload(&encode(&Value::Map(claims)))
}

/// Changes one claim of the sample's realm token.
fn with_realm_claim(sample: &Sample, label: i64, value: Value) -> Vec<u8> {
    let mut claims = entries(&sample.realm.encode());
    claims.retain(|(key, _)| *key != Value::from(label));
    claims.push((Value::from(label), value));
    sample.with_realm_payload(&encode(&Value::Map(claims)))
}

#[test]
fn unknown_claims_are_named() {
    let sample = Sample::new();
    for label in [
        0,
        9,
        257,
        2393,
        2407,
        2408,
        44234,
        44242,
        i64::MAX,
        i64::MIN,
    ] {
        let expected = |part| (part, label.to_string(), ClaimProblem::Unknown);
        let token = with_platform_claim(&sample, label, Value::from(0));
        assert_eq!(claim_error(&token), expected(Part::Platform));
        let token = with_realm_claim(&sample, label, Value::from(0));
        assert_eq!(claim_error(&token), expected(Part::Realm));
    }
    let mut claims = entries(&sample.realm.encode());
    claims.push((Value::from("eat_nonce"), Value::from(0)));
    let token = sample.with_realm_payload(&encode(&Value::Map(claims)));
    let expected = (Part::Realm, "\"eat_nonce\"".into(), ClaimProblem::Unknown);
    assert_eq!(claim_error(&token), expected);
}

#[test]
fn claims_of_a_later_generation_are_unknown_to_an_earlier() {
    let sample = Sample::new();
    for label in [2394, 2403, 2404, 2405, 2406] {
        let (_, found, problem) = claim_error(&with_platform_claim(&sample, label, Value::from(1)));
        assert_eq!((found, problem), (label.to_string(), ClaimProblem::Unknown));
    }
    for label in [256, 44244, 44257] {
        let (_, found, problem) = claim_error(&with_realm_claim(&sample, label, Value::from(1)));
        assert_eq!((found, problem), (label.to_string(), ClaimProblem::Unknown));
    }
    // The legacy realm token does not even have this.
    let (_, found, _) = claim_error(&with_realm_claim(&Sample::legacy(), 44243, Value::from(1)));
    assert_eq!(found, "44243");
}

#[test]
fn values_outside_the_profile_are_named() {
    let sample = Sample::v2024();
    let mut ueid = vec![0x02];
    ueid.extend([0; 32]);
    for (label, value) in [
        (2395, Value::from(0x3100)),
        (2395, Value::from(0x7000)),
        (2395, Value::from(0x1_3000)),
        (2395, Value::from(u64::MAX)),
        (2394, Value::from(0)),
        (256, Value::Bytes(ueid.clone())),
        (2399, Value::Array(Vec::new())),
    ] {
        let (part, found, _) = claim_error(&with_platform_claim(&sample, label, value));
        assert_eq!((part, found), (Part::Platform, label.to_string()));
    }
    let rem = Value::Bytes(vec![1; 32]);
    for (label, value) in [
        (44236, Value::from("sha-1")),
        (44236, Value::from("SHA-256")),
        (44240, Value::from("sha256")),
        (44240, Value::from("")),
        (44243, Value::from(2)),
        (44244, Value::from(2)),
        (256, Value::Bytes(ueid)),
        (44239, Value::Array(vec![rem.clone(); 3])),
        (44239, Value::Array(vec![rem.clone(); 5])),
        (
            44239,
            Value::Array(vec![
                rem.clone(),
                rem.clone(),
                rem,
                Value::Bytes(vec![1; 31]),
            ]),
        ),
    ] {
        let (part, found, _) = claim_error(&with_realm_claim(&sample, label, value));
        assert_eq!((part, found), (Part::Realm, label.to_string()));
    }
}

#[test]
fn every_lifecycle_of_the_table_is_decoded() {
    for state in 0_u32..=0xff {
        for low in [0, 0xff] {
            let lifecycle = state << 8 | low;
            let token = with_platform_claim(&Sample::new(), 2395, Value::from(lifecycle));
            let known = state % 0x10 == 0 && state <= 0x60;
            assert_eq!(Token::decode(&token).is_ok(), known, "{lifecycle:#x}");
        }
    }
}

#[test]
fn components_are_as_strict_as_claims() {
    let sample = Sample::v2024();
    let original = entries(&sample.platform.encode());
    let components = |change: &dyn Fn(&mut Entries)| {
        let mut claims = original.clone();
        for (key, value) in &mut claims {
            if *key == Value::from(2399) {
                let components = value.as_array_mut().unwrap();
                change(components[1].as_map_mut().unwrap());
            }
        }
        sample.with_platform_payload(&encode(&Value::Map(claims)))
    };
    for (label, present) in [(2, true), (5, true)] {
        let token = components(&|map| map.retain(|(key, _)| *key != Value::from(label)));
        let (_, found, problem) = claim_error(&token);
        assert_eq!(found, format!("2399[1].{label}"));
        assert_eq!(problem == ClaimProblem::Missing, present);
    }
    for label in [1, 2, 4, 5, 6, 7, 8] {
        let token = components(&|map| {
            map.retain(|(key, _)| *key != Value::from(label));
            map.push((Value::from(label), Value::from(17)));
        });
        assert_eq!(claim_error(&token).1, format!("2399[1].{label}"));
    }
    let token = components(&|map| map.push((Value::from(3), Value::from("reserved"))));
    let (_, found, problem) = claim_error(&token);
    assert_eq!(
        (found.as_str(), problem),
        ("2399[1].3", ClaimProblem::Unknown)
    );
}

#[test]
fn profiles_that_are_not_known_are_named_and_drafts_are_told_apart() {
    let sample = Sample::new();
    let problem = |token: &[u8]| Token::decode(token).unwrap_err().problem;
    for profile in [
        "",
        "tag:arm.com,2023:cca_platform#1.1.0",
        "tag:arm.com,2023:realm#1.0.0",
    ] {
        let token = with_platform_claim(&sample, 265, Value::from(profile));
        assert_eq!(problem(&token), Problem::ProfileUnknown(profile.into()));
    }
    for profile in [
        "tag:arm.com,2026:cca_platform#2.0.0",
        "tag:arm.com,2026:cca_platform#2.0.0;delegated",
        "tag:arm.com,2026:cca_platform#2.0.0#delegated",
    ] {
        let token = with_platform_claim(&sample, 265, Value::from(profile));
        assert_eq!(problem(&token), Problem::ProfileDraft(profile.into()));
        assert!(problem(&token).to_string().contains("2408"));
    }
    let profile = "tag:arm.com,2026:realm#2.0.0";
    let token = with_realm_claim(&sample, 265, Value::from(profile));
    assert_eq!(problem(&token), Problem::ProfileDraft(profile.into()));
    let token = with_realm_claim(&sample, 265, Value::from("tag:arm.com,2025:realm#1.0.0"));
    assert!(matches!(problem(&token), Problem::ProfileUnknown(_)));
}

#[test]
fn realm_keys_that_are_not_one_are_named() {
    let sample = Sample::new();
    let key = entries(sample.realm.public_key.encoded());
    let cose = |change: &dyn Fn(&mut Entries)| {
        let mut key = key.clone();
        change(&mut key);
        Value::Bytes(encode(&Value::Map(key)))
    };
    let set = |label: i64, value: Value| {
        cose(&move |key| {
            key.retain(|(other, _)| *other != Value::from(label));
            key.push((Value::from(label), value.clone()));
        })
    };
    for value in [
        Value::Bytes(Vec::new()),
        Value::Bytes(vec![0xa0]),
        // A bare point, which only the legacy generation has.
        Value::Bytes(sample.realm.public_key.key().sec1().to_vec()),
        set(1, Value::from(1)),
        set(1, Value::from(4)),
        set(-1, Value::from(6)),
        set(-1, Value::from(1)),
        set(-2, Value::Bytes(vec![1; 47])),
        set(-3, Value::Bytes(vec![1; 49])),
        // A compressed point.
        set(-3, Value::from(true)),
        set(3, Value::from(-7)),
        set(4, Value::Array(vec![Value::from(1)])),
        cose(&|key| key.truncate(3)),
        cose(&|key| key.push(key[0].clone())),
        Value::Bytes([sample.realm.public_key.encoded(), &[0]].concat()),
    ] {
        let (part, found, problem) = claim_error(&with_realm_claim(&sample, 44237, value));
        assert_eq!((part, found.as_str()), (Part::Realm, "44237"));
        assert!(matches!(problem, ClaimProblem::Key(_)), "{problem:?}");
    }
    // An algorithm that fits, and that the key is for verifying, is allowed.
    Token::decode(&with_realm_claim(&sample, 44237, set(3, Value::from(-35)))).unwrap();
    let verify = Value::Array(vec![Value::from(2)]);
    Token::decode(&with_realm_claim(&sample, 44237, set(4, verify))).unwrap();
}
