//! The descriptors of all threads.

use std::sync::{Mutex, PoisonError};

use crate::random::Random;
use crate::sys::{self, Descriptor};

/// What a descriptor was when it was made. By now its number may stand for something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Device,
    Vm,
    Vcpu,
    GuestMemory,
    InterruptController,
    Event,
}

/// More descriptors than this are closed, the oldest first.
const MOST: usize = 96;

/// Descriptors that any thread may use or close.
pub(crate) struct Files {
    device: String,
    open: Mutex<Vec<(Kind, Descriptor)>>,
}

impl Files {
    pub(crate) fn new(device: String) -> Self {
        Self {
            device,
            open: Mutex::default(),
        }
    }

    /// Opens the device once more.
    pub(crate) fn open_device(&self) -> Option<Descriptor> {
        let descriptor = sys::open(&self.device).ok()?;
        self.add(Kind::Device, descriptor);
        Some(descriptor)
    }

    pub(crate) fn add(&self, kind: Kind, descriptor: Descriptor) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // The same number again: somebody has closed it meanwhile.
        open.retain(|entry| entry.1 != descriptor);
        open.push((kind, descriptor));
        let oldest = (open.len() > MOST).then(|| open.remove(0));
        drop(open);
        if let Some((_, descriptor)) = oldest {
            sys::close(descriptor);
        }
    }

    /// One of them; mostly one of the wanted kind.
    pub(crate) fn any(&self, kind: Option<Kind>, random: &mut Random) -> Option<Descriptor> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |entry: &&(Kind, Descriptor)| kind.is_none_or(|kind| entry.0 == kind);
        let count = open.iter().filter(wanted).count() as u64;
        if count == 0 {
            return None;
        }
        let index = usize::try_from(random.below(count)).unwrap_or(0);
        open.iter().filter(wanted).nth(index).map(|entry| entry.1)
    }

    /// Closes one, whoever may be using it.
    pub(crate) fn close_any(&self, random: &mut Random) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_empty() {
            return;
        }
        let index = usize::try_from(random.below(open.len() as u64)).unwrap_or(0);
        let (_, descriptor) = open.swap_remove(index);
        drop(open);
        sys::close(descriptor);
    }

    pub(crate) fn close_all(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, descriptor) in open.drain(..) {
            sys::close(descriptor);
        }
    }
}
