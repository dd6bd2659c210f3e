use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::backend::fake::configuration;
use crate::life::Phase;

/// A machine's socket.
struct Server {
    folder: TempDir,
    life: Arc<Life>,
    _worker: Worker,
}

impl Server {
    fn new() -> Self {
        Self::with_patience(PATIENCE)
    }

    fn with_patience(patience: Duration) -> Self {
        let (folder, configuration) = configuration(true);
        let life = Life::new(&configuration, None);
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let worker = serve_with(listener, Arc::clone(&life), patience).unwrap();
        Self {
            folder,
            life,
            _worker: worker,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    }

    /// What comes back for these bytes: status, lines, body.
    fn send(&self, bytes: &[u8]) -> (u16, String, String) {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        receive(stream)
    }

    fn ask(&self, method: &str, path: &str) -> (u16, String, String) {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: machine\r\n\r\n").as_bytes())
    }
}

fn receive(mut stream: UnixStream) -> (u16, String, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3]
        .parse()
        .unwrap();
    (status, head.to_owned(), body.to_owned())
}

#[test]
fn the_status_is_what_the_machine_is() {
    let server = Server::new();
    server.life.measured(&"abcd", "sha-256");
    let (status, head, body) = server.ask("GET", "/status");
    assert_eq!(status, 200);
    assert!(
        head.contains("Content-Type: application/json\r\n"),
        "{head}"
    );
    let said: Status = serde_json::from_str(&body).unwrap();
    assert_eq!(said.name, "test");
    assert_eq!(said.pid, std::process::id());
    assert_eq!(said.state, "preparing");
    assert_eq!(
        (said.realm, said.cpus, said.memory_bytes),
        (true, 2, 16 << 20)
    );
    assert_eq!(said.rim.as_deref(), Some("abcd"));
    assert_eq!(said.asked, None);
    let (status, head, body) = server.ask("HEAD", "/status");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("Content-Length: "), "{head}");
}

#[test]
fn ready_and_healthy() {
    let server = Server::new();
    for phase in Phase::ALL {
        server.life.enter(phase);
        let expected = if phase == Phase::Running { 200 } else { 503 };
        let (status, _, body) = server.ask("GET", "/readyz");
        assert_eq!(status, expected, "{phase:?}");
        assert!(body.contains(phase.name()), "{body}");
        assert_eq!(server.ask("GET", "/healthz").0, 200, "{phase:?}");
    }
}

#[test]
fn counters_are_those_of_prometheus() {
    let server = Server::new();
    server
        .life
        .exits()
        .count(crate::life::counters::Reason::Psci);
    let (status, head, body) = server.ask("GET", "/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    for line in [
        "host_vmm_info{name=\"test\",version=\"0.1.0\",realm=\"true\",backend=\"\",rim=\"\"} 1",
        "host_vmm_state{state=\"preparing\"} 1",
        "host_vmm_state{state=\"running\"} 0",
        "host_vmm_vcpu_exits_total{reason=\"psci\"} 1",
        "host_vmm_memory_bytes 16777216",
        "host_vmm_lost_audit_records_total 0",
    ] {
        assert!(body.lines().any(|found| found == line), "{line}: {body}");
    }
    // Each sample has its type, once.
    let mut types = Vec::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            types.push(rest.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert_eq!(types.last().map(String::as_str), Some(name), "{line}");
        }
    }
    // The README has all of them.
    for name in &types {
        let readme = include_str!("../../README.md");
        let described = readme.contains(&format!("`{name}`"));
        assert!(described, "{name} is not in the README");
    }
    let count = types.len();
    types.sort();
    types.dedup();
    assert_eq!(types.len(), count);
}

#[test]
fn a_machine_is_told_to_end() {
    let server = Server::new();
    let (status, _, body) = server.send(b"POST /shutdown HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(status, 202, "{body}");
    let begin = Instant::now();
    while server.life.asked().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(1));
    }
    let Some(Asked::Shutdown(peer)) = server.life.asked() else {
        panic!();
    };
    assert_eq!(u32::try_from(peer.pid).unwrap(), std::process::id());
    let (_, _, body) = server.ask("GET", "/status");
    assert!(body.contains("\"asked\": \"shutdown by process "), "{body}");
}

#[test]
fn what_is_not_there_is_said() {
    let server = Server::new();
    let (status, _, body) = server.ask("GET", "/");
    assert_eq!(status, 404);
    assert!(body.contains("/status"), "{body}");
    for (method, path, allow) in [
        ("POST", "/status", "GET, HEAD"),
        ("GET", "/shutdown", "POST"),
        ("DELETE", "/kill", "POST"),
    ] {
        let (status, head, _) = server.ask(method, path);
        assert_eq!(status, 405, "{path}");
        assert!(head.contains(&format!("\r\nAllow: {allow}")), "{head}");
    }
    for (method, path) in [
        ("DELETE", "/devices/3"),
        ("POST", "/devices"),
        ("PUT", "/devices/net/0"),
    ] {
        let (status, head, body) = server.ask(method, path);
        assert_eq!(status, 501, "{path}");
        assert!(head.starts_with("HTTP/1.1 501 Not Implemented"), "{head}");
        assert!(body.contains("devices stay as they are"), "{body}");
    }
    for path in ["/devices", "/devices/3", "/devicesx"] {
        assert_eq!(server.ask("GET", path).0, 404, "{path}");
    }
    assert_eq!(server.send(b"\x16\x03\x01").0, 400);
    assert!(server.life.asked().is_none());
}

