//! Tokens for locked granules, and the moves that a granule can make.

use core::marker::PhantomData;

use rmm_abi::el3::ServiceCode;

use super::record::{Content, LockError};
use super::{GranuleAddress, GranuleRecord, GranuleState, GranuleTable, LockLedger};
use crate::Machine;
use crate::context::Context;
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
/// use rmm_core::granule::{GranuleTable, LockLedger, Wiped};
///
/// fn give_back_unwiped<M: Machine>(table: &GranuleTable, machine: &M) {
///     let _ = table.lock::<Wiped, M>(machine, &LockLedger::new(), 0x1000);
/// }
/// ```
pub trait Lockable: LockedState {}

/// States in which the granule is in the Realm world, so that its bytes can be reached.
pub trait InRealmWorld: LockedState {}

/// States in which the granule has a use.
pub trait InUse: InRealmWorld {}

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $state:ident: $($marker:ident)*;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl LockedState for $name {
                const STATE: GranuleState = GranuleState::$state;
            }

            $(impl $marker for $name {})*
        )*
    };
}

states! {
    /// The granule is not in the Realm world.
    Undelegated = Undelegated: Lockable;
    /// The granule is in the Realm world, not in use, and may hold anything.
    Delegated = Delegated: Lockable InRealmWorld;
    /// The granule is delegated and every byte of it is zero.
    Wiped = Delegated: InRealmWorld;
    /// A Realm descriptor.
    Rd = Rd: Lockable InRealmWorld InUse;
    /// A Realm execution context.
    Rec = Rec: Lockable InRealmWorld InUse;
    /// An auxiliary granule of an execution context.
    RecAux = RecAux: Lockable InRealmWorld InUse;
    /// Memory of a Realm.
    Data = Data: Lockable InRealmWorld InUse;
    /// A Realm translation table.
    Rtt = Rtt: Lockable InRealmWorld InUse;
}

/// A granule that this CPU has locked and whose state is `S`. Dropping it unlocks the granule.
///
/// It is in the lock ledger of the call, so it can neither outlive the call nor move
/// to another CPU.
#[derive(Debug)]
#[must_use = "dropping a locked granule unlocks it"]
pub struct Locked<'t, S: LockedState> {
    hold: Hold<'t>,
    state: PhantomData<S>,
}

/// The lock itself: writes the content back when it is dropped.
#[derive(Debug)]
struct Hold<'t> {
    record: &'t GranuleRecord,
    address: GranuleAddress,
    ledger: &'t LockLedger,
    content: Content,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.record.unlock(self.content);
        self.ledger.unlocked(self.address);
    }
}

impl GranuleTable<'_> {
    /// Locks the granule at an address that the host gave and checks its state. `ledger` knows
    /// the locks of the call; `machine` passes the time while another CPU holds this one.
    ///
    /// # Errors
    ///
    /// [`GranuleError`]; the granule is then not locked.
    #[inline]
    pub fn lock<'t, S: Lockable, M: Machine>(
        &'t self,
        machine: &M,
        ledger: &'t LockLedger,
        address: u64,
    ) -> Result<Locked<'t, S>, GranuleError> {
        let address = GranuleAddress::new(address).ok_or(GranuleError::Misaligned)?;
        let record = self.record(address).ok_or(GranuleError::NotTracked)?;
        ledger.about_to_lock(address);
        let content = record
            .lock(S::STATE, || machine.relax())
            .map_err(|error| match error {
                LockError::OtherState => GranuleError::WrongState,
                LockError::Impossible(record) => GranuleError::Fatal(Fatal::UnknownGranuleState {
                    granule: address,
                    record,
                }),
            })?;
        Ok(Locked::new(record, address, ledger, content))
    }

    /// Locks a granule that the RMM's own structures refer to, and which therefore has the state.
    ///
    /// # Errors
    ///
    /// [`Fatal::LostGranule`] when it has not.
    #[inline]
    pub fn lock_known<'t, S: Lockable, M: Machine>(
        &'t self,
        machine: &M,
        ledger: &'t LockLedger,
        address: GranuleAddress,
    ) -> Result<Locked<'t, S>, Fatal> {
        let lost = Fatal::LostGranule {
            granule: address,
            expected: S::STATE,
        };
        let record = self.record(address).ok_or(lost)?;
        ledger.about_to_lock(address);
        let content =
            record
                .lock_known(S::STATE, || machine.relax())
                .map_err(|error| match error {
                    LockError::OtherState => lost,
                    LockError::Impossible(record) => Fatal::UnknownGranuleState {
                        granule: address,
                        record,
                    },
                })?;
        Ok(Locked::new(record, address, ledger, content))
    }
}

