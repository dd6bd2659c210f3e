//! The program as people and scripts use it, with a script in the place of the real emulator.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

#[path = "command_line/demonstration.rs"]
mod demonstration;
#[path = "command_line/hosting.rs"]
mod hosting;
#[path = "command_line/orphans.rs"]
mod orphans;

/// A folder with the files of a machine, and a script that plays the emulator.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in ["monitor", "rmm", "normal-world", "realm-payload"] {
            fs::write(folder.path().join(file), "x").unwrap();
        }
        let qemu = folder.path().join("qemu");
        fs::write(&qemu, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a subcommand on this machine.
    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        self.program(command, arguments).output().unwrap()
    }

    /// The program with a subcommand for this machine.
    fn program(&self, command: &str, arguments: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_emulator"));
        program.arg(command).args(arguments);
        for (option, file) in [
            ("--qemu", "qemu"),
            ("--monitor", "monitor"),
            ("--rmm", "rmm"),
            ("--normal-world", "normal-world"),
            ("--realm-payload", "realm-payload"),
            ("--logs", "logs"),
        ] {
            program.arg(option).arg(self.path(file));
        }
        program.current_dir(self.folder.path());
        program
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const GOOD: &str = "\
echo 'el3: up'
echo 'ns-host: plan 2'
echo 'ns-host: begin granule/a limit 5'
echo 'ns-host: pass granule/a'
echo 'ns-host: begin granule/b limit 5'
echo 'ns-host: skip granule/b: one CPU'
echo 'ns-host: done 1 passed, 0 failed, 1 skipped'
exit 0
";

const FAILING: &str = "\
echo 'ns-host: plan 1'
echo 'ns-host: begin granule/a limit 5'
echo 'rmm: a clue'
echo 'ns-host: fail granule/a: expected 1, saw 2'
echo 'ns-host: done 0 passed, 1 failed, 0 skipped'
exit 1
";

#[test]
fn a_good_run_ends_with_the_closing_line_and_zero() {
    let output = Bench::new(GOOD).run("test", &[]);
    assert_eq!(
        stdout(&output).lines().last(),
        Some("1 passed, 0 failed, 1 skipped")
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_failure_is_one_line_with_its_log() {
    let bench = Bench::new(FAILING);
    let output = bench.run("test", &["--label", "here"]);
    let text = stdout(&output);
    let failed: Vec<_> = text
        .lines()
        .filter(|line| line.contains("FAILED"))
        .collect();
    let log = bench.path("logs/here/granule.a.log");
    assert_eq!(
        failed,
        [format!(
            "  FAILED granule/a: expected 1, saw 2 [{}]",
            log.display()
        )]
    );
    assert!(fs::read_to_string(log).unwrap().contains("rmm: a clue"));
    assert_eq!(text.lines().last(), Some("0 passed, 1 failed, 0 skipped"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn json_is_all_of_standard_output() {
    let output = Bench::new(FAILING).run("test", &["--json", "--label", "here"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["run"], "here");
    assert_eq!(json["failed"], 1);
    assert_eq!(json["outcomes"][0]["name"], "granule/a");
    assert_eq!(json["outcomes"][0]["verdict"], "failed");
    assert_eq!(json["outcomes"][0]["reason"], "expected 1, saw 2");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_fault_reaches_monitor_and_test_host() {
    let stopped = "echo 'rmm: STOPPED on CPU 0: a fault'";
    let script = format!("printf '%s\\n' \"$@\" >words; {stopped}; {GOOD}");
    let bench = Bench::new(&script);
    let output = bench.run("test", &["--fault", "refuse-undelegate"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let words = fs::read_to_string(bench.path("words")).unwrap();
    let has = |word: &str| words.lines().any(|line| line == word);
    assert!(has("name=opt/cloister/fault,string=refuse-undelegate"));
    assert!(has(
        "name=opt/cloister/bootargs,string=mode=test fault=refuse-undelegate"
    ));
    // Without a fault, the same line is a failure.
    let output = bench.run("test", &[]);
    assert!(stdout(&output).contains("FAILED report/stopped"));
    assert_eq!(output.status.code(), Some(1));
    let output = bench.run("test", &["--fault", "fire"]);
    assert!(stderr(&output).contains("refuse-undelegate"));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_fault_that_the_rmm_survives_is_the_monitors_alone() {
    let bench = Bench::new(&format!("printf '%s\\n' \"$@\" >words; {GOOD}"));
    let output = bench.run("test", &["--fault", "debug-lifecycle"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let words = fs::read_to_string(bench.path("words")).unwrap();
    assert!(words.contains("name=opt/cloister/fault,string=debug-lifecycle"));
    assert!(words.contains("string=mode=test\n"));
}

#[test]
fn a_machine_gets_the_key_of_its_folder_or_none() {
    let bench = Bench::new(&format!("printf '%s\\n' \"$@\" >words; {GOOD}"));
    let words = |arguments: &[&str]| {
        let output = bench.run("test", arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        fs::read_to_string(bench.path("words")).unwrap()
    };
    assert!(words(&["--keys", "other"]).contains("opt/cloister/cpak,file=other/cpak.pem"));
    assert!(bench.path("other/cpak.jwk").exists() && !bench.path("development-keys").exists());
    assert!(!words(&["--no-keys"]).contains("cpak"));
    fs::remove_file(bench.path("other/cpak.pem")).unwrap();
    let output = bench.run("test", &["--keys", "other"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("remove it"));
}

#[test]
fn a_payload_that_hangs_is_ended_in_time() {
    let hang = "echo 'ns-host: plan 1'; echo 'ns-host: begin a limit 10'; exec sleep 600";
    let output = Bench::new(hang).run("test", &["--time-scale", "0.02"]);
    assert!(
        stdout(&output).contains("no verdict within 200ms"),
        "{}",
        stdout(&output)
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn wrong_use_is_one_line_and_two() {
    let bench = Bench::new(GOOD);
    fs::remove_file(bench.path("rmm")).unwrap();
    let output = bench.run("test", &[]);
    let text = stderr(&output);
    assert!(text.contains("rmm: `make image` builds"), "{text}");
    assert_eq!((text.lines().count(), output.status.code()), (1, Some(2)));

    let bench = Bench::new(GOOD);
    fs::remove_file(bench.path("qemu")).unwrap();
    let output = bench.run("list", &[]);
    assert_eq!(output.status.code(), Some(2));

    let output = Bench::new(GOOD).run("test", &["--memory", "lots"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("like 512M or 8G"));
}

#[test]
fn a_test_that_does_not_exist_is_wrong_use() {
    let nothing = "echo 'ns-host: plan 0'; echo 'ns-host: done 0 passed, 0 failed, 0 skipped'";
    let output = Bench::new(nothing).run("test", &["--only", "granule/typo"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no test is called granule/typo"));
    // One wish that comes true does not hide one in vain.
    let wishes = ["--only", "*,granule/typo"];
    let output = Bench::new(GOOD).run("test", &wishes);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no test is called granule/typo"));
    // Without a choice, a payload with no tests shows nothing and is no success.
    assert_eq!(Bench::new(nothing).run("test", &[]).status.code(), Some(1));
}

#[test]
fn bench_writes_its_file_only_when_it_has_come_to_its_end() {
    let figures = "echo 'ns-host: bench RMI_VERSION 500'";
    let done = "echo 'ns-host: done 0 passed, 0 failed, 0 skipped'";
    let boots = r#"
case "$*" in
*5G*) ticks=1404 ;;
*cpus=512*) ticks=2022 ;;
*) ticks=1000 ;;
esac
echo "el3: the RMM's boot on CPU 0 took $ticks ticks"
echo "el3: the RMM's boot on CPU 1 took 70 ticks"
"#;
    let good = Bench::new(&format!("{boots}{figures}\n{done}"));
    let output = good.run("bench", &["--out", "out/bench.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(good.path("out/bench.json")).unwrap()).unwrap();
    let expected = serde_json::json!([
        {"op": "RMI_VERSION", "instructions": 500},
        {"op": "COLD_BOOT_1GIB", "instructions": 1000},
        {"op": "COLD_BOOT_PER_GIB", "instructions": 101},
        {"op": "COLD_BOOT_PER_CPU", "instructions": 2},
        {"op": "WARM_BOOT", "instructions": 70},
    ]);
    assert_eq!(json, expected);
    assert!(stdout(&output).contains("1123"));

    let broken = Bench::new(&format!(
        "{figures}\necho 'ns-host: note no counter'\nexit 2"
    ));
    let output = broken.run("bench", &["--out", "out/bench.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("no counter"),
        "{}",
        stderr(&output)
    );
    assert!(!broken.path("out/bench.json").exists());
    // Figures of calls are none of boots.
    let silent = Bench::new(&format!("{figures}\n{done}"));
    let output = silent.run("bench", &["--out", "out/bench.json"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("boot of CPU 0"), "{text}");
    assert!(!silent.path("out/bench.json").exists());
}

#[test]
fn a_summary_adds_up_records_and_misses_what_is_missing() {
    let bench = Bench::new(GOOD);
    let record = bench.path("records/one.json");
    let arguments = ["--label", "one", "--record", record.to_str().unwrap()];
    assert_eq!(bench.run("test", &arguments).status.code(), Some(0));
    let summary = |runs: &[&str]| {
        let program = Command::new(env!("CARGO_BIN_EXE_emulator"))
            .args(["summary", "--records"])
            .arg(bench.path("records"))
            .args(runs)
            .output();
        program.unwrap()
    };
    let output = summary(&["one"]);
    assert_eq!(
        stdout(&output).lines().last(),
        Some("1 passed, 0 failed, 1 skipped")
    );
    assert_eq!(output.status.code(), Some(0));
    let output = summary(&["one", "two"]);
    assert_eq!(
        stdout(&output).lines().last(),
        Some("1 passed, 1 failed, 1 skipped")
    );
    assert_eq!(output.status.code(), Some(1));
}
