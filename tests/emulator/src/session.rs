//! One run of the emulator, seen from outside: what comes over the console, and how it ends.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::machine::{Console, Machine, MachineError};

/// After its console has closed, the emulator itself may take this long to end.
const EXIT_LIMIT: Duration = Duration::from_secs(10);
/// Pieces of console output that may wait for the reader; a flood waits in the pipe.
const WAITING_PIECES: usize = 64;

/// What a session did next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// Bytes came over the console.
    Output(Vec<u8>),
    /// The deadline passed before anything came.
    Deadline,
    /// The emulator ended by itself with this exit code (`None`: by a signal).
    Ended(Option<i32>),
}

/// A running emulator. Dropping it ends it.
pub(crate) trait Session {
    /// Time since the start.
    fn elapsed(&self) -> Duration;
    /// Waits for the next event, at most until `deadline` (counted from the start).
    fn next(&mut self, deadline: Duration) -> Event;
    /// Types at the console.
    fn send(&mut self, text: &str) -> io::Result<()>;
}

/// Starts sessions.
pub(crate) trait Emulator {
    /// Starts the machine with this command line for its normal world.
    fn start(&mut self, command_line: &str) -> Result<Box<dyn Session>, StartError>;
}

/// A session that could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error("cannot start {program}: {source} (`make setup` installs the emulator)")]
    Spawn { program: String, source: io::Error },
    #[error("cannot start {program}: {source}")]
    Board { program: String, source: io::Error },
}

impl Emulator for Machine {
    fn start(&mut self, command_line: &str) -> Result<Box<dyn Session>, StartError> {
        self.check()?;
        let arguments = self.arguments(command_line, Console::Program)?;
        let session = Process::start(mortal(&self.qemu).args(arguments));
        Ok(Box::new(session.map_err(|source| StartError::Spawn {
            program: self.qemu.display().to_string(),
            source,
        })?))
    }
}

/// A machine that another program starts: a model, or a board on a desk.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
}

impl Emulator for Board {
    fn start(&mut self, command_line: &str) -> Result<Box<dyn Session>, StartError> {
        let mut command = mortal(&self.program);
        command.args(&self.arguments);
        command.args(["--bootargs", command_line]);
        let session = Process::start(&mut command);
        Ok(Box::new(session.map_err(|source| StartError::Board {
            program: self.program.display().to_string(),
            source,
        })?))
    }
}

/// A command for the emulator that does not outlive this program, however that ends: who is killed cannot
/// clean up, so the kernel does. The set-up sees to the program that asks it to.
pub(crate) fn mortal(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A session that is a process of this machine.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    start: Instant,
}

impl Process {
    fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (sender, output) = mpsc::sync_channel(WAITING_PIECES);
        // The emulator's own complaints belong into the same log.
        let errors = child.stderr.take().map(|pipe| (pipe, sender.clone()));
        if let Some((mut pipe, sender)) = errors {
            std::thread::spawn(move || forward(|piece| pipe.read(piece), &sender));
        }
        if let Some(mut pipe) = child.stdout.take() {
            std::thread::spawn(move || forward(|piece| pipe.read(piece), &sender));
        }
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            output,
            start: Instant::now(),
        })
    }

    /// The exit code, waiting a moment for a process that has closed its console.
    fn exit_code(&mut self) -> Event {
        let give_up = Instant::now() + EXIT_LIMIT;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Event::Ended(status.code()),
                Ok(None) if Instant::now() < give_up => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(None) | Err(_) => return Event::Deadline,
            }
        }
    }
}

/// Passes bytes on until the pipe or the receiver closes.
fn forward(
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    sender: &mpsc::SyncSender<Vec<u8>>,
) {
    let mut piece = [0; 4096];
    loop {
        match read(&mut piece) {
            Ok(0) => return,
            Ok(length) => {
                if sender.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

impl Session for Process {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn next(&mut self, deadline: Duration) -> Event {
        let wait = deadline.saturating_sub(self.elapsed());
        // A payload that never stops talking must meet its deadline as well.
        if wait.is_zero() {
            return Event::Deadline;
        }
        match self.output.recv_timeout(wait) {
            Ok(piece) => Event::Output(piece),
            Err(RecvTimeoutError::Timeout) => Event::Deadline,
            Err(RecvTimeoutError::Disconnected) => self.exit_code(),
        }
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        match &mut self.stdin {
            Some(stdin) => {
                stdin.write_all(text.as_bytes())?;
                stdin.flush()
            }
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    /// Everything up to the first event that is no output.
    fn follow(session: &mut Process, deadline: Duration) -> (String, Event) {
        let mut text = Vec::new();
        loop {
            match session.next(deadline) {
                Event::Output(piece) => text.extend(piece),
                other => return (String::from_utf8(text).unwrap(), other),
            }
        }
    }

    #[test]
    fn output_errors_and_exit_code_arrive() {
        let mut session = shell("echo out; echo err >&2; exit 7");
        let (text, end) = follow(&mut session, Duration::from_secs(20));
        assert!(text.contains("out\n") && text.contains("err\n"), "{text}");
        assert_eq!(end, Event::Ended(Some(7)));
    }

    #[test]
    fn a_silent_process_meets_the_deadline_and_ends_when_dropped() {
        let mut session = shell("echo $$; exec sleep 1000");
        let (text, end) = follow(&mut session, Duration::from_millis(500));
        assert_eq!(end, Event::Deadline);
        let process = PathBuf::from(format!("/proc/{}", text.trim()));
        assert!(process.exists());
        drop(session);
        assert!(!process.exists());
    }

    #[test]
    fn a_flood_does_not_put_the_deadline_off() {
        let mut session = shell("yes");
        // By now output waits, which must not be mistaken for output in time.
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(session.next(Duration::from_millis(100)), Event::Deadline);
        let mut session = shell("yes");
        assert_eq!(
            follow(&mut session, Duration::from_millis(100)).1,
            Event::Deadline
        );
    }

    #[test]
    fn what_is_typed_arrives() {
        let mut session = shell("read word; echo got $word");
        session.send("hello\n").unwrap();
        let (text, end) = follow(&mut session, Duration::from_secs(20));
        assert_eq!((text.as_str(), end), ("got hello\n", Event::Ended(Some(0))));
    }

    #[test]
    fn another_machine_gets_its_arguments_and_the_command_line() {
        let mut board = Board {
            program: "sh".into(),
            arguments: ["-c", "printf '<%s>' \"$@\"; exit 1", "sh", "--cpus", "4"]
                .map(str::to_owned)
                .to_vec(),
        };
        let follow_all = |board: &mut Board| {
            let mut session = board.start("mode=test only=a,b").unwrap();
            let mut text = Vec::new();
            loop {
                match session.next(Duration::from_secs(20)) {
                    Event::Output(piece) => text.extend(piece),
                    other => return (String::from_utf8(text).unwrap(), other),
                }
            }
        };
        let (text, end) = follow_all(&mut board);
        assert_eq!(text, "<--cpus><4><--bootargs><mode=test only=a,b>");
        assert_eq!(end, Event::Ended(Some(1)));
        board.program = "/no/such/program".into();
        let (text, end) = follow_all(&mut board);
        assert!(text.contains("/no/such/program"), "{text}");
        assert!(matches!(end, Event::Ended(Some(1..))), "{end:?}");
    }

    #[test]
    fn death_by_a_signal_is_no_exit_code() {
        let mut session = shell("kill -9 $$");
        assert_eq!(
            follow(&mut session, Duration::from_secs(20)).1,
            Event::Ended(None)
        );
    }
}
