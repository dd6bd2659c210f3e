//! The command as people and scripts see it: output, messages, exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

#[path = "../src/test_kernel.rs"]
mod test_kernel;

use test_kernel::TestKernel;

fn host_vmm(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-vmm"))
        .args(arguments)
        .env_remove("HOST_VMM_LOG")
        .output()
        .unwrap()
}

/// A folder with a kernel and an initial RAM disk.
fn files() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("kernel"), TestKernel::default().build()).unwrap();
    fs::write(folder.path().join("initrd"), [5; 10000]).unwrap();
    folder
}

/// Runs with paths that are in the folder: arguments that begin with `%`.
fn host_vmm_in(folder: &Path, arguments: &[&str]) -> Output {
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| match argument.strip_prefix('%') {
            Some(name) => folder.join(name).display().to_string(),
            None => (*argument).to_owned(),
        })
        .collect();
    host_vmm(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn stdout(output: &Output) -> String {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line that says what is wrong. Nothing is on standard output.
fn complaint(output: &Output, exit: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(exit), "{text}");
    assert_eq!(output.stdout, b"", "{text}");
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{text}");
    line.strip_prefix("host-vmm: ").unwrap().to_owned()
}

const MEASURE: [&str; 5] = ["measure", "--kernel", "%kernel", "--initrd", "%initrd"];

fn measure(folder: &Path, more: &[&str]) -> Output {
    host_vmm_in(folder, &[&MEASURE[..], more].concat())
}

#[test]
fn a_measurement_is_the_same_each_time_and_in_each_form() {
    let folder = files();
    let folder = folder.path();
    let hex = stdout(&measure(folder, &[]));
    // It changes when layout or device tree do, and all owners have to learn of that.
    assert_eq!(
        hex,
        "95bc9e486a55a56f3f35058d46a6d30a160daf5bf4fcea4f1b1afe19b8e2ac5a\n"
    );
    assert_eq!(stdout(&measure(folder, &["--realm"])), hex);
    assert_eq!(stdout(&measure(folder, &["--format", "hex"])), hex);
    // The same content elsewhere.
    assert_eq!(stdout(&measure(files().path(), &[])), hex);

    let json = stdout(&measure(folder, &["--json"]));
    assert_eq!(stdout(&measure(folder, &["--format", "json"])), json);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["cca-realm-initial-measurement"], hex.trim_end());
    assert_eq!(json["cca-realm-hash-algo-id"], "sha-256");
    assert_eq!(json["layout"]["shared-bit"], "0x100000000");
    assert_eq!(json["contents"][2]["what"], "initrd");
    assert_eq!(json["contents"][2]["bytes"], 10000);
    assert_eq!(json["contents"][2]["pages"], 3);
    // As `sha256sum` has it.
    assert_eq!(
        json["contents"][2]["sha256"],
        "a8338b43ee711fe2f6e9fd773306326468eea8c4f9a1c5625b7bdd7ec8eb9c27"
    );

    let other = stdout(&measure(folder, &["--hash", "sha-512"]));
    assert_eq!(other.len(), 129);
}

#[test]
fn reference_values_are_those_that_the_verifier_reads() {
    use attestation_token::reference::file;

    let folder = files();
    let more = ["--format", "toml", "--personalization-value", "tenant"];
    let toml = stdout(&measure(folder.path(), &more));
    let values = file::parse(toml.as_bytes()).unwrap();
    assert!(values.platforms.is_empty());
    let [realm] = &values.realms[..] else {
        panic!("{toml}");
    };
    let hex = stdout(&measure(folder.path(), &[]));
    assert_eq!(realm.initial_measurement[0].to_string(), hex.trim_end());
    assert_eq!(realm.initial_measurement.len(), 1);
    assert_eq!(&realm.personalization_value[0][..7], b"tenant\0");
}

