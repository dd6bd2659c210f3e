//! The README's reference has every command, option, key and exit code that there is, and no other;
//! and each of them does something.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory as _;
use host_vmm::command_line::Arguments;
use tempfile::TempDir;

#[path = "../src/test_kernel.rs"]
mod test_kernel;

use test_kernel::TestKernel;

const README: &str = include_str!("../README.md");

/// The text under a heading, up to the next one.
fn section(heading: &str) -> &'static str {
    let begin = README.find(&format!("\n{heading}\n"));
    let rest = &README[begin.unwrap_or_else(|| panic!("no {heading}")) + 1..];
    let rest = rest.split_once('\n').unwrap().1;
    rest.split("\n#").next().unwrap()
}

/// The cells of a table's rows, without its head.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    rows.skip(2)
        .map(|row| {
            let cells = row.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// What is between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// `--disk` of `` `--disk FILE` ``.
fn option(cell: &str) -> String {
    let text = quoted(cell)[0];
    let end = text.find([' ', '[', '=']).unwrap_or(text.len());
    text[..end].to_owned()
}

/// The headings whose options several commands have, each with the commands.
const SHARED: [(&str, &[&str]); 2] = [
    (
        "### Options of `run`, `measure`, `config`, `check`",
        &["run", "measure", "config", "check"],
    ),
    ("### Options of `run`, `config`", &["run", "config"]),
];

/// Every pair of command and option in the README.
fn options_of_readme() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (heading, commands) in SHARED {
        for row in rows(section(heading)) {
            for command in commands {
                assert!(
                    found.insert(((*command).to_owned(), option(&row[0]))),
                    "{row:?}"
                );
            }
        }
    }
    for row in rows(section("### Options of single commands")) {
        let pair = (quoted(&row[0])[0].to_owned(), option(&row[1]));
        assert!(found.insert(pair), "{row:?}");
    }
    found
}

/// Every pair of command and option that can be seen in the help.
fn options_of_parser() -> BTreeSet<(String, String)> {
    let mut command = Arguments::command();
    command.build();
    let mut found = BTreeSet::new();
    for command in command.get_subcommands() {
        for argument in command.get_arguments() {
            if let Some(long) = argument.get_long()
                && !argument.is_hide_set()
                && !["help", "version"].contains(&long)
            {
                found.insert((command.get_name().to_owned(), format!("--{long}")));
            }
        }
    }
    found
}

#[test]
fn options_are_those_of_the_parser() {
    let (readme, parser) = (options_of_readme(), options_of_parser());
    let missing: Vec<_> = parser.difference(&readme).collect();
    let too_many: Vec<_> = readme.difference(&parser).collect();
    assert!(
        missing.is_empty() && too_many.is_empty(),
        "{missing:?} {too_many:?}"
    );
}

#[test]
fn commands_are_those_of_the_parser() {
    let parser: BTreeSet<String> = Arguments::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .filter(|name| name != "help")
        .collect();
    let begin = README.find("| command | what it does | where |").unwrap();
    let table = README[begin..].split("\n\n").next().unwrap();
    let readme = rows(table).into_iter().flat_map(|row| {
        let names = quoted(&row[0]);
        let names = names.into_iter().map(|name| {
            let name = name.strip_prefix("host-vmm ").unwrap_or(name);
            name.split(' ').next().unwrap().to_owned()
        });
        names.collect::<Vec<_>>()
    });
    assert_eq!(readme.collect::<BTreeSet<_>>(), parser);
}

/// The keys that the reader of files names when it finds one that it does not know.
fn keys_of_reader(folder: &Path, table: &str) -> BTreeSet<String> {
    let path = folder.join("keys.toml");
    fs::write(&path, format!("{table}\nqqqqqqqq = 1\n")).unwrap();
    let output = host_vmm(&["config", "--config", path.to_str().unwrap()]);
    let text = String::from_utf8(output.stderr).unwrap();
    let keys = text.trim_end().rsplit_once("; there are ");
    let keys = keys.unwrap_or_else(|| panic!("{text}")).1;
    keys.split(", ").map(ToOwned::to_owned).collect()
}

#[test]
fn keys_are_those_of_the_reader() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let mut reader = BTreeSet::new();
    for (table, prefix) in [
        ("", ""),
        ("[realm]", "realm."),
        ("[[console]]\nto = 'none'", "console."),
        ("[[block]]\npath = 'p'", "block."),
        ("[[net]]\ntap = 'tap0'", "net."),
        ("[[vsock]]\ncid = 3\nsocket = 's'", "vsock."),
    ] {
        for key in keys_of_reader(folder, table) {
            reader.insert(format!("{prefix}{key}"));
        }
    }
    let mut readme = BTreeSet::new();
    for (heading, _) in SHARED {
        for row in rows(section(heading)) {
            let mut table = String::new();
            for key in quoted(&row[1]) {
                let name = key.trim_matches(['[', ']']);
                if name == key {
                    readme.insert(format!("{table}{name}"));
                } else {
                    readme.insert(name.to_owned());
                    table = format!("{name}.");
                }
            }
        }
    }
    assert_eq!(readme, reader);
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let help = Arguments::command().render_help().to_string();
    let readme: Vec<String> = rows(section("### Exit codes"))
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let help: Vec<String> = help
        .lines()
        .skip_while(|line| !line.starts_with("Exit codes"))
        .skip(1)
        .map(|line| line.trim().split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(readme, help);
    assert_eq!(readme, ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
}

fn host_vmm(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-vmm"))
        .args(arguments)
        .env_remove("HOST_VMM_LOG")
        .output()
        .unwrap()
}

/// A value for each option that `run` and `config` have, the key whose value it becomes, and that
/// value as JSON. `%` stands for a folder with the files.
const VALUES: [(&str, &[&str], &str, &str); 31] = [
    ("--name", &["web"], "name", "\"web\""),
    ("--kernel", &["%/kernel"], "kernel", "\"%/kernel\""),
    ("--firmware", &["%/initrd"], "firmware", "\"%/initrd\""),
    ("--initrd", &["%/initrd"], "initrd", "\"%/initrd\""),
    ("--cmdline", &["quiet"], "cmdline", "\"quiet\""),
    ("--memory", &["16M"], "memory", "\"16M\""),
    ("--cpus", &["2"], "cpus", "2"),
    ("--disk", &["/d,readonly"], "block[0].read-only", "true"),
    ("--net", &["tap=tap0"], "net[0].tap", "\"tap0\""),
    ("--vsock", &["cid=3,socket=%/v"], "vsock[0].cid", "3"),
    ("--rng", &[], "rng", "true"),
    ("--balloon", &[], "balloon", "true"),
    ("--serial", &["none"], "serial", "\"none\""),
    ("--virtio-console", &["none"], "console[0].to", "\"none\""),
    ("--backend", &["module"], "backend", "\"module\""),
    (
        "--realm-device",
        &["/absent"],
        "realm-device",
        "\"/absent\"",
    ),
    ("--kvm-device", &["/absent"], "kvm-device", "\"/absent\""),
    ("--on-reset", &["exit"], "on-reset", "\"exit\""),
    ("--hash", &["sha-512"], "realm.hash", "\"sha-512\""),
    (
        "--personalization-value",
        &["0x01"],
        "realm.personalization-value",
        "\"0x01\"",
    ),
    ("--sve-vl", &["256"], "realm.sve-vl", "256"),
    ("--pmu-counters", &["3"], "realm.pmu-counters", "3"),
    ("--breakpoints", &["4"], "realm.breakpoints", "4"),
    ("--watchpoints", &["5"], "realm.watchpoints", "5"),
    ("--log", &["warn"], "log", "\"warn\""),
    ("--log-format", &["json"], "log-format", "\"json\""),
    ("--audit-log", &["%/audit"], "audit-log", "\"%/audit\""),
    ("--run-dir", &["%/run"], "run-dir", "\"%/run\""),
    ("--seccomp", &["log"], "seccomp", "\"log\""),
    ("--sandbox", &["off"], "sandbox", "\"off\""),
    ("--realm", &[], "realm.hash", "\"sha-256\""),
];

/// What is needed besides the option.
const OTHERS: [&str; 4] = ["--realm", "--kernel", "%/kernel", "--realm-device=/absent"];

struct Exercise {
    folder: TempDir,
    done: BTreeSet<(String, String)>,
}

impl Exercise {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("kernel"), TestKernel::default().build()).unwrap();
        fs::write(folder.path().join("initrd"), [5; 10000]).unwrap();
        fs::write(
            folder.path().join("machine.toml"),
            "kernel = 'kernel'\n[realm]\n",
        )
        .unwrap();
        Self {
            folder,
            done: BTreeSet::new(),
        }
    }

    fn with_folder(&self, text: &str) -> String {
        text.replace('%', &self.folder.path().display().to_string())
    }

    /// Runs a command with an option; what of the rest is given there already is left out.
    fn run(&mut self, command: &str, option: &str, values: &[&str], rest: &[&str]) -> Output {
        let mut words = vec![command.to_owned()];
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            let (name, _) = word.split_once('=').unwrap_or((word, ""));
            // One of the two.
            if option == "--firmware" && *word == "--kernel" {
                rest.next();
                continue;
            }
            if name == option {
                if option == "--kernel" {
                    rest.next();
                }
                continue;
            }
            words.push(self.with_folder(word));
        }
        words.push(option.to_owned());
        words.extend(values.iter().map(|value| self.with_folder(value)));
        self.done.insert((command.to_owned(), option.to_owned()));
        host_vmm(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The report of `config`.
    fn report(&mut self, option: &str, values: &[&str]) -> serde_json::Value {
        let output = self.run(
            "config",
            option,
            values,
            &[&OTHERS[..], &["--json"]].concat(),
        );
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{option}: {output:?}");
        serde_json::from_str(&text).unwrap()
    }
}

fn find<'a>(report: &'a serde_json::Value, key: &str) -> &'a serde_json::Value {
    let mut values = report.as_array().unwrap().iter();
    let found = values.find(|value| value["key"] == key);
    found.unwrap_or_else(|| panic!("{key}: {report}"))
}

