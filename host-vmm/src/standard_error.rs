//! Standard error, for which nobody waits long: it may be a terminal or a pipe that nobody reads
//! from, and a machine has to run and end all the same.
//!
//! A thread of its own writes. Whoever says something waits until it is written, so that the order
//! of messages and of the guest's output stays; but no longer than [`PATIENCE`], and not at all
//! while the thread does not get on. What is too much then is lost, and counted.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::confinement::{self, Kind};
use crate::devices::lock;
use crate::sys::signal;

/// How long something said is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much can wait to be written.
const MOST_WAITING: usize = 256;

/// A writer with a thread of its own.
struct Speaker {
    sender: SyncSender<Vec<u8>>,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    sent: u64,
    written: u64,
    /// Nobody waits any more, until something has been written.
    stalled: bool,
    lost: u64,
}

impl Speaker {
    fn new(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MOST_WAITING);
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let shared = Arc::clone(&state);
        let write = move || {
            confinement::enter_or_end(Kind::Device);
            write_all(output, &receiver, &shared);
        };
        // It may be started before the signals are held back that end this process in order.
        signal::held_back(|| thread::Builder::new().name("messages".into()).spawn(write))?;
        Ok(Self { sender, state })
    }

    fn say(&self, bytes: &[u8]) {
        let mut state = lock(&self.state.0);
        match self.sender.try_send(bytes.to_vec()) {
            Ok(()) => state.sent += 1,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                state.lost += 1;
                return;
            }
        }
        if state.stalled {
            return;
        }
        let number = state.sent;
        let waits = |state: &mut State| state.written < number;
        let (mut state, timeout) = self
            .state
            .1
            .wait_timeout_while(state, PATIENCE, waits)
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            state.stalled = true;
        }
    }
}

fn write_all(
    mut output: impl Write,
    receiver: &Receiver<Vec<u8>>,
    state: &(Mutex<State>, Condvar),
) {
    for bytes in receiver {
        // When standard error fails, nobody can be told.
        let _ = output.write_all(&bytes);
        let mut state_now = lock(&state.0);
        state_now.written += 1;
        state_now.stalled = false;
        drop(state_now);
        state.1.notify_all();
    }
}

static SPEAKER: OnceLock<Option<Speaker>> = OnceLock::new();

/// Starts the thread that writes, if there is none: for a process in which later no thread may start
/// another one.
pub fn start() {
    SPEAKER.get_or_init(|| Speaker::new(io::stderr()).ok());
}

/// Writes to standard error, all of it at once.
pub fn say(bytes: &[u8]) {
    match SPEAKER.get_or_init(|| Speaker::new(io::stderr()).ok()) {
        Some(speaker) => speaker.say(bytes),
        // There is no thread to be had; and nobody can be told that standard error fails.
        None => drop(io::stderr().write_all(bytes)),
    }
}

/// How many messages were lost because nobody reads them.
pub fn lost() -> u64 {
    match SPEAKER.get() {
        Some(Some(speaker)) => lock(&speaker.state.0).lost,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_said_is_written_in_order_before_one_goes_on() {
        let (mut reader, writer) = io::pipe().unwrap();
        let speaker = Speaker::new(writer).unwrap();
        for text in ["one", "two"] {
            speaker.say(text.as_bytes());
            let mut bytes = [0; 3];
            reader.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, text.as_bytes());
            let state = lock(&speaker.state.0);
            assert_eq!(state.written, state.sent);
        }
    }

    #[test]
    fn nobody_waits_long_for_a_pipe_that_is_not_read() {
        let (mut reader, writer) = io::pipe().unwrap();
        let speaker = Speaker::new(writer).unwrap();
        let begin = Instant::now();
        // More than a pipe holds, and more than can wait.
        let line = [b'z'; 1024];
        for _ in 0..2 * MOST_WAITING {
            speaker.say(&line);
        }
        assert!(begin.elapsed() < Duration::from_secs(30));
        let lost = lock(&speaker.state.0).lost;
        assert!(lost > 0);
        // Once somebody reads, nothing else is lost, and one waits again.
        let reads = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        let written = |state: &mut State| state.written < state.sent;
        let (state, waits) = (lock(&speaker.state.0), &speaker.state.1);
        drop(waits.wait_while(state, written).unwrap());
        speaker.say(b"last");
        let state = lock(&speaker.state.0);
        assert_eq!(
            (state.lost, state.written, state.stalled),
            (lost, state.sent, false)
        );
        drop(state);
        drop(speaker);
        assert!(reads.join().unwrap().ends_with(b"last"));
    }

    #[test]
    fn a_pipe_without_a_reader_is_no_reason_to_wait() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let speaker = Speaker::new(writer).unwrap();
        let begin = Instant::now();
        for _ in 0..1000 {
            speaker.say(b"line\n");
        }
        assert!(begin.elapsed() < Duration::from_secs(30));
        assert_eq!(lock(&speaker.state.0).lost, 0);
    }
}
