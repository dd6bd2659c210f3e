//! Headers, tags and signatures around the claims.

use attestation_token::{DecodeError, Part, PlatformToken, Problem, Token, Wrapper};
use ciborium::Value;

use crate::forge::{ES384, encode, no_header, sign1, signature};
use crate::samples::Sample;

fn header(entries: Vec<(i64, Value)>) -> Vec<u8> {
    encode(&map(entries))
}

fn map(entries: Vec<(i64, Value)>) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(label, value)| (Value::from(label), value))
            .collect(),
    )
}

/// The problem of a platform token with these headers, rightly signed.
fn problem(protected: &[u8], unprotected: Value) -> Problem {
    let sample = Sample::new();
    let payload = sample.platform.encode();
    let token = sign1(protected, unprotected, &payload, &sample.platform_key);
    PlatformToken::decode(&token).unwrap_err().problem
}

#[test]
fn an_algorithm_has_to_be_there_and_protected() {
    assert_eq!(problem(&[], no_header()), Problem::AlgorithmMissing);
    assert_eq!(problem(&[0xa0], no_header()), Problem::AlgorithmMissing);
    let unprotected = map(vec![(1, Value::from(-35))]);
    assert_eq!(
        problem(&[], unprotected.clone()),
        Problem::AlgorithmUnprotected
    );
    assert_eq!(
        problem(&[0xa0], unprotected.clone()),
        Problem::AlgorithmUnprotected
    );
    // In both places.
    assert_eq!(problem(ES384, unprotected), Problem::UnprotectedHeader);
}

#[test]
fn an_algorithm_that_is_none_or_another_is_refused() {
    for algorithm in [0, -8, -37, -257, 5, 1, -50] {
        let protected = header(vec![(1, Value::from(algorithm))]);
        let problem = problem(&protected, no_header());
        assert!(
            matches!(problem, Problem::AlgorithmUnknown(_)),
            "{algorithm}: {problem:?}"
        );
    }
    for text in ["none", "ES384"] {
        let protected = header(vec![(1, Value::from(text))]);
        assert_eq!(
            problem(&protected, no_header()),
            Problem::AlgorithmUnknown(None)
        );
    }
    for other in [
        Value::Bytes(vec![1]),
        Value::from(true),
        Value::Array(Vec::new()),
    ] {
        assert_eq!(
            problem(&header(vec![(1, other)]), no_header()),
            Problem::Sign1
        );
    }
}

#[test]
fn other_headers() {
    let key_id = map(vec![(4, Value::Bytes(vec![1, 2]))]);
    let sample = Sample::new();
    let payload = sample.platform.encode();
    let token = sign1(ES384, key_id, &payload, &sample.platform_key);
    let token = PlatformToken::decode(&token).unwrap();
    assert!(sample.verifier().verify_platform(&token).is_trusted());

    let unprotected = map(vec![(33, Value::Bytes(vec![1]))]);
    assert_eq!(problem(ES384, unprotected), Problem::UnprotectedHeader);
    let protected = header(vec![
        (1, Value::from(-35)),
        (2, Value::Array(vec![Value::from(4)])),
        (4, Value::Bytes(vec![1])),
    ]);
    assert_eq!(problem(&protected, no_header()), Problem::CriticalHeader);
    // Twice the same, with different values.
    let twice = [0xa2, 0x01, 0x38, 0x22, 0x01, 0x26];
    assert!(matches!(problem(&twice, no_header()), Problem::Cbor(_)));
    assert!(matches!(
        problem(&[0xa1, 0x01, 0x38, 0x22, 0x00], no_header()),
        Problem::Cbor(_)
    ));
    assert!(matches!(
        problem(&[0xbf, 0x01, 0x38, 0x22, 0xff], no_header()),
        Problem::Cbor(_)
    ));
    assert_eq!(problem(&[0x80], no_header()), Problem::Sign1);
    assert_eq!(problem(ES384, Value::Array(Vec::new())), Problem::Sign1);
}

#[test]
fn the_inner_token_has_to_be_tagged() {
    let sample = Sample::new();
    let platform = sample.platform_token();
    let realm = sample.realm_token();
    let retag = |tag: u64, token: &[u8]| {
        let value: Value = ciborium::from_reader(&token[1..]).unwrap();
        encode(&Value::Tag(tag, Box::new(value)))
    };
    for (platform, realm, part, tag) in [
        (platform[1..].to_vec(), realm.clone(), Part::Platform, None),
        (platform.clone(), realm[1..].to_vec(), Part::Realm, None),
        (
            retag(17, &platform),
            realm.clone(),
            Part::Platform,
            Some(17),
        ),
        (platform.clone(), retag(98, &realm), Part::Realm, Some(98)),
        // As a whole CWT.
        (
            [&[0xd8, 0x3d], platform.as_slice()].concat(),
            realm,
            Part::Platform,
            Some(61),
        ),
    ] {
        let token = sample.wrapper.encode(&platform, &realm);
        let expected = DecodeError {
            part,
            problem: Problem::NotSign1(tag),
        };
        assert_eq!(Token::decode(&token).unwrap_err(), expected);
    }
}

