//! Keys on their way to a console that may be busy.
//!
//! A console has a lock, and whoever shows its output has it for as long as nobody reads that. The
//! thread that reads keys must not wait there: among them can be those that end the machine.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::error;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::devices::lock;
use crate::devices::serial::InputSink;
use crate::worker::{Sources, Worker};

const FILLED: u64 = 0;
const ROOM: u64 = 1;

/// What is kept here; a console itself takes little at once.
const MOST_BYTES: usize = 256;

/// A console that takes input without making anybody wait.
#[derive(Debug)]
pub(super) struct Relay {
    waiting: Mutex<Vec<u8>>,
    filled: EventFd,
}

impl Relay {
    /// Hands on to a console, which tells `room` when it takes more, on a thread of its own. That
    /// tells the event which comes back when the relay takes more.
    pub(super) fn new(
        sink: Arc<dyn InputSink>,
        room: EventFd,
    ) -> io::Result<(Arc<Self>, EventFd, Worker)> {
        let more = EventFd::new(EFD_NONBLOCK)?;
        let relay = Arc::new(Self {
            waiting: Mutex::default(),
            filled: EventFd::new(EFD_NONBLOCK)?,
        });
        let (this, told) = (Arc::clone(&relay), more.try_clone()?);
        let worker = Worker::start("console keys", move |sources| {
            this.run(sources, sink.as_ref(), &room, &told);
        })?;
        Ok((relay, more, worker))
    }

    fn run(&self, sources: &mut Sources, sink: &dyn InputSink, room: &EventFd, more: &EventFd) {
        for (event, number) in [(&self.filled, FILLED), (room, ROOM)] {
            if let Err(error) = sources.add(event, number) {
                error!("the console gets no input: {error}");
                return;
            }
        }
        let mut bytes = Vec::new();
        while let Some(ready) = sources.wait() {
            for (event, number) in [(&self.filled, FILLED), (room, ROOM)] {
                if ready.contains(&number) {
                    // It was written to.
                    let _ = event.read();
                }
            }
            if bytes.is_empty() {
                bytes = std::mem::take(&mut *lock(&self.waiting));
            }
            if bytes.is_empty() {
                continue;
            }
            // This may take for ever, until the console is no longer used.
            let taken = sink.push(&bytes);
            bytes.drain(..taken.min(bytes.len()));
            if bytes.is_empty() {
                // What came meanwhile is next. They fail only if told 2⁶⁴ − 2 times already.
                let _ = self.filled.write(1);
                let _ = more.write(1);
            }
        }
    }
}

impl InputSink for Relay {
    fn push(&self, bytes: &[u8]) -> usize {
        let mut waiting = lock(&self.waiting);
        let count = bytes.len().min(MOST_BYTES.saturating_sub(waiting.len()));
        waiting.extend(&bytes[..count]);
        drop(waiting);
        if count > 0 {
            // Fails only if it has been told 2⁶⁴ − 2 times already.
            let _ = self.filled.write(1);
        }
        count
    }
}
