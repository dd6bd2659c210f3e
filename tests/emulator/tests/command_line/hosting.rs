//! A Debian host that runs a Realm, with scripts in the place of the emulator, of the VMM on the owner's
//! machine, and of the program that judges evidence.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use super::{Bench, stderr, stdout};

/// Boots and answers what is typed; `insmod` and `host-vmm` are functions that come before it.
const SHELL: &str = "\
printf '%s\\n' \"$@\" >words
echo 'el3: up'; echo 'rmm: up'; echo 'host: kernel 7.3.4, CPUs 0-1'
printf 'cloister# '
while read -r line; do
    echo \"$line\"
    case \"$line\" in
    insmod*) module ;;
    host-vmm*) echo \"$line\" >command; realm ;;
    *) echo '?' ;;
    esac
    echo \"status=$?\"
    printf 'cloister# '
done
";
const MODULE: &str = "module() { true; }\n";
const REALM: &str = "\
realm() {
    echo 'guest: up as a Realm after 1.00 s, kernel 7.3.4, CPUs 0-1'
    echo 'guest: challenge?'
    read -r challenge
    echo \"$challenge\" >challenge
    echo 'guest: token realm 0/4 0102'
    echo 'guest: token realm 2/4 0304'
    echo 'guest: done, poweroff follows'
}
";

/// A host that behaves like this, and an owner with this verdict.
fn bench(host: &str, verdict: &str, code: u8) -> Bench {
    let bench = Bench::new(&format!("{host}{SHELL}"));
    for folder in ["host", "guest"] {
        fs::create_dir(bench.path(folder)).unwrap();
        for file in ["Image", "initrd"] {
            fs::write(bench.path(folder).join(file), "x").unwrap();
        }
    }
    let programs = [
        (
            "cca-token",
            format!("printf '%s\\n' \"$@\" >verify-words\necho '{verdict}'\nexit {code}\n"),
        ),
        (
            "host-vmm",
            "printf '%s\\n' \"$@\" >measure-words\necho '[[realm]]'\n".to_owned(),
        ),
    ];
    for (name, script) in programs {
        let program = bench.path(name);
        fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    bench
}

fn run(bench: &Bench, more: &[&str]) -> Output {
    let path = |name: &str| bench.path(name).to_str().unwrap().to_owned();
    let options = [
        ("--cca-token", path("cca-token")),
        ("--host-vmm", path("host-vmm")),
        ("--host", path("host")),
        ("--guest", path("guest")),
    ];
    let mut arguments = Vec::new();
    for (option, value) in &options {
        arguments.extend([*option, value.as_str()]);
    }
    arguments.extend(more);
    bench.run("run", &arguments)
}

fn words(bench: &Bench, file: &str) -> Vec<String> {
    let text = fs::read_to_string(bench.path(file)).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn after<'a>(words: &'a [String], option: &str) -> &'a str {
    let place = words.iter().position(|word| word == option);
    &words[place.unwrap_or_else(|| panic!("no {option} in {words:?}")) + 1]
}

#[test]
fn a_realm_whose_evidence_is_accepted_is_success() {
    let bench = bench(&format!("{MODULE}{REALM}"), "accepted", 0);
    let output = run(&bench, &[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    for line in [
        "host: kernel 7.3.4, CPUs 0-1",
        "guest: token realm 2/4 0304",
        "accepted",
        "verdict",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(
        fs::read(bench.path("target/evidence/token.cbor")).unwrap(),
        [1, 2, 3, 4]
    );
    // The machine boots the host, and the guest was asked over what the evidence is judged by.
    let machine = fs::read_to_string(bench.path("words")).unwrap();
    assert!(machine.contains("opt/cloister/normal-world,file=") && machine.contains("host/Image"));
    let challenge = fs::read_to_string(bench.path("challenge")).unwrap();
    assert_eq!(challenge.trim().len(), 128);
    let verified = words(&bench, "verify-words");
    assert_eq!(after(&verified, "--challenge"), challenge.trim());
}

#[test]
fn what_is_measured_is_what_is_run() {
    let bench = bench(&format!("{MODULE}{REALM}"), "accepted", 0);
    assert_eq!(run(&bench, &["--guest-cpus", "3"]).status.code(), Some(0));
    let measured = words(&bench, "measure-words");
    let command = fs::read_to_string(bench.path("command")).unwrap();
    assert!(command.starts_with("host-vmm run --realm "), "{command}");
    for option in ["--memory", "--cpus", "--disk", "--virtio-console"] {
        let value = after(&measured, option);
        assert!(command.contains(&format!(" {option} {value} ")), "{option}");
    }
    let kernel_words = after(&measured, "--cmdline");
    assert!(command.contains(&format!("--cmdline '{kernel_words}'")));
    assert_eq!(after(&measured, "--cpus"), "3");
    // The challenge is no part of the measurement, so that this stays the same.
    assert!(kernel_words.contains("cloister.challenge=ask"));
    assert!(command.contains("--kernel /guest/Image "));
    assert!(after(&measured, "--kernel").ends_with("guest/Image"));
}

#[test]
fn a_host_on_which_something_fails_is_a_failure() {
    let no_module = "module() { echo 'insmod: no such device'; return 1; }\n";
    let refused = "realm() { echo 'host-vmm: no RMM'; return 3; }\n";
    let silent = "realm() { echo 'guest: up'; echo 'guest: done, poweroff follows'; }\n";
    let half = REALM.replace("echo 'guest: token realm 2/4 0304'", ":");
    for (host, why) in [
        (format!("{no_module}{REALM}"), "insmod: no such device"),
        (format!("{MODULE}{refused}"), "host-vmm: no RMM"),
        (format!("{MODULE}{silent}"), "it did not come"),
        (format!("{MODULE}{half}"), "only 2 of 4 bytes"),
        (format!("{MODULE}{REALM}exit 7\n"), "exit code Some(7)"),
    ] {
        let bench = bench(&host, "accepted", 0);
        let output = run(&bench, &[]);
        assert_eq!(output.status.code(), Some(1), "{why}: {}", stdout(&output));
        assert!(stderr(&output).contains(why), "{why}: {}", stderr(&output));
        assert!(!bench.path("verify-words").exists());
    }
}

#[test]
fn a_host_that_hangs_is_ended_in_time() {
    let bench = bench(
        &format!("{MODULE}realm() {{ exec sleep 600; }}\n"),
        "accepted",
        0,
    );
    let output = run(&bench, &["--time-scale", "0.01"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("not within"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn evidence_that_is_rejected_is_a_failure() {
    let bench = bench(&format!("{MODULE}{REALM}"), "rejected: binding", 1);
    let output = run(&bench, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the evidence is not accepted"));
}

#[test]
fn what_is_missing_is_said_before_the_start() {
    let no_host = bench(MODULE, "accepted", 0);
    fs::remove_file(no_host.path("host/initrd")).unwrap();
    let no_guest = bench(MODULE, "accepted", 0);
    fs::write(
        no_guest.path("host-vmm"),
        "#!/bin/sh\necho 'guest/Image: no such file' >&2; exit 2\n",
    )
    .unwrap();
    for (bench, why) in [
        (no_host, "`make host-image`"),
        (no_guest, "guest/Image: no such file"),
    ] {
        let output = run(&bench, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert!(!bench.path("words").exists(), "the machine was started");
    }
}
