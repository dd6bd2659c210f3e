//! An allocator that an RMM has, for a thread that asks for it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};

use buddy_system_allocator::Heap;

/// Powers of two that blocks can have, as in an RMM.
const ORDERS: usize = 14;
/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;
/// Where a heap begins counts up to this, and so does its size.
const LARGEST: usize = 16 * PAGE;

thread_local! {
    /// This thread allocates from the room.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What was allocated.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Usage {
    /// Most bytes at a time, as they were asked for.
    pub(crate) most_asked: usize,
    /// Most bytes at a time, as blocks of the heap.
    pub(crate) most_taken: usize,
    /// Bytes that are still allocated.
    pub(crate) left: usize,
    /// Allocations.
    pub(crate) count: usize,
    /// Allocations for which there was no memory.
    pub(crate) refused: usize,
}

struct Room {
    heap: Heap<ORDERS>,
    memory: Range<usize>,
    usage: Usage,
}

static ROOM: Mutex<Option<Room>> = Mutex::new(None);

struct Switch;

#[global_allocator]
static SWITCH: Switch = Switch;

impl Switch {
    /// Does something to the room, if this thread is inside.
    fn with_room<R>(act: impl FnOnce(&mut Room) -> R) -> Option<R> {
        if !INSIDE.get() {
            return None;
        }
        let mut room = ROOM.lock().unwrap_or_else(PoisonError::into_inner);
        room.as_mut().map(act)
    }
}

// SAFETY: memory is the system's or the room's heap's, and goes back to where it came from, which its
// address tells. What is asked of the room and not there comes from the system.
unsafe impl GlobalAlloc for Switch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let from_room = Self::with_room(|room| {
            let block = room.heap.alloc(layout).ok();
            let (asked, taken) = (room.heap.stats_alloc_user(), room.heap.stats_alloc_actual());
            room.usage.count += 1;
            room.usage.refused += usize::from(block.is_none());
            room.usage.most_asked = room.usage.most_asked.max(asked);
            room.usage.most_taken = room.usage.most_taken.max(taken);
            block
        });
        match from_room.flatten() {
            Some(block) => block.as_ptr(),
            // SAFETY: the caller keeps the contract of this very method.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let went_to_room = Self::with_room(|room| {
            let is_rooms = room.memory.contains(&block.addr());
            if let Some(block) = NonNull::new(block).filter(|_| is_rooms) {
                // SAFETY: the block came from this heap, with this layout.
                unsafe { room.heap.dealloc(block, layout) };
            }
            is_rooms
        });
        if went_to_room != Some(true) {
            // SAFETY: the caller keeps the contract of this very method, and the block is not the
            // room's: what is allocated inside is not dropped outside.
            unsafe { System.dealloc(block, layout) };
        }
    }
}

/// Does something with a heap of some pages that begins some pages behind a multiple of 64 KiB. What it
/// allocates it must drop.
pub(crate) fn inside(first_page: usize, pages: usize, act: impl FnOnce()) -> Usage {
    let memory = vec![0_u8; 3 * LARGEST].leak();
    let start = ptr::from_mut(memory).cast::<u8>().expose_provenance();
    let start = start.next_multiple_of(LARGEST) + first_page * PAGE;
    let mut heap = Heap::new();
    assert!(first_page * PAGE < LARGEST && pages * PAGE <= LARGEST);
    // SAFETY: the memory is nobody else's, for ever.
    unsafe { heap.init(start, pages * PAGE) };
    assert_eq!(heap.stats_total_bytes(), pages * PAGE);
    let room = Room {
        heap,
        memory: start..start + pages * PAGE,
        usage: Usage::default(),
    };
    *ROOM.lock().unwrap() = Some(room);
    INSIDE.set(true);
    act();
    INSIDE.set(false);
    let room = ROOM.lock().unwrap().take().expect("put there");
    Usage {
        left: room.heap.stats_alloc_user(),
        ..room.usage
    }
}
