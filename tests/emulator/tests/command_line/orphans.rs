//! Who starts the emulator may be killed; then it must not live on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::Bench;

/// Says who it is, and would stay.
const SITTING: &str = "echo $$ >pid.new; mv pid.new pid; exec sleep 600\n";
const PATIENCE: Duration = Duration::from_secs(30);

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < give_up, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process runs; one that is dead and that nobody has waited for does not.
///
/// Its command line would not do: that is empty for a moment when one program takes another's place.
fn runs(process: &Path) -> bool {
    let state = fs::read_to_string(process.join("stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ")?.1.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

fn dies_with_its_parent(command: &str, arguments: &[&str]) {
    let bench = Bench::new(SITTING);
    fs::create_dir(bench.path("host")).unwrap();
    for file in ["host/Image", "host/initrd"] {
        fs::write(bench.path(file), "x").unwrap();
    }
    let mut parent = bench
        .program(command, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the emulator starts", || bench.path("pid").exists());
    let pid = fs::read_to_string(bench.path("pid")).unwrap();
    let emulator = PathBuf::from("/proc").join(pid.trim());
    assert!(runs(&emulator));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("the emulator ends", || !runs(&emulator));
}

#[test]
fn the_emulator_of_a_test_dies_with_it() {
    dies_with_its_parent("test", &[]);
}

#[test]
fn the_emulator_of_a_person_dies_with_its_parent() {
    dies_with_its_parent("run", &["--interactive", "--host", "host"]);
}
