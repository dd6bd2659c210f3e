//! The life of a machine in this process, over all of its restarts: how far it is, who wants it to
//! end, and what is told of it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::info;

use crate::backend::VirtualMachine;
use crate::backend::kvm::Flavour;
use crate::configuration::{Configuration, MachineName, MemorySize};
use crate::devices::lock;
use crate::devices::virtio::VirtioMmio;
use crate::devices::virtio::balloon::Balloon;
use crate::exit::Exit;
use crate::sys::socket::Peer;
use crate::sys::uapi::Statistics;

pub mod audit;
pub mod counters;
pub mod notify;
mod operator;
mod phase;

use audit::{AuditLog, Event};
use counters::ExitCounters;
use notify::Notifier;

pub use operator::Operator;
pub use phase::Phase;

/// Who wants a machine to end.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Asked {
    /// A signal.
    Signal {
        /// Its number.
        signal: u32,
    },
    /// Ctrl-A X.
    Terminal,
    /// A request at the control socket.
    Shutdown(Peer),
    /// A request at the control socket, without patience.
    Kill(Peer),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal { signal } => write!(f, "signal {signal}"),
            Self::Terminal => f.write_str("Ctrl-A X"),
            Self::Shutdown(peer) => write!(f, "shutdown by process {}", peer.pid),
            Self::Kill(peer) => write!(f, "kill by process {}", peer.pid),
        }
    }
}

/// What a machine is, for those who ask; it does not change.
#[derive(Clone, Debug)]
pub struct About {
    /// Its name.
    pub name: MachineName,
    /// Whether it is a Realm.
    pub realm: bool,
    /// Its RAM.
    pub memory: MemorySize,
    /// How many vCPUs it has.
    pub cpus: u32,
}

/// Whoever has to hear that a machine is to end.
pub(crate) trait Leave: Send + Sync {
    /// The machine is to end.
    fn leave(&self);
}

/// What there is only during a launch.
#[derive(Default)]
struct Current {
    control: Option<Arc<dyn Leave>>,
    machine: Option<Arc<dyn VirtualMachine>>,
    balloon: Option<Arc<VirtioMmio<Balloon>>>,
}

/// Phase, and since when.
#[derive(Clone, Copy, Debug)]
struct Now {
    phase: Phase,
    since: Instant,
}

/// How much of the memory is filled.
#[derive(Default, Debug)]
struct Filling {
    done: AtomicU64,
    total: AtomicU64,
}

/// The life of a machine.
pub struct Life {
    about: About,
    begin: Instant,
    /// In RFC 3339.
    began: String,
    now: Mutex<Now>,
    filling: Filling,
    launches: AtomicU64,
    measurement: OnceLock<String>,
    flavour: OnceLock<Flavour>,
    /// The first one counts.
    asked: Mutex<Option<Asked>>,
    current: Mutex<Current>,
    audit: Option<AuditLog>,
    exits: Arc<ExitCounters>,
    notifier: OnceLock<Notifier>,
    /// Bytes that the guest shall have.
    memory_target: AtomicU64,
}

/// Memory that moves between guest and host.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub struct Moving {
    /// What the guest shall have.
    pub target_bytes: u64,
    /// What it says that it has.
    pub guest_bytes: u64,
}

/// Why no memory can be moved.
#[derive(Clone, Copy, PartialEq, Eq, Error, Debug)]
pub enum MovingError {
    /// There is no device for it, or no machine now.
    #[error("the machine does not run, or was started without --balloon")]
    No,
    /// It can never have so much.
    #[error("the machine has {0} at most")]
    TooMuch(MemorySize),
}

impl Life {
    /// A life that begins now.
    pub fn new(configuration: &Configuration, audit: Option<AuditLog>) -> Arc<Self> {
        let begin = Instant::now();
        let life = Self {
            about: About {
                name: configuration.name.clone(),
                realm: configuration.realm.is_some(),
                memory: configuration.memory,
                cpus: configuration.cpus.get(),
            },
            begin,
            began: audit::now(),
            now: Mutex::new(Now {
                phase: Phase::Preparing,
                since: begin,
            }),
            filling: Filling::default(),
            launches: AtomicU64::new(0),
            measurement: OnceLock::new(),
            flavour: OnceLock::new(),
            asked: Mutex::new(None),
            current: Mutex::default(),
            audit,
            exits: Arc::default(),
            notifier: OnceLock::new(),
            memory_target: AtomicU64::new(configuration.memory.bytes()),
        };
        life.record(&Event::Begin {
            version: env!("CARGO_PKG_VERSION"),
            realm: life.about.realm,
            memory_bytes: life.about.memory.bytes(),
            cpus: life.about.cpus,
        });
        Arc::new(life)
    }

    /// What it is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// When it began, in RFC 3339.
    pub fn began(&self) -> &str {
        &self.began
    }

    /// For how long it has been.
    pub fn age(&self) -> Duration {
        self.begin.elapsed()
    }

    /// How far it is, and for how long it has been there.
    pub fn phase(&self) -> (Phase, Duration) {
        let now = *lock(&self.now);
        (now.phase, now.since.elapsed())
    }

    pub(crate) fn enter(&self, phase: Phase) {
        *lock(&self.now) = Now {
            phase,
            since: Instant::now(),
        };
        if let Some(notifier) = self.notifier.get() {
            notifier.tell(phase);
        }
    }

    /// A service manager hears of phases from now on.
    pub fn notify(&self, notifier: Notifier) {
        // There is one at most.
        let _ = self.notifier.set(notifier);
    }

