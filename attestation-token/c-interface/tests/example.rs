//! The example in C is compiled, linked and run; the functions are called with what they must
//! survive.
#![allow(unsafe_code)]

#[path = "../../tests/token/samples.rs"]
#[allow(dead_code)]
mod samples;

use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

use attestation_token::HashValue;
use attestation_token::Token;
use attestation_token::reference::extract::from_token;
use attestation_token::reference::file::to_toml;
use attestation_token::trust::file::to_jwk;
use cca_token::{
    CCA_TOKEN_ACCEPTED, CCA_TOKEN_REJECTED, CCA_TOKEN_UNUSABLE, cca_token_decode, cca_token_free,
    cca_token_verifier_add_reference_values, cca_token_verifier_free, cca_token_verifier_new,
    cca_token_verifier_set_policy, cca_token_verify,
};

use samples::{CHALLENGE, Sample};

/// The static library that was built with this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    let mut found: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            name.starts_with("libcca_token") && path.extension().is_some_and(|kind| kind == "a")
        })
        .collect();
    found.sort_by_key(|path| path.metadata().unwrap().modified().unwrap());
    found.pop().expect("a static library beside the test")
}

fn compile(folder: &Path) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = folder.join("verify");
    let output = Command::new("cc")
        .args([
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-o",
        ])
        .arg(&program)
        .arg("-I")
        .arg(here.join("include"))
        .arg(here.join("example/verify.c"))
        .arg(library())
        .args(["-lpthread", "-ldl", "-lm"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    program
}

#[test]
fn the_example_verifies() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c-example");
    std::fs::create_dir_all(&folder).unwrap();
    let program = compile(&folder);
    let sample = Sample::new();
    let mut other = sample.clone();
    other.realm.initial_measurement = HashValue::from([0xbb; 32]);
    let references = to_toml(&from_token(&Token::decode(&sample.token()).unwrap())).unwrap();
    let mut trailing = sample.token();
    trailing.push(0);
    for (name, content) in [
        (
            "anchor.jwk",
            to_jwk(&sample.platform_key.public_key()).into_bytes(),
        ),
        ("good.cbor", sample.token()),
        ("other.cbor", other.token()),
        ("trailing.cbor", trailing),
        ("good.toml", references.into_bytes()),
        ("policy.toml", b"mec-policy = \"private\"".to_vec()),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    for (arguments, code, said) in [
        (&["anchor.jwk", "good.cbor"][..], 0, "\"compared\":false"),
        (
            &["anchor.jwk", "good.cbor", "good.toml"],
            0,
            "\"compared\":true",
        ),
        (&["anchor.jwk", "other.cbor", "good.toml"], 1, "differs"),
        (
            &["anchor.jwk", "good.cbor", "good.toml", "policy.toml"],
            1,
            "policy.mec-policy",
        ),
        (&["anchor.jwk", "trailing.cbor"], 1, "trailing bytes"),
        (&["good.cbor", "good.cbor"], 2, ""),
        (&["anchor.jwk", "good.cbor", "policy.toml"], 2, ""),
        (&["nothing", "good.cbor"], 2, ""),
        (&[], 2, ""),
    ] {
        let output = Command::new(&program)
            .args(arguments)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
}

/// Text that was handed out.
fn take(text: *mut c_char) -> String {
    assert!(!text.is_null());
    // SAFETY: the library handed it out, and it is given back only here.
    unsafe {
        let owned = CStr::from_ptr(text).to_str().unwrap().to_string();
        cca_token_free(text);
        owned
    }
}

#[test]
fn pointers_may_be_null() {
    let sample = Sample::new();
    let token = sample.token();
    let anchor = to_jwk(&sample.platform_key.public_key());
    // SAFETY: pointers are null or come with their lengths; what is handed out is given back once.
    unsafe {
        let mut text = ptr::null_mut();
        assert_eq!(
            cca_token_decode(ptr::null(), 7, &raw mut text),
            CCA_TOKEN_UNUSABLE
        );
        assert_eq!(take(text), "no token");
        let status = cca_token_decode(token.as_ptr(), token.len(), &raw mut text);
        assert_eq!(status, CCA_TOKEN_ACCEPTED);
        assert!(take(text).contains("cca-realm-initial-measurement"));
        let status = cca_token_decode(token.as_ptr(), token.len() - 1, ptr::null_mut());
        assert_eq!(status, CCA_TOKEN_REJECTED);
        let status = cca_token_decode(token.as_ptr(), usize::MAX, ptr::null_mut());
        assert_eq!(status, CCA_TOKEN_UNUSABLE);

        assert!(cca_token_verifier_new(ptr::null(), 0, ptr::null_mut()).is_null());
        assert!(cca_token_verifier_new(ptr::null(), 0, &raw mut text).is_null());
        assert_eq!(take(text), "no trust anchors");
        let verifier = cca_token_verifier_new(anchor.as_ptr(), anchor.len(), ptr::null_mut());
        assert!(!verifier.is_null());
        let nothing = ptr::null_mut();
        let status = cca_token_verifier_set_policy(verifier, ptr::null(), 0, nothing);
        assert_eq!(status, CCA_TOKEN_UNUSABLE);
        let none = ptr::null_mut();
        let status = cca_token_verifier_add_reference_values(none, b"".as_ptr(), 0, 0, nothing);
        assert_eq!(status, CCA_TOKEN_UNUSABLE);

        let verify = |challenge, json| {
            cca_token_verify(verifier, token.as_ptr(), token.len(), challenge, json)
        };
        assert_eq!(
            verify(CHALLENGE.0.as_ptr(), &raw mut text),
            CCA_TOKEN_ACCEPTED
        );
        assert!(!take(text).contains("no-challenge"));
        assert_eq!(verify(ptr::null(), &raw mut text), CCA_TOKEN_ACCEPTED);
        assert!(take(text).contains("no-challenge"));
        assert_eq!(
            verify([0; 64].as_ptr(), ptr::null_mut()),
            CCA_TOKEN_REJECTED
        );
        let status = cca_token_verify(ptr::null(), ptr::null(), 0, ptr::null(), &raw mut text);
        assert_eq!(status, CCA_TOKEN_UNUSABLE);
        assert!(take(text).contains("\"accepted\":false"));

        cca_token_verifier_free(verifier);
        cca_token_verifier_free(ptr::null_mut());
        cca_token_free(ptr::null_mut());
    }
}
