//! What the RMM asks of the machine it runs on.

use rmm_abi::el3::ServiceCode;

use crate::granule::{Delegated, Locked, Undelegated, Wiped};

/// One CPU of the machine, as the RMM sees it while it serves a call there.
///
/// An implementation belongs to one CPU and is not shared with another. Methods take locked
/// granules where the lock is what makes the operation sound.
pub trait Machine {
    /// Overwrites every byte of a delegated granule with zero.
    fn wipe(&self, granule: &Locked<'_, Delegated>);

    /// Asks EL3 to give a granule to the Realm world (`GTSI_DELEGATE`).
    ///
    /// # Errors
    ///
    /// The code of EL3; the granule has not moved.
    fn delegate(&self, granule: &Locked<'_, Undelegated>) -> Result<(), ServiceCode>;

    /// Asks EL3 to give a wiped granule back to the normal world (`GTSI_UNDELEGATE`).
    ///
    /// # Errors
    ///
    /// The code of EL3; the granule has not moved.
    fn undelegate(&self, granule: &Locked<'_, Wiped>) -> Result<(), ServiceCode>;

    /// Passes a moment while another CPU holds a lock that this one waits for.
    fn relax(&self);

    /// Granules that are mapped on this CPU at this moment. Zero between calls.
    fn mapped_granules(&self) -> usize;
}
