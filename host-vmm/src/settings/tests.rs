use std::ffi::OsString;

use clap::Parser as _;

use super::*;
use crate::command_line::{Arguments, Command};
use crate::configuration::{Configuration, Program};

/// What options and a file come to.
fn effective(file: &str, line: &[&str]) -> Result<Effective, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("machine.toml");
    std::fs::write(&path, file).unwrap();
    let mut words: Vec<OsString> = vec!["host-vmm".into(), "run".into(), "--config".into()];
    words.push(path.into());
    words.extend(line.iter().map(Into::into));
    match Arguments::try_parse_from(words).unwrap().command {
        Command::Run(run) => run.effective().map_err(|error| {
            let text = error.to_string();
            text.replace(&folder.path().display().to_string(), "FOLDER")
        }),
        _ => unreachable!(),
    }
}

fn configuration(file: &str, line: &[&str]) -> Configuration {
    effective(file, line).unwrap().configuration
}

#[test]
fn options_count_before_the_file() {
    let file =
        "kernel = 'a'\nmemory = '1G'\ncpus = 2\n[[block]]\npath = '/x'\n[[console]]\nto = 'none'\n";
    let machine = configuration(file, &["--memory", "2G"]);
    assert_eq!(machine.memory.bytes(), 2 << 30);
    assert_eq!(machine.cpus.get(), 2);
    assert_eq!(machine.disks.len(), 1);
    // All disks are replaced, and nothing else is.
    let machine = configuration(file, &["--disk", "y", "--disk", "z"]);
    let paths = machine
        .disks
        .iter()
        .map(|disk| disk.path.display().to_string());
    assert_eq!(paths.collect::<Vec<_>>(), ["y", "z"]);
    assert_eq!(machine.consoles.len(), 1);
}

#[test]
fn whether_it_is_a_realm() {
    let plain = "kernel = 'a'\n";
    let realm = "kernel = 'a'\n[realm]\nhash = 'sha-512'\n";
    assert!(configuration(plain, &[]).realm.is_none());
    assert!(configuration(plain, &["--realm"]).realm.is_some());
    assert!(configuration(realm, &[]).realm.is_some());
    // The file is for when it is one.
    assert!(configuration(realm, &["--realm=false"]).realm.is_none());
    let options = configuration(realm, &["--breakpoints", "4"]).realm.unwrap();
    assert_eq!(options.hash_algorithm, HashAlgorithm::Sha512);
    assert_eq!(options.breakpoints, 3);
    let error = effective(realm, &["--realm=false", "--hash", "sha-256"]).unwrap_err();
    assert_eq!(error, "--hash: only a Realm has that; add --realm");
}

#[test]
fn a_machine_starts_with_a_kernel_or_firmware() {
    let file = "firmware = '/f'\n";
    let machine = configuration(file, &[]);
    assert_eq!(machine.program, Program::Firmware);
    assert_eq!(machine.kernel, Path::new("/f"));
    let machine = configuration(file, &["--kernel", "k"]);
    assert_eq!(machine.program, Program::Kernel);
    let machine = configuration("kernel = '/k'", &["--firmware", "f"]);
    assert_eq!(machine.program, Program::Firmware);
    assert_eq!(machine.kernel, Path::new("f"));
    let text = effective(file, &[]).unwrap().report.to_toml();
    assert_eq!(
        effective(&text, &[]).unwrap().configuration.program,
        Program::Firmware
    );
    let both = "a machine starts with a kernel or with firmware, not with both";
    let error = effective("kernel = '/k'\nfirmware = '/f'", &[]).unwrap_err();
    assert_eq!(error, format!("FOLDER/machine.toml:2: firmware: {both}"));
    let error = effective("", &["--kernel", "k", "--firmware", "f"]).unwrap_err();
    assert_eq!(error, format!("--firmware: {both}"));
}

