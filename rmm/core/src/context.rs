//! What commands have in common: the RMM's shared state, the locks of a call, the outcome.

use core::cell::Cell;

use rmm_abi::rmi::{FeatureRegister0, ReturnCode};

use crate::Machine;
use crate::granule::{GranuleError, GranuleTable, Lockable, Locked};

/// The state of the RMM that all CPUs share.
#[derive(Debug)]
pub struct Rmm<'m> {
    pub(crate) granules: GranuleTable<'m>,
    /// Feature register 0, packed once because every reader wants the word.
    pub(crate) features: u64,
}

impl<'m> Rmm<'m> {
    /// An RMM that tracks these granules and offers these features.
    pub const fn new(granules: GranuleTable<'m>, features: FeatureRegister0) -> Self {
        Self {
            granules,
            features: features.word(),
        }
    }
}

/// What a command may use while it serves one call.
#[derive(Debug)]
pub(crate) struct Context<'c, M> {
    pub(crate) rmm: &'c Rmm<'c>,
    pub(crate) machine: &'c M,
    /// Granules that this call has locked.
    pub(crate) locks: Cell<usize>,
}

impl<M: Machine> Context<'_, M> {
    /// Locks the granule at an address that the host gave and checks its state.
    pub(crate) fn lock<S: Lockable>(&self, address: u64) -> Result<Locked<'_, S>, GranuleError> {
        self.rmm.granules.lock(self.machine, &self.locks, address)
    }
}

/// Outcome of a command: X0, and X1 to X3 as far as it has outputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) code: ReturnCode,
    pub(crate) outputs: [u64; 3],
}

impl Outcome {
    /// A command that succeeded and has nothing more to say.
    pub(crate) const SUCCESS: Self = Self {
        code: ReturnCode::SUCCESS,
        outputs: [0; 3],
    };
}
