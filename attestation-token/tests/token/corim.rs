//! Reference values as CoRIM.
#![cfg(feature = "corim")]

use attestation_token::crypto::{RustCrypto, SigningKey};
use attestation_token::policy::Policy;
use attestation_token::reference::corim::{CorimError, is_corim, parse, parse_signed, write};
use attestation_token::reference::{ComponentReference, ReferenceValues};
use attestation_token::{Curve, HashValue};
use ciborium::Value;

use crate::appraisal::{references, run};
use crate::forge::{encode, signature};
use crate::samples::{IMPLEMENTATION_ID, Sample, key};

const NOW: i64 = 1_800_000_000;

fn uint(number: u64) -> Value {
    Value::from(number)
}

fn map(entries: Vec<(u64, Value)>) -> Value {
    let entries = entries.into_iter();
    Value::Map(entries.map(|(key, value)| (uint(key), value)).collect())
}

fn tag(number: u64, value: Value) -> Value {
    Value::Tag(number, Box::new(value))
}

fn tagged_bytes(bytes: &[u8]) -> Value {
    tag(560, Value::Bytes(bytes.to_vec()))
}

fn digest(value: &[u8]) -> Value {
    Value::Array(vec![Value::from("sha-256"), Value::Bytes(value.to_vec())])
}

fn measurement(key: &str, values: Vec<(u64, Value)>) -> Value {
    map(vec![(0, Value::from(key)), (1, map(values))])
}

fn environment(class_id: &[u8]) -> Vec<(u64, Value)> {
    vec![(0, map(vec![(0, tagged_bytes(class_id))]))]
}

fn triple(environment: Vec<(u64, Value)>, measurements: Vec<Value>) -> Value {
    Value::Array(vec![map(environment), Value::Array(measurements)])
}

/// A document with triples of one kind in one CoMID.
fn document(profile: &str, kind: u64, triples: Vec<Value>) -> Vec<u8> {
    let comid = map(vec![
        (1, map(vec![(0, Value::from("test"))])),
        (4, map(vec![(kind, Value::Array(triples))])),
    ]);
    let comid = tag(506, Value::Bytes(encode(&comid)));
    let corim = map(vec![
        (0, Value::from("test")),
        (1, Value::Array(vec![comid])),
        (3, tag(32, Value::from(profile))),
    ]);
    encode(&tag(501, corim))
}

const PLATFORM: [&str; 2] = [
    "tag:arm.com,2025:cca_platform#1.0.0",
    "tag:arm.com,2025:endorsements/cca_platform#1.0.0",
];
const REALM: [&str; 2] = [
    "tag:arm.com,2025:cca_realm#1.0.0",
    "tag:arm.com,2025:endorsements/cca_realm#1.0.0",
];

/// The measurement of a component as the draft has it.
fn component(reference: &ComponentReference) -> Value {
    let mut values = vec![
        (
            2,
            Value::Array(vec![digest(reference.measurements[0].as_bytes())]),
        ),
        (11, Value::from(reference.component_type.clone().unwrap())),
        (
            13,
            Value::Array(vec![tagged_bytes(reference.signer_id.unwrap().as_bytes())]),
        ),
    ];
    if let Some(version) = &reference.version {
        values.insert(0, (0, map(vec![(0, Value::from(version.as_str()))])));
    }
    measurement("cca.software-component", values)
}

fn config(value: &[u8], mask: &[u8]) -> Value {
    let pair = vec![Value::Bytes(value.to_vec()), Value::Bytes(mask.to_vec())];
    measurement(
        "cca.platform-config",
        vec![(4, tag(563, Value::Array(pair)))],
    )
}

fn platform_measurements(values: &ReferenceValues) -> Vec<Value> {
    let mut measurements: Vec<_> = values.platforms[0]
        .software_components
        .iter()
        .map(component)
        .collect();
    measurements.push(config(&[0xcf; 4], &[0xff; 4]));
    measurements
}

#[test]
fn a_platform_under_both_spellings() {
    let sample = Sample::new();
    let values = references(&sample);
    for profile in PLATFORM {
        let triple = triple(
            environment(&IMPLEMENTATION_ID),
            platform_measurements(&values),
        );
        let bytes = document(profile, 0, vec![triple]);
        assert!(is_corim(&bytes));
        let endorsements = parse(&bytes, NOW).unwrap();
        assert!(endorsements.anchors.is_empty());
        let found = &endorsements.references.platforms[0];
        assert_eq!(
            found.software_components,
            values.platforms[0].software_components
        );
        assert_eq!(found.implementation_id, Some(IMPLEMENTATION_ID));
        let appraisal = run(&sample, &endorsements.references, &Policy::default());
        assert!(appraisal.is_accepted() && appraisal.is_compared());
        let mut other = sample.clone();
        other.platform.config = vec![0; 4];
        assert!(!run(&other, &endorsements.references, &Policy::default()).is_accepted());
    }
}

