//! The demonstration, with scripts in the place of the emulator and of the owner's program.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use super::{Bench, stderr, stdout};

/// Prints a token of four bytes.
const TOKEN: &str = "\
echo 'el3: up'
echo 'ns-host: token realm 0/4 0102'
echo 'ns-host: token realm 2/4 0304'
echo 'ns-host: done 2 passed, 0 failed, 0 skipped'
";

/// Predicts something, and ends a verification with a verdict.
fn owner(verdict: &str, code: u8) -> String {
    format!(
        "#!/bin/sh\n\
         if [ \"$1\" = rim ]; then echo '[[realm]]'; exit 0; fi\n\
         printf '%s\\n' \"$@\" >verify-words\n\
         echo '{verdict}'\n\
         exit {code}\n"
    )
}

/// A payload as far as its header goes: sizes of the file and of its memory, secondary entry.
fn payload() -> Vec<u8> {
    let mut image = vec![0; 128];
    image[8..16].copy_from_slice(b"CLSTRPLD");
    for (place, value) in [(16, 128_u64), (24, 0x5000), (32, 64)] {
        image[place..place + 8].copy_from_slice(&value.to_le_bytes());
    }
    image
}

fn bench(machine: &str, owner: &str) -> Bench {
    let bench = Bench::new(&format!("printf '%s\\n' \"$@\" >words\n{machine}"));
    fs::write(bench.path("realm-payload"), payload()).unwrap();
    let program = bench.path("cca-token");
    fs::write(&program, owner).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    bench
}

fn run(bench: &Bench, arguments: &[&str]) -> Output {
    let program = bench.path("cca-token");
    let program = ["--cca-token", program.to_str().unwrap()];
    bench.run("demo", &[&program, arguments].concat())
}

/// The value of an option that the owner's program got.
fn option(words: &str, name: &str) -> Vec<String> {
    let pairs = words.lines().zip(words.lines().skip(1));
    pairs
        .filter(|(option, _)| *option == name)
        .map(|(_, value)| value.to_owned())
        .collect()
}

#[test]
fn evidence_that_is_accepted_is_success() {
    let bench = bench(TOKEN, &owner("accepted", 0));
    let output = run(&bench, &[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(text.contains("\nel3: up\n") && text.ends_with("\naccepted\n"));
    let token = fs::read(bench.path("target/evidence/token.cbor")).unwrap();
    assert_eq!(token, [1, 2, 3, 4]);
    let words = fs::read_to_string(bench.path("verify-words")).unwrap();
    assert_eq!(words.lines().next(), Some("verify"));
    assert_eq!(words.lines().last(), Some("target/evidence/token.cbor"));
    assert_eq!(
        option(&words, "--trust-anchor"),
        ["development-keys/cpak.jwk"]
    );
    assert_eq!(
        option(&words, "--ref-values"),
        [
            "target/evidence/firmware.toml",
            "target/evidence/realm.toml"
        ]
    );
    // What the machine was asked over is what the evidence is judged by.
    let challenge = option(&words, "--challenge").concat();
    assert_eq!(challenge.len(), 128);
    let machine = fs::read_to_string(bench.path("words")).unwrap();
    let line = format!("name=opt/cloister/bootargs,string=mode=demo challenge={challenge}");
    assert!(machine.lines().any(|word| word == line), "{machine}");
    let key = "name=opt/cloister/cpak,file=development-keys/cpak.pem";
    assert!(machine.lines().any(|word| word == key), "{machine}");
    // What a person could type is on the screen.
    let command = "verify --trust-anchor development-keys/cpak.jwk --challenge ";
    assert!(text.contains(command), "{text}");
    // The next one is over another challenge.
    assert_eq!(run(&bench, &[]).status.code(), Some(0));
    let words = fs::read_to_string(bench.path("verify-words")).unwrap();
    assert_ne!(option(&words, "--challenge").concat(), challenge);
}

#[test]
fn evidence_that_is_rejected_is_a_failure() {
    for code in [1, 2, 101] {
        let bench = bench(TOKEN, &owner("rejected: binding", code));
        let output = run(&bench, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stdout(&output).ends_with("rejected: binding\n"));
        assert!(stderr(&output).contains("not accepted"));
    }
}

#[test]
fn a_token_that_does_not_arrive_whole_is_judged_by_nobody() {
    let done = "echo 'ns-host: done 2 passed, 0 failed, 0 skipped'";
    let piece = |text: &str| format!("echo 'ns-host: token realm {text}'\n");
    for (machine, why) in [
        (done.to_owned(), "did not come"),
        (piece("0/4 0102") + done, "only 2 of 4 bytes"),
        (piece("2/4 0304") + done, "begins at 2 instead of 0"),
        (piece("0/4 0102") + &piece("2/4 03x4") + done, "only 2 of 4"),
        (piece("0/4 01020304"), "before its end"),
        (piece("0/4 01020304") + done + "\nexit 3", "exit code"),
    ] {
        let bench = bench(&machine, &owner("accepted", 0));
        let output = run(&bench, &[]);
        assert_eq!(output.status.code(), Some(1), "{machine}");
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert!(!bench.path("verify-words").exists());
    }
}

#[test]
fn what_the_owner_lacks_is_said_before_the_start() {
    let without_program = bench(TOKEN, "");
    fs::remove_file(without_program.path("cca-token")).unwrap();
    let output = run(&without_program, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`make emulator` builds it"));
    let no_payload = bench(TOKEN, &owner("accepted", 0));
    fs::write(no_payload.path("realm-payload"), "nonsense").unwrap();
    let output = run(&no_payload, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no program for Realms"));
    let no_prediction = bench(TOKEN, "#!/bin/sh\necho 'no idea' >&2; exit 2\n");
    let output = run(&no_prediction, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no idea"));
    for bench in [without_program, no_payload, no_prediction] {
        assert!(!bench.path("words").exists(), "the machine was started");
    }
}

#[test]
fn verdicts_that_are_always_the_same_do_not_pass_for_evidence() {
    let evidence = |owner: &str| {
        let bench = bench(TOKEN, owner);
        fs::write(bench.path("probe"), "x").unwrap();
        let program = bench.path("cca-token");
        let arguments = ["--verbose", "--probe", "probe", "--cca-token"];
        let arguments = [&arguments[..], &[program.to_str().unwrap()]].concat();
        let output = bench.run("evidence", &arguments);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        stdout(&output)
    };
    let text = evidence(&owner("accepted", 0));
    assert!(text.contains("ok     evidence/accepted"), "{text}");
    for name in [
        "evidence/other-challenge",
        "evidence/other-program",
        "evidence/other-firmware",
        "evidence/other-machine",
        "evidence/changed-signature",
        "evidence/not-secured",
        "platform-token/over-32-bytes",
        "platform-token/needs-a-key",
    ] {
        assert!(text.contains(&format!("FAILED {name}: ")), "{name}: {text}");
    }
    // Rejected, but for a reason that is another check's; or with the exit code of an error.
    for (verdict, code) in [("rejected: challenge", 1), ("accepted", 2), ("", 101)] {
        let text = evidence(&owner(verdict, code));
        assert!(text.contains("FAILED evidence/accepted: "), "{text}");
        assert!(text.contains("FAILED evidence/other-program: "), "{text}");
    }
}
