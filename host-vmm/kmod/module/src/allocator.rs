//! Memory for the core's own data, from the kernel.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;

use crate::host::c;

struct Kernel;

#[global_allocator]
static ALLOCATOR: Kernel = Kernel;

// SAFETY: `realm_host_allocate` gives memory of the size and alignment that is asked for, which nobody
// else uses until `realm_host_free`, or null.
unsafe impl GlobalAlloc for Kernel {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and alignment can be asked for.
        unsafe { c::realm_host_allocate(layout.size() as u64, layout.align() as u64) }.cast()
    }

    unsafe fn dealloc(&self, pointer: *mut u8, _layout: Layout) {
        // SAFETY: the caller has `pointer` from `alloc` and lets go of it.
        unsafe { c::realm_host_free(pointer.cast()) };
    }
}

/// Puts a value on the heap; `None` when there is no memory. [`take`] ends it.
pub(crate) fn put<T>(value: T) -> Option<*mut T> {
    const { assert!(size_of::<T>() != 0) };
    // SAFETY: the size is not zero.
    let place = unsafe { alloc::alloc::alloc(Layout::new::<T>()) }.cast::<T>();
    if place.is_null() {
        return None;
    }
    // SAFETY: `place` is memory of the size and alignment of a `T` that nobody else has.
    unsafe { ptr::write(place, value) };
    Some(place)
}

/// Takes a value back that [`put`] put on the heap.
///
/// # Safety
///
/// `place` is from [`put`], and nobody uses it any more.
pub(crate) unsafe fn take<T>(place: *mut T) -> T {
    // SAFETY: by the contract there is a `T`, and this is the only time that it is moved out.
    let value = unsafe { ptr::read(place) };
    // SAFETY: `put` allocated it with this layout.
    unsafe { alloc::alloc::dealloc(place.cast(), Layout::new::<T>()) };
    value
}
