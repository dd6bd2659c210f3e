//! The RMM's view of one CPU.

mod execute;
mod machine;
mod memory_access;
mod run;
mod token;

pub use token::{TokenScript, token_words};

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rmm_abi::el3::ServiceCode;
use rmm_core::granule::GranuleAddress;
use rmm_core::{Call, GranuleWords, HostFault, Reply, Rmm, WORDS_PER_GRANULE};

use crate::granule::{Access, Owner};
use crate::interruption::Interruption;
use crate::memory::Memory;
use crate::registers::Registers;

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
    /// Words of host granules that the present call has read, a bit for each.
    host_words_read: RefCell<BTreeMap<u64, [u64; WORDS_PER_GRANULE / 64]>>,
    /// What is in the registers; taken out while a program of a REC has them.
    registers: RefCell<Option<Box<Registers>>>,
    /// The REC whose registers those are.
    loaded: Cell<Option<u64>>,
    /// RECs that were loaded, ever.
    loads: Cell<u64>,
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
        let identity = NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed);
        Self {
            memory,
            number,
            identity,
            mapped: Cell::new(0),
            el3_calls: Cell::new(0),
            in_call: Cell::new(false),
            waiting_since: Cell::new(None),
            waits_alone: Cell::new(0),
            interruption: Interruption::default(),
            waiting: Interruption::default(),
            host_words_read: RefCell::default(),
            registers: RefCell::default(),
            loaded: Cell::new(None),
            loads: Cell::new(0),
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
    /// nobody will release, reads a word of the host more than once, leaves a REC in the CPU, or
    /// does not give the host its registers back.
    pub fn call(&self, rmm: &Rmm<'_>, call: &Call) -> Reply {
        self.host_words_read.borrow_mut().clear();
        let loads = self.loads.get();
        let reply = match self.under_way(|| rmm.call(self, call)) {
            Ok(reply) => reply,
            Err(fatal) => panic!("fatal: {fatal}; call {call:x?}"),
        };
        assert_eq!(self.mapped.get(), 0, "granules left mapped by {call:x?}");
        if self.loads.get() != loads {
            assert_eq!(
                self.loaded.get(),
                None,
                "a REC left in the CPU by {call:x?}"
            );
            let registers = self.registers.borrow();
            let registers = registers.as_ref().expect("there since the first load");
            registers.assert_the_hosts(self.identity);
        }
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

    /// Reads words of a granule of the host, and may find it gone at any of them.
    fn host_words(
        &self,
        source: GranuleAddress,
        words: Range<usize>,
        mut into: impl FnMut(usize, u64),
    ) -> Result<(), HostFault> {
        let address = source.get();
        let mut read = self.host_words_read.borrow_mut();
        let read = read.entry(address).or_default();
        for word in words {
            if self.in_call.get() {
                let (index, bit) = (word / 64, 1 << (word % 64));
                assert_eq!(
                    read[index] & bit,
                    0,
                    "word {word} of {address:#x} is read twice by one call"
                );
                read[index] |= bit;
            }
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

impl FakeMapping<'_> {
    /// Overwrites every word with zero.
    fn zero(&self) {
        for word in self.access.granule().touched_words().into_iter().flatten() {
            word.store(0, Ordering::Relaxed);
        }
    }
}
