//! The RMM's view of one CPU.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rmm_abi::el3::ServiceCode;
use rmm_core::granule::{
    Data, Delegated, GranuleAddress, InRealmWorld, Locked, Rec, Undelegated, Wiped,
};
use rmm_core::rtt::Invalidation;
use rmm_core::{Call, GranuleWords, HostFault, Machine, Reply, Rmm, WORDS_PER_GRANULE};
use sha2::block_api::{compress256, compress512};

use crate::granule::{Access, Owner};
use crate::interruption::Interruption;
use crate::memory::Memory;

/// Ways in which EL3, or the RMM's own hardware layer, can be told to fail.
#[derive(Debug, Default)]
pub struct El3Script {
    refuse_undelegate: AtomicBool,
    leave_mapped: AtomicBool,
}

impl El3Script {
    /// From now on EL3 refuses to take granules back.
    pub fn refuse_undelegate(&self) {
        self.refuse_undelegate.store(true, Ordering::SeqCst);
    }

    /// From now on a wipe leaves its granule mapped.
    pub fn leave_mapped(&self) {
        self.leave_mapped.store(true, Ordering::SeqCst);
    }
}

/// How long a CPU waits for a lock before it says that something is wrong.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Waits in a row, while no other CPU serves a call, after which nobody can release the lock.
const MOST_WAITS_ALONE: u32 = 1000;

static NEXT_IDENTITY: AtomicU64 = AtomicU64::new(1);

/// One CPU. Belongs to one thread.
#[derive(Debug)]
pub struct FakeCpu<'m> {
    memory: &'m Memory,
    number: usize,
    /// Tells this CPU apart from all others, whatever their numbers.
    identity: u64,
    mapped: Cell<usize>,
    el3_calls: Cell<usize>,
    in_call: Cell<bool>,
    waiting_since: Cell<Option<Instant>>,
    /// Times in a row that this CPU waited and no other CPU was serving a call.
    waits_alone: Cell<u32>,
    /// What happens at each step of the RMM.
    interruption: Interruption,
    waiting: Interruption,
    /// Host granules that the present call has read.
    host_granules_read: RefCell<Vec<u64>>,
}

/// A granule that the RMM has mapped.
#[derive(Debug)]
pub struct FakeMapping<'m> {
    cpu: &'m FakeCpu<'m>,
    access: Access<'m>,
}

impl Deref for FakeMapping<'_> {
    type Target = GranuleWords;

    fn deref(&self) -> &GranuleWords {
        &self.access
    }
}

impl Drop for FakeMapping<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.cpu.interruption.run();
        }
        self.cpu.mapped.set(self.cpu.mapped.get() - 1);
    }
}

impl<'m> FakeCpu<'m> {
    pub(crate) fn new(memory: &'m Memory, number: usize) -> Self {
        Self {
            memory,
            number,
            identity: NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed),
            mapped: Cell::new(0),
            el3_calls: Cell::new(0),
            in_call: Cell::new(false),
            waiting_since: Cell::new(None),
            waits_alone: Cell::new(0),
            interruption: Interruption::default(),
            waiting: Interruption::default(),
            host_granules_read: RefCell::default(),
        }
    }

    /// Number of this CPU.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Calls that the RMM has made to EL3 on this CPU.
    pub fn el3_calls(&self) -> usize {
        self.el3_calls.get()
    }

    /// The host calls the RMM on this CPU.
    ///
    /// # Panics
    ///
    /// When the call ends with a fatal condition, leaves a granule mapped, waits for a lock that
    /// nobody will release, or reads a granule of the host more than once.
    pub fn call(&self, rmm: &Rmm<'_>, call: &Call) -> Reply {
        self.host_granules_read.borrow_mut().clear();
        let reply = match self.under_way(|| rmm.call(self, call)) {
            Ok(reply) => reply,
            Err(fatal) => panic!("fatal: {fatal}; call {call:x?}"),
        };
        assert_eq!(self.mapped.get(), 0, "granules left mapped by {call:x?}");
        reply
    }

    /// From now on `interruption` runs whenever the RMM on this CPU is about to do something to the
    /// machine: to map, unmap, wipe or invalidate. Other CPUs may get in between there.
    pub fn interrupt(&self, interruption: impl FnMut() + 'static) {
        self.interruption.set(Box::new(interruption));
    }

    /// From now on `waiting` runs whenever the RMM on this CPU waits for a lock.
    pub fn when_waiting(&self, waiting: impl FnMut() + 'static) {
        self.waiting.set(Box::new(waiting));
    }

    /// Does what a call does, so that a wait without an end is noticed.
    pub(crate) fn under_way<R>(&self, call: impl FnOnce() -> R) -> R {
        self.in_call.set(true);
        self.memory.calls_under_way().fetch_add(1, Ordering::SeqCst);
        let result = call();
        self.memory.calls_under_way().fetch_sub(1, Ordering::SeqCst);
        self.in_call.set(false);
        result
    }

    fn move_granule(&self, address: u64, from: Owner, to: Owner) -> Result<(), ServiceCode> {
        self.el3_calls.set(self.el3_calls.get() + 1);
        match self.memory.change_owner(address, from, to) {
            None => Err(ServiceCode::BadAddress),
            Some(false) => Err(ServiceCode::BadPas),
            Some(true) => Ok(()),
        }
    }

    fn access(&self, address: u64, exclusive: bool) -> FakeMapping<'_> {
        self.interruption.run();
        let granule = self
            .memory
            .granule(address)
            .expect("the RMM touches DRAM only");
        let access = Access::begin(granule, address, self.identity, exclusive);
        self.mapped.set(self.mapped.get() + 1);
        FakeMapping { cpu: self, access }
    }

    /// Reads each word of a granule of the host once, and may find it gone at any of them.
    fn host_words(
        &self,
        source: GranuleAddress,
        mut into: impl FnMut(usize, u64),
    ) -> Result<(), HostFault> {
        let address = source.get();
        let mut read = self.host_granules_read.borrow_mut();
        if self.in_call.get() {
            assert!(
                !read.contains(&address),
                "{address:#x} is read twice by one call"
            );
            read.push(address);
        }
        for word in 0..WORDS_PER_GRANULE {
            self.memory.before_host_read(address, word);
            into(
                word,
                self.memory
                    .host_read(address, word)
                    .map_err(|_| HostFault)?,
            );
        }
        Ok(())
    }
}

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
        _rec: &'m Locked<'_, Rec>,
        owner: GranuleAddress,
    ) -> FakeMapping<'m> {
        self.access(owner.get(), false)
    }

    fn wipe(&self, granule: &Locked<'_, Delegated>) {
        let address = granule.address().get();
        self.memory.assert_unreachable(address);
        let mapping = self.access(address, true);
        for word in mapping
            .access
            .granule()
            .touched_words()
            .into_iter()
            .flatten()
        {
            word.store(0, Ordering::Relaxed);
        }
        if self.memory.el3().leave_mapped.load(Ordering::SeqCst) {
            self.mapped.set(self.mapped.get() + 1);
        }
    }

    fn read_host(
        &self,
        source: GranuleAddress,
        into: &mut [u64; WORDS_PER_GRANULE],
    ) -> Result<(), HostFault> {
        self.host_words(source, |word, value| into[word] = value)
    }

    fn copy_from_host(
        &self,
        source: GranuleAddress,
        into: &Locked<'_, Delegated>,
    ) -> Result<(), HostFault> {
        let address = into.address().get();
        self.memory.assert_unreachable(address);
        let target = self.access(address, true);
        self.host_words(source, |word, value| {
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
