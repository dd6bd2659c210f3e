//! What is where in the workroom.

use core::arch::asm;
use core::ptr::NonNull;
use core::slice;

use buddy_system_allocator::Heap;
use rmm_abi::GRANULE_SIZE;
use rmm_core::machine::TOKEN_GRANULES;

use crate::frame::Frame;
use crate::layout::{self, PAGE};

/// A heap, without its memory. Blocks have up to 8 KiB.
pub type TokenHeap = Heap<14>;

/// First address of the workroom. The page there is a guard, as are those between its parts.
pub(super) const ROOM: u64 = 2 << 20;
/// The page that gets the result.
pub(super) const RESULT: u64 = ROOM + PAGE;
/// The control page.
pub(super) const CONTROL: u64 = RESULT + 2 * PAGE;
/// Pages of the stack.
pub(super) const STACK_PAGES: usize = 3;
pub(super) const STACK: u64 = CONTROL + 2 * PAGE;
/// First address behind the stack.
pub(super) const STACK_END: u64 = STACK + STACK_PAGES as u64 * PAGE;
/// Pages of the heap.
pub(super) const HEAP_PAGES: usize = 3;
/// First address of the heap's memory.
pub(super) const HEAP: u64 = STACK_END + PAGE;

/// Where pages are, and how many: result, control page, stack, heap.
pub(super) const PARTS: [(u64, usize); 4] = [
    (RESULT, 1),
    (CONTROL, 1),
    (STACK, STACK_PAGES),
    (HEAP, HEAP_PAGES),
];

const _: () = {
    assert!(2 + STACK_PAGES + HEAP_PAGES == TOKEN_GRANULES);
    assert!(HEAP + HEAP_PAGES as u64 * PAGE <= ROOM + layout::WINDOW_SIZE);
};

/// What the control page holds.
#[repr(C)]
pub(super) struct Control {
    /// The ordinary stack pointer of the CPU that works.
    pub(super) main_stack: u64,
    /// Registers of work that was put aside.
    pub(super) frame: Frame,
    /// The heap of the work.
    pub(super) heap: TokenHeap,
    /// The argument of the work.
    pub(super) argument: Argument,
}

/// Room for an argument.
#[repr(C, align(16))]
pub(super) struct Argument([u8; ARGUMENT_SIZE]);

/// Bytes that an argument may have.
pub(super) const ARGUMENT_SIZE: usize = 2048;

const _: () = assert!(size_of::<Control>() <= GRANULE_SIZE);

pub(super) const fn control() -> *mut Control {
    CONTROL as *mut Control
}

/// The heap of the work, if it is work that asks.
pub(crate) fn heap() -> Option<NonNull<TokenHeap>> {
    let stack: u64;
    // SAFETY: reading the stack pointer changes nothing.
    unsafe { asm!("mov {0}, sp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
    // SAFETY: the control page is mapped while the stack is in use.
    is_on_stack(stack).then(|| unsafe { NonNull::new_unchecked(&raw mut (*control()).heap) })
}

pub(super) const fn is_on_stack(pointer: u64) -> bool {
    STACK <= pointer && pointer <= STACK_END
}

/// Whether there is nothing in the room, which is mapped, but perhaps a result.
pub(super) fn is_wiped() -> bool {
    /// What is looked at in one go.
    type Words = [u64; 16];
    PARTS[1..].iter().all(|(address, pages)| {
        let count = pages * GRANULE_SIZE / size_of::<Words>();
        // SAFETY: the pages are mapped, and nobody writes to them.
        let content = unsafe { slice::from_raw_parts(*address as *const Words, count) };
        content
            .iter()
            .all(|words| words.iter().fold(0, |all, word| all | word) == 0)
    })
}