#[test]
fn a_file_and_options_come_to_what_config_prints() {
    let folder = files();
    let folder = folder.path();
    let file = "kernel = \"kernel\"\ninitrd = \"initrd\"\nmemory = \"16M\"\n[realm]\n";
    fs::write(folder.join("machine.toml"), file).unwrap();
    let from_file = ["measure", "--config", "%machine.toml"];
    let hex = stdout(&measure(folder, &["--memory", "16M"]));
    assert_eq!(stdout(&host_vmm_in(folder, &from_file)), hex);
    let more = [&from_file[..], &["--memory", "1G"]].concat();
    assert_ne!(stdout(&host_vmm_in(folder, &more)), hex);

    let config = ["config", "--config", "%machine.toml", "--cpus", "2"];
    let text = stdout(&host_vmm_in(folder, &config));
    let kernel = format!("kernel = \"{}\"", folder.join("kernel").display());
    assert!(text.contains(&kernel), "{text}");
    assert!(text.contains("# --cpus\n"), "{text}");
    // What it prints is a file of the same meaning.
    fs::write(folder.join("printed.toml"), &text).unwrap();
    let printed = stdout(&host_vmm_in(
        folder,
        &["config", "--config", "%printed.toml"],
    ));
    let values = |text: &str| {
        let lines = text
            .lines()
            .map(|line| line.split("  #").next().unwrap().to_owned());
        lines.collect::<Vec<_>>()
    };
    let same = |one: &str, other: &str| {
        let pairs = values(one).into_iter().zip(values(other));
        pairs
            .map(|(one, other)| (one.trim_end().to_owned(), other.trim_end().to_owned()))
            .all(|(one, other)| one == other)
    };
    assert!(same(&text, &printed), "{text}{printed}");
    let json = stdout(&host_vmm_in(folder, &[&config[..], &["--json"]].concat()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json.as_array().unwrap().len() > 15);

    let line = complaint(
        &host_vmm_in(folder, &["run", "--config", "%absent.toml"]),
        2,
    );
    assert!(line.contains("absent.toml: No such file"), "{line}");
    fs::write(folder.join("machine.toml"), "kernle = \"k\"").unwrap();
    for command in ["run", "measure", "config"] {
        let line = complaint(
            &host_vmm_in(folder, &[command, "--config", "%machine.toml"]),
            2,
        );
        assert!(
            line.ends_with("machine.toml:1: no key 'kernle' is known; did you mean 'kernel'?"),
            "{line}"
        );
    }
}

#[test]
fn help_has_examples_and_exit_codes() {
    let help = stdout(&host_vmm(&["--help"]));
    for code in 0..=5 {
        assert!(help.contains(&format!("\n  {code}  ")), "{help}");
    }
    for command in ["run", "measure", "config", "completions"] {
        let help = stdout(&host_vmm(&[command, "--help"]));
        assert!(help.contains(&format!("\n  host-vmm {command} ")), "{help}");
    }
    assert!(stdout(&host_vmm(&["--version"])).starts_with("host-vmm "));
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&host_vmm(&["completions", shell])).contains("personalization-value"));
    }
}

#[test]
fn exit_codes_stay_when_nobody_reads_messages() {
    let folder = files();
    let kernel = folder.path().join("kernel");
    for (path, json, expected) in [
        ("absent", &[][..], 2),
        ("absent", &["--json"], 2),
        // Messages come before the missing device node.
        ("kernel", &[], 3),
        ("kernel", &["--json"], 3),
        ("kernel", &["--wings"], 2),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = Command::new(env!("CARGO_BIN_EXE_host-vmm"))
            .arg("run")
            .arg("--kernel")
            .arg(kernel.with_file_name(path))
            .args(["--kvm-device", "/absent"])
            .args(json)
            .env_remove("HOST_VMM_LOG")
            .stderr(writer)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(expected), "{path} {json:?}: {status}");
    }
}

#[test]
fn one_line_for_a_wrong_command_line() {
    for (arguments, expected) in [
        (&["run"][..], "--kernel <FILE>"),
        (&["fly"], "unrecognized subcommand 'fly'"),
        (
            &["run", "--kernel", "k", "--wings"],
            "unexpected argument '--wings'",
        ),
        (
            &["run", "--kernel", "k", "--memory", "3M"],
            "multiples of 2 MiB",
        ),
        (&["run", "--kernel", "k", "--cpus", "0"], "1 to 512 vCPUs"),
        (
            &["run", "--kernel", "k", "--hash", "sha-256"],
            "add --realm",
        ),
        (
            &["measure", "--kernel", "k", "--json", "--format", "hex"],
            "cannot be used with",
        ),
        (
            &["run", "--kernel", "k", "--serial", "tty"],
            "terminal, none or file=PATH",
        ),
    ] {
        let line = complaint(&host_vmm(arguments), 2);
        assert!(line.contains(expected), "{line}");
        assert!(!line.contains("Usage"), "{line}");
    }
}

