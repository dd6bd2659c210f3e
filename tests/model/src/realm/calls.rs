//! From the registers of a call to what must come of it.

use rmm_abi::rmi::{ReturnCode, fid};

use super::failures::{Failures, Prediction};
use super::world::{HostMemory, World};
use crate::{Command, Granule};

/// The SVE hint of the calling convention.
const SVE_HINT: u64 = 1 << 16;

impl World {
    /// What a call must be answered, after which the world is as it is after the call. `None` for
    /// commands that this model does not know.
    pub fn apply(&mut self, call: &[u64; 8], host: &dyn HostMemory) -> Option<Prediction> {
        let [function, x1, x2, x3, x4, x5, ..] = *call;
        Some(match function & !SVE_HINT {
            fid::GRANULE_DELEGATE => self.move_granule(Command::Delegate, x1, x4),
            fid::GRANULE_UNDELEGATE => self.move_granule(Command::Undelegate, x1, x4),
            fid::REALM_CREATE => self.realm_create([x1, x2], x4, host),
            fid::REALM_ACTIVATE => self.realm_activate(x1, x4),
            fid::REALM_DESTROY => self.realm_destroy(x1, x4),
            fid::REC_AUX_COUNT => self.rec_aux_count(x1, x4),
            fid::REC_CREATE => self.rec_create([x1, x2, x3], x4, host),
            fid::REC_DESTROY => self.rec_destroy(x1, x4),
            fid::DATA_CREATE => self.data_create([x1, x2, x3, x4, x5], host),
            fid::DATA_CREATE_UNKNOWN => self.data_create_unknown([x1, x2, x3], x4),
            fid::DATA_DESTROY => self.data_destroy([x1, x2], x4),
            fid::RTT_CREATE => self.rtt_create([x1, x2, x3, x4]),
            fid::RTT_DESTROY => self.rtt_destroy([x1, x2, x3], x4),
            fid::RTT_FOLD => self.rtt_fold([x1, x2, x3], x4),
            fid::RTT_READ_ENTRY => self.rtt_read_entry([x1, x2, x3]),
            fid::RTT_MAP_UNPROTECTED => self.rtt_map_unprotected([x1, x2, x3, x4]),
            fid::RTT_UNMAP_UNPROTECTED => self.rtt_unmap_unprotected([x1, x2, x3], x4),
            fid::RTT_INIT_RIPAS => self.rtt_init_ripas([x1, x2, x3], x4),
            fid::REC_ENTER => self.rec_enter([x1, x2], x4, host),
            fid::PSCI_COMPLETE => self.psci_complete([x1, x2, x3], x4),
            fid::RTT_SET_RIPAS => self.rtt_set_ripas([x1, x2, x3, x4]),
            _ => return None,
        })
    }

    fn move_granule(&mut self, command: Command, address: u64, x4: u64) -> Prediction {
        let Some(granule) = self.granules.get_mut(&address) else {
            let mut failures = Failures::default();
            failures.input(true, super::failures::Cause::Input);
            return failures.prediction(x4);
        };
        let (word, after) = granule.apply(command);
        *granule = after;
        Prediction::exactly([word, 0, 0, 0, x4])
    }

    /// Whether the host's own granule is not at an address, so that nothing can be read there.
    pub(super) fn not_the_hosts(&self, address: u64) -> bool {
        !self.is(address, Granule::Undelegated)
    }
}

/// The code for a walk that ended at a level.
pub(super) fn rtt(level: i64) -> ReturnCode {
    ReturnCode::error_rtt(i8::try_from(level).expect("-1 to 3"))
}
