//! How the threads of a machine learn that it ends, and the machine learns why.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::MachineError;
use crate::devices::lock;
use crate::exit::Ending;
use crate::life::Leave;
use crate::vcpu::Ended;

/// Between a machine and its threads.
#[derive(Default)]
pub(crate) struct Control {
    /// The first reason to end; others follow from it.
    ending: Mutex<Option<Result<Ending, MachineError>>>,
    changed: Condvar,
    /// The threads are to end.
    stop: Arc<AtomicBool>,
}

impl Control {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether threads are to end.
    pub(crate) fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Whether the machine is to end.
    pub(crate) fn is_ending(&self) -> bool {
        lock(&self.ending).is_some()
    }

    /// What is left of it is to end.
    pub(crate) fn finish(&self) {
        self.set(Ok(Ending::Ended));
    }

    /// A vCPU has ended.
    pub(crate) fn end(&self, number: u32, ended: Ended) {
        self.set(match ended {
            Ended::PoweredOff => Ok(Ending::PoweredOff),
            Ended::Reset => Ok(Ending::Reset),
            Ended::Stopped => Ok(Ending::Ended),
            Ended::Failed(error) => Err(MachineError::Vcpu { number, error }),
        });
    }

    fn set(&self, result: Result<Ending, MachineError>) {
        let mut ending = lock(&self.ending);
        ending.get_or_insert(result);
        drop(ending);
        self.stop.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    /// Waits for the first reason to end.
    pub(crate) fn wait(&self) -> Result<Ending, MachineError> {
        let mut ending = lock(&self.ending);
        loop {
            if let Some(result) = ending.take() {
                // Whoever asks later sees that it ends.
                *ending = Some(Ok(Ending::Ended));
                return result;
            }
            ending = self
                .changed
                .wait(ending)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Leave for Control {
    fn leave(&self) {
        self.finish();
    }
}