#[test]
fn errors_name_the_place() {
    for (file, line, expected) in [
        ("", &[][..], "which kernel?"),
        (
            "kernel = 'a'\nbackend = 'module'",
            &[],
            "FOLDER/machine.toml:2: backend module: runs Realms; add --realm",
        ),
        (
            "kernel = 'a'\nbackend = 'module'",
            &["--realm", "--backend", "kvm"],
            "--backend kvm: runs ordinary machines",
        ),
        (
            "kernel = 'a'\n[realm]\npersonalization-value = '0x1'",
            &[],
            "FOLDER/machine.toml:3: realm.personalization-value: after 0x",
        ),
        (
            "kernel = 'a'\n[realm]\npersonalization-value = '@absent'",
            &[],
            "FOLDER/machine.toml:3: realm.personalization-value: FOLDER/absent: No such file",
        ),
        (
            "kernel = 'a'\nlog = 'info,,=,'",
            &[],
            "FOLDER/machine.toml:2: log: neither a level",
        ),
        (
            "kernel = 'a'\n",
            &["--log", "x=y=z"],
            "--log: neither a level",
        ),
    ] {
        let error = effective(file, line).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn the_report_is_a_file_that_says_the_same() {
    let file = "\
kernel = 'vmlinuz'
cmdline = \"a \\\"b\\\" \\t'c'\"
[realm]
personalization-value = '0x01'
pmu-counters = 3
[[console]]
to = 'file=log'
[[block]]
path = 'root # image'
read-only = true
[[block]]
path = '/data'
direct = true
[[net]]
tap = 'tap0'
[[net]]
fd = 7
mac = '52:54:00:12:34:56'
[[vsock]]
cid = 3
socket = '/v'
[rng]
[balloon]
";
    let line = [
        "--memory", "1026M", "--name", "web", "--sve-vl", "256", "--log", "debug",
    ];
    let first = effective(file, &line).unwrap();
    let text = first.report.to_toml();
    let again = effective(&text, &[]).unwrap();
    assert_eq!(again.configuration, first.configuration, "{text}");
    assert_eq!(again.process, first.process);
    // And an ordinary machine of which nothing was said.
    let first = effective("kernel = 'k'", &[]).unwrap();
    let again = effective(&first.report.to_toml(), &[]).unwrap();
    assert_eq!(again.configuration, first.configuration);
}

#[test]
fn the_report_has_the_origin_of_each_value() {
    let file = "kernel = '/k'\n\n[realm]\n[[block]]\npath = '/d'\n";
    let report = effective(file, &["--memory", "1G", "--json"])
        .unwrap()
        .report;
    let text = report.to_toml();
    let line = |begin: &str| {
        let line = text.lines().find(|line| line.starts_with(begin));
        line.unwrap_or_else(|| panic!("{begin} in {text}"))
            .to_owned()
    };
    assert!(line("name = \"guest\" ").ends_with("  # default"));
    assert!(line("kernel = \"/k\" ").ends_with("machine.toml:1"));
    assert!(line("memory = \"1G\" ").ends_with("  # --memory"));
    assert!(line("log-format = \"json\" ").ends_with("  # --json"));
    assert!(line("# initrd = ").ends_with("  # default"));
    assert!(line("path = \"/d\" ").ends_with("machine.toml:5"));

    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    let value = |key: &str| {
        let mut values = json.as_array().unwrap().iter();
        values.find(|value| value["key"] == key).unwrap().clone()
    };
    assert_eq!(value("memory")["value"], "1G");
    assert_eq!(value("memory")["origin"], "flag");
    assert_eq!(value("memory")["flag"], "--memory");
    assert_eq!(value("initrd")["value"], serde_json::Value::Null);
    assert_eq!(value("realm.breakpoints")["value"], 2);
    assert_eq!(value("realm.breakpoints")["origin"], "default");
    assert_eq!(value("block[0].read-only")["value"], false);
    assert_eq!(value("block[0].path")["origin"], "file");
    assert_eq!(value("block[0].path")["line"], 5);
}

#[test]
fn numbers_within_bounds() {
    assert_eq!("256".parse::<VectorBits>().unwrap().encoded(), 1);
    assert_eq!("2048".parse::<VectorBits>().unwrap().encoded(), 15);
    for text in ["", "0", "129", "2176", "-128", "128 "] {
        assert!(text.parse::<VectorBits>().is_err(), "{text}");
    }
    assert_eq!("64".parse::<Count<2, 64>>().unwrap().get(), 64);
    for text in ["", "1", "65", "256", "-2"] {
        assert!(text.parse::<Count<2, 64>>().is_err(), "{text}");
    }
}
