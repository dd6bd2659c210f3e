//! A machine's life: made, started, ended, and nothing of it left behind.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;

use crate::backend::{self, BackendError};
use crate::configuration::{Configuration, TapSource};
use crate::confinement::ConfinementError;
use crate::devices::bus::Overlap;
use crate::devices::virtio::vsock::ListenerError;
use crate::exit::Ending;
use crate::life::{Life, Phase};
use crate::load::{LoadError, Prepared};
use crate::sys::tap::TapError;
use crate::vcpu::VcpuError;

pub(crate) mod control;
mod devices;
mod fill;
mod held;
mod launch;
mod threads;

use control::Control;
use launch::Launch;

pub use held::Held;

/// Why a machine was not started, or did not go on.
#[derive(Error, Debug)]
pub enum MachineError {
    /// The back-end.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// What is in memory at the start cannot be read, or is not what it was.
    #[error(transparent)]
    Content(#[from] LoadError),
    /// There is no room for the machine's memory in this process.
    #[error("no room for the machine's memory: {0}")]
    Memory(io::Error),
    /// A disk cannot be opened.
    #[error("disk {path}: {error}", path = path.display())]
    Disk {
        /// Its file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A console's file cannot be opened.
    #[error("console {path}: {error}", path = path.display())]
    Console {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A network interface's other end cannot be had.
    #[error("network interface {tap}: {error}")]
    Net {
        /// The tap interface.
        tap: TapSource,
        /// Why.
        error: TapError,
    },
    /// Sockets between guest and host cannot be had.
    #[error("socket {path}: {error}", path = path.display())]
    Vsock {
        /// The Unix socket.
        path: PathBuf,
        /// Why.
        error: ListenerError,
    },
    /// Standard input or output cannot be used.
    #[error("the terminal: {0}")]
    Terminal(io::Error),
    /// This process cannot give up what it does not need.
    #[error(transparent)]
    Confinement(#[from] ConfinementError),
    /// Two devices want the same address.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// Descriptors or threads.
    #[error("the system gives no more descriptors or threads: {0}")]
    System(#[from] io::Error),
    /// A vCPU could not go on.
    #[error("vCPU {number}: {error}")]
    Vcpu {
        /// Which.
        number: u32,
        /// Why.
        error: VcpuError,
    },
}

/// Makes a machine, runs it until it ends, and takes it down again. What it opens stays open in `held`,
/// because later this process can open nothing.
///
/// # Errors
///
/// If it cannot be started, or cannot go on.
pub fn launch(
    life: &Arc<Life>,
    configuration: &Configuration,
    prepared: &Prepared,
    held: &Held,
) -> Result<Ending, MachineError> {
    let begin = Instant::now();
    let control = Control::new();
    life.attach(&control);
    held.begin();
    let result = backend::create(configuration, &prepared.layout, &held.node)
        .map_err(MachineError::from)
        .and_then(|machine| {
            Launch {
                life,
                control: &control,
                configuration,
                layout: prepared.layout,
                machine,
                held,
            }
            .run(prepared, begin)
        });
    life.detach();
    life.enter(Phase::Ending);
    settle(life, result)
}

/// What a machine that has been taken down comes to: an operator who wanted it to end meanwhile does
/// not want it restarted.
fn settle(life: &Life, result: Result<Ending, MachineError>) -> Result<Ending, MachineError> {
    match result {
        Ok(Ending::Reset) if life.asked().is_some() => Ok(Ending::Ended),
        result => result,
    }
}

#[cfg(test)]
mod tests;
