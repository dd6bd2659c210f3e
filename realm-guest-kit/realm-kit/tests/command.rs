//! The command as people and scripts use it, on a machine that is no Realm.

use std::fs;
use std::process::{Command, Output};

fn realm_kit(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_realm-kit"));
    command.args(arguments).output().unwrap()
}

/// Exit code, and the one line that says why.
fn refusal(arguments: &[&str]) -> (Option<i32>, String) {
    let output = realm_kit(arguments);
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("realm-kit: "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    (output.status.code(), text)
}

#[test]
fn help_has_examples_and_exit_codes() {
    let output = realm_kit(&["token", "--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("realm-kit token --challenge $CHALLENGE --output token.cbor"));
    assert!(text.contains("Exit code: 0"));
}

#[test]
fn where_there_is_no_evidence_that_is_said_with_three() {
    let challenge = "00".repeat(64);
    let (code, text) = refusal(&["token", "--challenge", &challenge]);
    assert_eq!(code, Some(3));
    assert!(text.contains("does not run in a Realm"), "{text}");
    let (code, text) = refusal(&["token", "--challenge", &challenge, "--tsm", "/no/such"]);
    assert_eq!(code, Some(3));
    assert!(text.contains("/no/such"), "{text}");
}

#[test]
fn a_folder_that_is_not_the_kernels_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let tsm = folder.path().to_str().unwrap();
    let challenge = "00".repeat(64);
    let (code, text) = refusal(&["token", "--challenge", &challenge, "--tsm", tsm]);
    assert_eq!(code, Some(1));
    assert!(text.contains("'provider'"), "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn wrong_use_is_two() {
    let (code, text) = refusal(&["token", "--challenge", "0011"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("2 bytes; 32 to 64"), "{text}");
    let (code, text) = refusal(&["token", "--challenge", "no digits"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("not hexadecimal"), "{text}");
    let output = realm_kit(&["token"]);
    assert_eq!(output.status.code(), Some(2));
}
