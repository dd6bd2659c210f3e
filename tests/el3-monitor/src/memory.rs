//! The monitor's own memory: stacks, heap, and access to physical addresses.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use buddy_system_allocator::LockedHeap;
use el3_monitor::{Region, index};

use crate::registers::{execute, execute_with};

/// Memory in the SRAM that nothing clears at boot.
#[repr(transparent)]
pub(crate) struct Uninitialised<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: only the address is taken of it; who uses the memory behind it sees to its own order.
unsafe impl<T> Sync for Uninitialised<T> {}

impl<T> Uninitialised<T> {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Its address.
    pub(crate) fn address(&self) -> u64 {
        self.0.get() as u64
    }
}

/// A stack. Its lowest page is not mapped.
#[repr(C, align(4096))]
pub(crate) struct Stack<const SIZE: usize>([u8; SIZE]);

const HEAP_SIZE: usize = 8 << 20;

#[repr(C, align(4096))]
struct HeapMemory([u8; HEAP_SIZE]);

#[unsafe(link_section = ".uninit.heap")]
static HEAP_MEMORY: Uninitialised<HeapMemory> = Uninitialised::new();

#[global_allocator]
static HEAP: LockedHeap<24> = LockedHeap::empty();

/// Sets up the heap, once, before anything is allocated.
pub(crate) fn init_heap() {
    // SAFETY: the memory is mapped, and nobody else uses it.
    unsafe {
        HEAP.lock().init(index(HEAP_MEMORY.address()), HEAP_SIZE);
    }
}

/// Physical memory as bytes. EL3 maps every address to itself.
///
/// # Safety
///
/// The region is mapped for reading, and nobody writes it while the slice is used.
pub(crate) unsafe fn bytes(region: Region) -> &'static [u8] {
    // SAFETY: the caller's promise; a region does not wrap.
    unsafe {
        core::slice::from_raw_parts(
            core::ptr::with_exposed_provenance(index(region.start)),
            index(region.size()),
        )
    }
}

/// Copies bytes to a physical address and cleans them to memory, for readers without caches.
///
/// # Safety
///
/// The destination is mapped for writing, and nobody reads or writes it meanwhile.
pub(crate) unsafe fn write_clean(address: u64, bytes: &[u8]) {
    // SAFETY: the caller's promise; the source is ordinary memory of the monitor.
    unsafe {
        let destination = core::ptr::with_exposed_provenance_mut::<u8>(index(address));
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), destination, bytes.len());
    }
    clean(Region {
        start: address,
        end: address + bytes.len() as u64,
    });
}

/// Copies bytes from a physical address, as somebody without caches may have written them.
///
/// # Safety
///
/// The source is mapped for reading and writing, and nobody writes it meanwhile.
pub(crate) unsafe fn read_fresh(address: u64, bytes: &mut [u8]) {
    let region = Region {
        start: address,
        end: address + bytes.len() as u64,
    };
    for line in lines(region) {
        // SAFETY: the monitor has cleaned what it wrote there, so only stale lines go.
        unsafe { execute_with!("dc civac", line) };
    }
    // SAFETY: a barrier, then the caller's promise; the destination is ordinary memory.
    unsafe {
        execute!("dsb sy");
        let source = core::ptr::with_exposed_provenance::<u8>(index(address));
        core::ptr::copy_nonoverlapping(source, bytes.as_mut_ptr(), bytes.len());
    }
}

/// Cleans a region of mapped memory to the point of coherency.
pub(crate) fn clean(region: Region) {
    for line in lines(region) {
        // SAFETY: cleaning writes back what was written, nothing else.
        unsafe { execute_with!("dc cvac", line) };
    }
    // SAFETY: a barrier.
    unsafe { execute!("dsb sy") };
}

/// Addresses in every cache line of a region.
fn lines(region: Region) -> impl Iterator<Item = u64> {
    const SMALLEST_LINE: usize = 16;
    let first = region.start & !(SMALLEST_LINE as u64 - 1);
    (first..region.end).step_by(SMALLEST_LINE)
}