    /// Bytes of memory that are filled, and how many are to be.
    pub fn filled(&self) -> (u64, u64) {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (load(&self.filling.done), load(&self.filling.total))
    }

    pub(crate) fn set_filled(&self, done: u64, total: u64) {
        self.filling.done.store(done, Ordering::Relaxed);
        self.filling.total.store(total, Ordering::Relaxed);
    }

    /// How often it has been made.
    pub fn launches(&self) -> u64 {
        self.launches.load(Ordering::Relaxed)
    }

    /// What it runs on, once that is known.
    pub fn flavour(&self) -> Option<Flavour> {
        self.flavour.get().copied()
    }

    /// The initial measurement, once it is known.
    pub fn measurement(&self) -> Option<&str> {
        self.measurement.get().map(String::as_str)
    }

    /// The initial measurement is known.
    pub fn measured(&self, measurement: &impl ToString, hash: &'static str) {
        let measurement = measurement.to_string();
        self.record(&Event::Measured {
            rim: &measurement,
            hash,
        });
        // It is the same each time.
        let _ = self.measurement.set(measurement);
    }

    /// Why vCPUs have stopped.
    pub fn exits(&self) -> &Arc<ExitCounters> {
        &self.exits
    }

    /// How its memory is mapped, if it is a Realm that is there, and that is known.
    pub fn statistics(&self) -> Option<Statistics> {
        // With the lock, so that nobody holds a machine that is taken down.
        lock(&self.current).machine.as_ref()?.statistics()
    }

    /// How many records the audit log does not have.
    pub fn lost_records(&self) -> u64 {
        self.audit.as_ref().map_or(0, AuditLog::lost)
    }

    /// Writes to the audit log.
    pub fn record(&self, event: &Event<'_>) {
        if let Some(audit) = &self.audit {
            audit.write(&self.about.name, event);
        }
    }

    /// Who wants it to end.
    pub fn asked(&self) -> Option<Asked> {
        *lock(&self.asked)
    }

    /// Somebody wants it to end, and not to be made again.
    pub fn ask(&self, by: Asked) {
        self.record(&Event::Asked(by));
        lock(&self.asked).get_or_insert(by);
        if let Some(control) = &lock(&self.current).control {
            control.leave();
        }
        // Last: this may wait for whoever reads it.
        info!(%by, "told to end");
    }

    /// A launch begins, which can be told to end from now on.
    pub(crate) fn attach(&self, control: &Arc<impl Leave + 'static>) {
        self.launches.fetch_add(1, Ordering::Relaxed);
        self.enter(Phase::Making);
        self.set_filled(0, 0);
        lock(&self.current).control = Some(Arc::clone(control) as _);
        // It may have been told before.
        if self.asked().is_some() {
            control.leave();
        }
    }

    /// The launch has its machine.
    pub(crate) fn attach_machine(&self, machine: &Arc<dyn VirtualMachine>) {
        // It is the same each time.
        let _ = self.flavour.set(machine.flavour());
        lock(&self.current).machine = Some(Arc::clone(machine));
    }

    /// Nothing of the machine is used here any more.
    pub(crate) fn detach_machine(&self) {
        let mut current = lock(&self.current);
        (current.machine, current.balloon) = (None, None);
    }

    /// The launch has a device by which memory moves.
    pub(crate) fn attach_balloon(&self, balloon: &Arc<VirtioMmio<Balloon>>) {
        let mut current = lock(&self.current);
        balloon.with_device(|device| device.want(self.memory_wanted()));
        current.balloon = Some(Arc::clone(balloon));
    }

    /// What the host wants of the memory.
    fn memory_wanted(&self) -> u64 {
        let all = self.about.memory.bytes();
        all.saturating_sub(self.memory_target.load(Ordering::Relaxed))
    }

    /// The guest shall have so much memory, now and after restarts. It takes and gives as it can.
    ///
    /// # Errors
    ///
    /// If it is more than there is, or if the machine cannot do that now.
    pub fn move_memory(&self, target: MemorySize, peer: Peer) -> Result<Moving, MovingError> {
        let most = self.about.memory;
        if target > most {
            return Err(MovingError::TooMuch(most));
        }
        let current = lock(&self.current);
        let balloon = current.balloon.as_ref().ok_or(MovingError::No)?;
        self.memory_target.store(target.bytes(), Ordering::Relaxed);
        balloon.with_device(|device| device.want(self.memory_wanted()));
        balloon.configuration_changed();
        let moving = self.moving_of(balloon);
        drop(current);
        self.record(&Event::Memory {
            target_bytes: target.bytes(),
            peer,
        });
        Ok(moving)
    }

    fn moving_of(&self, balloon: &VirtioMmio<Balloon>) -> Moving {
        let held = balloon.with_device(|device| device.actual());
        Moving {
            target_bytes: self.memory_target.load(Ordering::Relaxed),
            guest_bytes: self.about.memory.bytes().saturating_sub(held),
        }
    }

    /// How memory moves, if it can.
    pub fn moving(&self) -> Option<Moving> {
        let current = lock(&self.current);
        Some(self.moving_of(current.balloon.as_ref()?))
    }

    /// The launch is over.
    pub(crate) fn detach(&self) {
        *lock(&self.current) = Current::default();
    }

    /// What the command comes to.
    pub fn end(&self, exit: Exit, error: Option<&dyn fmt::Display>) {
        if let Some(notifier) = self.notifier.get() {
            notifier.stopping();
        }
        self.record(&Event::End {
            exit: exit as u8,
            error: error.map(ToString::to_string),
            seconds: self.age().as_secs(),
        });
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}
