//! Writes valid inputs of every kind, from which the targets start, into `corpus/`.

#[path = "../tests/token/samples.rs"]
#[allow(dead_code)]
mod samples;

use std::fs;
use std::path::Path;

use attestation_token::Token;
use attestation_token::reference::corim::write;
use attestation_token::reference::extract::from_token;
use attestation_token::reference::file::{to_json, to_toml};
use attestation_token::trust::file::to_jwk;
use samples::Sample;

const POLICY: &str = "\
lifecycle = [\"secured\", \"non-platform-rot-debug\"]
require = [\"challenge\", \"realm.initial-measurement\"]
unlisted-components = \"accept\"
platform-profile = [\"tag:arm.com,2023:cca_platform#1.0.0\"]
realm-profile = [\"tag:arm.com,2024:realm#2.0.0\", \"none\"]
mec-policy = \"private\"
lfa-policy = \"disallow\"
";

const REGO: &str = "\
package cca

default allow := false

allow if {
    input.accepted
    some component in input.platform[\"cca-platform-sw-components\"]
    component[\"component-type\"] == \"RMM\"
    count(input.realm[\"cca-realm-extensible-measurements\"]) == 4
}

reasons contains \"no\" if not allow
";

fn save(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

fn main() {
    let samples = [
        ("2023", Sample::new()),
        ("2024", Sample::v2024()),
        ("legacy", Sample::legacy()),
    ];
    for (name, sample) in samples {
        save("verify", name, &sample.token());
        save("decode", name, &sample.token());
        save(
            "decode",
            &format!("{name}-platform"),
            &sample.platform_token(),
        );
        save("decode", &format!("{name}-realm"), &sample.realm_token());
        save(
            "decode",
            &format!("{name}-platform-claims"),
            &sample.platform.encode(),
        );
        save(
            "decode",
            &format!("{name}-realm-claims"),
            &sample.realm.encode(),
        );
        let key = sample.platform_key.public_key();
        save("decode", "cose-key", &key.to_cose_key());

        let values = from_token(&Token::decode(&sample.token()).unwrap());
        let documents = write(&values, "seed").unwrap();
        save(
            "corim",
            &format!("{name}-platform"),
            &documents.platform.unwrap(),
        );
        save("corim", &format!("{name}-realm"), &documents.realm.unwrap());

        // The first byte says what the rest is.
        let file = |kind: u8, text: &str| [&[kind], text.as_bytes()].concat();
        save("policy", "plain", &file(0, POLICY));
        save(
            "policy",
            &format!("{name}-toml"),
            &file(1, &to_toml(&values).unwrap()),
        );
        save(
            "policy",
            &format!("{name}-json"),
            &file(1, &to_json(&values).unwrap()),
        );
        save("policy", "jwk", &file(2, &to_jwk(&key)));
        save("policy", "rego", &file(3, REGO));
    }
}
