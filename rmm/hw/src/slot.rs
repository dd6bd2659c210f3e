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
use core::ops::Deref;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use rmm_core::boot::MAX_CPUS;
use rmm_core::granule::GranuleAddress;
use rmm_core::{GranuleWords, HostFault};

use crate::identity;
use crate::layout::{self, PAGE, SLOT_COUNT};
use crate::translation::{ADDRESS_BITS, Attributes, MapError, Tables, forget, page};

/// The slots of one CPU.
#[derive(Debug)]
pub struct Slots {
    /// Virtual address of the first slot.
    base: u64,
    /// Level 3 entry of the first slot; the others follow.
    entries: *mut u64,
    /// First physical address that this CPU, or a descriptor, does not have.
    address_limit: u64,
    /// A bit for each slot that is in use.
    used: Cell<u32>,
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

/// A slot that is in use. Dropping it unmaps what is in it.
#[derive(Debug)]
struct UsedSlot<'s> {
    slots: &'s Slots,
    slot: usize,
    /// Mappings do not leave their CPU.
    not_send: PhantomData<*mut ()>,
}

/// A granule of the Realm world that is mapped on this CPU. Dropping it unmaps the granule.
#[derive(Debug)]
#[must_use = "dropping a mapping unmaps the granule"]
pub struct Mapping<'s>(UsedSlot<'s>);

/// A granule of the host that is mapped on this CPU, read only. Dropping it unmaps the granule.
///
/// Reading it may fault and gives something else each time, so there is no reference to it; see
/// [`memory::host`](crate::memory::host).
#[derive(Debug)]
#[must_use = "dropping a mapping unmaps the granule"]
pub struct HostMapping<'s>(UsedSlot<'s>);

/// A granule of the host that is mapped on this CPU for writing. Dropping it unmaps the granule.
#[derive(Debug)]
#[must_use = "dropping a mapping unmaps the granule"]
pub struct WritableHostMapping<'s>(UsedSlot<'s>);

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
            address_limit: 1 << identity::physical_address_bits().min(ADDRESS_BITS),
            used: Cell::new(0),
        })
    }

    /// Slots in use.
    pub fn used(&self) -> usize {
        self.used.get().count_ones() as usize
    }

    /// Maps a granule of the Realm world.
    ///
    /// # Safety
    ///
    /// The granule must stay in the Realm world while it is mapped, and be no memory of the RMM's
    /// own.
    ///
    /// # Panics
    ///
    /// When all slots are in use: the number that a command needs is fixed by its code.
    pub unsafe fn map(&self, granule: GranuleAddress) -> Mapping<'_> {
        Mapping(self.fill(page(granule, Attributes::RealmMemory)))
    }

    /// Maps a granule of the host, or what the host says is one.
    ///
    /// # Errors
    ///
    /// [`HostFault`] where no memory can be: an access would not fault as one to memory does.
    ///
    /// # Panics
    ///
    /// As [`map`](Self::map).
    pub fn map_host(&self, granule: GranuleAddress) -> Result<HostMapping<'_>, HostFault> {
        if granule.get() >= self.address_limit {
            return Err(HostFault);
        }
        Ok(HostMapping(
            self.fill(page(granule, Attributes::HostMemory)),
        ))
    }

    /// Maps a granule of the host, or what the host says is one, to write to it.
    ///
    /// # Errors
    ///
    /// As [`map_host`](Self::map_host).
    ///
    /// # Panics
    ///
    /// As [`map`](Self::map).
    pub fn map_host_writable(
        &self,
        granule: GranuleAddress,
    ) -> Result<WritableHostMapping<'_>, HostFault> {
        if granule.get() >= self.address_limit {
            return Err(HostFault);
        }
        Ok(WritableHostMapping(
            self.fill(page(granule, Attributes::WritableHostMemory)),
        ))
    }

    /// Writes a descriptor into the lowest free slot.
    fn fill(&self, descriptor: u64) -> UsedSlot<'_> {
        let used = self.used.get();
        let slot = used.trailing_ones() as usize;
        assert!(slot < SLOT_COUNT, "all {SLOT_COUNT} slots are in use");
        self.used.set(used | 1 << slot);
        self.write(slot, descriptor);
        // The entry was invalid, so no TLB holds it; it only has to be seen.
        // SAFETY: barriers only order.
        unsafe { asm!("dsb nshst", "isb", options(nostack, preserves_flags)) };
        UsedSlot {
            slots: self,
            slot,
            not_send: PhantomData,
        }
    }

    fn write(&self, slot: usize, descriptor: u64) {
        // SAFETY: the entries from `entries` on belong to this CPU's slots (`prepare`) and `slot`
        // is below their number. A slot is written only by `fill`, while it is free, and by the
        // `UsedSlot` that ends.
        unsafe { ptr::write_volatile(self.entries.add(slot), descriptor) };
    }
}

impl UsedSlot<'_> {
    /// Virtual address of the slot.
    fn address(&self) -> u64 {
        self.slots.base + self.slot as u64 * PAGE
    }
}

impl Drop for UsedSlot<'_> {
    fn drop(&mut self) {
        self.slots.write(self.slot, 0);
        forget(self.address());
        self.slots
            .used
            .set(self.slots.used.get() & !(1 << self.slot));
    }
}

impl Mapping<'_> {
    /// Virtual address of the granule.
    pub fn address(&self) -> u64 {
        self.0.address()
    }
}

impl Deref for Mapping<'_> {
    type Target = GranuleWords;

    fn deref(&self) -> &GranuleWords {
        // SAFETY: the granule is mapped for as long as the mapping lives, a page of Realm memory
        // (`map`), and its words are atomics, which the MMU and other CPUs may change as well.
        unsafe { &*(self.address() as *const GranuleWords) }
    }
}

impl HostMapping<'_> {
    /// Where the granule's words are.
    pub(crate) fn start(&self) -> *const u64 {
        self.0.address() as *const u64
    }
}

impl WritableHostMapping<'_> {
    /// Where the granule's words are.
    pub(crate) fn start(&self) -> *mut u64 {
        self.0.address() as *mut u64
    }
}

const _: () = assert!(SLOT_COUNT < u32::BITS as usize, "a bit for each slot");
