//! The host's accesses to memory, and what it does while the RMM makes its own.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::granule::Owner;
use crate::memory::{GranuleProtectionFault, Memory};

type Hook = Box<dyn FnMut(&Memory, u64, usize) + Send>;

/// Something that happens before the RMM reads, or writes, a word of the host's memory.
#[derive(Default)]
pub(crate) struct HostHook {
    armed: AtomicBool,
    hook: Mutex<Option<Hook>>,
}

impl HostHook {
    pub(crate) fn set(&self, hook: Option<Hook>) {
        self.armed.store(hook.is_some(), Ordering::SeqCst);
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    pub(crate) fn run(&self, memory: &Memory, address: u64, word: usize) {
        if self.armed.load(Ordering::SeqCst) {
            let mut hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(hook) = hook.as_mut() {
                hook(memory, address, word);
            }
        }
    }
}

impl fmt::Debug for HostHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostHook")
            .field("armed", &self.armed)
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// The host reads a word of a granule.
    ///
    /// # Errors
    ///
    /// A fault when the granule is not the host's, or no DRAM.
    pub fn host_read(&self, address: u64, word: usize) -> Result<u64, GranuleProtectionFault> {
        let granule = self.granule(address).ok_or(GranuleProtectionFault)?;
        let before = granule.owner_word();
        let value = granule.load(word);
        // Hardware checks and reads in one go: a read during which the owner changed faults.
        let undisturbed = granule.owner_word() == before;
        (Owner::from_word(before) == Owner::NonSecure && undisturbed)
            .then_some(value)
            .ok_or(GranuleProtectionFault)
    }

    /// The host writes a word of a granule. A write that races with a change of owner may land
    /// although it is reported as a fault, as a write does that was on its way.
    ///
    /// # Errors
    ///
    /// A fault when the granule is not the host's, or no DRAM.
    pub fn host_write(
        &self,
        address: u64,
        word: usize,
        value: u64,
    ) -> Result<(), GranuleProtectionFault> {
        let granule = self.granule(address).ok_or(GranuleProtectionFault)?;
        let owner = granule.owner_word();
        if Owner::from_word(owner) != Owner::NonSecure {
            return Err(GranuleProtectionFault);
        }
        granule.store(word, value);
        (granule.owner_word() == owner)
            .then_some(())
            .ok_or(GranuleProtectionFault)
    }

    /// Whether a granule is the host's, so that it can read and write there.
    pub fn host_accessible(&self, address: u64) -> bool {
        address.is_multiple_of(rmm_abi::GRANULE_SIZE as u64)
            && self
                .granule(address)
                .is_some_and(|granule| granule.owner() == Owner::NonSecure)
    }

    /// From now on `hook` runs before the RMM reads a word of the host's memory, with the address
    /// of the granule and the number of the word. It may be what another CPU of the host does.
    pub fn on_host_read(&self, hook: impl FnMut(&Self, u64, usize) + Send + 'static) {
        self.host_hook.set(Some(Box::new(hook)));
    }

    /// Ends what [`Self::on_host_read`] began.
    pub fn clear_host_read(&self) {
        self.host_hook.set(None);
    }

    pub(crate) fn before_host_read(&self, address: u64, word: usize) {
        self.host_hook.run(self, address, word);
    }

    /// From now on `hook` runs before the RMM writes a word of the host's memory, with the address of
    /// the granule and the number of the word.
    pub fn on_host_write(&self, hook: impl FnMut(&Self, u64, usize) + Send + 'static) {
        self.host_write_hook.set(Some(Box::new(hook)));
    }

    /// Ends what [`Self::on_host_write`] began.
    pub fn clear_host_write(&self) {
        self.host_write_hook.set(None);
    }

    pub(crate) fn before_host_write(&self, address: u64, word: usize) {
        self.host_write_hook.run(self, address, word);
    }
}
