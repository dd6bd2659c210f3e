//! The commands about machines that run, against processes that answer as machines do.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use host_vmm::configuration::Configuration;
use host_vmm::control_socket;
use host_vmm::life::audit::AuditLog;
use host_vmm::life::{Asked, Life};
use host_vmm::run_directory::Claim;
use tempfile::TempDir;

const FOLDER: &str = "HOST_VMM_TEST_FOLDER";
const NAME: &str = "HOST_VMM_TEST_NAME";
/// Names of machines that do not end when they are told to.
const STUBBORN: &str = "stubborn";
const PATIENCE: Duration = Duration::from_secs(30);

/// The test that [`Machine`] starts this program with: it begins with [`play`].
const PLAYER: &str = "machines_are_listed_probed_and_stopped";

/// In a process that [`Machine`] has started: everything of a machine but its vCPUs.
fn play() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let name = std::env::var(NAME).unwrap();
    let folder = Path::new(&folder);
    let configuration = Configuration {
        name: name.parse().unwrap(),
        ..Configuration::new("kernel".into())
    };
    let audit = AuditLog::open(&folder.join(format!("{name}.audit"))).unwrap();
    let life = Life::new(&configuration, Some(audit));
    let (claim, listener) = Claim::new(folder, &configuration.name).unwrap();
    let worker = control_socket::serve(listener, Arc::clone(&life)).unwrap();
    loop {
        match life.asked() {
            Some(Asked::Shutdown(_)) if name != STUBBORN => break,
            _ => thread::sleep(Duration::from_millis(10)),
        }
    }
    drop((worker, claim));
    std::process::exit(4);
}

struct Machine(Child);

impl Machine {
    /// Starts one, and waits until it answers.
    fn start(folder: &Path, name: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", PLAYER])
            .env(FOLDER, folder)
            .env(NAME, name)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let machine = Self(child);
        let begin = Instant::now();
        while host_vmm(folder, &["probe", "live", name]).status.code() != Some(0) {
            assert!(begin.elapsed() < PATIENCE);
            thread::sleep(Duration::from_millis(10));
        }
        machine
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn host_vmm(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-vmm"))
        .args(arguments)
        .arg("--run-dir")
        .arg(folder)
        .output()
        .unwrap()
}

/// Standard output and exit code.
fn told(folder: &Path, arguments: &[&str]) -> (String, i32) {
    let output = host_vmm(folder, arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    (text, output.status.code().unwrap())
}

fn json(folder: &Path, arguments: &[&str]) -> (serde_json::Value, i32) {
    let (text, exit) = told(folder, arguments);
    (serde_json::from_str(&text).unwrap(), exit)
}

#[test]
fn machines_are_listed_probed_and_stopped() {
    play();
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let mut web = Machine::start(folder, "web");
    let (text, exit) = told(folder, &["ps"]);
    assert_eq!(exit, 0);
    assert!(
        text.lines()
            .nth(1)
            .unwrap()
            .starts_with("web   preparing  ordinary"),
        "{text}"
    );
    let (list, exit) = json(folder, &["ps", "web", "--json"]);
    assert_eq!((&list[0]["name"], exit), (&"web".into(), 0));
    assert_eq!(list[0]["pid"], web.0.id());
    assert_eq!(told(folder, &["ps", "db"]), (String::new(), 6));

    assert_eq!(told(folder, &["probe", "live", "web"]), (String::new(), 0));
    let output = host_vmm(folder, &["probe", "ready", "web"]);
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(output.stderr, b"host-vmm: web: not ready\n");
    assert_eq!(told(folder, &["probe", "live", "db"]).1, 6);

    let stopped = told(folder, &["stop", "web"]);
    assert_eq!(stopped, ("web: ended\n".into(), 0));
    assert_eq!(web.exit_code(), Some(4));
    let (list, exit) = json(folder, &["stop", "web", "--json"]);
    assert_eq!((&list[0]["result"], exit), (&"not-there".into(), 6));
    assert_eq!(told(folder, &["ps"]).0.lines().count(), 1);
}

#[test]
fn one_that_does_not_obey_is_killed() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let mut machine = Machine::start(folder, STUBBORN);
    let (text, exit) = told(folder, &["stop", STUBBORN, "--timeout", "0"]);
    assert_eq!(exit, 7);
    assert!(text.starts_with("stubborn: still there"), "{text}");
    let stop = ["stop", STUBBORN, "--timeout", "0", "--kill", "--json"];
    let (list, exit) = json(folder, &stop);
    assert_eq!((&list[0]["result"], exit), (&"killed".into(), 0));
    assert_eq!(machine.exit_code(), Some(4));
    assert!(!folder.join("stubborn.sock").exists());
    let audit = fs::read_to_string(folder.join("stubborn.audit")).unwrap();
    let records: Vec<serde_json::Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events = records
        .iter()
        .map(|record| record["event"].as_str().unwrap());
    assert_eq!(
        events.collect::<Vec<_>>(),
        ["begin", "asked", "asked", "asked", "end"]
    );
    assert_eq!(records[3]["by"], "kill");
    assert_eq!(records[4]["exit"], 4);
}

#[test]
fn what_a_dead_process_has_left_is_no_machine() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let mut machine = Machine::start(folder, "web");
    machine.0.kill().unwrap();
    machine.0.wait().unwrap();
    let (list, exit) = json(folder, &["ps", "--json"]);
    assert_eq!((&list[0]["state"], exit), (&"gone".into(), 0));
    assert_eq!(told(folder, &["probe", "live", "web"]).1, 6);
    // The name is free.
    let _again = Machine::start(folder, "web");
    assert_eq!(told(folder, &["ps"]).0.lines().count(), 2);
}
