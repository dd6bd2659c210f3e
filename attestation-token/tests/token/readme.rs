//! The examples in the README are what they say they are.

use attestation_token::policy::Policy;
use attestation_token::reference::file;
use attestation_token::rego::RegoPolicy;
use attestation_token::trust;

const README: &str = include_str!("../../README.md");

/// The examples in a language.
fn examples(language: &str) -> Vec<&'static str> {
    let examples: Vec<_> = README
        .split("\n```")
        .filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n'))
        .collect();
    assert!(!examples.is_empty(), "{language}");
    examples
}

#[test]
fn files_can_be_used() {
    for example in examples("toml") {
        if example.starts_with("# policy\n") {
            let policy = Policy::parse(example.as_bytes()).unwrap();
            assert!(policy.unlisted_components && policy.require.len() == 2);
        } else {
            assert!(example.starts_with("# reference values\n"), "{example}");
            let values = file::parse(example.as_bytes()).unwrap();
            assert_eq!(values.platforms[0].software_components.len(), 2);
            assert_eq!(values.realms.len(), 1);
        }
    }
    for example in examples("json") {
        let anchors = trust::file::parse(example.as_bytes()).unwrap();
        assert!(anchors[0].identity.instance_id.is_some());
    }
    for example in examples("rego") {
        RegoPolicy::parse("owner.rego", example.as_bytes(), None).unwrap();
    }
}