#[test]
fn the_four_entries_have_to_be_what_they_are() {
    let sample = Sample::new();
    let payload = sample.platform.encode();
    let signature = signature(ES384, &payload, &sample.platform_key);
    let good = [
        Value::Bytes(ES384.to_vec()),
        no_header(),
        Value::Bytes(payload),
        Value::Bytes(signature.clone()),
    ];
    let decode = |entries: Vec<Value>| {
        let token = encode(&Value::Tag(18, Box::new(Value::Array(entries))));
        PlatformToken::decode(&token)
    };
    decode(good.to_vec()).unwrap();
    for length in [0, 1, 2, 3] {
        assert_eq!(
            decode(good[..length].to_vec()).unwrap_err().problem,
            Problem::Sign1
        );
    }
    let mut five = good.to_vec();
    five.push(Value::from(0));
    assert_eq!(decode(five).unwrap_err().problem, Problem::Sign1);
    for index in 0..4 {
        for other in [
            Value::from(1),
            Value::from("x"),
            Value::from(false),
            Value::Bytes(vec![9]),
        ] {
            let mut entries = good.to_vec();
            entries[index] = other;
            decode(entries).unwrap_err();
        }
    }
    for length in [0, 1, 64, 95, 97, 104, 132] {
        let mut entries = good.to_vec();
        entries[3] = Value::Bytes(vec![1; length]);
        let problem = decode(entries).unwrap_err().problem;
        let expected = Problem::SignatureLength {
            expected: 96,
            found: length,
        };
        assert_eq!(problem, expected);
    }
}

#[test]
fn collections_are_strict() {
    let sample = Sample::new();
    let platform = Value::Bytes(sample.platform_token());
    let realm = Value::Bytes(sample.realm_token());
    let entry = |label: i64, value: &Value| (Value::from(label), value.clone());
    let tagged = |tag: u64, value: Value| encode(&Value::Tag(tag, Box::new(value)));
    let good = vec![entry(44234, &platform), entry(44241, &realm)];
    Token::decode(&tagged(399, Value::Map(good.clone()))).unwrap();
    // The other order says the same.
    let other_order = good.iter().rev().cloned().collect();
    Token::decode(&tagged(399, Value::Map(other_order))).unwrap();

    let problem = |bytes: &[u8]| Token::decode(bytes).unwrap_err().problem;
    for tag in [0, 18, 398, 400, 906, 908] {
        let token = tagged(tag, Value::Map(good.clone()));
        assert_eq!(problem(&token), Problem::NotACollection(Some(tag)));
    }
    assert_eq!(
        problem(&encode(&Value::Map(good.clone()))),
        Problem::NotACollection(None)
    );
    assert_eq!(
        problem(&tagged(399, Value::Array(Vec::new()))),
        Problem::NotClaims
    );
    for missing in [0, 1] {
        let mut entries = good.clone();
        let (label, _) = entries.remove(missing);
        let label = i64::try_from(label.as_integer().unwrap()).unwrap();
        let text = problem(&tagged(399, Value::Map(entries))).to_string();
        assert!(
            text.contains(&label.to_string()) && text.contains("missing"),
            "{text}"
        );
    }
    let mut entries = good.clone();
    entries.push(entry(1, &platform));
    let text = problem(&tagged(399, Value::Map(entries))).to_string();
    assert!(text.starts_with("claim 1 "), "{text}");

    let record = |format: Value, token: &Value| Value::Array(vec![format, token.clone()]);
    for (platform, good) in [
        (record(Value::from(263), &platform), true),
        (record(Value::from(264), &platform), false),
        (record(Value::from("263"), &platform), false),
        (record(Value::from(263), &Value::from("x")), false),
        (Value::Array(vec![platform.clone()]), false),
        (platform.clone(), false),
    ] {
        let realm = record(Value::from(263), &realm);
        let map = vec![entry(44234, &platform), entry(44241, &realm)];
        let result = Token::decode(&tagged(Wrapper::Cmw.tag(), Value::Map(map)));
        assert_eq!(result.is_ok(), good, "{result:?}");
    }
    // The members of one wrapper in the other.
    let record = record(Value::from(263), &platform);
    let map = vec![entry(44234, &record), entry(44241, &realm)];
    Token::decode(&tagged(399, Value::Map(map))).unwrap_err();
}
