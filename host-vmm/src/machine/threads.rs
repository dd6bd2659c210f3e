//! The threads of a machine.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::warn;

use super::control::Control;
use crate::backend::VirtualMachine;
use crate::worker::{PATIENCE, Worker};

/// How long vCPUs may take to end before the log says that they do.
const LONG: Duration = Duration::from_secs(10);

/// The threads of vCPUs and devices, which have ended when this is dropped.
pub(super) struct Threads {
    pub(super) machine: Arc<dyn VirtualMachine>,
    pub(super) control: Arc<Control>,
    pub(super) running: Vec<JoinHandle<()>>,
    pub(super) workers: Vec<Worker>,
}

impl Threads {
    /// Ends them. A signal may come just before a thread goes into the kernel, so it is sent until
    /// the thread has ended.
    pub(super) fn end(&mut self) {
        self.control.finish();
        // First: one that waits for somebody to read its output has the lock of its device, which
        // a vCPU or the terminal's input may wait for, and no signal ends that.
        self.workers.clear();
        let begin = Instant::now();
        let mut said = false;
        loop {
            let running = self.running.iter().filter(|thread| !thread.is_finished());
            let count = running.map(|thread| self.machine.interrupt(thread)).count();
            if count == 0 {
                break;
            }
            if !said && begin.elapsed() > LONG {
                said = true;
                warn!("{count} vCPUs do not end");
            }
            thread::sleep(PATIENCE);
        }
        for thread in self.running.drain(..) {
            // A panic has ended the process.
            let _ = thread.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end();
    }
}
