//! Slots: the only way to a granule's bytes.
//!
//! Each CPU has a few pages of virtual addresses of its own. A granule is mapped there for as
//! long as a [`Mapping`] lives, and nowhere else: code that works on one granule cannot reach
//! another by mistake.
//!
//! Unmapping invalidates the TLB of this CPU only. Another CPU may, by speculation, have cached the
//! translation of a slot that is not its own. That is harmless: it never uses the address, and a
//! granule that changes worlds is kept from it by the granule protection check, which EL3
//! invalidates everywhere.

use core::arch::asm;
use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use rmm_core::boot::MAX_CPUS;
use rmm_core::granule::GranuleAddress;

use crate::layout::{self, PAGE, SLOT_COUNT};
use crate::translation::{MapError, Tables, forget, realm_page};

/// The slots of one CPU.
#[derive(Debug)]
pub struct Slots {
    /// Virtual address of the first slot.
    base: u64,
    /// Level 3 entry of the first slot; the others follow.
    entries: *mut u64,
    /// Slots in use: the first so many.
    used: Cell<usize>,
}

/// Level 3 entry of each CPU's first slot; null where a CPU has none.
static ENTRIES: [AtomicPtr<u64>; MAX_CPUS as usize] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS as usize];

/// Virtual address of a CPU's first slot.
const fn base(cpu: u32) -> u64 {
    layout::PER_CPU + ((cpu as u64) << layout::PER_CPU_SHIFT) + layout::SLOTS
}

/// Makes the tables for the slots of a CPU.
///
/// # Errors
///
/// [`MapError`] when there is no memory for tables, or no such CPU.
pub fn prepare(tables: &mut Tables, cpu: u32) -> Result<(), MapError> {
    let entries = ENTRIES.get(cpu as usize).ok_or(MapError::NoTable)?;
    entries.store(tables.entry(base(cpu))?, Ordering::Release);
    Ok(())
}

/// A granule that is mapped on this CPU. Dropping it unmaps the granule.
#[derive(Debug)]
#[must_use = "dropping a mapping unmaps the granule"]
pub struct Mapping<'s> {
    slots: &'s Slots,
    slot: usize,
    /// Mappings do not leave their CPU.
    not_send: PhantomData<*mut ()>,
}

impl Slots {
    /// The slots of a CPU; `None` when none were prepared.
    ///
    /// # Safety
    ///
    /// `cpu` must be the number of the CPU that calls, and no other `Slots` may be in use there.
    pub unsafe fn of_this_cpu(cpu: u32) -> Option<Self> {
        let entries = ENTRIES.get(cpu as usize)?.load(Ordering::Acquire);
        (!entries.is_null()).then(|| Self {
            base: base(cpu),
            entries,
            used: Cell::new(0),
        })
    }

    /// Slots in use.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// Maps a granule of the Realm world. Mappings end in the opposite order of their beginning.
    ///
    /// # Panics
    ///
    /// When all slots are in use: the number that a command needs is fixed by its code.
    pub fn map(&self, granule: GranuleAddress) -> Mapping<'_> {
        let slot = self.used.get();
        assert!(slot < SLOT_COUNT, "all {SLOT_COUNT} slots are in use");
        self.used.set(slot + 1);
        self.write(slot, realm_page(granule));
        // The entry was invalid, so no TLB holds it; it only has to be seen.
        // SAFETY: barriers only order.
        unsafe { asm!("dsb nshst", "isb", options(nostack, preserves_flags)) };
        Mapping {
            slots: self,
            slot,
            not_send: PhantomData,
        }
    }

    fn write(&self, slot: usize, descriptor: u64) {
        // SAFETY: the entries from `entries` on belong to this CPU's slots (`prepare`)
        // and `slot` is below their number. A slot is written only while no `Mapping` of it
        // lives, or by the one that ends.
        unsafe { ptr::write_volatile(self.entries.add(slot), descriptor) };
    }
}

impl Mapping<'_> {
    /// Virtual address of the granule.
    pub fn address(&self) -> u64 {
        self.slots.base + self.slot as u64 * PAGE
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        self.slots.write(self.slot, 0);
        forget(self.address());
        debug_assert_eq!(
            self.slots.used.get(),
            self.slot + 1,
            "mappings end in order"
        );
        self.slots.used.set(self.slots.used.get() - 1);
    }
}