impl<'t, S: LockedState> Locked<'t, S> {
    fn new(
        record: &'t GranuleRecord,
        address: GranuleAddress,
        ledger: &'t LockLedger,
        content: Content,
    ) -> Self {
        ledger.locked(address, content.state);
        Self {
            hold: Hold {
                record,
                address,
                ledger,
                content,
            },
            state: PhantomData,
        }
    }

    /// Where the granule is.
    pub fn address(&self) -> GranuleAddress {
        self.hold.address
    }

    /// The same granule with another state, still locked.
    fn become_state<T: LockedState>(mut self) -> Locked<'t, T> {
        self.hold.content.state = T::STATE;
        Locked {
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

    /// Makes the granule memory of a Realm; the caller has filled it.
    pub(crate) fn into_filled_data(self) -> Locked<'t, Data> {
        self.become_state()
    }

    /// Makes the granule a translation table; the caller has filled it and counts its live entries.
    pub(crate) fn into_filled_table(self, live: u16) -> Locked<'t, Rtt> {
        let mut table: Locked<'t, Rtt> = self.become_state();
        table.set_live(live);
        table
    }
}

impl<'t> Locked<'t, Wiped> {
    /// Moves the granule to the normal world.
    ///
    /// # Errors
    ///
    /// [`Fatal::UndelegateRefused`]: EL3 and the RMM disagree about who owns the granule.
    pub fn undelegate<M: Machine>(self, machine: &M) -> Result<Locked<'t, Undelegated>, Fatal> {
        let granule = self.address();
        machine
            .undelegate(&self)
            .map_err(|code| Fatal::UndelegateRefused { granule, code })?;
        Ok(self.become_state())
    }

    /// Puts the granule to a use that starts from zeroes.
    pub(crate) fn put_to_use<S: InUse>(self) -> Locked<'t, S> {
        self.become_state()
    }
}

impl<'t, S: InUse> Locked<'t, S> {
    /// Ends the granule's use. What it holds stays until it is wiped for the next use, and nobody
    /// reads it until then.
    pub(crate) fn release(mut self) -> Locked<'t, Delegated> {
        self.hold.content.references = 0;
        self.become_state()
    }
}

impl Locked<'_, Rtt> {
    /// Live entries of this table: memory or further tables of the Realm.
    pub(crate) fn live(&self) -> u16 {
        self.hold.content.references
    }

    /// Sets the number of live entries, at most the entries of a table.
    pub(crate) fn set_live(&mut self, live: u16) {
        debug_assert!(live <= Content::MAX_REFERENCES);
        self.hold.content.references = live;
    }
}

impl<'t> Locked<'t, Rec> {
    /// Whether the REC is being run by a CPU.
    pub(crate) fn is_running(&self) -> bool {
        self.hold.content.references != 0
    }

    /// Unlocks the REC and leaves a reference behind that keeps it, and its content, for this CPU.
    pub(crate) fn begin_running(mut self) -> Running<'t> {
        debug_assert!(!self.is_running());
        self.hold.content.references = 1;
        Running {
            address: self.address(),
            table: PhantomData,
        }
    }

    /// The REC is not run any more.
    fn end_running(mut self) {
        self.hold.content.references = 0;
    }
}

/// A REC that this CPU runs. It is not locked, but while it runs nobody else reads or changes what
/// is in its granules, or takes it apart. To be ended by [`Running::end`].
#[derive(Debug)]
#[must_use = "the REC stays running until this is ended"]
pub struct Running<'t> {
    address: GranuleAddress,
    table: PhantomData<&'t GranuleRecord>,
}

impl Running<'_> {
    /// Where the REC is.
    pub fn address(&self) -> GranuleAddress {
        self.address
    }

    /// Lets go of the REC.
    ///
    /// # Errors
    ///
    /// [`Fatal::LostGranule`]: it is not a REC any more.
    pub(crate) fn end<M: Machine>(self, context: &Context<'_, M>) -> Result<(), Fatal> {
        context.lock_known::<Rec>(self.address)?.end_running();
        Ok(())
    }
}

/// A hold on a REC that keeps the descriptor of its Realm in place.
pub trait KeepsRealm: sealed::Sealed {}

impl KeepsRealm for Locked<'_, Rec> {}
impl KeepsRealm for Running<'_> {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Locked<'_, super::Rec> {}
    impl Sealed for super::Running<'_> {}
}
