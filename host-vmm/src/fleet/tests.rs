use std::os::unix::net::UnixListener;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::backend::fake::configuration;
use crate::control_socket;
use crate::life::{Asked, Life, Phase};
use crate::run_directory::Claim;
use crate::sys::socket::Peer;
use crate::worker::Worker;

/// A machine that answers at its socket.
struct Machine {
    life: Arc<Life>,
    worker: Worker,
    claim: Claim,
    _folder: TempDir,
}

impl Machine {
    fn new(folder: &Path, name: &str) -> Self {
        let (own_folder, mut configuration) = configuration(true);
        configuration.name = name.parse().unwrap();
        let life = Life::new(&configuration, None);
        let (claim, listener) = Claim::new(folder, &configuration.name).unwrap();
        let worker = control_socket::serve(listener, Arc::clone(&life)).unwrap();
        Self {
            life,
            worker,
            claim,
            _folder: own_folder,
        }
    }

    /// Ends soon after it has been told to.
    fn obey(self) -> thread::JoinHandle<Option<Asked>> {
        thread::spawn(move || {
            let begin = Instant::now();
            while self.life.asked().is_none() {
                assert!(begin.elapsed() < Duration::from_secs(30));
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(100));
            drop((self.worker, self.claim));
            self.life.asked()
        })
    }
}

fn name(text: &str) -> MachineName {
    text.parse().unwrap()
}

#[test]
fn machines_are_listed_and_those_left_behind_are_told_from_them() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    assert_eq!(
        list(folder, &[], false).unwrap(),
        "NAME  STATE  KIND  BACKEND  MEMORY  VCPUS  PID  UPTIME  RIM\n"
    );
    let web = Machine::new(folder, "web");
    web.life
        .measured(&"0123456789abcdef0123456789abcdef", "sha-256");
    web.life.enter(Phase::Filling);
    web.life.set_filled(1, 4);
    drop(UnixListener::bind(folder.join("old.sock")).unwrap());
    let text = list(folder, &[], false).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let cells: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(cells, ["old", "gone", "-", "-", "-", "-", "-", "-", "-"]);
    let pid = std::process::id().to_string();
    let cells: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(
        cells,
        [
            "web",
            "filling",
            "25%",
            "realm",
            "-",
            "16M",
            "2",
            &pid,
            "0s",
            "0123456789abcdef"
        ]
    );
    let json: serde_json::Value = serde_json::from_str(&list(folder, &[], true).unwrap()).unwrap();
    assert_eq!(json[0]["state"], "gone");
    assert_eq!(json[1]["state"], "filling");
    assert_eq!(json[1]["rim"], "0123456789abcdef0123456789abcdef");
    assert_eq!(json[1]["memory-bytes"], 16 << 20);

    let text = list(folder, &[name("web")], false).unwrap();
    assert_eq!(text.lines().count(), 2);
    for absent in ["old", "db"] {
        let error = list(folder, &[name(absent)], false).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("{absent}: no machine is there"))
        );
    }
}

#[test]
fn a_machine_is_probed() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let web = Machine::new(folder, "web");
    probe(folder, &name("web"), Question::Live).unwrap();
    let error = probe(folder, &name("web"), Question::Ready).unwrap_err();
    assert_eq!(error.to_string(), "web: not ready");
    web.life.enter(Phase::Running);
    probe(folder, &name("web"), Question::Ready).unwrap();
    let error = probe(folder, &name("db"), Question::Live).unwrap_err();
    assert!(matches!(
        error,
        FleetError::Machine {
            error: ClientError::Gone,
            ..
        }
    ));
}

#[test]
fn machines_end_when_they_are_told_to() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let machines = ["a", "b"].map(|name| Machine::new(folder, name).obey());
    let how = Stopping {
        timeout: Duration::from_secs(30),
        kill: false,
    };
    let reports = stop(folder, &[name("a"), name("b"), name("c")], how);
    let stopped: Vec<_> = reports.iter().map(|report| &report.stopped).collect();
    assert_eq!(stopped[..2], [&Stopped::Ended, &Stopped::Ended]);
    assert!(matches!(stopped[2], Stopped::NotThere { .. }));
    for machine in machines {
        let asked = machine.join().unwrap();
        assert!(matches!(asked, Some(Asked::Shutdown(Peer { .. }))));
    }
    let (text, exit) = told(&reports, false);
    assert_eq!(text, "a: ended\nb: ended\nc: no machine is there\n");
    assert_eq!(exit, Exit::NotThere);
    let (text, _) = told(&reports, true);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json[0]["result"], "ended");
    assert_eq!(json[2]["result"], "not-there");
    assert_eq!(told(&reports[..2], false).1, Exit::Done);
}

#[test]
fn one_that_does_not_end_is_not_waited_for_for_ever() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let _web = Machine::new(folder, "web");
    let how = Stopping {
        timeout: Duration::from_millis(200),
        kill: false,
    };
    let reports = stop(folder, &[name("web")], how);
    let (text, exit) = told(&reports, false);
    assert!(text.starts_with("web: still there"), "{text}");
    assert_eq!(exit, Exit::StillThere);
}

#[test]
fn times_are_short() {
    for (seconds, text) in [
        (0, "0s"),
        (59, "59s"),
        (61, "1m01s"),
        (3600, "1h00m"),
        (90_061, "1d01h"),
    ] {
        assert_eq!(duration(seconds), text);
    }
}
