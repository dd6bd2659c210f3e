//! Exit codes, and what is said.

use super::*;

const VERIFY: [&str; 3] = ["verify", "--trust-anchor", "anchor.jwk"];

fn verify(folder: &Folder, more: &[&str]) -> Ran {
    folder.run(&[&VERIFY, more].concat())
}

#[test]
fn a_good_token_is_accepted_and_what_was_not_done_is_said() {
    let sample = Sample::new();
    let folder = prepared("good", &sample);
    let ran = verify(&folder, &["token.cbor"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = ran.text();
    assert!(text.contains("accepted; nothing was compared"), "{text}");
    assert!(text.contains("no challenge given"), "{text}");
    let ran = verify(&folder, &["--challenge", &sample.challenge(), "token.cbor"]);
    assert_eq!(ran.code, 0);
    assert!(!ran.text().contains("no challenge given"));
}

/// The mistake of other commands: 0 for a bad signature, a wrong binding, an undecodable token.
#[test]
fn a_bad_token_is_rejected() {
    let sample = Sample::new();
    let folder = prepared("bad", &sample);
    let mut broken: Vec<(&str, Vec<u8>)> = Vec::new();

    let mut other = sample.clone();
    other.platform_key = key(9);
    broken.push(("platform.signature", other.token()));
    let mut other = sample.clone();
    other.realm_key = key(9);
    broken.push(("realm.signature", other.token()));
    let mut other = sample.clone();
    other.platform.challenge = HashValue::from([0; 32]);
    broken.push(("binding", other.token()));
    let mut other = sample.clone();
    other.realm.challenge = [0; 64];
    broken.push(("challenge", other.token()));
    let mut other = sample.clone();
    other.platform.lifecycle = Lifecycle(0x4000);
    broken.push(("platform.lifecycle", other.token()));
    let mut trailing = sample.token();
    trailing.push(0);
    broken.push(("trailing bytes", trailing));
    let mut truncated = sample.token();
    truncated.pop();
    broken.push(("truncated", truncated));
    broken.push(("platform token alone", sample.platform_token()));

    let challenge = sample.challenge();
    for (why, token) in broken {
        folder.write("broken.cbor", token);
        let options = ["--challenge", &challenge, "broken.cbor"];
        let ran = verify(&folder, &options);
        assert_eq!(ran.code, 1, "{why}: {ran:?}");
        let said = format!("{}{}", ran.text(), ran.errors);
        assert!(
            said.contains("rejected") && said.contains(why),
            "{why}: {said}"
        );
        assert!(!said.contains("accepted"), "{said}");
        let ran = verify(&folder, &[&["--json"], options.as_slice()].concat());
        assert_eq!(ran.code, 1, "{why}: {ran:?}");
        assert_eq!(ran.json()["accepted"], false);
    }
}

#[test]
fn what_cannot_be_used_is_told_apart() {
    let sample = Sample::new();
    let folder = prepared("unusable", &sample);
    folder.write("empty", "");
    folder.write("garbage", [0xff; 100]);
    folder.write("words", "this is no token");
    folder.write("bad.toml", "[[realm]]\nrim = \"00\"\n");
    folder.write("bad.rego", "package cca\nallow if {\n");
    for options in [
        &["verify", "token.cbor"][..],
        &["verify", "--trust-anchor", "nothing.jwk", "token.cbor"],
        &["verify", "--trust-anchor", "garbage", "token.cbor"],
        &["verify", "--trust-anchor", "anchor.jwk", "nothing.cbor"],
        &["verify", "--trust-anchor", "anchor.jwk", "empty"],
        &["verify", "--trust-anchor", "anchor.jwk", "garbage"],
        &["verify", "--trust-anchor", "anchor.jwk", "words"],
        &[
            "verify",
            "--trust-anchor",
            "anchor.jwk",
            "--challenge",
            "xyz",
            "token.cbor",
        ],
        &[
            "verify",
            "--trust-anchor",
            "anchor.jwk",
            "--challenge",
            "00",
            "token.cbor",
        ],
        &[
            "verify",
            "--trust-anchor",
            "anchor.jwk",
            "--ref-values",
            "bad.toml",
            "token.cbor",
        ],
        &[
            "verify",
            "--trust-anchor",
            "anchor.jwk",
            "--ref-values",
            "none",
            "token.cbor",
        ],
        &[
            "verify",
            "--trust-anchor",
            "anchor.jwk",
            "--policy",
            "bad.toml",
            "token.cbor",
        ],
        &[
            "verify",
            "--trust-anchor",
            "anchor.jwk",
            "--policy",
            "bad.rego",
            "token.cbor",
        ],
        &["show", "garbage"],
        &["show"],
        &["unheard-of"],
    ] {
        let ran = folder.run(options);
        assert_eq!(ran.code, 2, "{options:?}: {ran:?}");
        assert!(
            !ran.errors.is_empty() && ran.output.is_empty(),
            "{options:?}"
        );
    }
}

#[test]
fn every_way_to_give_a_token() {
    let sample = Sample::new();
    let folder = prepared("ways", &sample);
    let token = sample.token();
    let hexadecimal = hex(&token);
    let lines = hexadecimal
        .as_bytes()
        .chunks(60)
        .collect::<Vec<_>>()
        .join(&b'\n');
    let base64 = {
        use attestation_token::encoding::base64url;
        base64url(&token)
    };
    for given in [
        token,
        hexadecimal.clone().into_bytes(),
        hexadecimal.to_uppercase().into_bytes(),
        format!("0x{hexadecimal}\n").into_bytes(),
        lines,
        base64.clone().into_bytes(),
        base64.replace('-', "+").replace('_', "/").into_bytes(),
    ] {
        folder.write("given", &given);
        assert_eq!(verify(&folder, &["given"]).code, 0);
        let ran = folder.run_with(&given, &[&VERIFY, ["-"].as_slice()].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(folder.run_with(&given, &["show", "-"]).code, 0);
    }
}

#[test]
fn show_does_not_verify_and_says_so() {
    let mut sample = Sample::new();
    sample.realm_key = key(9);
    let folder = prepared("show", &sample);
    let ran = folder.run(&["show", "token.cbor"]);
    assert_eq!(ran.code, 0);
    let text = ran.text();
    assert!(text.starts_with("Not verified"));
    assert!(text.contains(&sample.realm.initial_measurement.to_string()));
    assert!(text.contains("component-type: RMM"));
    // What a token says must not reach the terminal as commands.
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2J"));
    let ran = folder.run(&["show", "--json", "token.cbor"]);
    let json = ran.json();
    assert_eq!(json["wrapper-tag"], 399);
    assert_eq!(json["platform"]["cca-platform-lifecycle-state"], "secured");
    assert_eq!(json["realm"]["cca-realm-hash-algo-id"], "sha-256");

    folder.write("platform.cbor", sample.platform_token());
    let ran = folder.run(&["show", "platform.cbor"]);
    assert!(ran.code == 0 && !ran.text().contains("Realm token"));
}

#[test]
fn json_says_every_check_and_claims_only_of_trusted_tokens() {
    let sample = Sample::new();
    let folder = prepared("json", &sample);
    let json = verify(&folder, &["--json", "token.cbor"]).json();
    assert_eq!(json["accepted"], true);
    assert_eq!(json["compared"], false);
    let checks = json["checks"].as_array().unwrap();
    let verdict = |name: &str| {
        let check = checks.iter().find(|check| check["check"] == name).unwrap();
        (
            check["verdict"].as_str().unwrap(),
            check["reason"].as_str().unwrap(),
        )
    };
    assert_eq!(verdict("binding"), ("affirmed", "matches"));
    let not_compared = ("not-compared", "no-reference-value");
    assert_eq!(verdict("realm.initial-measurement"), not_compared);
    assert!(json["token"]["realm"].is_object());

    let mut other = sample;
    other.realm_key = key(9);
    folder.write("token.cbor", other.token());
    let json = verify(&folder, &["--json", "token.cbor"]).json();
    assert_eq!(json["trusted"], false);
    assert!(json.get("token").is_none());
}

#[test]
fn policies() {
    let sample = Sample::new();
    let folder = prepared("policies", &sample);
    folder.write(
        "require.toml",
        "require = [\"realm.initial-measurement\"]\n",
    );
    folder.write("debug.toml", "lifecycle = [\"non-platform-rot-debug\"]\n");
    folder.write("yes.rego", "package cca\nallow := true\n");
    folder.write(
        "config.rego",
        "package cca\n\
         default allow := false\n\
         allow if input.platform[\"cca-platform-config\"] == \"00\"\n\
         reasons contains \"the wrong configuration\" if not allow\n",
    );
    for (policies, code, said) in [
        (&["yes.rego"][..], 0, "policy.rego"),
        (&["config.rego"], 1, "the wrong configuration"),
        (&["yes.rego", "config.rego"], 1, "the wrong configuration"),
        (
            &["require.toml"],
            1,
            "the policy requires realm.initial-measurement",
        ),
        (&["debug.toml"], 1, "platform.lifecycle"),
        (&["require.toml", "debug.toml"], 2, "second plain policy"),
    ] {
        let options = policies.iter().flat_map(|policy| ["--policy", policy]);
        let options: Vec<_> = options.chain(["token.cbor"]).collect();
        let ran = verify(&folder, &options);
        assert_eq!(ran.code, code, "{policies:?}: {ran:?}");
        let text = format!("{}{}", ran.text(), ran.errors);
        assert!(text.contains(said), "{policies:?}: {text}");
    }
    let mut debugged = sample;
    debugged.platform.lifecycle = Lifecycle(0x4001);
    folder.write("token.cbor", debugged.token());
    let ran = verify(&folder, &["--policy", "debug.toml", "token.cbor"]);
    assert_eq!(ran.code, 0);
    assert!(ran.text().contains("warning"), "{}", ran.text());
}

#[test]
fn completions_and_help() {
    let folder = Folder::new("help");
    for shell in ["bash", "zsh", "fish"] {
        let ran = folder.run(&["completions", shell]);
        assert!(
            ran.code == 0 && ran.text().contains("ref-values"),
            "{shell}"
        );
    }
    for command in [
        "show",
        "verify",
        "keygen",
        "sign",
        "ref-values",
        "rim",
        "completions",
    ] {
        let ran = folder.run(&[command, "--help"]);
        assert_eq!(ran.code, 0);
        assert!(
            ran.text().contains(&format!("cca-token {command} ")),
            "{command}"
        );
        assert!(ran.text().contains("Example"), "{command}");
    }
}
