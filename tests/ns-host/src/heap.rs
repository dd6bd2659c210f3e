//! Memory for what is large (the RECs of a Realm), and for what predicts measurements and takes tokens apart.

#![allow(unsafe_code)]

use buddy_system_allocator::LockedHeap;

const SIZE: usize = 1 << 20;

#[repr(align(4096))]
struct Memory([u8; SIZE]);

static mut MEMORY: Memory = Memory([0; SIZE]);

#[global_allocator]
static HEAP: LockedHeap<21> = LockedHeap::empty();

/// Gives the heap its memory.
///
/// # Safety
///
/// To be called once, before anything is allocated.
pub(crate) unsafe fn prepare() {
    // SAFETY: nothing else refers to this memory.
    unsafe {
        HEAP.lock()
            .init((&raw mut MEMORY.0).cast::<u8>() as usize, SIZE);
    }
}
