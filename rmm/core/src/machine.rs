//! What the RMM asks of the machine it runs on.

mod attest;
mod run;

pub use attest::{Attest, TOKEN_GRANULES, TokenProgress, TokenRequest};
pub use run::{
    Configuration, DebugRegisters, Departure, Exception, ExceptionKind, LIST_REGISTERS, Register,
    Run,
};

use core::ops::Deref;
use core::sync::atomic::AtomicU64;

use rmm_abi::GRANULE_SIZE;
use rmm_abi::el3::ServiceCode;

use crate::granule::{
    Data, Delegated, GranuleAddress, InRealmWorld, KeepsRealm, Locked, Rec, Running, Undelegated,
    Wiped,
};
use crate::rtt::Invalidation;
use crate::statistics::CpuStatistics;

/// 64-bit words of a granule.
pub const WORDS_PER_GRANULE: usize = GRANULE_SIZE / size_of::<u64>();

/// The content of a granule. Words are atomics because the MMU reads tables while the RMM writes
/// them; access is relaxed, order comes from granule locks and TLB maintenance.
pub type GranuleWords = [AtomicU64; WORDS_PER_GRANULE];

/// An access to the host's memory took a fault: the granule is not, or no longer, the host's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostFault;

/// One CPU of the machine, as the RMM sees it while it serves a call there.
///
/// An implementation belongs to one CPU and is not shared with another. Methods take locked
/// granules where the lock is what makes the operation sound.
pub trait Machine: Run + Attest {
    /// A granule that can be reached for as long as this value lives.
    type Mapping<'m>: Deref<Target = GranuleWords>
    where
        Self: 'm;

    /// Makes the content of a locked granule reachable.
    fn map<'m, S: InRealmWorld>(&'m self, granule: &'m Locked<'_, S>) -> Self::Mapping<'m>;

    /// Makes the descriptor of the Realm that owns a REC reachable. The REC keeps it in place, so it
    /// need not be locked; words are then changed by atomic operations only.
    fn map_owner<'m>(
        &'m self,
        rec: &'m impl KeepsRealm,
        owner: GranuleAddress,
    ) -> Self::Mapping<'m>;

    /// Makes the content of a REC reachable that another CPU may be running. Only words that never
    /// change are to be read.
    fn map_constant<'m>(&'m self, rec: &'m Locked<'_, Rec>) -> Self::Mapping<'m>;

    /// Makes the content of a REC reachable that this CPU runs.
    fn map_running<'m>(&'m self, rec: &'m Running<'_>) -> Self::Mapping<'m>;

    /// Makes the content of an auxiliary granule of a REC reachable that this CPU runs.
    fn map_aux<'m>(&'m self, rec: &'m Running<'_>, aux: GranuleAddress) -> Self::Mapping<'m>;

    /// Overwrites every byte of a delegated granule with zero.
    fn wipe(&self, granule: &Locked<'_, Delegated>);

    /// Overwrites every byte of a Realm's page with zero.
    fn clear(&self, granule: &Locked<'_, Data>);

    /// Copies parts of a granule of the host into words of the RMM's own, each word read once. A part
    /// is the number of its first word and where it goes to.
    ///
    /// # Errors
    ///
    /// [`HostFault`]; the parts may have been written to.
    fn read_host_parts<const PARTS: usize>(
        &self,
        source: GranuleAddress,
        parts: [(usize, &mut [u64]); PARTS],
    ) -> Result<(), HostFault>;

    /// Writes the upper half of a granule of the host: these parts of it, zeroes elsewhere. A part is
    /// the number of its first word in the granule and its words.
    ///
    /// # Errors
    ///
    /// [`HostFault`]; the half may have been written in part.
    fn write_host_upper_half<const PARTS: usize>(
        &self,
        target: GranuleAddress,
        parts: [(usize, &[u64]); PARTS],
    ) -> Result<(), HostFault>;

    /// Copies a granule of the host into words of the RMM's own, each read once.
    ///
    /// # Errors
    ///
    /// [`HostFault`]; `into` may have been written in part.
    fn read_host(
        &self,
        source: GranuleAddress,
        into: &mut [u64; WORDS_PER_GRANULE],
    ) -> Result<(), HostFault>;

    /// Copies a granule of the host into a delegated granule, each word read once.
    ///
    /// # Errors
    ///
    /// [`HostFault`]; `into` may have been written in part.
    fn copy_from_host(
        &self,
        source: GranuleAddress,
        into: &Locked<'_, Delegated>,
    ) -> Result<(), HostFault>;

    /// Runs the compression function of SHA-256 over whole blocks of eight words.
    fn sha256(&self, state: &mut [u32; 8], blocks: &[AtomicU64]);

    /// Runs the compression function of SHA-512 over whole blocks of sixteen words.
    fn sha512(&self, state: &mut [u64; 8], blocks: &[AtomicU64]);

    /// Makes writes to translation tables visible to the MMUs of all CPUs. Enough where the
    /// entries were not valid before.
    fn publish_tables(&self);

    /// Makes what was written to a Realm's memory the bytes that instruction fetches will see, once
    /// [`Self::forget_instructions`] has been called.
    fn clean_for_fetches(&self, granule: &Locked<'_, Data>);

    /// Makes all CPUs forget instructions that they have fetched, from whatever memory.
    fn forget_instructions(&self);

    /// Makes all CPUs forget translations of a Realm, after the entries were made invalid.
    fn invalidate(&self, invalidation: &Invalidation);

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

    /// What this CPU counts. Nobody else writes there.
    fn statistics(&self) -> &CpuStatistics;

    /// What all CPUs count, by their numbers.
    fn all_statistics(&self) -> &[CpuStatistics];

    /// The time, as the host reads it too (`CNTPCT_EL0`).
    fn time(&self) -> u64;

    /// Granules that are mapped on this CPU at this moment. Zero between calls.
    fn mapped_granules(&self) -> usize;
}
