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

use crate::cpu_view::Features;
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
    /// VMID and hash algorithm.
    pub(super) const IDENTITY: usize = 5;
    pub(super) const FEATURES: usize = 6;
    pub(super) const PERSONALIZATION: usize = 16;
    /// The RIM and the four REMs.
    pub(super) const MEASUREMENTS: usize = 24;
    /// For each CPU, in 16 bits, one more than the index of the REC that ran there last.
    pub(super) const LAST_RECS: usize = 256;
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
        self.set(
            word::IDENTITY,
            u64::from(stage2.vmid) | (parameters.hash_algorithm as u64) << HASH_ALGORITHM_SHIFT,
        );
        self.set(word::FEATURES, features_word(parameters.features));
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
        stage2_of_words(
            self.get(word::TABLE_BASE),
            self.get(word::TABLE_SHAPE),
            self.get(word::IDENTITY),
        )
    }

    pub(crate) fn hash_algorithm(self) -> HashAlgorithm {
        hash_algorithm_of_word(self.get(word::IDENTITY))
    }

    /// The words that do not change while the Realm exists, for its RECs: they are understood by
    /// [`stage2_of_words`], [`hash_algorithm_of_word`] and [`features_of_word`].
    pub(crate) fn fixed_words(self) -> [u64; 4] {
        [
            word::TABLE_BASE,
            word::TABLE_SHAPE,
            word::IDENTITY,
            word::FEATURES,
        ]
        .map(|word| self.get(word))
    }

    /// The Realm personalization value.
    pub(crate) fn personalization(self) -> [u64; 8] {
        core::array::from_fn(|offset| self.get(word::PERSONALIZATION + offset))
    }

    pub(crate) fn rim(self) -> Measurement {
        self.measurement(0)
    }

    pub(crate) fn set_rim(self, rim: &Measurement) {
        self.set_measurement(0, rim);
    }

    /// Measurement register 0, the RIM, to 4. The descriptor is locked.
    pub(crate) fn measurement(self, register: usize) -> Measurement {
        let first = word::MEASUREMENTS + register * MEASUREMENT_WORDS;
        Measurement::from_words(core::array::from_fn(|offset| self.get(first + offset)))
    }

    /// Sets a measurement register. The descriptor is locked.
    pub(crate) fn set_measurement(self, register: usize, value: &Measurement) {
        let first = word::MEASUREMENTS + register * MEASUREMENT_WORDS;
        let words: [u64; MEASUREMENT_WORDS] = value.words();
        for (offset, value) in words.into_iter().enumerate() {
            self.set(first + offset, value);
        }
    }

    /// Notes that the REC with an index is about to run on a CPU. True when another one of this Realm
    /// was the last there. The descriptor need not be locked.
    pub(crate) fn run_on(self, cpu: usize, rec_index: u64) -> bool {
        const PER_WORD: usize = 4;
        const MASK: u64 = 0xffff;
        let word = &self.0[word::LAST_RECS + cpu / PER_WORD];
        let shift = 16 * (cpu % PER_WORD);
        let last = word.load(Ordering::Relaxed) >> shift & MASK;
        let now = (rec_index + 1) & MASK;
        if last == now {
            return false;
        }
        // Other CPUs have other parts of the word, and only this one changes its own.
        word.fetch_add((now.wrapping_sub(last)) << shift, Ordering::Relaxed);
        last != 0
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

const HASH_ALGORITHM_SHIFT: u32 = 16;

/// How a Realm's addresses are translated, from three words of its descriptor.
pub(crate) fn stage2_of_words(base: u64, shape: u64, identity: u64) -> Option<Stage2> {
    let [ipa_width, start_level, start_tables, lpa2, ..] = shape.to_le_bytes();
    let [low, high, ..] = identity.to_le_bytes();
    Some(Stage2 {
        base: GranuleAddress::new(base)?,
        ipa_width,
        start_level: start_level.cast_signed(),
        start_tables,
        lpa2: lpa2 != 0,
        vmid: u16::from_le_bytes([low, high]),
    })
}

/// Hash algorithm of a Realm, from a word of its descriptor.
pub(crate) const fn hash_algorithm_of_word(identity: u64) -> HashAlgorithm {
    if identity >> HASH_ALGORITHM_SHIFT == HashAlgorithm::Sha256 as u64 {
        HashAlgorithm::Sha256
    } else {
        HashAlgorithm::Sha512
    }
}

const HAS_SVE: u8 = 1 << 0;
const HAS_PMU: u8 = 1 << 1;

fn features_word(features: Features) -> u64 {
    let mut flags = 0;
    if features.sve_vector_length.is_some() {
        flags |= HAS_SVE;
    }
    if features.pmu_counters.is_some() {
        flags |= HAS_PMU;
    }
    u64::from_le_bytes([
        flags,
        features.sve_vector_length.unwrap_or(0),
        features.breakpoints,
        features.watchpoints,
        features.pmu_counters.unwrap_or(0),
        0,
        0,
        0,
    ])
}

/// What a Realm may use of the CPU, from a word of its descriptor.
pub(crate) const fn features_of_word(word: u64) -> Features {
    let [flags, sve, breakpoints, watchpoints, counters, ..] = word.to_le_bytes();
    Features {
        sve_vector_length: if flags & HAS_SVE != 0 {
            Some(sve)
        } else {
            None
        },
        pmu_counters: if flags & HAS_PMU != 0 {
            Some(counters)
        } else {
            None
        },
        breakpoints,
        watchpoints,
    }
}
