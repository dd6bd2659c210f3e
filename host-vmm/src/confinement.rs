//! What this process may still do once its machine is made: nothing that it does not need.
//!
//! All files of a machine are opened while it is made, and stay open for its restarts
//! ([`crate::machine::Held`]). So no thread needs to open anything once guests run, and each enters a
//! filter of system calls that has what its kind needs and no more. Threads share memory: a guest that
//! has taken over one of them may bring the others to do what their filters allow, so no filter allows
//! to open a file, to start a process or to make memory executable.
//!
//! Decision 24 has the reasons.

use std::io;
use std::sync::OnceLock;

use seccompiler::BpfProgram;
use thiserror::Error;
use tracing::{debug, info};

use crate::exit::Exit;
use crate::standard_error;
use crate::sys::confinement as system;
use crate::sys::signal;

mod filters;
mod folders;

pub use folders::Folders;

/// What becomes of a system call that a thread does not need.
#[derive(Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Debug)]
pub enum Seccomp {
    /// The process ends with exit code 8, and says which call it was
    #[default]
    Kill,
    /// The kernel logs it, and lets it through
    Log,
    /// There are no filters
    Off,
}

/// What else this process does without.
#[derive(Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Debug)]
pub enum Sandbox {
    /// Capabilities, inherited descriptors, new privileges
    #[default]
    On,
    /// The same, with namespaces of its own and an empty root folder
    Namespaces,
    /// Nothing
    Off,
}

/// Kinds of threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Runs a vCPU.
    Vcpu,
    /// Serves a device, the terminal or signals, or writes messages: works with descriptors that are
    /// open.
    Device,
    /// Serves a device that connects to Unix sockets.
    Sockets,
    /// Serves the control socket.
    Control,
    /// The first thread, which makes the machine again when it restarts.
    Main,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Vcpu,
        Self::Device,
        Self::Sockets,
        Self::Control,
        Self::Main,
    ];
}

/// How a process is confined.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// Of system calls.
    pub seccomp: Seccomp,
    /// Of everything else.
    pub sandbox: Sandbox,
    /// Messages are JSON.
    pub json: bool,
    /// The machine has network interfaces, so this process keeps the host's network.
    pub network: bool,
}

/// Why a process cannot be confined.
#[derive(Error, Debug)]
pub enum ConfinementError {
    /// The kernel refuses namespaces.
    #[error(
        "no namespaces of its own: {0}; run it where user namespaces are allowed, or with --sandbox on"
    )]
    Namespaces(io::Error),
    /// The kernel refuses an empty root folder.
    #[error("no empty root folder: {0}; run it with --sandbox on")]
    Root(io::Error),
    /// The kernel refuses to give capabilities up.
    #[error("capabilities cannot be given up: {0}")]
    Capabilities(io::Error),
    /// The kernel refuses to keep this process from files.
    #[error("files of others cannot be kept safe: {0}; run it with --sandbox off")]
    Folders(landlock::RulesetError),
    /// The kernel has no filters of system calls.
    #[error("system calls cannot be filtered: {0}; without filters it runs with --seccomp off")]
    Filter(String),
    /// The kernel refuses threads, signals or the like.
    #[error("the process cannot be confined: {0}")]
    System(io::Error),
}

/// What was chosen, with the filters in the order of [`Kind::ALL`].
struct Chosen {
    options: Options,
    filters: Vec<Vec<BpfProgram>>,
    /// Descriptors that were there before this process opened any.
    inherited: Vec<i32>,
}

static CHOSEN: OnceLock<Chosen> = OnceLock::new();

