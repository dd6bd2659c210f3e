//! What the host does while the RMM reads or writes its memory.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Memory;

type Hook = Box<dyn FnMut(&Memory, u64, usize) + Send>;

/// Something that happens before the RMM reads, or writes, a word of the host's memory.
#[derive(Default)]
pub(crate) struct HostHook {
    armed: AtomicBool,
    hook: Mutex<Option<Hook>>,
}

impl HostHook {
    pub(crate) fn set(&self, hook: Option<Hook>) {
        self.armed.store(hook.is_some(), Ordering::SeqCst);
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    pub(crate) fn run(&self, memory: &Memory, address: u64, word: usize) {
        if self.armed.load(Ordering::SeqCst) {
            let mut hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(hook) = hook.as_mut() {
                hook(memory, address, word);
            }
        }
    }
}

impl fmt::Debug for HostHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostHook")
            .field("armed", &self.armed)
            .finish_non_exhaustive()
    }
}