#[test]
fn every_option_does_something() {
    let mut exercise = Exercise::new();
    for (option, values, key, expected) in VALUES {
        let report = exercise.report(option, values);
        let value = find(&report, key);
        let expected = exercise.with_folder(expected);
        let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
        assert_eq!(value["value"], expected, "{option}");
        if option != "--realm" {
            assert_eq!(value["flag"], option);
        }
        // A run takes it, and ends for want of the device node and of nothing else.
        let output = exercise.run("run", option, values, &OTHERS);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{option}: {text}");
    }
    assert!(exercise.folder.path().join("audit").exists());
    for (option, values, ..) in VALUES {
        if options_of_parser().contains(&("measure".into(), option.into())) {
            let output = exercise.run("measure", option, values, &OTHERS);
            assert_eq!(
                output.stdout.len(),
                if option == "--hash" { 129 } else { 65 },
                "{option}"
            );
            let output = exercise.run("check", option, values, &OTHERS);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("good, "), "{option}: {text}");
        }
    }
    the_rest(&mut exercise);
    assert_eq!(exercise.done, options_of_parser());
}

/// Options that have no value of a machine.
fn the_rest(exercise: &mut Exercise) {
    let config = ["%/machine.toml"];
    for (command, exit) in [("run", 3), ("measure", 0), ("config", 0), ("check", 3)] {
        let rest: &[&str] = match command {
            "run" => &["--realm-device=/absent"],
            _ => &[],
        };
        let output = exercise.run(command, "--config", &config, rest);
        assert_eq!(output.status.code(), Some(exit), "{command}: {output:?}");
    }
    let output = exercise.run("run", "--json", &[], &OTHERS);
    let text = String::from_utf8(output.stderr).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["exit"], 3);
    let json = exercise.run("measure", "--json", &[], &OTHERS);
    let format = exercise.run("measure", "--format", &["json"], &OTHERS);
    assert_eq!(json.stdout, format.stdout);
    let json = exercise.run("config", "--json", &[], &OTHERS);
    assert_eq!(json.stdout[0], b'[');
    let json = exercise.run("check", "--json", &[], &OTHERS);
    assert_eq!(json.stdout[0], b'{');
    // A host without anything.
    let empty = exercise.run("check", "--root", &["%"], &OTHERS);
    let text = String::from_utf8(empty.stdout).unwrap();
    assert!(text.contains("/proc/meminfo has no MemAvailable"), "{text}");

    for (command, rest, exit) in [
        ("ps", &[][..], 0),
        ("probe", &["live", "web"], 6),
        ("stop", &["web"], 6),
        ("memory", &["web"], 6),
    ] {
        let output = exercise.run(command, "--run-dir", &["%/nobody"], rest);
        assert_eq!(output.status.code(), Some(exit), "{command}: {output:?}");
    }
    let json = exercise.run("ps", "--json", &[], &["--run-dir=%/nobody"]);
    assert_eq!(json.stdout, b"[]\n");
    let json = exercise.run("stop", "--json", &[], &["web", "--run-dir=%/nobody"]);
    assert!(
        String::from_utf8(json.stdout)
            .unwrap()
            .contains("not-there")
    );
    for (option, value) in [("--wait", &["1"][..]), ("--json", &[])] {
        let rest = ["web", "128M", "--run-dir=%/nobody"];
        let output = exercise.run("memory", option, value, &rest);
        assert_eq!(output.status.code(), Some(6), "{option}");
    }
    // What these do to a machine is in `fleet.rs`.
    for (option, value) in [("--timeout", &["1"][..]), ("--kill", &[])] {
        let output = exercise.run("stop", option, value, &["web", "--run-dir=%/nobody"]);
        assert_eq!(output.status.code(), Some(6), "{option}");
    }
    // What these print is in `src/rmm/tests.rs`; here no RMM answers.
    for (option, value, says) in [
        ("--realm-device", &["/dev/null"][..], "another device"),
        ("--events", &["3"], "host-vmm check"),
        ("--json", &[], "host-vmm check"),
    ] {
        let output = exercise.run("rmm", option, value, &["--realm-device=/absent"]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{option}: {text}");
        assert!(text.contains(says), "{option}: {text}");
    }
}