#[test]
fn one_line_for_files_that_cannot_be_used() {
    let folder = files();
    let folder = folder.path();
    let kernel = fs::read(folder.join("kernel")).unwrap();
    fs::write(folder.join("truncated"), &kernel[..kernel.len() - 1]).unwrap();
    fs::write(folder.join("text"), "#!/bin/sh\n").unwrap();
    fs::write(folder.join("gzip"), b"\x1f\x8b\x08").unwrap();
    fs::write(folder.join("empty"), b"").unwrap();
    for (arguments, expected) in [
        (
            &["--kernel", "%missing"][..],
            "missing: No such file or directory",
        ),
        (&["--kernel", "%."], "not a file"),
        (&["--kernel", "%text"], "text: not a kernel"),
        (&["--kernel", "%empty"], "empty: not a kernel"),
        (
            &["--kernel", "%gzip"],
            "gzip: compressed with gzip: unpack it first",
        ),
        (
            &["--kernel", "%truncated"],
            "truncated: truncated: 9028 bytes, and its header speaks of 9029",
        ),
        (
            &["--kernel", "%kernel", "--initrd", "%missing"],
            "missing: No such file",
        ),
        (
            &["--kernel", "%kernel", "--initrd", "%empty"],
            "empty: empty",
        ),
        (
            &[
                "--kernel", "%kernel", "--initrd", "%initrd", "--memory", "4M",
            ],
            "memory is too small: 4 MiB, and kernel, device tree and initial RAM disk alone take 6 MiB; give more with --memory",
        ),
    ] {
        for command in [&["measure"][..], &["run"], &["run", "--realm"]] {
            let line = complaint(&host_vmm_in(folder, &[command, arguments].concat()), 2);
            assert!(line.contains(expected), "{line}");
        }
    }
}

#[test]
fn one_line_for_a_host_that_cannot() {
    let folder = files();
    let folder = folder.path();
    fs::write(folder.join("node"), "").unwrap();
    for (arguments, expected) in [
        (
            &[
                "--realm",
                "--backend",
                "module",
                "--realm-device",
                "%missing",
            ][..],
            "missing: no such device: load the Realm kernel module (realm.ko)",
        ),
        (
            &[
                "--realm",
                "--realm-device",
                "%missing",
                "--kvm-device",
                "%missing",
            ],
            "missing: no such device: load the Realm kernel module (realm.ko)",
        ),
        (
            &[
                "--realm",
                "--backend",
                "kvm-cca",
                "--kvm-device",
                "%missing",
            ],
            "missing: no such device: this kernel has no KVM",
        ),
        (
            &["--kvm-device", "%missing"],
            "missing: no such device: this kernel has no KVM",
        ),
        (
            &["--realm", "--backend", "module", "--realm-device", "%node"],
            "node: not a device node of",
        ),
    ] {
        let line = [&["run", "--kernel", "%kernel"][..], arguments].concat();
        let output = host_vmm_in(folder, &line);
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stdout, b"");
        // The last line; those before it say what was done.
        let text = String::from_utf8(output.stderr).unwrap();
        let line = text.lines().last().unwrap();
        assert!(
            line.starts_with("host-vmm: ") && line.contains(expected),
            "{text}"
        );
    }
}

#[test]
fn a_run_says_the_measurement_before_anything_else_can_fail() {
    let folder = files();
    let folder = folder.path();
    let hex = stdout(&measure(folder, &[]));
    let run = [
        "run", "--realm", "--json", "--kernel", "%kernel", "--initrd", "%initrd",
    ];
    let nodes = ["--realm-device", "/nowhere", "--kvm-device", "/nowhere"];
    let output = host_vmm_in(folder, &[&run[..], &nodes].concat());
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stderr).unwrap();
    let messages: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let rims = messages.iter().filter_map(|message| message.get("rim"));
    assert_eq!(rims.collect::<Vec<_>>(), [hex.trim_end()]);
    let last = messages.last().unwrap();
    assert_eq!(last["level"], "ERROR");
    assert_eq!(last["exit"], 3);
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let folder = files();
    let script = format!(
        "{} measure --kernel {} --json | true; test ${{PIPESTATUS[0]}} -eq 0",
        env!("CARGO_BIN_EXE_host-vmm"),
        folder.path().join("kernel").display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stderr, b"");
}
