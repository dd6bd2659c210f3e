//! Files of trust anchors, in every form.

use attestation_token::claims::InstanceId;
use attestation_token::crypto::RustCrypto;
use attestation_token::encoding::{base64url, hex};
use attestation_token::key::KeyError;
use attestation_token::trust::Identity;
use attestation_token::trust::file::{AnchorFileError, MAX_BYTES, parse, to_jwk};
use attestation_token::{Crypto as _, Curve, PublicKey, TrustAnchor};
use ciborium::Value;

use crate::forge::{encode, entries};
use crate::samples::{IMPLEMENTATION_ID, key};

fn public(curve: Curve) -> PublicKey {
    key(curve, 7).public_key()
}

const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

#[test]
fn json_web_keys() {
    for curve in CURVES {
        let key = public(curve);
        let jwk = to_jwk(&key);
        assert_eq!(parse(jwk.as_bytes()), Ok(vec![key.clone().into()]));
        let set = format!("  {{\"keys\": [{jwk}, {jwk}]}}");
        assert_eq!(parse(set.as_bytes()), Ok(vec![key.clone().into(); 2]));
    }
}

#[test]
fn lists_of_anchors_with_identities() {
    let instance_id = InstanceId::from_random([3; 32]);
    let key = public(Curve::P384);
    let expected = TrustAnchor {
        identity: Identity {
            instance_id: Some(instance_id),
            implementation_id: Some(IMPLEMENTATION_ID),
        },
        key: key.clone(),
    };
    let jwk = to_jwk(&key);
    for (instance, implementation) in [
        (hex(instance_id.as_bytes()), hex(&IMPLEMENTATION_ID)),
        (
            base64url(instance_id.as_bytes()),
            base64url(&IMPLEMENTATION_ID),
        ),
    ] {
        let ids =
            format!("\"instance-id\": \"{instance}\", \"implementation-id\": \"{implementation}\"");
        let entry = format!("{{{ids}, \"pkey\": {jwk}}}");
        assert_eq!(
            parse(format!("[{entry}]").as_bytes()),
            Ok(vec![expected.clone()])
        );
        assert_eq!(parse(entry.as_bytes()), Ok(vec![expected.clone()]));
        let members = jwk.trim().trim_start_matches('{');
        let with_ids = format!("{{\"keys\": [{{{ids}, {members}]}}");
        assert_eq!(parse(with_ids.as_bytes()), Ok(vec![expected.clone()]));
    }
}

#[test]
fn cose_keys() {
    for curve in CURVES {
        let key = public(curve);
        let cose = key.to_cose_key();
        assert_eq!(parse(&cose), Ok(vec![key.clone().into()]));
        let map = Value::Map(entries(&cose));
        let set = encode(&Value::Array(vec![map.clone(), map]));
        assert_eq!(parse(&set), Ok(vec![key.into(); 2]));
    }
}

/// As OpenSSL writes them: the base points of the first two curves, and a key on the third.
const PEM: [&str; 3] = [
    "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt
6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==
-----END PUBLIC KEY-----",
    "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEqofKIr6LBTeOscce8yCtdG4dO2KLp5uY
WfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3NhfeSpYmLG9dnpi/kpLcKfj0Hb0omhR8
6doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f
-----END PUBLIC KEY-----",
    "-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBe7yM5mEVwMYcWxDaenitzs70FofH
JH34M8clUqB2otPPfHa06fWscsGlLB0PRPikpmNpuvcIwpnmrfAamrVTZfsBym5b
yIyBrfrVjuFcpDHrYs6rmDOe9HAjoTf4CuWbyHZ4kElU4GiO9xafza0dwJHKvF+R
19OmeO0OoQC9PFaZD3Q=
-----END PUBLIC KEY-----",
];

