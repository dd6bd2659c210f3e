//! Keys, platform tokens for development, and signed results.

use attestation_token::crypto::RustCrypto;
use attestation_token::encoding::from_base64url;
use attestation_token::trust::file::parse;
use attestation_token::{Crypto as _, PlatformToken};

use super::*;

const CLAIMS: &str = "\
cca-platform-implementation-id = \"1717171717171717171717171717171717171717171717171717171717171717\"
[[cca-platform-sw-components]]
component-type = \"RMM\"
measurement-value = \"a1fb50e6c86fae1679ef3351296fd6713411a08cf8dd1790a4fd05fae8688164\"
signer-id = \"5378796307535df3ec8d8b15a2e2dc5641419c3d3060cfe32238c0fa973f7aa3\"
";

#[test]
fn a_key_signs_a_platform_token_that_its_public_half_verifies() {
    for curve in ["P-256", "P-384", "p-521"] {
        for form in ["jwk", "pem", "cose"] {
            let folder = Folder::new(&format!("sign-{curve}-{form}"));
            let ran = folder.run(&[
                "keygen",
                "--curve",
                curve,
                "--form",
                form,
                "--private",
                "key.pem",
                "--public",
                "key.pub",
            ]);
            assert_eq!(ran.code, 0, "{ran:?}");
            folder.write("claims.toml", CLAIMS);
            folder.write("realm.jwk", to_jwk(&key(2).public_key()));
            let ran = folder.run(&[
                "sign",
                "--key",
                "key.pem",
                "--claims",
                "claims.toml",
                "--realm-key",
                "realm.jwk",
                "--output",
                "platform.cbor",
            ]);
            assert_eq!(ran.code, 0, "{ran:?}");
            let ran = folder.run(&[
                "verify",
                "--platform-only",
                "--trust-anchor",
                "key.pub",
                "platform.cbor",
            ]);
            assert_eq!(ran.code, 0, "{ran:?}");
            let token = std::fs::read(folder.path("platform.cbor")).unwrap();
            let token = PlatformToken::decode(&token).unwrap();
            let vouched_for = RealmKey::new(key(2).public_key());
            assert_eq!(
                token.claims().challenge,
                hash(HashAlgorithm::Sha256, vouched_for.encoded())
            );
        }
    }
}

#[test]
fn a_private_key_is_its_owners_and_is_never_overwritten() {
    let folder = Folder::new("secret");
    let arguments = ["keygen", "--private", "key.pem", "--public", "key.jwk"];
    assert_eq!(folder.run(&arguments).code, 0);
    let before = std::fs::read(folder.path("key.pem")).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path("key.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(folder.run(&arguments).code, 2);
    assert_eq!(std::fs::read(folder.path("key.pem")).unwrap(), before);
    let public = std::fs::read(folder.path("key.jwk")).unwrap();
    assert_eq!(parse(&public).unwrap().len(), 1);
    // A private key is no trust anchor.
    folder.write("token.cbor", Sample::new().token());
    let ran = folder.run(&["verify", "--trust-anchor", "key.pem", "token.cbor"]);
    assert_eq!(ran.code, 2);
}

#[test]
fn what_show_prints_can_be_signed_again() {
    let sample = Sample::new();
    let folder = prepared("again", &sample);
    folder.run(&["keygen", "--private", "key.pem", "--public", "key.jwk"]);
    let json = folder.run(&["show", "--json", "token.cbor"]).json();
    folder.write("claims.json", json["platform"].to_string());
    let ran = folder.run(&["sign", "--key", "key.pem", "--claims", "claims.json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let token = PlatformToken::decode(&ran.output).unwrap();
    assert_eq!(*token.claims(), sample.platform);
}

#[test]
fn claims_that_are_not_complete_are_named() {
    let folder = Folder::new("incomplete");
    folder.run(&["keygen", "--private", "key.pem", "--public", "key.jwk"]);
    for (claims, said) in [
        (CLAIMS.to_string(), "cca-platform-challenge"),
        (
            CLAIMS.replace("1717", "17"),
            "cca-platform-implementation-id",
        ),
        (
            format!("cca-platform-lifecycle = 0x7000\n{CLAIMS}"),
            "cca-platform-lifecycle",
        ),
        (
            format!("cca-platform-profile = \"x\"\n{CLAIMS}"),
            "cca-platform-profile",
        ),
        (
            format!("cca-platform-lifecycel = 1\n{CLAIMS}"),
            "cca-platform-lifecycel",
        ),
        (String::new(), "cca-platform-implementation-id"),
    ] {
        let claims = if said == "cca-platform-challenge" {
            claims
        } else {
            format!("cca-platform-challenge = \"{}\"\n{claims}", "00".repeat(32))
        };
        folder.write("claims.toml", claims);
        let ran = folder.run(&["sign", "--key", "key.pem", "--claims", "claims.toml"]);
        assert_eq!(ran.code, 2, "{said}: {ran:?}");
        assert!(ran.errors.contains(said), "{said}: {}", ran.errors);
    }
}

#[test]
fn results_as_signed_tokens() {
    let sample = Sample::new();
    let folder = prepared("ear", &sample);
    folder.run(&[
        "keygen",
        "--curve",
        "P-256",
        "--private",
        "ear.pem",
        "--public",
        "ear.jwk",
    ]);
    let run = |more: &[&str]| {
        let arguments = [
            "verify",
            "--trust-anchor",
            "anchor.jwk",
            "--ear-key",
            "ear.pem",
        ];
        folder.run(&[&arguments, more, &["token.cbor"]].concat())
    };
    let ran = run(&[
        "--ear",
        "-",
        "--ear-nonce",
        "0102030405060708",
        "--ear-lifetime",
        "60",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let jwt = ran.text().trim();
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    let public = parse(&std::fs::read(folder.path("ear.jwk")).unwrap()).unwrap();
    let ready = RustCrypto.verifying_key(&public[0].key).unwrap();
    let signature = from_base64url(signature).unwrap();
    RustCrypto
        .verify(&ready, message.as_bytes(), &signature)
        .unwrap();
    let payload = from_base64url(message.split('.').nth(1).unwrap()).unwrap();
    let ear: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(ear["ear_status"], "none");
    assert_eq!(
        ear["exp"].as_u64().unwrap() - ear["iat"].as_u64().unwrap(),
        60
    );

    // A rejected token has a result too, and the command says 1.
    let mut other = sample;
    other.realm_key = key(9);
    folder.write("token.cbor", other.token());
    let ran = run(&["--ear", "result.jwt"]);
    assert_eq!(ran.code, 1);
    let jwt = std::fs::read_to_string(folder.path("result.jwt")).unwrap();
    let payload = from_base64url(jwt.split('.').nth(1).unwrap()).unwrap();
    let ear: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(ear["ear_status"], "contraindicated");
    assert_eq!(run(&["--ear", "x", "--ear-nonce", "01"]).code, 2);
}
