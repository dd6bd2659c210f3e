//! What a command comes to: every error of this program, and the exit code that belongs to it.

use std::io;
use std::path::PathBuf;

use attestation_token::reference::file::ReferenceFileError;
use thiserror::Error;

use crate::confinement::ConfinementError;
use crate::exit::Exit;
use crate::fleet::FleetError;
use crate::load::LoadError;
use crate::machine::MachineError;
use crate::measure::MeasureError;
use crate::rmm::RmmError;
use crate::run_directory::RunDirectoryError;
use crate::settings::SettingsError;

/// Why a command ends without its result. Each is one line for people.
#[derive(Error, Debug)]
pub enum Error {
    /// Settings, of a file or of the command line.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The audit log cannot be opened.
    #[error("audit log {path}: {error}", path = path.display())]
    AuditLog {
        /// Its file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The control socket cannot be made.
    #[error(transparent)]
    RunDirectory(#[from] RunDirectoryError),
    /// Something with another machine.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The RMM cannot be asked.
    #[error(transparent)]
    Rmm(#[from] RmmError),
    /// Content of the guest's memory.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Content of the guest's memory that cannot be loaded again.
    #[error("the guest has restarted itself, and cannot be started again: {0}")]
    Again(LoadError),
    /// This process cannot give up what it does not need.
    #[error(transparent)]
    Confinement(#[from] ConfinementError),
    /// The machine could not be started, or could not go on.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A measurement that cannot be.
    #[error(transparent)]
    Measurement(#[from] MeasureError),
    /// Reference values that cannot be written.
    #[error("reference values: {0}")]
    Reference(#[from] ReferenceFileError),
    /// Nobody takes the output.
    #[error("standard output: {0}")]
    Output(io::Error),
}

impl Error {
    /// The exit code that belongs to it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Machine(MachineError::Vcpu { .. }) | Self::Again(_) => Exit::GuestFailed,
            Self::Machine(MachineError::Net { error, .. }) if !error.is_the_hosts() => {
                Exit::Unusable
            }
            Self::Machine(
                MachineError::Content(_)
                | MachineError::Disk { .. }
                | MachineError::Console { .. }
                | MachineError::Vsock { .. },
            ) => Exit::Unusable,
            Self::Machine(_)
            | Self::Load(LoadError::Seeds(_))
            | Self::Output(_)
            | Self::Rmm(_)
            | Self::Confinement(_) => Exit::HostCannot,
            Self::Fleet(FleetError::Machine { .. } | FleetError::Not { .. }) => Exit::NotThere,
            Self::Settings(_)
            | Self::AuditLog { .. }
            | Self::RunDirectory(_)
            | Self::Fleet(FleetError::RunDirectory(_))
            | Self::Load(_)
            | Self::Measurement(_)
            | Self::Reference(_) => Exit::Unusable,
        }
    }
}
