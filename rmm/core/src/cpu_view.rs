//! What a Realm sees of the CPU: identification registers, answers to trapped system registers,
//! and the controls that make them trap.
//!
//! One rule decides: a feature that the RMM does not switch between worlds and Realms is not shown,
//! and a field that had no meaning when the [`policy`] was written reads as zero. The policy for
//! people, with reasons, is `docs/realm-cpu.md`; a test keeps both the same.

mod access;
mod controls;
mod identification;
pub mod policy;
pub mod registers;

pub use access::{Action, SystemAccess, os_lock_status};
pub use controls::{FineGrainedTraps, TrapControls};
pub use identification::RealmIdRegisters;
pub use registers::{IdRegister, IdRegisters};

/// What differs from Realm to Realm on the same CPU, from the parameters of the Realm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Largest SVE vector length as (bits / 128) − 1; `None` when the Realm has no SVE.
    pub sve_vector_length: Option<u8>,
    /// Event counters of the PMU; `None` when the Realm has no PMU.
    pub pmu_counters: Option<u8>,
    /// Breakpoints − 1; more than 15 count as 15.
    pub breakpoints: u8,
    /// Watchpoints − 1; more than 15 count as 15.
    pub watchpoints: u8,
}

/// Bits `shift..shift + width` of a register.
const fn field(register: u64, shift: u32, width: u32) -> u64 {
    register >> shift & ((1 << width) - 1)
}
