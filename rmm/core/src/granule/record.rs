//! The record that the RMM keeps of each granule.

use core::sync::atomic::{AtomicU16, Ordering};

/// Life-cycle state of a granule (DEN0137 "`RmmGranuleState`").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum GranuleState {
    /// Not in the Realm world, as far as the RMM has a say in it.
    Undelegated = 0,
    /// In the Realm world and not in use.
    Delegated = 1,
}

impl GranuleState {
    const fn from_record(record: u16) -> Option<Self> {
        match record & !GranuleRecord::LOCK {
            0 => Some(Self::Undelegated),
            1 => Some(Self::Delegated),
            _ => None,
        }
    }
}

/// State and lock of one granule in two bytes. All zeroes is an undelegated, unlocked granule.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct GranuleRecord(AtomicU16);

impl GranuleRecord {
    const LOCK: u16 = 1 << 15;

    /// An undelegated granule that nobody has locked.
    pub const fn new() -> Self {
        Self(AtomicU16::new(GranuleState::Undelegated as u16))
    }

    /// Takes the lock and returns the state. While another CPU holds it, `relax` is called over and
    /// over.
    ///
    /// # Errors
    ///
    /// The raw record when its state does not exist; the lock is then not held.
    pub(super) fn lock(&self, relax: impl Fn()) -> Result<GranuleState, u16> {
        loop {
            // One atomic instruction: sets the lock bit and tells whether it was set before.
            let record = self.0.fetch_or(Self::LOCK, Ordering::Acquire);
            if record & Self::LOCK == 0 {
                return GranuleState::from_record(record).ok_or_else(|| {
                    self.0.store(record, Ordering::Release);
                    record
                });
            }
            while self.0.load(Ordering::Relaxed) & Self::LOCK != 0 {
                relax();
            }
        }
    }

    /// Writes the state and releases the lock, which the caller holds.
    pub(super) fn unlock(&self, state: GranuleState) {
        // A CPU that waits can only set the lock bit, which is set, so a plain store loses nothing.
        self.0.store(state as u16, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_two_bytes() {
        assert_eq!(size_of::<GranuleRecord>(), 2);
    }

    #[test]
    fn an_impossible_state_is_reported_and_not_left_locked() {
        for impossible in [7, 0x10, 0x7ff0] {
            let record = GranuleRecord(AtomicU16::new(impossible));
            assert_eq!(record.lock(|| ()), Err(impossible));
            assert_eq!(record.0.load(Ordering::Relaxed), impossible);
        }
    }
}
