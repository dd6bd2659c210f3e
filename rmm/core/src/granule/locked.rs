//! Tokens for locked granules, and the moves that a granule can make.

use core::cell::Cell;
use core::marker::PhantomData;

use rmm_abi::el3::ServiceCode;

use super::{GranuleAddress, GranuleRecord, GranuleState, GranuleTable};
use crate::Machine;
use crate::error::Fatal;

/// Why a granule that the host named cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GranuleError {
    /// The address is not a multiple of 4 KiB.
    Misaligned,
    /// No DRAM bank holds the address.
    NotTracked,
    /// The granule is not in the state that the command needs.
    WrongState,
    /// EL3 will not move the granule: it belongs to the Root, Secure or Realm world already.
    RefusedByEl3(ServiceCode),
    /// The RMM must stop serving.
    Fatal(Fatal),
}

/// What a [`Locked`] token knows of its granule.
pub trait LockedState {
    /// The state in the granule's record.
    const STATE: GranuleState;
}

/// States that the record of a granule can be found in. What is only known of a granule because
/// of what was just done to it, as [`Wiped`], cannot be had by locking:
///
/// ```compile_fail
/// use rmm_core::Machine;
/// use rmm_core::granule::{GranuleTable, Wiped};
///
/// fn give_back_unwiped<M: Machine>(table: &GranuleTable, machine: &M) {
///     let locks = Default::default();
///     let _ = table.lock::<Wiped, M>(machine, &locks, 0x1000);
/// }
/// ```
pub trait Lockable: LockedState {}

/// The granule is not in the Realm world.
#[derive(Debug)]
pub struct Undelegated;

impl Lockable for Undelegated {}
impl Lockable for Delegated {}

/// The granule is in the Realm world, not in use, and may hold anything.
#[derive(Debug)]
pub struct Delegated;

/// The granule is delegated and every byte of it is zero.
#[derive(Debug)]
pub struct Wiped;

impl LockedState for Undelegated {
    const STATE: GranuleState = GranuleState::Undelegated;
}

impl LockedState for Delegated {
    const STATE: GranuleState = GranuleState::Delegated;
}

impl LockedState for Wiped {
    const STATE: GranuleState = GranuleState::Delegated;
}

/// A granule that this CPU has locked and whose state is `S`. Dropping it unlocks the granule.
///
/// It counts itself in the lock counter of the call, so it can neither outlive the call nor move
/// to another CPU.
#[derive(Debug)]
#[must_use = "dropping a locked granule unlocks it"]
pub struct Locked<'t, S: LockedState> {
    address: GranuleAddress,
    hold: Hold<'t>,
    state: PhantomData<S>,
}

/// The lock itself: writes `state` back when it is dropped.
#[derive(Debug)]
struct Hold<'t> {
    record: &'t GranuleRecord,
    locks: &'t Cell<usize>,
    state: GranuleState,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.record.unlock(self.state);
        self.locks.set(self.locks.get() - 1);
    }
}

impl GranuleTable<'_> {
    /// Locks the granule at an address that the host gave and checks its state. `locks` counts
    /// the locks of the call; `machine` passes the time while another CPU holds this one.
    ///
    /// # Errors
    ///
    /// [`GranuleError`]; the granule is then not locked.
    pub fn lock<'t, S: Lockable, M: Machine>(
        &'t self,
        machine: &M,
        locks: &'t Cell<usize>,
        address: u64,
    ) -> Result<Locked<'t, S>, GranuleError> {
        let address = GranuleAddress::new(address).ok_or(GranuleError::Misaligned)?;
        let record = self.record(address).ok_or(GranuleError::NotTracked)?;
        let state = record.lock(|| machine.relax()).map_err(|record| {
            GranuleError::Fatal(Fatal::UnknownGranuleState {
                granule: address,
                record,
            })
        })?;
        locks.set(locks.get() + 1);
        let hold = Hold {
            record,
            locks,
            state,
        };
        if state == S::STATE {
            Ok(Locked {
                address,
                hold,
                state: PhantomData,
            })
        } else {
            Err(GranuleError::WrongState)
        }
    }
}

impl<'t, S: LockedState> Locked<'t, S> {
    /// Where the granule is.
    pub fn address(&self) -> GranuleAddress {
        self.address
    }

    /// The same granule with another state, still locked.
    fn become_state<T: LockedState>(mut self) -> Locked<'t, T> {
        self.hold.state = T::STATE;
        Locked {
            address: self.address,
            hold: self.hold,
            state: PhantomData,
        }
    }
}

impl<'t> Locked<'t, Undelegated> {
    /// Moves the granule to the Realm world.
    ///
    /// # Errors
    ///
    /// [`GranuleError::RefusedByEl3`]; the granule stays where it is.
    pub fn delegate<M: Machine>(self, machine: &M) -> Result<Locked<'t, Delegated>, GranuleError> {
        machine
            .delegate(&self)
            .map_err(GranuleError::RefusedByEl3)?;
        Ok(self.become_state())
    }
}

impl<'t> Locked<'t, Delegated> {
    /// Overwrites the granule with zeroes.
    pub fn wipe<M: Machine>(self, machine: &M) -> Locked<'t, Wiped> {
        machine.wipe(&self);
        self.become_state()
    }
}

impl<'t> Locked<'t, Wiped> {
    /// Moves the granule to the normal world.
    ///
    /// # Errors
    ///
    /// [`Fatal::UndelegateRefused`]: EL3 and the RMM disagree about who owns the granule.
    pub fn undelegate<M: Machine>(self, machine: &M) -> Result<Locked<'t, Undelegated>, Fatal> {
        let granule = self.address;
        machine
            .undelegate(&self)
            .map_err(|code| Fatal::UndelegateRefused { granule, code })?;
        Ok(self.become_state())
    }
}
