//! Realms: the descriptor, its parameters, VMIDs.
//!
//! A Realm descriptor is one granule. Its words are read and written while it is locked, except
//! for the count of RECs, which a REC that goes away lowers by an atomic operation.

mod parameters;
mod vmid;

pub(crate) use parameters::{Parameters, read_parameters};
pub use vmid::VmidTable;

use core::sync::atomic::Ordering;

use rmm_abi::rmi::HashAlgorithm;

use crate::granule::GranuleAddress;
use crate::machine::GranuleWords;
use crate::measurement::{MEASUREMENT_WORDS, Measurement};
use crate::rtt::Stage2;

/// Life-cycle state of a Realm (DEN0137 "`RmmRealmState`").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RealmState {
    /// Being built.
    New,
    /// May run.
    Active,
    /// Has switched itself off.
    SystemOff,
}

/// A Realm descriptor in its granule.
#[derive(Clone, Copy)]
pub(crate) struct Descriptor<'g>(&'g GranuleWords);

/// Positions of the fields, in words.
mod word {
    pub(super) const STATE: usize = 0;
    pub(super) const RECS: usize = 1;
    pub(super) const NEXT_REC_INDEX: usize = 2;
    pub(super) const TABLE_BASE: usize = 3;
    pub(super) const TABLE_SHAPE: usize = 4;
    pub(super) const VMID: usize = 5;
    pub(super) const HASH_ALGORITHM: usize = 6;
    pub(super) const FLAGS: usize = 7;
    pub(super) const LIMITS: usize = 8;
    pub(super) const PERSONALIZATION: usize = 16;
    pub(super) const RIM: usize = 24;
}

impl<'g> Descriptor<'g> {
    /// The descriptor in the granule of an RD.
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
    pub(crate) fn initialise(self, parameters: &Parameters, rim: &Measurement) {
        self.set_state(RealmState::New);
        let stage2 = &parameters.stage2;
        self.set(word::TABLE_BASE, stage2.base.get());
        let shape = [
            stage2.ipa_width,
            stage2.start_level.cast_unsigned(),
            stage2.start_tables,
            stage2.lpa2.into(),
            0,
            0,
            0,
            0,
        ];
        self.set(word::TABLE_SHAPE, u64::from_le_bytes(shape));
        self.set(word::VMID, stage2.vmid.into());
        self.set(word::HASH_ALGORITHM, parameters.hash_algorithm as u64);
        self.set(word::FLAGS, parameters.flags);
        self.set(word::LIMITS, u64::from_le_bytes(parameters.limits));
        for (offset, value) in parameters.personalization.iter().enumerate() {
            self.set(word::PERSONALIZATION + offset, *value);
        }
        self.set_rim(rim);
    }

    pub(crate) fn state(self) -> RealmState {
        match self.get(word::STATE) {
            0 => RealmState::New,
            1 => RealmState::Active,
            _ => RealmState::SystemOff,
        }
    }

    pub(crate) fn set_state(self, state: RealmState) {
        self.set(
            word::STATE,
            match state {
                RealmState::New => 0,
                RealmState::Active => 1,
                RealmState::SystemOff => 2,
            },
        );
    }

    /// How the Realm's addresses are translated.
    pub(crate) fn stage2(self) -> Option<Stage2> {
        let [ipa_width, start_level, start_tables, lpa2, ..] =
            self.get(word::TABLE_SHAPE).to_le_bytes();
        Some(Stage2 {
            base: GranuleAddress::new(self.get(word::TABLE_BASE))?,
            ipa_width,
            start_level: start_level.cast_signed(),
            start_tables,
            lpa2: lpa2 != 0,
            vmid: u16::try_from(self.get(word::VMID)).ok()?,
        })
    }

    pub(crate) fn hash_algorithm(self) -> HashAlgorithm {
        if self.get(word::HASH_ALGORITHM) == HashAlgorithm::Sha256 as u64 {
            HashAlgorithm::Sha256
        } else {
            HashAlgorithm::Sha512
        }
    }

    pub(crate) fn rim(self) -> Measurement {
        Measurement::from_words(core::array::from_fn(|offset| self.get(word::RIM + offset)))
    }

    pub(crate) fn set_rim(self, rim: &Measurement) {
        let words: [u64; MEASUREMENT_WORDS] = rim.words();
        for (offset, value) in words.into_iter().enumerate() {
            self.set(word::RIM + offset, value);
        }
    }

    /// RECs that exist.
    pub(crate) fn recs(self) -> u64 {
        self.0[word::RECS].load(Ordering::Acquire)
    }

    /// One REC more. The descriptor is locked.
    pub(crate) fn add_rec(self) {
        self.0[word::RECS].fetch_add(1, Ordering::Relaxed);
        self.0[word::NEXT_REC_INDEX].fetch_add(1, Ordering::Relaxed);
    }

    /// One REC less. The descriptor need not be locked: the REC that goes keeps it alive up to
    /// this point, and nothing of the Realm is touched after it.
    pub(crate) fn remove_rec(self) {
        self.0[word::RECS].fetch_sub(1, Ordering::Release);
    }

    /// Index that the next REC must have.
    pub(crate) fn next_rec_index(self) -> u64 {
        self.get(word::NEXT_REC_INDEX)
    }
}
