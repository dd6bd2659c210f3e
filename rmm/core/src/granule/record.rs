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
    /// Realm descriptor.
    Rd = 2,
    /// Realm execution context.
    Rec = 3,
    /// Auxiliary granule of an execution context.
    RecAux = 4,
    /// Memory of a Realm.
    Data = 5,
    /// Realm translation table.
    Rtt = 6,
}

impl GranuleState {
    /// Whether records of granules in this state count references.
    const fn counts_references(self) -> bool {
        matches!(self, Self::Rec | Self::Rtt)
    }
}

/// What a record says while it is not locked: the state, and how many things refer to the
/// granule. What counts as a reference depends on the state: for a translation table its live
/// entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Content {
    pub(super) state: GranuleState,
    pub(super) references: u16,
}

impl Content {
    const STATE_MASK: u16 = 0xf;
    const REFERENCES_SHIFT: u32 = 4;

    /// References that fit a record.
    pub(super) const MAX_REFERENCES: u16 = 0x7ff;

    const fn from_record(record: u16) -> Option<Self> {
        let state = match record & Self::STATE_MASK {
            0 => GranuleState::Undelegated,
            1 => GranuleState::Delegated,
            2 => GranuleState::Rd,
            3 => GranuleState::Rec,
            4 => GranuleState::RecAux,
            5 => GranuleState::Data,
            6 => GranuleState::Rtt,
            _ => return None,
        };
        let references = (record & !GranuleRecord::LOCK) >> Self::REFERENCES_SHIFT;
        if references != 0 && !state.counts_references() {
            return None;
        }
        Some(Self { state, references })
    }

    const fn record(self) -> u16 {
        self.state as u16 | self.references << Self::REFERENCES_SHIFT
    }
}

/// Why a lock was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LockError {
    /// The granule is in another state.
    OtherState,
    /// The record holds a state that does not exist.
    Impossible(u16),
}

/// State, references and lock of one granule in two bytes. All zeroes is an undelegated, unlocked
/// granule.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct GranuleRecord(AtomicU16);

impl GranuleRecord {
    const LOCK: u16 = 1 << 15;

    /// An undelegated granule that nobody has locked.
    pub const fn new() -> Self {
        Self(AtomicU16::new(0))
    }

    /// Takes the lock of a granule in the state `expected` and returns what the record says. While
    /// another CPU holds the lock of a granule in that state, `relax` is called over and over.
    ///
    /// A granule that another CPU holds in another state is not waited for: a caller waits only for
    /// what it has a use for, so callers that name each other's granules cannot wait for each other.
    ///
    /// # Errors
    ///
    /// [`LockError`]; the lock is then not held.
    #[inline]
    pub(super) fn lock(
        &self,
        expected: GranuleState,
        relax: impl Fn(),
    ) -> Result<Content, LockError> {
        loop {
            // One atomic instruction: sets the lock bit and tells whether it was set before.
            let record = self.0.fetch_or(Self::LOCK, Ordering::Acquire);
            // The everyday case first, and cheap.
            let references = record >> Content::REFERENCES_SHIFT;
            if record & (Self::LOCK | Content::STATE_MASK) == expected as u16
                && (references == 0 || expected.counts_references())
            {
                return Ok(Content {
                    state: expected,
                    references,
                });
            }
            let error = match Content::from_record(record) {
                Some(content) if content.state == expected => None,
                Some(_) => Some(LockError::OtherState),
                None => Some(LockError::Impossible(record & !Self::LOCK)),
            };
            if let Some(error) = error {
                if record & Self::LOCK == 0 {
                    self.0.store(record, Ordering::Release);
                }
                return Err(error);
            }
            while self.0.load(Ordering::Relaxed) & Self::LOCK != 0 {
                relax();
            }
        }
    }

    /// Takes the lock of a granule that the RMM's own structures refer to, whatever state it is in
    /// until the CPU that holds it lets go.
    ///
    /// # Errors
    ///
    /// [`LockError`]; the lock is then not held.
    pub(super) fn lock_known(
        &self,
        expected: GranuleState,
        relax: impl Fn(),
    ) -> Result<Content, LockError> {
        loop {
            match self.lock(expected, &relax) {
                // A new table can be found before its maker has unlocked it, still with the old
                // state in its record.
                Err(LockError::OtherState) if self.0.load(Ordering::Acquire) & Self::LOCK != 0 => {
                    relax();
                }
                Err(LockError::OtherState) => return self.lock(expected, &relax),
                result => return result,
            }
        }
    }

    /// Writes the content and releases the lock, which the caller holds.
    pub(super) fn unlock(&self, content: Content) {
        // A CPU that waits can only set the lock bit, which is set, so a plain store loses nothing.
        self.0.store(content.record(), Ordering::Release);
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
        for impossible in [7, 9, 0x10, 0x7ff0] {
            let record = GranuleRecord(AtomicU16::new(impossible));
            let result = record.lock(GranuleState::Undelegated, || ());
            assert_eq!(result, Err(LockError::Impossible(impossible)));
            assert_eq!(record.0.load(Ordering::Relaxed), impossible);
        }
    }

    #[test]
    fn content_survives_a_lock() {
        let record = GranuleRecord::new();
        record.lock(GranuleState::Undelegated, || ()).unwrap();
        for content in [
            Content {
                state: GranuleState::Rtt,
                references: 512,
            },
            Content {
                state: GranuleState::Rtt,
                references: Content::MAX_REFERENCES,
            },
            Content {
                state: GranuleState::Data,
                references: 0,
            },
        ] {
            record.unlock(content);
            assert_eq!(record.lock(content.state, || ()), Ok(content));
        }
    }

    #[test]
    fn a_granule_in_another_state_is_not_waited_for() {
        let record = GranuleRecord::new();
        let wait = || panic!("waited for a granule in another state");
        assert_eq!(
            record.lock(GranuleState::Rd, wait),
            Err(LockError::OtherState)
        );
        record.lock(GranuleState::Undelegated, wait).unwrap();
        assert_eq!(
            record.lock(GranuleState::Rd, wait),
            Err(LockError::OtherState)
        );
        record.unlock(Content {
            state: GranuleState::Undelegated,
            references: 0,
        });
        record.lock(GranuleState::Undelegated, wait).unwrap();
    }

    #[test]
    fn a_known_granule_is_waited_for_until_it_has_its_state() {
        let record = GranuleRecord::new();
        record.lock(GranuleState::Undelegated, || ()).unwrap();
        let table = Content {
            state: GranuleState::Rtt,
            references: 3,
        };
        assert_eq!(
            record.lock_known(GranuleState::Rtt, || record.unlock(table)),
            Ok(table)
        );
        record.unlock(table);
        let result = record.lock_known(GranuleState::Data, || panic!("nobody holds it"));
        assert_eq!(result, Err(LockError::OtherState));
    }
}
