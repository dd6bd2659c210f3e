//! The RMM's view of one CPU.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use rmm_abi::el3::ServiceCode;
use rmm_core::Machine;
use rmm_core::granule::{Delegated, Locked, Undelegated, Wiped};

use crate::memory::{Memory, Owner};

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

/// One CPU. Belongs to one thread.
#[derive(Debug)]
pub struct FakeCpu<'m> {
    memory: &'m Memory,
    number: usize,
    mapped: Cell<usize>,
    el3_calls: Cell<usize>,
}

impl<'m> FakeCpu<'m> {
    pub(crate) fn new(memory: &'m Memory, number: usize) -> Self {
        Self {
            memory,
            number,
            mapped: Cell::new(0),
            el3_calls: Cell::new(0),
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

    fn move_granule(&self, address: u64, from: Owner, to: Owner) -> Result<(), ServiceCode> {
        self.el3_calls.set(self.el3_calls.get() + 1);
        match self.memory.change_owner(address, from, to) {
            None => Err(ServiceCode::BadAddress),
            Some(false) => Err(ServiceCode::BadPas),
            Some(true) => Ok(()),
        }
    }
}

impl Machine for FakeCpu<'_> {
    fn wipe(&self, granule: &Locked<'_, Delegated>) {
        self.mapped.set(self.mapped.get() + 1);
        self.memory.rmm_fill(granule.address().get(), 0);
        if !self.memory.el3().leave_mapped.load(Ordering::SeqCst) {
            self.mapped.set(self.mapped.get() - 1);
        }
    }

    fn delegate(&self, granule: &Locked<'_, Undelegated>) -> Result<(), ServiceCode> {
        self.move_granule(granule.address().get(), Owner::NonSecure, Owner::Realm)
    }

    fn undelegate(&self, granule: &Locked<'_, Wiped>) -> Result<(), ServiceCode> {
        if self.memory.el3().refuse_undelegate.load(Ordering::SeqCst) {
            return Err(ServiceCode::BadPas);
        }
        self.move_granule(granule.address().get(), Owner::Realm, Owner::NonSecure)
    }

    fn relax(&self) {
        std::thread::yield_now();
    }

    fn mapped_granules(&self) -> usize {
        self.mapped.get()
    }
}
