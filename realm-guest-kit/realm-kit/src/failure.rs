//! Why the command ends without a result, and its exit code for that.

use std::io;
use std::path::PathBuf;

use crate::challenge::ChallengeError;
use crate::report::ReportError;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The challenge cannot be used.
    #[error("--challenge: {0}")]
    Challenge(#[from] ChallengeError),
    /// The kernel has given no token.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Bytes are for files and pipes.
    #[error(
        "a token is binary and standard output a terminal: choose --format hex or base64, or --output FILE"
    )]
    Terminal,
    /// The token could not be handed out.
    #[error("cannot write {}: {source}", path.display())]
    Output { path: PathBuf, source: io::Error },
    /// The token could not be handed out.
    #[error("cannot write to standard output: {0}")]
    StandardOutput(io::Error),
}

impl Failure {
    /// The exit code, as `--help` lists them. Wrong use is 2, as the parser of the command line has it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Report(error) if error.is_absence() => 3,
            Self::Report(_) => 1,
            Self::Challenge(_) | Self::Terminal | Self::Output { .. } | Self::StandardOutput(_) => {
                2
            }
        }
    }
}
