//! What a guest finds at its physical addresses besides memory and interrupt controller.

pub mod bus;
pub mod interrupt;
pub mod serial;
pub mod virtio;

pub use bus::{Bus, MmioDevice};
pub use interrupt::InterruptLine;

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::warn;

/// What is said about a guest that does what it must not. It could go on for ever, and so the log
/// does not.
#[derive(Default, Debug)]
pub struct Complaints(AtomicU32);

impl Complaints {
    const MOST: u32 = 8;

    pub(crate) fn say(&self, about: &str, what: impl Display) {
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < Self::MOST).then_some(count + 1)
            });
        match before {
            Ok(count) if count + 1 == Self::MOST => {
                warn!("{about}: {what}; nothing more is said of that kind");
            }
            Ok(_) => warn!("{about}: {what}"),
            Err(_) => {}
        }
    }
}

/// Locks, also what a thread held that panicked: the command ends at a panic anyway.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
