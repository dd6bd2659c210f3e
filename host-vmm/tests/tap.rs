//! Tap interfaces of the kernel, in a network of their own: opened by name, and handed to a process
//! that has no privileges, as in a pod.

use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use host_vmm::configuration::InterfaceName;
use host_vmm::sys::tap::{Tap, TapError};

const NAME: &str = "tap7";

/// What runs a test of this file as a process of its own.
const TEST: [&str; 3] = ["--ignored", "--nocapture", "--exact"];

fn open(name: &str) -> Result<Tap, TapError> {
    Tap::open(&name.parse::<InterfaceName>().unwrap())
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
}

/// Runs one test of this file in a process of its own; a name that no test has is not a success.
fn run_test(command: &mut Command, name: &str) {
    let output = command.args(TEST).arg(name).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = said.contains("test result: ok. 1 passed; 0 failed; 0 ignored;");
    let ran = said.contains(&format!("test {name} ... "));
    assert!(
        output.status.success() && passed && ran,
        "{name}: {:?}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn tap_interfaces_are_used_with_and_without_privileges() {
    let try_out = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--", "ip", "tuntap"])
        .args(["add", "dev", NAME, "mode", "tap"])
        .output();
    match try_out {
        Ok(output) if output.status.success() => {}
        result => {
            println!("skipped: this machine lets nobody make a tap interface: {result:?}");
            return;
        }
    }
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--net", "--"])
        .arg(env::current_exe().unwrap());
    run_test(&mut command, "in_a_network_of_its_own");
}

/// Packets that the host's side of the interface has got.
fn received() -> u64 {
    let text = fs::read_to_string("/proc/self/net/dev").unwrap();
    let line = text.lines().find(|line| line.trim().starts_with(NAME));
    let mut words = line.unwrap().split_whitespace();
    words.nth(2).unwrap().parse().unwrap()
}

/// Sends a packet to the host, and waits for one of it.
fn exchange(tap: &Tap) {
    let before = received();
    let mut packet = [0xff; 12 + 60];
    packet[..12].fill(0);
    tap.write(&packet).unwrap();
    let begin = Instant::now();
    while received() == before {
        assert!(begin.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(1));
    }
    // Nobody has this address, so the host asks for it.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.send_to(b"x", "10.7.0.2:9").unwrap();
    let mut packet = [0; 2048];
    let bytes = loop {
        match tap.read(&mut packet) {
            Ok(bytes) => break bytes,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "no packet comes");
        thread::sleep(Duration::from_millis(1));
    };
    assert!((12 + 14..=12 + 1514).contains(&bytes), "{bytes}");
}

#[test]
#[ignore = "has to run in a network of its own"]
fn in_a_network_of_its_own() {
    run("ip", &["tuntap", "add", "dev", NAME, "mode", "tap"]);
    run("ip", &["address", "add", "10.7.0.1/24", "dev", NAME]);
    run("ip", &["link", "set", NAME, "up"]);
    let error = open("lo").unwrap_err();
    assert!(matches!(error, TapError::NotTap), "{error}");
    let error = open("tap8").unwrap_err();
    assert!(matches!(error, TapError::Absent), "{error}");
    let tap = open(NAME).unwrap();
    exchange(&tap);
    tap.leave_checksums(true).unwrap();
    let error = open(NAME).unwrap_err();
    assert!(matches!(error, TapError::Busy), "{error}");

    // Somebody else without any capability gets it as its descriptor 7.
    let shell = "exec 7<&0 </dev/null; \
                 exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs -- \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", shell, "sh"])
        .arg(env::current_exe().unwrap())
        .stdin(tap.as_fd().try_clone_to_owned().unwrap());
    run_test(&mut command, "without_privileges");
    // The command has a copy.
    drop((tap, command));
    open(NAME).unwrap();
}

#[test]
#[ignore = "has to have a tap interface as descriptor 7, and no capabilities"]
fn without_privileges() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let capabilities = status.lines().find(|line| line.starts_with("CapEff:"));
    assert_eq!(capabilities, Some("CapEff:\t0000000000000000"));
    let tap = Tap::inherit("7".parse().unwrap()).unwrap();
    exchange(&tap);
    // It stays open, for a machine that is started again.
    drop(tap);
    assert!(Path::new("/proc/self/fd/7").exists());
    let again = Tap::inherit("7".parse().unwrap()).unwrap();
    assert_ne!(again.as_fd().as_raw_fd(), 7);
    exchange(&again);
}