/// Chooses how this process is confined. To be called before there are other threads; until then, and
/// in processes that never call it, [`enter`] does nothing.
///
/// # Errors
///
/// If the kernel cannot do what was asked for.
pub fn choose(options: Options) -> Result<(), ConfinementError> {
    let inherited = match options.sandbox {
        Sandbox::Off => Vec::new(),
        Sandbox::On | Sandbox::Namespaces => {
            system::no_new_privileges().map_err(ConfinementError::System)?;
            system::open_descriptors()
        }
    };
    if options.sandbox == Sandbox::Namespaces {
        system::own_namespaces(!options.network).map_err(ConfinementError::Namespaces)?;
    }
    let filters = match options.seccomp {
        Seccomp::Off => Vec::new(),
        Seccomp::Kill | Seccomp::Log => {
            let all = Kind::ALL.map(|kind| filters::build(kind, options.seccomp));
            let all: Result<Vec<_>, _> = all.into_iter().collect();
            all.map_err(|error| ConfinementError::Filter(error.to_string()))?
        }
    };
    if options.seccomp == Seccomp::Kill {
        system::end_at_refused_call(filters::name, options.json, Exit::Confined as i32)
            .map_err(ConfinementError::System)?;
    }
    let chosen = Chosen {
        options,
        filters,
        inherited,
    };
    // There is one machine for each process.
    let _ = CHOSEN.set(chosen);
    // Later no thread may start those, or set the handler of a signal.
    standard_error::start();
    signal::prepare();
    Ok(())
}

/// Says in which folders this process may remove files and connect to sockets, where the kernel can keep
/// it from others. To be called when the folders are there, and before threads of the machine are;
/// without it, [`enter`] does nothing about files.
///
/// # Errors
///
/// If the kernel refuses what it says that it can do.
pub fn keep_folders(folders: &Folders) -> Result<(), ConfinementError> {
    match CHOSEN.get() {
        Some(chosen) if chosen.options.sandbox != Sandbox::Off => folders::keep(folders),
        _ => Ok(()),
    }
}

/// The calling thread keeps what its kind needs, for as long as it lives; threads that it starts have no
/// more.
///
/// # Errors
///
/// If the kernel refuses.
pub fn enter(kind: Kind) -> Result<(), ConfinementError> {
    signal::announce();
    let Some(chosen) = CHOSEN.get() else {
        return Ok(());
    };
    if chosen.options.sandbox != Sandbox::Off {
        // A new machine's memory may be pinned without a limit only by who has this one.
        let kept = (kind == Kind::Main).then_some(system::CAP_IPC_LOCK);
        system::keep_capabilities(kept).map_err(ConfinementError::Capabilities)?;
        folders::enter()?;
    }
    if chosen.options.seccomp != Seccomp::Off {
        let thread = system::thread_number();
        filters::own_end(thread, chosen.options.seccomp)
            .map_err(|error| ConfinementError::Filter(error.to_string()))
            .and_then(|filter| apply(&filter))?;
    }
    let index = Kind::ALL.into_iter().position(|other| other == kind);
    for filter in index
        .and_then(|index| chosen.filters.get(index))
        .into_iter()
        .flatten()
    {
        apply(filter)?;
    }
    debug!("confined as {kind:?}");
    Ok(())
}

fn apply(filter: &BpfProgram) -> Result<(), ConfinementError> {
    seccompiler::apply_filter(filter).map_err(|error| ConfinementError::Filter(error.to_string()))
}

/// [`enter`] for a thread that has nobody to tell: the process ends if the kernel refuses.
pub fn enter_or_end(kind: Kind) {
    if let Err(error) = enter(kind) {
        // Not a message: it may be the thread that writes them.
        let line = format!("host-vmm: {error}\n");
        // Nobody can be told that standard error fails.
        let _ = io::Write::write_all(&mut io::stderr(), line.as_bytes());
        std::process::exit(Exit::HostCannot as i32);
    }
}

/// The first thread has made its machine: inherited descriptors and folders go, and then what [`enter`]
/// takes away. Has an effect once.
///
/// # Errors
///
/// If the kernel refuses.
pub fn complete() -> Result<(), ConfinementError> {
    static DONE: OnceLock<()> = OnceLock::new();
    let Some(chosen) = CHOSEN.get() else {
        return Ok(());
    };
    if DONE.set(()).is_err() {
        return Ok(());
    }
    system::close(&chosen.inherited);
    if chosen.options.sandbox == Sandbox::Namespaces {
        system::empty_root().map_err(ConfinementError::Root)?;
    }
    enter(Kind::Main)?;
    info!(
        seccomp = ?chosen.options.seccomp,
        sandbox = ?chosen.options.sandbox,
        "confined"
    );
    Ok(())
}
