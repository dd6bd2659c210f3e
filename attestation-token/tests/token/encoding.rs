//! Bytes that are not the CBOR of a token.

use attestation_token::{
    CborError, CborProblem, DecodeError, MAX_TOKEN_BYTES, Part, PlatformToken, Problem, Token,
};

use crate::samples::Sample;

fn problem(bytes: &[u8]) -> CborProblem {
    match Token::decode(bytes).unwrap_err() {
        DecodeError {
            problem: Problem::Cbor(CborError { problem, .. }),
            ..
        } => problem,
        error => panic!("{error}"),
    }
}

#[test]
fn every_truncation_is_refused() {
    for sample in [Sample::new(), Sample::v2024(), Sample::legacy()] {
        let token = sample.token();
        for length in 0..token.len() {
            assert_eq!(
                problem(&token[..length]),
                CborProblem::Truncated,
                "{length}"
            );
        }
        let token = sample.platform_token();
        for length in 0..token.len() {
            PlatformToken::decode(&token[..length]).unwrap_err();
        }
    }
}

#[test]
fn trailing_bytes_are_refused_at_every_level() {
    let sample = Sample::new();
    for byte in [0x00, 0xa0, 0xf6, 0xff] {
        let mut token = sample.token();
        token.push(byte);
        assert_eq!(problem(&token), CborProblem::TrailingBytes);
        let mut platform = sample.platform_token();
        platform.push(byte);
        let token = sample.wrapper.encode(&platform, &sample.realm_token());
        assert_eq!(problem(&token), CborProblem::TrailingBytes);
        let mut payload = sample.realm.encode();
        payload.push(byte);
        let token = sample.with_realm_payload(&payload);
        assert_eq!(problem(&token), CborProblem::TrailingBytes);
    }
}

#[test]
fn indefinite_lengths_are_refused() {
    for bytes in [
        // Map, array, byte string, text.
        &[0xd9, 0x01, 0x8f, 0xbf, 0xff][..],
        &[0xd9, 0x01, 0x8f, 0x9f, 0xff],
        &[0xd9, 0x01, 0x8f, 0xa1, 0x00, 0x5f, 0x41, 0x00, 0xff],
        &[0xd9, 0x01, 0x8f, 0xa1, 0x7f, 0x61, 0x61, 0xff, 0x00],
    ] {
        assert_eq!(problem(bytes), CborProblem::IndefiniteLength);
    }
    let sample = Sample::new();
    let mut payload = sample.realm.encode();
    payload[0] = 0xbf;
    payload.push(0xff);
    let token = sample.with_realm_payload(&payload);
    assert_eq!(problem(&token), CborProblem::IndefiniteLength);
}

#[test]
fn duplicate_keys_are_refused_and_named() {
    let sample = Sample::new();
    // One more entry, which repeats the first.
    let mut payload = sample.realm.encode();
    payload[0] += 1;
    payload.extend([0x0a, 0x00]);
    let error = Token::decode(&sample.with_realm_payload(&payload)).unwrap_err();
    assert_eq!(error.part, Part::Realm);
    let text = error.to_string();
    assert!(
        text.contains("duplicate key") && text.contains("claim 10"),
        "{text}"
    );
    // In a map inside.
    let text = [0xa1, 0x00, 0xa2, 0x61, 0x61, 0x00, 0x61, 0x61, 0x01];
    assert_eq!(problem(&text), CborProblem::DuplicateKey);
    // The same key in different maps is another.
    let nested = [0xd9, 0x01, 0x8f, 0xa1, 0x00, 0xa1, 0x00, 0x00];
    assert!(!matches!(
        Token::decode(&nested).unwrap_err().problem,
        Problem::Cbor(_)
    ));
}

#[test]
fn numbers_and_lengths_are_in_their_shortest_form() {
    for bytes in [
        &[0x18, 0x17][..],
        &[0x19, 0x00, 0xff],
        &[0x1a, 0x00, 0x00, 0xff, 0xff],
        &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        &[0x38, 0x00],
        &[0x58, 0x01, 0x00],
        &[0xb9, 0x00, 0x00],
        &[0xda, 0x00, 0x00, 0x01, 0x8f, 0xa0],
    ] {
        assert_eq!(problem(bytes), CborProblem::NotShortest, "{bytes:02x?}");
    }
}

#[test]
fn huge_lengths_cost_nothing() {
    for head in [0x5b, 0x7b] {
        for length in [u64::MAX, 1 << 40, 1 << 32] {
            let mut bytes = vec![0xd9, 0x01, 0x8f, head];
            bytes.extend(length.to_be_bytes());
            assert_eq!(problem(&bytes), CborProblem::Truncated);
        }
    }
    for head in [0x9b, 0xbb] {
        for length in [u64::MAX, 1 << 40, 1 << 32] {
            let mut bytes = vec![0xd9, 0x01, 0x8f, head];
            bytes.extend(length.to_be_bytes());
            assert_eq!(problem(&bytes), CborProblem::TooManyEntries);
        }
    }
    let long = vec![0; MAX_TOKEN_BYTES + 1];
    assert_eq!(problem(&long), CborProblem::TooLong);
}

#[test]
fn deep_nesting_is_refused() {
    for head in [0x81, 0xc0] {
        let mut bytes = vec![head; MAX_TOKEN_BYTES - 1];
        bytes.push(0x00);
        assert_eq!(problem(&bytes), CborProblem::TooDeep);
    }
    let mut maps: Vec<u8> = [0xa1, 0x00].repeat(1000);
    maps.push(0x00);
    assert_eq!(problem(&maps), CborProblem::TooDeep);
}

#[test]
fn other_items_are_refused() {
    for (bytes, expected) in [
        (&[0xf6][..], CborProblem::SimpleValue),
        (&[0xf7], CborProblem::SimpleValue),
        (&[0xe0], CborProblem::SimpleValue),
        (&[0xf8, 0x20], CborProblem::SimpleValue),
        (&[0xf9, 0x00, 0x00], CborProblem::SimpleValue),
        (&[0xfa, 0, 0, 0, 0], CborProblem::SimpleValue),
        (&[0xfb, 0, 0, 0, 0, 0, 0, 0, 0], CborProblem::SimpleValue),
        (&[0xff], CborProblem::Reserved),
        (&[0x1c], CborProblem::Reserved),
        (&[0x5d], CborProblem::Reserved),
        (&[0x1f], CborProblem::Reserved),
        (&[0xdf], CborProblem::Reserved),
        (&[0x61, 0xff], CborProblem::NotUtf8),
        (&[0x62, 0xc3, 0x28], CborProblem::NotUtf8),
        (&[0xa1, 0x40, 0x00], CborProblem::KeyType),
        (&[0xa1, 0xf4, 0x00], CborProblem::KeyType),
        (&[0xa1, 0x80, 0x00], CborProblem::KeyType),
        (&[], CborProblem::Truncated),
    ] {
        assert_eq!(problem(bytes), expected, "{bytes:02x?}");
    }
}
