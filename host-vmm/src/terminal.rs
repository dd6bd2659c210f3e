//! The operator's side of a console: keys of the terminal, output, and signals to end.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::debug;
use vmm_sys_util::eventfd::EventFd;

use crate::devices::serial::InputSink;
use crate::sys::file::set_blocking;
use crate::sys::terminal::RawMode;
use crate::worker::{Sources, Worker};

mod relay;

use relay::Relay;

/// The key that begins a command to this program: Ctrl-A.
const ESCAPE: u8 = 0x01;
/// What is read at once.
const READ_BYTES: usize = 256;
/// Keys that wait for the guest. More are lost, because a terminal is read from all the time: it
/// must be possible to leave a guest that does not listen.
const PENDING_KEYS: usize = 4096;

const INPUT: u64 = 0;
const ROOM: u64 = 1;

/// What keys come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    /// It is the guest's.
    Guest(u8),
    /// Nothing yet.
    Nothing,
    /// The machine is to end.
    Leave,
}

/// Keys with a meaning for this program: Ctrl-A X ends the machine, Ctrl-A twice is one for the
/// guest.
#[derive(Default, Debug)]
struct Keys {
    escaped: bool,
}

impl Keys {
    fn press(&mut self, byte: u8) -> Key {
        match (std::mem::take(&mut self.escaped), byte) {
            (false, ESCAPE) => {
                self.escaped = true;
                Key::Nothing
            }
            (true, b'x' | b'X') => Key::Leave,
            // Another key ends the command, and none of it is for the guest.
            (true, byte) if byte != ESCAPE => Key::Nothing,
            (_, byte) => Key::Guest(byte),
        }
    }
}

/// Standard input, on its way to a console.
#[derive(Debug)]
pub struct Input {
    /// First, so that the terminal is put back after nobody reads from it any more.
    _worker: Worker,
    _relay: Worker,
    _raw: Option<RawMode>,
}

impl Input {
    /// Hands standard input to a console, which tells `room` when it takes more. If it is a
    /// terminal, each key goes to the guest, and `leave` is called for Ctrl-A X.
    ///
    /// # Errors
    ///
    /// If the process has no descriptors or threads left.
    pub fn standard(
        sink: Arc<dyn InputSink>,
        room: EventFd,
        leave: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let stdin = io::stdin();
        let terminal = stdin.is_terminal();
        let raw = terminal
            .then(|| RawMode::enter(stdin.as_fd()))
            .transpose()?;
        // Without the buffer of `io::stdin`, which would hide bytes from the wait for them.
        let file = File::from(stdin.as_fd().try_clone_to_owned()?);
        let (worker, relay) = connect(file, terminal, sink, room, leave)?;
        Ok(Self {
            _worker: worker,
            _relay: relay,
            _raw: raw,
        })
    }
}

/// Starts the threads behind [`Input`]: one reads, the other one hands on.
fn connect(
    file: File,
    terminal: bool,
    sink: Arc<dyn InputSink>,
    room: EventFd,
    leave: impl Fn() + Send + 'static,
) -> io::Result<(Worker, Worker)> {
    let (relay, room, hands_on) = Relay::new(sink, room)?;
    let keys = terminal.then(Keys::default);
    let reads = Worker::start("console input", move |sources| {
        Feed {
            file,
            sink: relay,
            room,
            keys,
            pending: Vec::new(),
        }
        .run(sources, leave);
    })?;
    Ok((reads, hands_on))
}

/// The thread that reads.
struct Feed {
    file: File,
    sink: Arc<dyn InputSink>,
    room: EventFd,
    keys: Option<Keys>,
    /// What the console has not taken yet. Of a file or pipe nothing is read while there is some.
    pending: Vec<u8>,
}

impl Feed {
    fn run(mut self, sources: &mut Sources, leave: impl Fn()) {
        if sources.add(&self.room, ROOM).is_err() {
            return;
        }
        let mut waited_for = false;
        let mut at_end = false;
        loop {
            let wants = !at_end && (self.pending.is_empty() || self.keys.is_some());
            // A file is always ready, and cannot be waited for.
            let mut ready_always = false;
            if wants && !waited_for {
                match sources.add(&self.file, INPUT) {
                    Ok(()) => waited_for = true,
                    Err(error) if error.raw_os_error() == Some(libc::EPERM) => ready_always = true,
                    Err(error) => {
                        debug!("no input for the console: {error}");
                        at_end = true;
                    }
                }
            } else if !wants && waited_for {
                sources.remove(&self.file);
                waited_for = false;
            }
            let ready = if ready_always {
                sources.poll()
            } else {
                sources.wait()
            };
            let Some(ready) = ready else {
                return;
            };
            if ready.contains(&ROOM) {
                // It was written to.
                let _ = self.room.read();
            }
            if wants && (ready_always || ready.contains(&INPUT)) {
                match self.read() {
                    Some(Key::Leave) => leave(),
                    Some(_) => {}
                    None => at_end = true,
                }
            }
            self.push();
        }
    }

    /// Reads once; `None` at the end.
    fn read(&mut self) -> Option<Key> {
        let mut bytes = [0; READ_BYTES];
        let count = match self.file.read(&mut bytes) {
            Ok(0) => return None,
            Ok(count) => count,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) =>
            {
                return Some(Key::Nothing);
            }
            Err(error) => {
                debug!("no more input for the console: {error}");
                return None;
            }
        };
        let Some(keys) = &mut self.keys else {
            self.pending.extend(&bytes[..count]);
            return Some(Key::Nothing);
        };
        for byte in &bytes[..count] {
            match keys.press(*byte) {
                Key::Guest(byte) if self.pending.len() < PENDING_KEYS => self.pending.push(byte),
                Key::Guest(_) | Key::Nothing => {}
                Key::Leave => return Some(Key::Leave),
            }
        }
        Some(Key::Nothing)
    }

    fn push(&mut self) {
        if !self.pending.is_empty() {
            let taken = self.sink.push(&self.pending);
            self.pending.drain(..taken);
        }
    }
}

/// Where a console's output goes to. A thread that waits for somebody to read it can still end.
#[derive(Debug)]
pub struct Output {
    file: File,
    stop: Arc<AtomicBool>,
}

impl Output {
    /// Standard output, until `stop`.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn standard(stop: Arc<AtomicBool>) -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { file, stop })
    }

    /// Opens a file, to which output is appended.
    ///
    /// # Errors
    ///
    /// If it cannot be opened: a named pipe needs somebody who reads from it already.
    pub fn open_file(path: &Path) -> io::Result<File> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            // Nobody waits for a reader of a pipe, and a terminal stays what it is to others.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        set_blocking(&file)?;
        Ok(file)
    }

    /// A file that [`Output::open_file`] has opened, until `stop`.
    pub fn new(file: File, stop: Arc<AtomicBool>) -> Self {
        Self { file, stop }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.file.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if self.stop.load(Ordering::SeqCst) {
                        // Not `Interrupted`: callers would try again.
                        return Err(io::ErrorKind::BrokenPipe.into());
                    }
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests;
