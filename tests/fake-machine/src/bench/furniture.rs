//! What tests set up: granules, Realms, RECs, tables, memory.

use rmm_abi::rmi::{RealmParams, RecParams, fid};
use zerocopy::{Immutable, IntoBytes};

use super::{AUX_GRANULES, Bench, Bytes, PAGE};
use crate::memory::WORDS_PER_GRANULE;
use rmm_model::realm::HostMemory;

impl Bench<'_> {
    /// A granule of the host that nothing else uses.
    ///
    /// # Panics
    ///
    /// When there is none left.
    pub fn host_granule(&mut self) -> u64 {
        self.unused.pop_first().expect("enough granules")
    }

    /// Keeps granules from being given away.
    pub fn set_aside(&mut self, granules: std::ops::Range<u64>) {
        self.unused.retain(|granule| !granules.contains(granule));
    }

    /// A fresh granule, delegated.
    pub fn delegated(&mut self) -> u64 {
        let granule = self.host_granule();
        self.succeed(fid::GRANULE_DELEGATE, &[granule]);
        granule
    }

    /// As many contiguous granules as there are start tables, aligned to all of them, delegated.
    ///
    /// # Panics
    ///
    /// When there are none left.
    pub fn start_tables(&mut self, count: u64) -> u64 {
        let is_free = |address: u64| self.unused.contains(&address);
        let fits = |base: &&u64| {
            base.is_multiple_of(count * PAGE) && (0..count).all(|n| is_free(**base + n * PAGE))
        };
        let base = *self
            .unused
            .iter()
            .find(fits)
            .expect("enough contiguous granules");
        self.unused
            .retain(|granule| !(base..base + count * PAGE).contains(granule));
        for number in 0..count {
            self.succeed(fid::GRANULE_DELEGATE, &[base + number * PAGE]);
        }
        base
    }

    /// The host writes a structure to one of its granules.
    ///
    /// # Panics
    ///
    /// When the granule is not the host's.
    pub fn write<T: IntoBytes + Immutable>(&self, address: u64, structure: &T) {
        let (words, _) = structure.as_bytes().as_chunks::<8>();
        for (number, word) in words.iter().enumerate() {
            let value = u64::from_le_bytes(*word);
            self.memory
                .host_write(address, number, value)
                .expect("the host's own granule");
        }
    }

    /// The bytes of a granule, whoever owns it.
    pub fn bytes(&self, address: u64) -> [u8; 0x1000] {
        Bytes(self.memory).read(address)
    }

    /// The host fills a granule with words that tell where they come from.
    ///
    /// # Panics
    ///
    /// When the granule is not the host's.
    pub fn fill(&self, address: u64, seed: u64) {
        for word in 0..WORDS_PER_GRANULE {
            let value = seed
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(word as u64);
            self.memory
                .host_write(address, word, value)
                .expect("the host's own granule");
        }
    }

    /// Makes a Realm, from parameters of which the base of the tables is filled in here.
    pub fn realm(&mut self, params: &RealmParams) -> u64 {
        let rtt_base = self.start_tables(params.rtt_num_start.into());
        let rd = self.delegated();
        let page = self.host_granule();
        let mut params = *params;
        params.rtt_base = rtt_base;
        self.write(page, &params);
        self.succeed(fid::REALM_CREATE, &[rd, page]);
        self.unused.insert(page);
        rd
    }

    /// Parameters of the next REC of a Realm, with fresh auxiliary granules.
    pub fn rec_params(&mut self, rd: u64) -> RecParams {
        let index = self.world.realm(rd).map_or(0, |realm| realm.next_rec);
        let mut params = RecParams::default();
        params.mpidr = index & 0xf | (index >> 4) << 8;
        params.num_aux = AUX_GRANULES as u64;
        for aux in &mut params.aux[..AUX_GRANULES] {
            *aux = self.delegated();
        }
        params
    }

    /// Makes the next REC of a Realm, runnable if `runnable`.
    pub fn rec(&mut self, rd: u64, runnable: bool) -> u64 {
        let mut params = self.rec_params(rd);
        params.flags = runnable.into();
        params.pc = super::Scene::ENTRY;
        let page = self.host_granule();
        self.write(page, &params);
        let rec = self.delegated();
        self.succeed(fid::REC_CREATE, &[rd, rec, page]);
        self.unused.insert(page);
        rec
    }

    /// Adds tables of a Realm down to a level for an IPA, where there are none yet.
    ///
    /// # Panics
    ///
    /// When there is no Realm.
    pub fn tables(&mut self, rd: u64, ipa: u64, level: i64) {
        let start = self.world.realm(rd).expect("a Realm").shape.start_level;
        for level in start + 1..=level {
            let above = level - 1;
            let base = ipa & !(rmm_model::realm::entry_size(above) - 1);
            let read = [rd, base, above.cast_unsigned()];
            let [_, state, ..] = self.succeed(fid::RTT_READ_ENTRY, &read);
            if state != 2 {
                let table = self.delegated();
                self.succeed(fid::RTT_CREATE, &[rd, table, base, level.cast_unsigned()]);
            }
        }
    }

    /// Gives a Realm a page of unknown content.
    pub fn data(&mut self, rd: u64, ipa: u64) -> u64 {
        let data = self.delegated();
        self.succeed(fid::DATA_CREATE_UNKNOWN, &[rd, data, ipa]);
        data
    }
}
