//! Why a command ends without its result.

use std::fmt::Display;

/// Why a command ends without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The token is not one that could be accepted.
    Rejected(String),
    /// Something that was given cannot be used.
    Unusable(String),
}

impl Failure {
    /// A file or an argument, by its name, that cannot be used.
    pub(crate) fn unusable(name: impl Display, why: impl Display) -> Self {
        Self::Unusable(format!("{name}: {why}"))
    }
}

/// What commands come to: whether all is well.
pub(crate) type Outcome = Result<bool, Failure>;
