//! What a machine's life consists of.

use serde::Serialize;

/// How far a machine is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Its files are opened.
    Preparing,
    /// It is made.
    Making,
    /// Its memory is filled.
    Filling,
    /// Its vCPUs run.
    Running,
    /// It is taken down.
    Ending,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Preparing,
        Self::Making,
        Self::Filling,
        Self::Running,
        Self::Ending,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Making => "making",
            Self::Filling => "filling",
            Self::Running => "running",
            Self::Ending => "ending",
        }
    }
}