#[test]
fn pem_of_other_tools() {
    let bases = [
        (
            Curve::P256,
            "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
        ),
        (
            Curve::P384,
            "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38\
             5502f25dbf55296c3a545e3872760ab7",
            "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c0\
             0a60b1ce1d7e819d7a431d7c90ea0e5f",
        ),
    ];
    for (pem, (curve, x, y)) in PEM.iter().zip(bases) {
        let [x, y] = [x, y].map(|text| attestation_token::encoding::from_hex(text).unwrap());
        let key = PublicKey::from_coordinates(curve, &x, &y).unwrap();
        assert_eq!(parse(pem.as_bytes()), Ok(vec![key.clone().into()]));
        let twice = format!("\n{pem}\n\n{pem}\n");
        assert_eq!(parse(twice.as_bytes()), Ok(vec![key.into(); 2]));
    }
    let anchors = parse(PEM[2].as_bytes()).unwrap();
    assert_eq!(anchors[0].key.curve(), Curve::P521);
    RustCrypto.verifying_key(&anchors[0].key).unwrap();
}

#[test]
fn what_is_not_a_key_is_refused_with_a_reason() {
    let key = public(Curve::P256);
    let jwk = to_jwk(&key);
    let error = |text: &str| parse(text.as_bytes()).unwrap_err();
    let replaced = |from: &str, to: &str| error(&jwk.replace(from, to));
    assert_eq!(
        replaced("\"EC\"", "\"OKP\""),
        KeyError::NotEllipticCurve.into()
    );
    assert_eq!(
        replaced("P-256", "secp256k1"),
        KeyError::CurveUnknown.into()
    );
    assert_eq!(replaced("P-256", "P-384"), KeyError::Coordinate.into());
    assert_eq!(
        replaced("\"kty\"", "\"alg\": \"ES384\", \"kty\""),
        KeyError::AlgorithmMismatch.into()
    );
    assert!(matches!(
        replaced("\"y\"", "\"z\""),
        AnchorFileError::Json(_)
    ));
    assert!(matches!(error("{"), AnchorFileError::Json(_)));
    assert!(matches!(error("[1]"), AnchorFileError::Json(_)));
    assert_eq!(error("[]"), AnchorFileError::Empty);
    assert_eq!(error("{\"keys\": []}"), AnchorFileError::Empty);
    for id in ["", "00", &hex(&[2; 33]), &hex(&[1; 32]), "?"] {
        let entry = format!("[{{\"instance-id\": \"{id}\", \"pkey\": {jwk}}}]");
        assert_eq!(error(&entry), AnchorFileError::Identifier("instance-id"));
    }
    let entry = format!("[{{\"implementation-id\": \"00\", \"pkey\": {jwk}}}]");
    assert_eq!(
        error(&entry),
        AnchorFileError::Identifier("implementation-id")
    );

    let pem = PEM[0];
    assert_eq!(
        error(&pem.replace("MFkw", "MFkx")),
        KeyError::NotEllipticCurve.into()
    );
    assert_eq!(error(&pem.replace("MFkw", "MF")), AnchorFileError::Pem);
    assert_eq!(
        error(&pem.replace("-----END", "----END")),
        AnchorFileError::Pem
    );
    for label in ["CERTIFICATE", "EC PRIVATE KEY", "PRIVATE KEY"] {
        let other = pem.replace("PUBLIC KEY", label);
        assert_eq!(error(&other), AnchorFileError::PemLabel(label.into()));
    }
    // A point of P-256 that claims to be on P-384.
    let mismatch = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEACIDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg
9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==
-----END PUBLIC KEY-----";
    assert_eq!(error(mismatch), KeyError::NotAPoint.into());
    for other in ["", "hello", "\u{feff}", "AAAA"] {
        assert_eq!(error(other), AnchorFileError::Unknown);
    }
    assert_eq!(parse(&[0x80]).unwrap_err(), AnchorFileError::Empty);
    assert_eq!(parse(&[0xa0]).unwrap_err(), KeyError::NotCoseKey.into());
    assert_eq!(
        parse(&vec![0; MAX_BYTES + 1]).unwrap_err(),
        AnchorFileError::TooLong
    );
}
