//! What the RMM asks of the machine, outside of running RECs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rmm_abi::el3::ServiceCode;
use rmm_core::granule::{
    Data, Delegated, GranuleAddress, InRealmWorld, KeepsRealm, Locked, Rec, Running, Undelegated,
    Wiped,
};
use rmm_core::rtt::Invalidation;
use rmm_core::statistics::CpuStatistics;
use rmm_core::{HostFault, Machine, WORDS_PER_GRANULE};
use sha2::block_api::{compress256, compress512};

use super::{FakeCpu, FakeMapping, LONGEST_WAIT, MOST_WAITS_ALONE};
use crate::granule::Owner;

impl Machine for FakeCpu<'_> {
    type Mapping<'m>
        = FakeMapping<'m>
    where
        Self: 'm;

    fn map<'m, S: InRealmWorld>(&'m self, granule: &'m Locked<'_, S>) -> FakeMapping<'m> {
        self.access(granule.address().get(), true)
    }

    fn map_owner<'m>(
        &'m self,
        _rec: &'m impl KeepsRealm,
        owner: GranuleAddress,
    ) -> FakeMapping<'m> {
        self.access(owner.get(), false)
    }

    fn map_constant<'m>(&'m self, rec: &'m Locked<'_, Rec>) -> FakeMapping<'m> {
        self.access(rec.address().get(), false)
    }

    fn map_running<'m>(&'m self, rec: &'m Running<'_>) -> FakeMapping<'m> {
        let address = rec.address().get();
        assert!(
            !self.memory.is_mapped(address),
            "the REC {address:#x} is mapped while it is run"
        );
        self.access(address, true)
    }

    fn map_aux<'m>(&'m self, _rec: &'m Running<'_>, aux: GranuleAddress) -> FakeMapping<'m> {
        self.access(aux.get(), true)
    }

    fn wipe(&self, granule: &Locked<'_, Delegated>) {
        let address = granule.address().get();
        self.memory.assert_unreachable(address);
        self.access(address, true).zero();
        if self.memory.el3().leave_mapped.load(Ordering::SeqCst) {
            self.mapped.set(self.mapped.get() + 1);
        }
    }

    fn clear(&self, granule: &Locked<'_, Data>) {
        self.access(granule.address().get(), true).zero();
    }

    fn read_host_parts<const PARTS: usize>(
        &self,
        source: GranuleAddress,
        parts: [(usize, &mut [u64]); PARTS],
    ) -> Result<(), HostFault> {
        for (first, into) in parts {
            let words = first..first + into.len();
            self.host_words(source, words, |word, value| into[word - first] = value)?;
        }
        Ok(())
    }

    fn write_host_upper_half<const PARTS: usize>(
        &self,
        target: GranuleAddress,
        parts: [(usize, &[u64]); PARTS],
    ) -> Result<(), HostFault> {
        const HALF: usize = WORDS_PER_GRANULE / 2;
        let mut half = [0; HALF];
        for (first, words) in parts {
            half[first - HALF..][..words.len()].copy_from_slice(words);
        }
        self.interruption.run();
        for (word, value) in (HALF..).zip(half) {
            self.memory.before_host_write(target.get(), word);
            self.memory
                .host_write(target.get(), word, value)
                .map_err(|_| HostFault)?;
        }
        Ok(())
    }

    fn read_host(
        &self,
        source: GranuleAddress,
        into: &mut [u64; WORDS_PER_GRANULE],
    ) -> Result<(), HostFault> {
        self.host_words(source, 0..WORDS_PER_GRANULE, |word, value| {
            into[word] = value;
        })
    }

    fn copy_from_host(
        &self,
        source: GranuleAddress,
        into: &Locked<'_, Delegated>,
    ) -> Result<(), HostFault> {
        let address = into.address().get();
        self.memory.assert_unreachable(address);
        let target = self.access(address, true);
        self.host_words(source, 0..WORDS_PER_GRANULE, |word, value| {
            target[word].store(value, Ordering::Relaxed);
        })
    }

    fn sha256(&self, state: &mut [u32; 8], blocks: &[AtomicU64]) {
        let (blocks, rest) = blocks.as_chunks::<8>();
        assert!(rest.is_empty(), "not whole blocks");
        for block in blocks {
            let mut bytes = [0; 64];
            fill(&mut bytes, block);
            compress256(state, &[bytes]);
        }
    }

    fn sha512(&self, state: &mut [u64; 8], blocks: &[AtomicU64]) {
        let (blocks, rest) = blocks.as_chunks::<16>();
        assert!(rest.is_empty(), "not whole blocks");
        for block in blocks {
            let mut bytes = [0; 128];
            fill(&mut bytes, block);
            compress512(state, &[bytes]);
        }
    }

    fn clean_for_fetches(&self, granule: &Locked<'_, Data>) {
        self.interruption.run();
        self.memory.clean(granule.address().get());
    }

    fn forget_instructions(&self) {
        self.interruption.run();
        self.memory.count_forgotten_instructions();
    }

    fn publish_tables(&self) {
        self.interruption.run();
        self.memory.count_publication();
    }

    fn invalidate(&self, invalidation: &Invalidation) {
        self.interruption.run();
        self.memory.invalidate(invalidation);
    }

    fn delegate(&self, granule: &Locked<'_, Undelegated>) -> Result<(), ServiceCode> {
        self.move_granule(granule.address().get(), Owner::NonSecure, Owner::Realm)
    }

    fn undelegate(&self, granule: &Locked<'_, Wiped>) -> Result<(), ServiceCode> {
        let address = granule.address().get();
        self.memory.assert_unreachable(address);
        if self.memory.el3().refuse_undelegate.load(Ordering::SeqCst) {
            return Err(ServiceCode::BadPas);
        }
        self.move_granule(address, Owner::Realm, Owner::NonSecure)
    }

    fn relax(&self) {
        self.waiting.run();
        if self.in_call.get() {
            let since = self.waiting_since.get().unwrap_or_else(Instant::now);
            self.waiting_since.set(Some(since));
            let alone = self.memory.calls_under_way().load(Ordering::SeqCst) == 1;
            self.waits_alone
                .set(if alone { self.waits_alone.get() + 1 } else { 0 });
            // Another CPU may have released the lock and ended its call since this one looked.
            assert!(
                self.waits_alone.get() < MOST_WAITS_ALONE,
                "this CPU waits for a lock, and no other CPU serves a call"
            );
            assert!(
                since.elapsed() < LONGEST_WAIT,
                "the wait for a lock does not end"
            );
        }
        std::thread::yield_now();
    }

    fn statistics(&self) -> &CpuStatistics {
        // Tests that do not look at them may have more CPUs, whatever the numbers.
        let all = self.memory.statistics();
        &all[self.number % all.len()]
    }

    fn all_statistics(&self) -> &[CpuStatistics] {
        self.memory.statistics()
    }

    fn time(&self) -> u64 {
        self.memory.counter()
    }

    fn mapped_granules(&self) -> usize {
        self.waiting_since.set(None);
        self.mapped.get()
    }
}

/// The bytes of words as they are in memory.
fn fill(bytes: &mut [u8], words: &[AtomicU64]) {
    for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *bytes = word.load(Ordering::Relaxed).to_le_bytes();
    }
}
