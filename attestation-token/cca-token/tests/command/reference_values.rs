//! Reference values taken from one token, and compared with others.

use super::*;

#[test]
fn taken_from_a_token_in_every_form() {
    let sample = Sample::new();
    let folder = prepared("taken", &sample);
    let take = ["ref-values", "--trust-anchor", "anchor.jwk"];
    for form in ["toml", "json", "corim-platform", "corim-realm"] {
        let more = ["--format", form, "--output", form, "token.cbor"];
        let ran = folder.run(&[&take, more.as_slice()].concat());
        assert_eq!(ran.code, 0, "{form}: {ran:?}");
    }
    let verify = |files: &[&str]| {
        let options = files.iter().flat_map(|file| ["--ref-values", file]);
        let head = ["verify", "--trust-anchor", "anchor.jwk"].into_iter();
        let arguments: Vec<_> = head.chain(options).chain(["token.cbor"]).collect();
        folder.run(&arguments)
    };
    let forms = [&["toml"][..], &["json"], &["corim-platform", "corim-realm"]];
    for form in forms {
        let ran = verify(form);
        assert_eq!(ran.code, 0, "{form:?}: {ran:?}");
        assert!(ran.text().ends_with("\naccepted\n"), "{}", ran.text());
        assert!(!ran.text().contains("not-compared"));
    }
    let mut other = sample;
    other.realm.initial_measurement = HashValue::from([0xbb; 32]);
    folder.write("token.cbor", other.token());
    for form in forms {
        let ran = verify(form);
        assert_eq!(ran.code, 1, "{form:?}: {ran:?}");
        let text = ran.text();
        assert!(
            text.ends_with("rejected: realm.initial-measurement\n"),
            "{text}"
        );
        assert!(
            text.contains(&format!("found     {}", "bb".repeat(32))),
            "{text}"
        );
        assert!(
            text.contains(&format!("expected  {}", "a0".repeat(32))),
            "{text}"
        );
    }
    // Of the machine alone.
    let ran = verify(&["corim-platform"]);
    assert_eq!(ran.code, 0);
    assert!(ran.text().contains("not-compared"));
}

#[test]
fn a_token_that_is_not_trusted_gives_none() {
    let mut sample = Sample::new();
    sample.realm_key = key(9);
    let folder = prepared("not-taken", &sample);
    let ran = folder.run(&["ref-values", "--trust-anchor", "anchor.jwk", "token.cbor"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.output.is_empty() && ran.errors.contains("realm.signature"));
    assert_eq!(folder.run(&["ref-values", "token.cbor"]).code, 2);
    let ran = folder.run(&["ref-values", "--unverified", "token.cbor"]);
    assert_eq!(ran.code, 0);
    assert!(ran.errors.contains("not verified") && ran.text().contains("[[realm]]"));
}

#[test]
fn keys_in_a_corim_of_reference_values_are_not_believed() {
    let sample = Sample::new();
    let folder = prepared("keys", &sample);
    folder.run(&[
        "ref-values",
        "--trust-anchor",
        "anchor.jwk",
        "--format",
        "corim-platform",
        "--output",
        "platform.cbor",
        "token.cbor",
    ]);
    // There is no key in it.
    let ran = folder.run(&["verify", "--trust-anchor", "platform.cbor", "token.cbor"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = folder.run(&[
        "verify",
        "--trust-anchor",
        "anchor.jwk",
        "--ref-values",
        "platform.cbor",
        "--ref-values-signer",
        "anchor.jwk",
        "token.cbor",
    ]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.errors.contains("not signed"), "{}", ran.errors);
}
