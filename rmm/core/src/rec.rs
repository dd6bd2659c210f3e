//! RECs: the descriptor of a virtual CPU of a Realm.

use core::sync::atomic::Ordering;

use rmm_abi::rmi::{MAX_REC_AUX, REC_RUNNABLE, RecParams};

use crate::granule::GranuleAddress;
use crate::machine::GranuleWords;

/// Auxiliary granules of a REC: three for the largest SVE state, one for what else is switched.
pub(crate) const AUX_GRANULES: usize = 4;

const _: () = assert!(AUX_GRANULES <= MAX_REC_AUX);

/// A REC in its granule.
#[derive(Clone, Copy)]
pub(crate) struct Descriptor<'g>(&'g GranuleWords);

/// Positions of the fields, in words.
mod word {
    pub(super) const OWNER: usize = 0;
    pub(super) const MPIDR: usize = 1;
    pub(super) const FLAGS: usize = 2;
    pub(super) const PROGRAM_COUNTER: usize = 3;
    pub(super) const RIPAS_BASE: usize = 4;
    pub(super) const RIPAS_TOP: usize = 5;
    pub(super) const RIPAS_VALUE: usize = 6;
    pub(super) const RIPAS_FLAGS: usize = 7;
    pub(super) const GENERAL_PURPOSE: usize = 16;
    pub(super) const AUX: usize = 48;
}

/// A change of RIPAS that the Realm has asked for and the host has not completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RipasRequest {
    /// First address that is still to be changed.
    pub(crate) base: u64,
    /// End of the range.
    pub(crate) top: u64,
    /// 0 empty, 1 RAM.
    pub(crate) value: u64,
    /// Memory that the host took away may change too.
    pub(crate) may_change_destroyed: bool,
}

impl<'g> Descriptor<'g> {
    /// The descriptor in the granule of a REC.
    pub(crate) const fn new(words: &'g GranuleWords) -> Self {
        Self(words)
    }

    fn get(self, word: usize) -> u64 {
        self.0[word].load(Ordering::Relaxed)
    }

    fn set(self, word: usize, value: u64) {
        self.0[word].store(value, Ordering::Relaxed);
    }

    /// Fills a descriptor of zeroes.
    pub(crate) fn initialise(
        self,
        owner: GranuleAddress,
        params: &RecParams,
        aux: &[u64; AUX_GRANULES],
    ) {
        self.set(word::OWNER, owner.get());
        self.set(word::MPIDR, params.mpidr);
        self.set(word::FLAGS, params.flags & REC_RUNNABLE);
        self.set(word::PROGRAM_COUNTER, params.pc);
        for (offset, value) in params.gprs.into_iter().enumerate() {
            self.set(word::GENERAL_PURPOSE + offset, value);
        }
        for (offset, address) in aux.iter().enumerate() {
            self.set(word::AUX + offset, *address);
        }
    }

    /// The Realm that the REC belongs to.
    pub(crate) fn owner(self) -> Option<GranuleAddress> {
        GranuleAddress::new(self.get(word::OWNER))
    }

    /// The auxiliary granules.
    pub(crate) fn aux(self) -> [u64; AUX_GRANULES] {
        core::array::from_fn(|offset| self.get(word::AUX + offset))
    }

    /// The pending change of RIPAS; base and top are zero when there is none.
    pub(crate) fn ripas_request(self) -> RipasRequest {
        RipasRequest {
            base: self.get(word::RIPAS_BASE),
            top: self.get(word::RIPAS_TOP),
            value: self.get(word::RIPAS_VALUE),
            may_change_destroyed: self.get(word::RIPAS_FLAGS) != 0,
        }
    }

    /// Notes how far the pending change has come.
    pub(crate) fn set_ripas_base(self, base: u64) {
        self.set(word::RIPAS_BASE, base);
    }
}

/// Index of the REC with an MPIDR in the host's format: four bits of affinity 0, eight of each
/// other (DEN0137 "`RmiRecMpidr`"). Bits 7:4 and above 31 should be zero and are ignored.
pub(crate) const fn index_of_mpidr(mpidr: u64) -> u64 {
    (mpidr & 0xf) | (mpidr >> 8 & 0xff_ffff) << 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_count_through_the_affinities() {
        for (mpidr, index) in [
            (0, 0),
            (0xf, 15),
            (0x100, 16),
            (0x10f, 31),
            (0xff0f, 4095),
            (0x1_0000, 4096),
            (0x100_0000, 1 << 20),
        ] {
            assert_eq!(index_of_mpidr(mpidr), index, "{mpidr:#x}");
        }
    }
}