fn realm_measurements(sample: &Sample) -> Vec<Value> {
    let hash = |key: &str, value: &HashValue| {
        measurement(key, vec![(2, Value::Array(vec![digest(value.as_bytes())]))])
    };
    let mut all = vec![hash("cca.rim", &sample.realm.initial_measurement)];
    for (index, rem) in sample.realm.extensible_measurements.iter().enumerate() {
        all.push(hash(&format!("cca.rem{index}"), rem));
    }
    let rpv = tagged_bytes(&sample.realm.personalization_value);
    all.push(measurement("cca.rpv", vec![(4, rpv)]));
    all
}

#[test]
fn a_realm_under_both_spellings() {
    let sample = Sample::new();
    for profile in REALM {
        let rim = sample.realm.initial_measurement;
        let triple = triple(environment(rim.as_bytes()), realm_measurements(&sample));
        let endorsements = parse(&document(profile, 0, vec![triple]), NOW).unwrap();
        assert_eq!(endorsements.references.realms, references(&sample).realms);
        let mut other = sample.clone();
        other.realm.extensible_measurements[2] = HashValue::from([0; 32]);
        assert!(run(&sample, &endorsements.references, &Policy::default()).is_accepted());
        assert!(!run(&other, &endorsements.references, &Policy::default()).is_accepted());
    }
}

#[test]
fn keys_of_machines() {
    let sample = Sample::new();
    let pem = "-----BEGIN PUBLIC KEY-----\n\
               MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
               6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
               -----END PUBLIC KEY-----\n";
    let mut environment = environment(&IMPLEMENTATION_ID);
    let instance = sample.platform.instance_id;
    environment.push((1, tag(550, Value::Bytes(instance.as_bytes().to_vec()))));
    let keys = |environment: &Vec<(u64, Value)>, key: Value| {
        let triple = Value::Array(vec![map(environment.clone()), Value::Array(vec![key])]);
        parse(&document(PLATFORM[0], 3, vec![triple]), NOW)
    };
    let endorsements = keys(&environment, tag(554, Value::from(pem))).unwrap();
    let anchor = &endorsements.anchors[0];
    assert_eq!(anchor.identity.instance_id, Some(instance));
    assert_eq!(anchor.identity.implementation_id, Some(IMPLEMENTATION_ID));
    assert_eq!(anchor.key.curve(), Curve::P256);

    keys(&environment, tag(554, Value::from("no key"))).unwrap_err();
    keys(&environment, tagged_bytes(&[0; 32])).unwrap_err();
    environment[1].1 = tag(550, Value::Bytes(vec![2; 33]));
    keys(&environment, tag(554, Value::from(pem))).unwrap_err();
}

#[test]
fn what_is_written_is_read_again() {
    let sample = Sample::v2024();
    let values = references(&sample);
    let documents = write(&values, "test").unwrap();
    let mut read = parse(&documents.platform.unwrap(), NOW).unwrap().references;
    read.extend(parse(&documents.realm.unwrap(), NOW).unwrap().references);
    assert_eq!(read.realms, values.realms);
    assert_eq!(
        read.platforms[0].software_components,
        values.platforms[0].software_components
    );
    assert!(run(&sample, &read, &Policy::default()).is_accepted());
    assert!(
        write(&ReferenceValues::default(), "x")
            .unwrap()
            .realm
            .is_none()
    );

    let mut unsayable = values.clone();
    unsayable.platforms[0].software_components[0].optional = true;
    write(&unsayable, "x").unwrap_err();
    let mut unsayable = values.clone();
    unsayable.realms[0].initial_measurement.clear();
    write(&unsayable, "x").unwrap_err();
    let mut unsayable = values;
    unsayable.realms[0]
        .initial_measurement
        .push(HashValue::from([1; 32]));
    write(&unsayable, "x").unwrap_err();
}

