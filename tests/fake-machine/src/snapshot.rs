//! All that the RMM can change, at one moment.

use std::fmt;
use std::sync::atomic::Ordering;

use rmm_core::granule::{
    Data, Delegated, GranuleError, GranuleState, GranuleTable, LockLedger, Lockable, Rd, Rec,
    RecAux, Rtt, Undelegated,
};

use crate::cpu::FakeCpu;
use crate::granule::Owner;
use crate::memory::Memory;

/// One granule.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Recorded {
    address: u64,
    owner: Owner,
    state: GranuleState,
    /// The whole record, references included, as text because its layout is the RMM's own.
    record: String,
    /// Content that is not all zero; nothing for a delegated granule, of which nobody sees any.
    words: Option<Vec<u64>>,
}

/// State, owner and content of every granule, and the VMIDs in use. Two of them are equal when
/// nobody can tell that anything happened in between.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    granules: Vec<Recorded>,
    vmids: String,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("granules", &self.granules.len())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Addresses of granules that are not the same in another snapshot of the same machine.
    pub fn differences(&self, other: &Self) -> Vec<u64> {
        self.granules
            .iter()
            .zip(&other.granules)
            .filter(|(before, after)| before != after)
            .map(|(before, _)| before.address)
            .collect()
    }
}

impl Memory {
    /// What there is at this moment. No call may be under way.
    ///
    /// # Panics
    ///
    /// When a granule is locked.
    pub fn snapshot(&self) -> Snapshot {
        let table = self.granule_table();
        let probe = self.cpu(usize::MAX);
        let granules = self
            .granules()
            .zip(self.records())
            .map(|((address, granule), record)| {
                let state = state(&table, &probe, address);
                // Untouched content and zeroes are the same.
                let content = (state != GranuleState::Delegated)
                    .then(|| granule.touched_words())
                    .flatten()
                    .map(|words| {
                        words
                            .iter()
                            .map(|word| word.load(Ordering::SeqCst))
                            .collect()
                    })
                    .filter(|words: &Vec<u64>| words.iter().any(|word| *word != 0));
                Recorded {
                    address,
                    owner: granule.owner(),
                    state,
                    record: format!("{record:?}"),
                    words: content,
                }
            })
            .collect();
        Snapshot {
            granules,
            vmids: format!("{:?}", self.vmids()),
        }
    }

    /// The state that the RMM keeps of a granule.
    ///
    /// # Panics
    ///
    /// When there is no DRAM at the address, or the granule is locked and no call is under way.
    pub fn state(&self, address: u64) -> GranuleState {
        state(&self.granule_table(), &self.cpu(usize::MAX), address)
    }
}

fn state(table: &GranuleTable<'_>, probe: &FakeCpu<'_>, address: u64) -> GranuleState {
    is::<Undelegated>(table, probe, address)
        .or_else(|| is::<Delegated>(table, probe, address))
        .or_else(|| is::<Rd>(table, probe, address))
        .or_else(|| is::<Rec>(table, probe, address))
        .or_else(|| is::<RecAux>(table, probe, address))
        .or_else(|| is::<Data>(table, probe, address))
        .or_else(|| is::<Rtt>(table, probe, address))
        .expect("one of all states")
}

fn is<S: Lockable>(
    table: &GranuleTable<'_>,
    probe: &FakeCpu<'_>,
    address: u64,
) -> Option<GranuleState> {
    let locks = LockLedger::new();
    match probe.under_way(|| table.lock::<S, _>(probe, &locks, address).map(drop)) {
        Ok(()) => Some(S::STATE),
        Err(GranuleError::WrongState) => None,
        Err(error) => panic!("granule {address:#x}: {error:?}"),
    }
}
