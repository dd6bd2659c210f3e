//! What a command comes to: every error of this program, and the exit code that belongs to it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use attestation_token::reference::file::ReferenceFileError;
use attestation_token::rim::RimError;
use thiserror::Error;

use crate::configuration::ConfigurationError;
use crate::confinement::ConfinementError;
use crate::fleet::FleetError;
use crate::load::LoadError;
use crate::machine::MachineError;
use crate::rmm::RmmError;
use crate::run_directory::RunDirectoryError;
use crate::settings::file::FileError;

/// The exit codes. Callers may rely on them; `host-vmm --help` and the README list them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// The guest switched itself off; or what was asked for is done.
    Done = 0,
    /// The guest was started and could not go on.
    GuestFailed = 1,
    /// The command line, or a file that it names, cannot be used. Nothing was started.
    Unusable = 2,
    /// This host cannot run the machine: no device node, no permission, no RMM or another version
    /// of it, not enough memory. Nothing was started.
    HostCannot = 3,
    /// The command was ended from outside, by a signal or at the terminal.
    Ended = 4,
    /// The guest restarted itself, and `--on-reset exit` was given.
    Reset = 5,
    /// There is no such machine, or it does not answer, or it is not what was asked for.
    NotThere = 6,
    /// It has been told to end, and is still there.
    StillThere = 7,
    /// A thread made a system call that it does not need: an error in this program, or an attack on it.
    Confined = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// How a machine that was started has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The guest switched itself off.
    PoweredOff,
    /// The guest restarted itself. A Realm does not run again; a new one has to be made.
    Reset,
    /// Somebody wants it to end: a signal, or keys at the terminal.
    Ended,
}

/// Why a command ends without its result. Each is one line for people.
#[derive(Error, Debug)]
pub enum Error {
    /// A file of settings.
    #[error(transparent)]
    File(#[from] FileError),
    /// What every machine needs is missing.
    #[error(
        "which kernel? Give --kernel <FILE> (or --firmware <FILE>), or a file of settings that names one with --config <FILE>"
    )]
    NoKernel,
    /// An option, by its name.
    #[error("{option}: {error}")]
    Option {
        /// As it is on the command line, or where it is in a file.
        option: String,
        /// Why it cannot be used.
        error: OptionError,
    },
    /// Options that do not go together.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
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
    /// This process cannot give up what it does not need.
    #[error(transparent)]
    Confinement(#[from] ConfinementError),
    /// The machine could not be started, or could not go on.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A measurement that cannot be.
    #[error("the initial measurement cannot be computed: {0}")]
    Measurement(#[from] RimError),
    /// Reference values that cannot be written.
    #[error("reference values: {0}")]
    Reference(#[from] ReferenceFileError),
    /// Nobody takes the output.
    #[error("standard output: {0}")]
    Output(io::Error),
}

/// Why an option cannot be used.
#[derive(Error, Debug)]
pub enum OptionError {
    /// Its sockets are out of reach in an empty root folder.
    #[error("not with a vsock device, whose sockets would be out of reach; use on")]
    NotWithVsock,
    /// It is about Realms, and this is no Realm.
    #[error("only a Realm has that; add --realm")]
    OnlyForRealms,
    /// It is about ordinary machines.
    #[error("runs ordinary machines; without --realm only")]
    OnlyForOrdinaryMachines,
    /// It is a back-end for Realms.
    #[error("runs Realms; add --realm")]
    BackendForRealms,
    /// Only one program is started.
    #[error("a machine starts with a kernel or with firmware, not with both")]
    KernelOrFirmware,
    /// Digits that are none.
    #[error("after 0x there must be an even number of hexadecimal digits")]
    Hexadecimal,
    /// Not a filter of messages.
    #[error(
        "neither a level (error, warn, info, debug, trace, off) nor a filter such as host_vmm::machine=trace: {0}"
    )]
    Filter(String),
    /// Its value is not allowed.
    #[error(transparent)]
    Value(#[from] ConfigurationError),
    /// A file that it names.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        error: io::Error,
    },
}

impl Error {
    /// The exit code that belongs to it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Machine(MachineError::Vcpu { .. }) => Exit::GuestFailed,
            Self::Machine(MachineError::Net { error, .. }) if !error.is_the_hosts() => {
                Exit::Unusable
            }
            Self::Machine(
                MachineError::Disk { .. }
                | MachineError::Console { .. }
                | MachineError::Vsock { .. },
            ) => Exit::Unusable,
            Self::Machine(_)
            | Self::Load(LoadError::Seeds(_))
            | Self::Output(_)
            | Self::Rmm(_)
            | Self::Confinement(_) => Exit::HostCannot,
            Self::Fleet(FleetError::Machine { .. } | FleetError::Not { .. }) => Exit::NotThere,
            Self::File(_)
            | Self::NoKernel
            | Self::AuditLog { .. }
            | Self::RunDirectory(_)
            | Self::Fleet(FleetError::RunDirectory(_))
            | Self::Option { .. }
            | Self::Configuration(_)
            | Self::Load(_)
            | Self::Measurement(_)
            | Self::Reference(_) => Exit::Unusable,
        }
    }
}