#[test]
fn slow_clients_keep_nobody_waiting() {
    let server = Server::new();
    let mut slow = server.connect();
    slow.write_all(b"GET /sta").unwrap();
    let silent: Vec<_> = (0..MOST_CONNECTIONS - 2)
        .map(|_| server.connect())
        .collect();
    // There is room for one more.
    assert_eq!(server.ask("GET", "/healthz").0, 200);
    slow.write_all(b"tus HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(receive(slow).0, 200);
    // Clients that are gone are not waited for.
    let begin = Instant::now();
    drop(silent);
    let silent: Vec<_> = (0..MOST_CONNECTIONS - 1)
        .map(|_| server.connect())
        .collect();
    assert_eq!(server.ask("GET", "/healthz").0, 200);
    assert!(begin.elapsed() < PATIENCE);
    drop(silent);
}

#[test]
fn silent_clients_have_their_time_and_no_more() {
    let patience = Duration::from_millis(300);
    let server = Server::with_patience(patience);
    let mut silent: Vec<_> = (0..MOST_CONNECTIONS).map(|_| server.connect()).collect();
    let begin = Instant::now();
    // All connections are in use: the next client waits.
    assert_eq!(server.ask("GET", "/healthz").0, 200);
    assert!(begin.elapsed() >= patience / 2);
    let mut nothing = Vec::new();
    silent[0].read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty(), "it is closed without a word");
}

#[test]
fn a_client_that_does_not_read_is_no_harm() {
    let server = Server::new();
    for _ in 0..100 {
        let mut stream = server.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        drop(stream);
    }
    assert_eq!(server.ask("GET", "/healthz").0, 200);
}

#[test]
fn memory_moves_when_it_can() {
    use crate::devices::InterruptLine;
    use crate::devices::MmioDevice as _;
    use crate::devices::virtio::VirtioMmio;
    use crate::devices::virtio::balloon::Balloon;
    use crate::devices::virtio::tests::memory;

    let server = Server::new();
    let put = |body: &str| {
        let length = body.len();
        server.send(
            format!("PUT /memory HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes(),
        )
    };
    let half = "{\"target-mib\": 8}";
    let (status, _, body) = put(half);
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("--balloon"), "{body}");
    assert!(server.ask("GET", "/status").2.contains("\"moving\": null"));

    let line = InterruptLine::new().unwrap();
    let device = VirtioMmio::new(Balloon::new(None), memory(), line, Arc::default()).unwrap();
    server.life.attach_balloon(&device);
    let wanted = || {
        let mut bytes = [0; 4];
        device.read(0x100, &mut bytes);
        u32::from_le_bytes(bytes)
    };
    assert_eq!(wanted(), 0);
    let (status, _, body) = put(half);
    assert_eq!(status, 202, "{body}");
    // Half of 16 MiB, in pages of 4 KiB; and the driver hears of it.
    assert_eq!(wanted(), 2048);
    let moving: crate::life::Moving = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (moving.target_bytes, moving.guest_bytes),
        (8 << 20, 16 << 20)
    );
    device.write(0x104, &2048_u32.to_le_bytes());
    assert!(
        server
            .ask("GET", "/status")
            .2
            .contains("\"guest-bytes\": 8388608")
    );
    let (_, _, metrics) = server.ask("GET", "/metrics");
    for line in [
        "host_vmm_moving_bytes{kind=\"target\"} 8388608",
        "host_vmm_moving_bytes{kind=\"guest\"} 8388608",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}: {metrics}"
        );
    }
    for (body, says) in [
        ("", "target-mib"),
        ("{\"target-mib\": 8, \"x\": 1}", "target-mib"),
        ("{\"target-mib\": -8}", "target-mib"),
        ("{\"target-mib\": 7}", "2 MiB"),
        ("{\"target-mib\": 0}", "2 MiB"),
        ("{\"target-mib\": 18}", "16 MiB at most"),
        ("{\"target-mib\": 18446744073709551615}", "2 MiB"),
    ] {
        let (status, _, answer) = put(body);
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer.contains(says), "{body}: {answer}");
    }
    assert_eq!(wanted(), 2048);
    assert_eq!(server.ask("GET", "/memory").0, 405);
    // A machine that is made again has the same target.
    let line = InterruptLine::new().unwrap();
    let again = VirtioMmio::new(Balloon::new(None), memory(), line, Arc::default()).unwrap();
    server.life.attach_balloon(&again);
    let mut bytes = [0; 4];
    again.read(0x100, &mut bytes);
    assert_eq!(u32::from_le_bytes(bytes), 2048);
}
