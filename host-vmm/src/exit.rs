//! How a machine ends, and a command.

use std::process::ExitCode;

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
