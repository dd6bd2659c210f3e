//! The library builds where there is no operating system. Needs the targets, and minutes:
//! `cargo test -p attestation-token --test targets -- --ignored`.

use std::process::Command;

/// Builds for a target, in a folder of its own, so that the running build is not waited for.
fn build(target: &str, features: &str) {
    let folder = format!("{}/{target}", env!("CARGO_TARGET_TMPDIR"));
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--target", target])
        .args([
            "--target-dir",
            &folder,
            "--no-default-features",
            "--features",
            features,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{target} {features}: {errors}");
}

#[test]
#[ignore = "builds everything for another target"]
fn in_a_browser() {
    build("wasm32-unknown-unknown", "rustcrypto,appraisal,corim,rego");
}

#[test]
#[ignore = "builds everything for another target"]
fn on_bare_metal() {
    // What an RMM or an EL3 monitor takes: making tokens.
    build("aarch64-unknown-none-softfloat", "");
    build(
        "aarch64-unknown-none-softfloat",
        "rustcrypto,appraisal,corim,rego",
    );
}
