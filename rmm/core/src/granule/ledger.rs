//! The locks that a call holds.
//!
//! Release builds count them. Debug builds also know which they are and check the order:
//!
//! 1. granules of the host and delegated granules, in ascending order of address,
//! 2. the Realm descriptor,
//! 3. RECs, in ascending order of address,
//! 4. its auxiliary granules,
//! 5. translation tables, from the start level down,
//! 6. memory of the Realm.
//!
//! Two calls that both follow the order cannot wait for each other. A granule is in a class by its
//! state, and only a granule in the expected state is waited for; so what a host names where cannot
//! upset the order.

use core::cell::Cell;

use super::{GranuleAddress, GranuleState};

/// The locks of one call on one CPU.
#[derive(Debug, Default)]
pub struct LockLedger {
    count: Cell<usize>,
    #[cfg(debug_assertions)]
    held: core::cell::RefCell<[Option<(GranuleAddress, GranuleState)>; MOST]>,
}

/// More locks than any command takes.
#[cfg(debug_assertions)]
const MOST: usize = 32;

#[cfg(debug_assertions)]
const fn class(state: GranuleState) -> u8 {
    match state {
        GranuleState::Undelegated | GranuleState::Delegated => 0,
        GranuleState::Rd => 1,
        GranuleState::Rec => 2,
        GranuleState::RecAux => 3,
        GranuleState::Rtt => 4,
        GranuleState::Data => 5,
    }
}

impl LockLedger {
    /// No locks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Locks held.
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// To be called before a lock is waited for.
    ///
    /// # Panics
    ///
    /// In debug builds, when this call holds the lock already and would wait for itself.
    #[cfg_attr(
        not(debug_assertions),
        expect(clippy::unused_self, reason = "checks in debug builds only")
    )]
    pub(super) fn about_to_lock(&self, address: GranuleAddress) {
        #[cfg(debug_assertions)]
        assert!(
            !self
                .held
                .borrow()
                .iter()
                .flatten()
                .any(|(held, _)| *held == address),
            "granule {address} is locked twice by one call"
        );
        let _ = address;
    }

    /// A lock was taken and the granule's state is the expected one.
    ///
    /// # Panics
    ///
    /// In debug builds, when the order of locks is broken.
    pub(super) fn locked(&self, address: GranuleAddress, state: GranuleState) {
        self.count.set(self.count.get() + 1);
        #[cfg(debug_assertions)]
        {
            let mut held = self.held.borrow_mut();
            for (other, other_state) in held.iter().flatten() {
                let (new, old) = (class(state), class(*other_state));
                assert!(
                    new > old || new == old && (!matches!(new, 0 | 2) || address > *other),
                    "granule {address} ({state:?}) is locked after {other} ({other_state:?})"
                );
            }
            let free = held.iter_mut().find(|entry| entry.is_none());
            *free.expect("a command holds few locks") = Some((address, state));
        }
        let _ = (address, state);
    }

    /// A lock was released.
    pub(super) fn unlocked(&self, address: GranuleAddress) {
        self.count.set(self.count.get() - 1);
        #[cfg(debug_assertions)]
        for entry in self.held.borrow_mut().iter_mut() {
            if entry.is_some_and(|(held, _)| held == address) {
                *entry = None;
            }
        }
        let _ = address;
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    fn at(address: u64) -> GranuleAddress {
        GranuleAddress::new(address).unwrap()
    }

    #[test]
    fn the_order_is_accepted() {
        let ledger = LockLedger::new();
        for (address, state) in [
            (0x3000, GranuleState::Delegated),
            (0x4000, GranuleState::Delegated),
            (0x1000, GranuleState::Rd),
            (0x2000, GranuleState::Rec),
            (0x9000, GranuleState::Rtt),
            (0x8000, GranuleState::Rtt),
            (0x5000, GranuleState::Data),
        ] {
            ledger.about_to_lock(at(address));
            ledger.locked(at(address), state);
        }
        assert_eq!(ledger.count(), 7);
        ledger.unlocked(at(0x1000));
        assert_eq!(ledger.count(), 6);
    }

    #[test]
    #[should_panic(expected = "is locked after")]
    fn a_descriptor_after_a_table() {
        let ledger = LockLedger::new();
        ledger.locked(at(0x1000), GranuleState::Rtt);
        ledger.locked(at(0x2000), GranuleState::Rd);
    }

    #[test]
    #[should_panic(expected = "is locked after")]
    fn delegated_granules_out_of_order() {
        let ledger = LockLedger::new();
        ledger.locked(at(0x2000), GranuleState::Delegated);
        ledger.locked(at(0x1000), GranuleState::Delegated);
    }

    #[test]
    #[should_panic(expected = "locked twice")]
    fn the_same_granule_twice() {
        let ledger = LockLedger::new();
        ledger.locked(at(0x2000), GranuleState::Delegated);
        ledger.about_to_lock(at(0x2000));
    }
}