#[test]
fn what_is_not_understood_is_refused() {
    let sample = Sample::new();
    let values = references(&sample);
    let good = platform_measurements(&values);
    let with = |extra: Value| {
        let mut measurements = good.clone();
        measurements.push(extra);
        let triple = triple(environment(&IMPLEMENTATION_ID), measurements);
        parse(&document(PLATFORM[0], 0, vec![triple]), NOW)
    };
    let hash = Value::Array(vec![digest(&[1; 32])]);
    let signer = Value::Array(vec![tagged_bytes(&[2; 32])]);
    for extra in [
        measurement("cca.unheard-of", vec![(2, hash.clone())]),
        measurement("cca.rim", vec![(2, hash.clone())]),
        // A second configuration.
        config(&[1], &[1]),
        // No signer; two signers; a signer of another length.
        measurement("cca.software-component", vec![(2, hash.clone())]),
        measurement(
            "cca.software-component",
            vec![
                (2, hash.clone()),
                (13, Value::Array(vec![tagged_bytes(&[2; 32]); 2])),
            ],
        ),
        measurement(
            "cca.software-component",
            vec![
                (2, hash.clone()),
                (13, Value::Array(vec![tagged_bytes(&[2; 31])])),
            ],
        ),
        // No digest; one of another length.
        measurement("cca.software-component", vec![(13, signer.clone())]),
        measurement(
            "cca.software-component",
            vec![
                (2, Value::Array(vec![digest(&[1; 20])])),
                (13, signer.clone()),
            ],
        ),
        // A condition that this verifier does not check: a security version number.
        measurement(
            "cca.software-component",
            vec![(1, uint(3)), (2, hash.clone()), (13, signer.clone())],
        ),
    ] {
        let error = with(extra).unwrap_err();
        assert!(
            matches!(
                error,
                CorimError::Measurement { .. } | CorimError::Invalid(_)
            ),
            "{error}"
        );
    }
    // What the newer draft adds is known.
    with(measurement("cca.rotpk.CM.2.3", vec![(13, signer)])).unwrap();
    let pair = vec![Value::Bytes(vec![1]), Value::Bytes(vec![1])];
    let raw = tag(563, Value::Array(pair));
    with(measurement(
        "cca.platform-manufacturing-config",
        vec![(4, raw)],
    ))
    .unwrap();

    let platform = |profile: &str, kind, class_id: &[u8]| {
        let triple = triple(environment(class_id), good.clone());
        parse(&document(profile, kind, vec![triple]), NOW).unwrap_err()
    };
    for profile in [
        "",
        "http://arm.com/cca/realm/1",
        "tag:arm.com,2025:psa#1.0.0",
    ] {
        let error = platform(profile, 0, &IMPLEMENTATION_ID);
        assert!(
            matches!(error, CorimError::Profile(_) | CorimError::Invalid(_)),
            "{error}"
        );
    }
    assert!(matches!(
        platform(PLATFORM[0], 1, &IMPLEMENTATION_ID),
        CorimError::Triple(_)
    ));
    assert!(matches!(
        platform(PLATFORM[0], 0, &[1; 31]),
        CorimError::Triple(_)
    ));
    // A Realm that is named by another measurement than its own.
    let realm = triple(environment(&[9; 32]), realm_measurements(&sample));
    let error = parse(&document(REALM[0], 0, vec![realm]), NOW).unwrap_err();
    assert!(matches!(error, CorimError::Triple(_)));
    let realm = triple(
        environment(&[9; 32]),
        realm_measurements(&sample)[1..].to_vec(),
    );
    let error = parse(&document(REALM[0], 0, vec![realm]), NOW).unwrap_err();
    assert!(matches!(error, CorimError::Triple(_)));
}

#[test]
fn broken_bytes_are_refused() {
    let sample = Sample::new();
    let triple = triple(
        environment(&IMPLEMENTATION_ID),
        platform_measurements(&references(&sample)),
    );
    let good = document(PLATFORM[0], 0, vec![triple]);
    parse(&good, NOW).unwrap();
    for length in 0..good.len() {
        parse(&good[..length], NOW).unwrap_err();
    }
    let mut trailing = good;
    trailing.push(0);
    parse(&trailing, NOW).unwrap_err();
}

/// A signed document: `COSE_Sign1` with the header that the format asks for.
fn signed(payload: &[u8], key: &SigningKey, algorithm: i64) -> Vec<u8> {
    let meta = map(vec![(0, map(vec![(0, Value::from("tester"))]))]);
    let protected = encode(&Value::Map(vec![
        (uint(1), Value::from(algorithm)),
        (uint(3), Value::from("application/rim+cbor")),
        (uint(8), Value::Bytes(encode(&meta))),
    ]));
    let array = Value::Array(vec![
        Value::Bytes(protected.clone()),
        Value::Map(Vec::new()),
        Value::Bytes(payload.to_vec()),
        Value::Bytes(signature(&protected, payload, key)),
    ]);
    encode(&tag(18, array))
}

#[test]
fn signed_documents_need_their_signer() {
    let sample = Sample::new();
    let triple = triple(
        environment(&IMPLEMENTATION_ID),
        platform_measurements(&references(&sample)),
    );
    let payload = document(PLATFORM[1], 0, vec![triple]);
    let signer = key(Curve::P384, 33);
    let bytes = signed(&payload, &signer, -35);
    assert!(is_corim(&bytes));
    let public = signer.public_key();
    let endorsements = parse_signed(&bytes, NOW, &RustCrypto, &public).unwrap();
    assert_eq!(endorsements.references.platforms.len(), 1);

    assert_eq!(parse(&bytes, NOW), Err(CorimError::SignerUnknown));
    let other = key(Curve::P384, 34).public_key();
    assert_eq!(
        parse_signed(&bytes, NOW, &RustCrypto, &other),
        Err(CorimError::Signature)
    );
    let unsigned = parse_signed(&payload, NOW, &RustCrypto, &public);
    assert_eq!(unsigned, Err(CorimError::NotSigned));
    let wrong_algorithm = signed(&payload, &signer, -7);
    let result = parse_signed(&wrong_algorithm, NOW, &RustCrypto, &public);
    assert_eq!(result, Err(CorimError::Signature));
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let result = parse_signed(&flipped, NOW, &RustCrypto, &public);
    assert_eq!(result, Err(CorimError::Signature));
}
