//! What commands have in common: the RMM's shared state, the locks of a call, the outcome.

use rmm_abi::rmi::{FeatureRegister0, ReturnCode, Ripas};

use crate::Machine;
use crate::error::Fatal;
use crate::granule::{GranuleAddress, GranuleError, GranuleTable, LockLedger, Lockable, Locked};
use crate::realm::VmidTable;
use crate::vgic::GicLimits;

/// The state of the RMM that all CPUs share.
#[derive(Debug)]
pub struct Rmm<'m> {
    pub(crate) granules: GranuleTable<'m>,
    /// Feature register 0, packed once because every reader wants the word.
    pub(crate) features: u64,
    /// Bits of a VMID.
    pub(crate) vmid_bits: u32,
    pub(crate) vmids: &'m VmidTable,
    pub(crate) gic: GicLimits,
}

impl<'m> Rmm<'m> {
    /// An RMM that tracks these granules and offers these features, on CPUs with VMIDs of
    /// `vmid_bits` bits, 8 or 16, and with this GIC.
    pub const fn new(
        granules: GranuleTable<'m>,
        vmids: &'m VmidTable,
        features: FeatureRegister0,
        vmid_bits: u32,
        gic: GicLimits,
    ) -> Self {
        Self {
            granules,
            features: features.word(),
            vmid_bits,
            vmids,
            gic,
        }
    }
}

/// What a command may use while it serves one call.
#[derive(Debug)]
pub(crate) struct Context<'c, M> {
    pub(crate) rmm: &'c Rmm<'c>,
    pub(crate) machine: &'c M,
    /// Granules that this call has locked.
    pub(crate) locks: LockLedger,
}

impl<M: Machine> Context<'_, M> {
    /// Locks the granule at an address that the host gave and checks its state.
    pub(crate) fn lock<S: Lockable>(&self, address: u64) -> Result<Locked<'_, S>, GranuleError> {
        self.rmm.granules.lock(self.machine, &self.locks, address)
    }

    /// Locks a granule that the RMM's own structures refer to.
    pub(crate) fn lock_known<S: Lockable>(
        &self,
        address: GranuleAddress,
    ) -> Result<Locked<'_, S>, Fatal> {
        self.rmm
            .granules
            .lock_known(self.machine, &self.locks, address)
    }
}

/// Outcome of a command: X0, and X1 to X4 as far as it has outputs. Of a size that compilers copy
/// without a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) code: ReturnCode,
    /// X1 to X3.
    pub(crate) outputs: [u64; 3],
    /// X4: only `RMI_RTT_READ_ENTRY` has an output there.
    pub(crate) ripas: Ripas,
}

impl Outcome {
    /// A command that succeeded and has nothing more to say.
    pub(crate) const SUCCESS: Self = Self {
        code: ReturnCode::SUCCESS,
        outputs: [0; 3],
        ripas: Ripas::Empty,
    };

    /// A command that succeeded, with what it says in X1 to X3.
    pub(crate) const fn with_outputs(outputs: [u64; 3]) -> Self {
        Self {
            code: ReturnCode::SUCCESS,
            outputs,
            ripas: Ripas::Empty,
        }
    }
}
