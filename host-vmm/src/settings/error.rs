//! Why settings are none.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::file::FileError;
use crate::configuration::ConfigurationError;

/// Why no machine follows from settings.
#[derive(Error, Debug)]
pub enum SettingsError {
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
