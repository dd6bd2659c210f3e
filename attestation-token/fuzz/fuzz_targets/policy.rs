//! Bytes as files of an owner: policies, reference values, trust anchors. The first byte says
//! which.
#![no_main]

#[path = "../../tests/token/samples.rs"]
#[allow(dead_code)]
mod samples;

use std::sync::LazyLock;

use attestation_token::appraise::appraise;
use attestation_token::policy::Policy;
use attestation_token::reference::ReferenceValues;
use attestation_token::reference::file;
use attestation_token::rego::RegoPolicy;
use attestation_token::trust;
use attestation_token::{Token, Verification};
use libfuzzer_sys::fuzz_target;
use samples::{CHALLENGE, Sample};

static TRUSTED: LazyLock<(Token, Verification)> = LazyLock::new(|| {
    let sample = Sample::v2024();
    let token = Token::decode(&sample.token()).unwrap();
    let verification = sample.verifier().verify(&token, Some(&CHALLENGE));
    assert!(verification.is_trusted());
    (token, verification)
});

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let (token, verification) = &*TRUSTED;
    match kind % 4 {
        0 => {
            if let Ok(policy) = Policy::parse(bytes) {
                appraise(token, verification, &ReferenceValues::default(), &policy);
            }
        }
        1 => {
            if let Ok(values) = file::parse(bytes) {
                let toml = file::to_toml(&values).unwrap();
                assert_eq!(file::parse(toml.as_bytes()).as_ref(), Ok(&values));
                let json = file::to_json(&values).unwrap();
                assert_eq!(file::parse(json.as_bytes()).as_ref(), Ok(&values));
                appraise(token, verification, &values, &Policy::default());
            }
        }
        2 => {
            let _ = trust::file::parse(bytes);
        }
        _ => {
            if let Ok(policy) = RegoPolicy::parse("fuzz.rego", bytes, None) {
                let references = ReferenceValues::default();
                let mut appraisal = appraise(token, verification, &references, &Policy::default());
                let checks = appraisal.checks().len();
                policy.apply(token, &mut appraisal);
                assert_eq!(appraisal.checks().len(), checks + 1);
            }
        }
    }
});
