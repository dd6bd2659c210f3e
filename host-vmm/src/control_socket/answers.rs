//! What can be asked for at the control socket.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::http::{Request, Response};
use super::metrics;
use crate::configuration::MemorySize;
use crate::life::{Life, Moving, MovingError, Phase};
use crate::sys::socket::Peer;

/// How long a machine may take to end before it counts as stuck: memory of a Realm is wiped page by page, and whoever
/// kills it then has it started again although its guest has switched itself off.
const LONGEST_END: Duration = Duration::from_mins(10);

/// What comes after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    Nothing,
    Shutdown,
    Kill,
}

/// What `GET /status` says. Those who read it get along with more than this.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The machine's name.
    pub name: String,
    /// The process.
    pub pid: u32,
    /// Version of host-vmm.
    pub version: String,
    /// How far it is: `preparing`, `making`, `filling`, `running`, `ending`.
    pub state: String,
    /// Whether it is a Realm.
    pub realm: bool,
    /// What it runs on, as `--backend` has it, once that is known.
    pub backend: Option<String>,
    /// Its RAM.
    pub memory_bytes: u64,
    /// Its vCPUs.
    pub cpus: u32,
    /// When the process began, in RFC 3339.
    pub began: String,
    /// For how long it has been.
    pub uptime_seconds: u64,
    /// How often the machine has been made: once, and once more for each restart.
    pub launches: u64,
    /// The initial measurement of a Realm, in hexadecimal, once it is known.
    pub rim: Option<String>,
    /// Bytes of memory that have been filled, and are to be.
    pub filled_bytes: [u64; 2],
    /// Who wants it to end.
    pub asked: Option<String>,
    /// How the memory of a Realm is mapped, where that is known.
    pub memory: Option<Memory>,
    /// How memory moves, if it can.
    #[serde(default)]
    pub moving: Option<Moving>,
}

/// How the memory of a Realm is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub struct Memory {
    /// Pages of 4 KiB that the Realm has, those in blocks included.
    pub private_pages: u64,
    /// Blocks of 2 MiB.
    pub private_blocks: u64,
    /// Pages that it shares with the host.
    pub shared_pages: u64,
    /// Translation tables.
    pub tables: u64,
    /// Faults of private memory.
    pub faults: u64,
}

impl Status {
    pub(super) fn new(life: &Life) -> Self {
        let about = life.about();
        let (done, total) = life.filled();
        Self {
            name: about.name.to_string(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: life.phase().0.name().to_owned(),
            realm: about.realm,
            backend: life.flavour().map(|flavour| flavour.name().to_owned()),
            memory_bytes: about.memory.bytes(),
            cpus: about.cpus,
            began: life.began().to_owned(),
            uptime_seconds: life.age().as_secs(),
            launches: life.launches(),
            rim: life.measurement().map(ToOwned::to_owned),
            filled_bytes: [done, total],
            asked: life.asked().map(|by| by.to_string()),
            memory: life.statistics().map(|statistics| Memory {
                private_pages: statistics.pages_private,
                private_blocks: statistics.blocks_private,
                shared_pages: statistics.pages_shared,
                tables: statistics.tables,
                faults: statistics.faults,
            }),
            moving: life.moving(),
        }
    }
}

/// What `PUT /memory` wants.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Target {
    /// What the guest shall have, in MiB: a multiple of 2.
    pub target_mib: u64,
}

fn move_memory(life: &Life, body: &[u8], peer: Peer) -> Response {
    let Ok(target) = serde_json::from_slice::<Target>(body) else {
        return Response::error(400, "write {\"target-mib\": NUMBER}");
    };
    let bytes = target.target_mib.saturating_mul(1 << 20);
    let size = match MemorySize::new(bytes) {
        Ok(size) => size,
        Err(error) => return Response::error(400, &error.to_string()),
    };
    match life.move_memory(size, peer) {
        Ok(moving) => Response::json(202, &moving),
        Err(error @ MovingError::No) => Response::error(409, &error.to_string()),
        Err(error @ MovingError::TooMuch(_)) => Response::error(400, &error.to_string()),
    }
}

/// Whether something is so, as JSON.
#[derive(Serialize)]
struct State<'a> {
    state: &'a str,
}

/// Paths, with the methods that they take.
const READ: &str = "GET, HEAD";
const ACT: &str = "POST";
const CHANGE: &str = "PUT";

/// Why devices cannot be added or removed.
const NO_HOT_PLUG: &str = "devices stay as they are as long as the machine is there: \
                           change its settings, and start it again";

/// The answer to a request, and what comes then.
pub(super) fn answer(life: &Life, request: &Request, peer: Peer) -> (Response, Then) {
    let is_about_devices = request.path == "/devices" || request.path.starts_with("/devices/");
    if is_about_devices && !READ.split(", ").any(|method| method == request.method) {
        return (Response::error(501, NO_HOT_PLUG), Then::Nothing);
    }
    let allow = match request.path.as_str() {
        "/status" | "/metrics" | "/healthz" | "/readyz" => READ,
        "/shutdown" | "/kill" => ACT,
        "/memory" => CHANGE,
        _ => {
            let error =
                "there are /status, /metrics, /healthz, /readyz, /memory, /shutdown and /kill";
            return (Response::error(404, error), Then::Nothing);
        }
    };
    if !allow.split(", ").any(|method| method == request.method) {
        let mut response = Response::error(405, &format!("{} takes {allow}", request.path));
        response.allow = Some(allow);
        return (response, Then::Nothing);
    }
    let (phase, since) = life.phase();
    let state = State {
        state: phase.name(),
    };
    let yes_or_no = |yes| Response::json(if yes { 200 } else { 503 }, &state);
    match request.path.as_str() {
        "/status" => (Response::json(200, &Status::new(life)), Then::Nothing),
        "/metrics" => (metrics::response(life), Then::Nothing),
        "/healthz" => {
            let stuck = phase == Phase::Ending && since > LONGEST_END;
            (yes_or_no(!stuck), Then::Nothing)
        }
        "/readyz" => (yes_or_no(phase == Phase::Running), Then::Nothing),
        "/memory" => (move_memory(life, &request.body, peer), Then::Nothing),
        "/shutdown" => (Response::json(202, &state), Then::Shutdown),
        _ => (Response::json(202, &state), Then::Kill),
    }
}
