//! Predictions of initial measurements.

use super::*;

/// The steps of the reference, section 9.7.
const STEPS: [&str; 9] = [
    "rim",
    "--ram",
    "0x80000000+0x200000",
    "--load",
    "0x80000000=page",
    "--unmeasured",
    "0x80001000+4096",
    "--rec",
    "pc=0x80000000,x0=0x88000000",
];

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("page", [0; 4096]);
    folder
}

#[test]
fn as_in_the_reference_with_both_algorithms() {
    let folder = folder("rim");
    for (algorithm, expected) in [
        (
            "sha-256",
            "b9b5d8c138ec4679863edde30a82dc51a1af50fcd526dfec569e276a8b8b0778",
        ),
        (
            "sha-512",
            "c2393be7e1e32bd52ca3486ae0ecf5e5388c40c34736bac90c3bf0ca4738fe53\
             091e915e2626eae17698b4d66e45e866acfd58b673360cda02397780bf94a13e",
        ),
    ] {
        let arguments = [STEPS.as_slice(), &["--hash", algorithm]].concat();
        let ran = folder.run(&arguments);
        assert_eq!((ran.code, ran.text().trim()), (0, expected), "{ran:?}");
        let json = folder
            .run(&[arguments.as_slice(), &["--format", "json"]].concat())
            .json();
        assert_eq!(json["cca-realm-initial-measurement"], expected);
        let toml = folder.run(&[arguments.as_slice(), &["--format", "toml"]].concat());
        assert!(
            toml.text()
                .contains(&format!("initial-measurement = \"{expected}\""))
        );
    }
}

#[test]
fn the_order_of_the_steps_counts() {
    let folder = folder("rim-order");
    let one = folder.run(&["rim", "--load", "0x0=page", "--rec", "pc=0"]);
    let other = folder.run(&["rim", "--rec", "pc=0", "--load", "0x0=page"]);
    assert_eq!((one.code, other.code), (0, 0));
    assert_ne!(one.output, other.output);
    // Several of one kind with others between them.
    let one = folder.run(&[
        "rim",
        "--load",
        "0=page",
        "--rec",
        "pc=1",
        "--load",
        "0x1000=page",
        "--rec",
        "pc=2",
    ]);
    let other = folder.run(&[
        "rim",
        "--load",
        "0=page",
        "--load",
        "0x1000=page",
        "--rec",
        "pc=1",
        "--rec",
        "pc=2",
    ]);
    assert_ne!(one.output, other.output);
}

#[test]
fn a_file_is_loaded_page_by_page_with_zeroes_behind_it() {
    let folder = folder("rim-load");
    let mut content = vec![7; 4096];
    folder.write("first", &content);
    content.extend([9; 10]);
    folder.write("both", &content);
    let mut second = vec![9; 10];
    second.resize(4096, 0);
    folder.write("second", second);
    let at_once = folder.run(&["rim", "--load", "0x1000=both"]);
    let one_by_one = folder.run(&["rim", "--load", "0x1000=first", "--load", "0x2000=second"]);
    assert_eq!(at_once.output, one_by_one.output);
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = folder("rim-wrong");
    folder.write("empty", "");
    for arguments in [
        &["--hash", "sha-384"][..],
        &["--hash", "md5"],
        &["--ram", "0x1000"],
        &["--ram", "0x1000+0x1000"],
        &["--ram", "0+0x1000:9"],
        &["--ram", "0xffffffffffffffff+2"],
        &["--load", "page"],
        &["--load", "0x800=page"],
        &["--load", "0=nothing"],
        &["--load", "0=empty"],
        &["--load", "0x8000000000=page"],
        &["--unmeasured", "0+1"],
        &["--rec", "x8=1"],
        &["--rec", "pc"],
        &["--rec", "pc=zero"],
        &["--ipa-width", "256"],
    ] {
        let ran = folder.run(&[&["rim"], arguments].concat());
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.output.is_empty());
    }
}

#[test]
fn the_prediction_is_a_reference_value() {
    let folder = folder("rim-verify");
    let toml = folder.run(&[STEPS.as_slice(), &["--format", "toml"]].concat());
    folder.write("realm.toml", toml.output);
    let mut sample = Sample::new();
    folder.write("anchor.jwk", sample.anchor());
    let verify = [
        "verify",
        "--trust-anchor",
        "anchor.jwk",
        "--ref-values",
        "realm.toml",
        "t",
    ];
    folder.write("t", sample.token());
    assert_eq!(folder.run(&verify).code, 1);
    let rim = folder.run(&STEPS);
    let rim = attestation_token::encoding::from_hex(rim.text().trim()).unwrap();
    sample.realm.initial_measurement = HashValue::from_slice(&rim).unwrap();
    folder.write("t", sample.token());
    assert_eq!(folder.run(&verify).code, 0);
}
