//! Memory that is allocated: for tokens, and nothing else.
//!
//! There are two heaps. One belongs to cold boot, and what it holds at the end of it, key and platform
//! token, stays for ever. The other is part of the workroom, comes empty with each token and is wiped
//! after it. Other code allocates nothing: where neither heap is to be had, there is no memory.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use spin::mutex::SpinMutex;

use crate::workroom::{self, TokenHeap};

/// Bytes of the heap of cold boot: a platform token of the largest size, and what is at hand while the key
/// is taken.
const BOOT_MEMORY_SIZE: usize = 8 << 10;

#[repr(align(4096))]
struct BootMemory([u8; BOOT_MEMORY_SIZE]);

static mut BOOT_MEMORY: BootMemory = BootMemory([0; _]);
static BOOT_HEAP: SpinMutex<Option<TokenHeap>> = SpinMutex::new(None);

/// Lets cold boot allocate.
///
/// # Safety
///
/// To be called once.
pub unsafe fn open_for_boot() {
    let mut heap = TokenHeap::new();
    // SAFETY: nothing else refers to this memory, and it is given away once.
    unsafe { heap.init((&raw mut BOOT_MEMORY.0).addr(), BOOT_MEMORY_SIZE) };
    *BOOT_HEAP.lock() = Some(heap);
}

/// Ends that. What was allocated stays.
pub fn close_after_boot() {
    *BOOT_HEAP.lock() = None;
}

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: memory comes from one of two heaps, and goes back to the one it came from: what is
// allocated in the workroom is not used outside of it, and what is from outside is not changed in it.
// Memory that comes back when its heap is gone is not used again.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = match workroom::heap() {
            // SAFETY: this code runs in the workroom, whose heap nobody else uses.
            Some(mut heap) => unsafe { heap.as_mut() }.alloc(layout).ok(),
            None => BOOT_HEAP
                .lock()
                .as_mut()
                .and_then(|heap| heap.alloc(layout).ok()),
        };
        block.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else {
            return;
        };
        match workroom::heap() {
            // SAFETY: as in `alloc`; the block came from this heap.
            Some(mut heap) => unsafe { heap.as_mut().dealloc(block, layout) },
            None => {
                if let Some(heap) = BOOT_HEAP.lock().as_mut() {
                    // SAFETY: the block came from this heap.
                    unsafe { heap.dealloc(block, layout) };
                }
            }
        }
    }
}

/// `once_cell`, which keeps a table for `p384`, asks for this while it is made: in cold boot, on the
/// only CPU that runs, with interrupts masked.
struct ColdBoot;

critical_section::set_impl!(ColdBoot);

// SAFETY: whoever asks is alone.
unsafe impl critical_section::Impl for ColdBoot {
    unsafe fn acquire() -> critical_section::RawRestoreState {
        assert!(
            BOOT_HEAP.lock().is_some(),
            "a critical section after cold boot"
        );
    }

    unsafe fn release(_state: critical_section::RawRestoreState) {}
}
