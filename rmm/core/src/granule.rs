//! Granules: which state each one is in, who may touch it, and how it moves.
//!
//! The state of a granule lives in one record of the [`GranuleTable`] ([`GranuleState`], an
//! enum). Whoever works on a granule holds it [`Locked`], a token that cannot be copied or sent
//! to another CPU, that unlocks when dropped, and whose type says what is known of the granule.
//! A granule that has not been wiped cannot be given back: only [`Locked<Delegated>::wipe`] makes
//! the `Locked<Wiped>` that [`Locked<Wiped>::undelegate`] takes.
//!
//! # Wiping
//!
//! A delegated granule may still hold what the host left in it; nothing reads it in that state.
//! It is wiped when it is put to use and again before it goes back, so each change of owner
//! costs one wipe (reference, section 4.3).
//!
//! # Locks
//!
//! One bit of the record is the lock. There is no lock above granules, so calls on different
//! granules never wait for each other. [`LockLedger`] has the order.

mod address;
mod ledger;
mod locked;
mod record;
mod table;

pub use address::GranuleAddress;
pub use ledger::LockLedger;
pub use locked::{
    Data, Delegated, GranuleError, InRealmWorld, InUse, KeepsRealm, Lockable, Locked, LockedState,
    Rd, Rec, RecAux, Rtt, Running, Undelegated, Wiped,
};
pub use record::{GranuleRecord, GranuleState};
pub use table::{BankError, DramBanks, GranuleTable, MAX_DRAM_BANKS};
