//! Work that interrupts can put aside.
//!
//! Making a token takes millions of instructions, longer than a host may be kept from its
//! interrupts. So it is done on a stack of its own, with interrupts unmasked: one that comes is not
//! handled but puts the work aside, and it goes on where it stopped when the REC is next entered,
//! on whichever CPU that is.
//!
//! Stack and heap of the work are auxiliary granules of the REC. They are mapped in the lower half,
//! where each CPU has tables of its own, at addresses that are the same on all CPUs, so pointers
//! stay true. Outside of work the lower half is empty. When the work is done, all of the room but its
//! result is wiped.

mod place;

use core::arch::{asm, global_asm};
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::offset_of;
use core::ptr;

use rmm_abi::GRANULE_SIZE;
use rmm_core::granule::GranuleAddress;
use rmm_core::machine::TOKEN_GRANULES;

use crate::frame::Frame;
use crate::layout::PAGE;
use crate::memory::Zeroer;
use crate::park;
use crate::translation::{self, Attributes};

pub use place::TokenHeap;
pub(crate) use place::heap;
use place::{
    ARGUMENT_SIZE, Argument, CONTROL, Control, HEAP, HEAP_PAGES, PARTS, RESULT, ROOM, STACK_END,
    control, is_on_stack, is_wiped,
};

global_asm!(
    include_str!("workroom/switch.S"),
    MAIN = const CONTROL + offset_of!(Control, main_stack) as u64,
);

unsafe extern "C" {
    fn rmm_work_begin(work: extern "C" fn(*mut u8), argument: *mut u8, stack_end: u64) -> u64;
    fn rmm_work_resume(frame: *const Frame) -> u64;
    fn rmm_work_interrupted();
}

/// How far work has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It is done.
    Done,
    /// An interrupt is pending for the host.
    Interrupted,
}

/// The workroom of this CPU.
#[derive(Debug)]
pub struct Workroom {
    /// Level 3 entry of [`ROOM`].
    entries: *mut u64,
    zeroer: Zeroer,
    in_use: Cell<bool>,
    not_send: PhantomData<*mut ()>,
}

/// Work and what it works on.
pub trait Work: Sized {
    /// Does it. This is the code that interrupts may put aside: it must not depend on the CPU, or hold a
    /// lock that other code takes.
    fn run(&mut self, result: &mut [u8; GRANULE_SIZE]);
}

extern "C" fn run<W: Work>(work: *mut u8) {
    // SAFETY: `Workroom::begin` has put it there, and the page of the result is mapped. Nobody else
    // uses either while the work is not done.
    unsafe { (*work.cast::<W>()).run(&mut *(RESULT as *mut [u8; GRANULE_SIZE])) }
}

impl Workroom {
    /// The workroom of the CPU that calls, whose lower half comes into use; `None` when there are no
    /// tables for it.
    ///
    /// # Safety
    ///
    /// `cpu` must be the number of the CPU that calls, and no other workroom be in use there.
    pub unsafe fn of_this_cpu(cpu: u32) -> Option<Self> {
        // SAFETY: by the contract of this function.
        let entries = unsafe { translation::use_lower_half(cpu)? };
        Some(Self {
            entries,
            zeroer: Zeroer::of_this_cpu(),
            in_use: Cell::new(false),
            not_send: PhantomData,
        })
    }

    /// Begins work in these granules. When it is done, it is handed to `read`.
    ///
    /// # Panics
    ///
    /// When the granules are not empty: what work leaves is wiped.
    ///
    /// # Safety
    ///
    /// The granules must be in the Realm world and this CPU's alone while the work is done.
    pub unsafe fn begin<W: Work + 'static>(
        &self,
        granules: &[GranuleAddress; TOKEN_GRANULES],
        work: W,
        read: impl FnOnce(&W),
    ) -> Progress {
        const {
            assert!(size_of::<W>() <= ARGUMENT_SIZE && align_of::<W>() <= align_of::<Argument>());
        }
        self.with_room(granules, || {
            assert!(
                is_wiped(),
                "work begins where other work has left something"
            );
            // SAFETY: the room is mapped, and by the contract of this function nobody else uses it.
            // Where the heap has its memory, nothing is.
            let is_done = unsafe {
                let control = control();
                let argument = (&raw mut (*control).argument).cast::<W>();
                argument.write(work);
                (&raw mut (*control).heap).write(TokenHeap::new());
                let memory = HEAP as *mut u8;
                (*control)
                    .heap
                    .init(memory.addr(), HEAP_PAGES * GRANULE_SIZE);
                rmm_work_begin(run::<W>, argument.cast(), STACK_END)
            };
            self.after::<W>(is_done, read)
        })
    }

    /// Goes on with work that was put aside.
    ///
    /// # Safety
    ///
    /// As for [`Self::begin`]; the granules must be those in which work of the same type was put aside, in
    /// the same order.
    pub unsafe fn resume<W: Work + 'static>(
        &self,
        granules: &[GranuleAddress; TOKEN_GRANULES],
        read: impl FnOnce(&W),
    ) -> Progress {
        self.with_room(granules, || {
            // SAFETY: the room is mapped, and what is on its stack is what the work left there.
            let is_done = unsafe { rmm_work_resume(&raw const (*control()).frame) };
            self.after::<W>(is_done, read)
        })
    }

    /// Wipes what work has left that was put aside.
    ///
    /// # Safety
    ///
    /// As for [`Self::begin`].
    pub unsafe fn wipe(&self, granules: &[GranuleAddress; TOKEN_GRANULES]) {
        self.with_room(granules, || {
            // SAFETY: the room is mapped, and by the contract of this function nobody else uses it.
            unsafe { self.zeroer.zero(RESULT, PAGE) };
            self.clear();
        });
    }

    fn after<W: Work>(&self, is_done: u64, read: impl FnOnce(&W)) -> Progress {
        if is_done == 0 {
            return Progress::Interrupted;
        }
        // SAFETY: the work is done, and the room is still mapped. Work has nothing to drop that is not
        // wiped with it.
        read(unsafe { &*(&raw const (*control()).argument).cast::<W>() });
        self.clear();
        Progress::Done
    }

    /// Wipes all of the room but the result.
    fn clear(&self) {
        for (address, pages) in &PARTS[1..] {
            // SAFETY: the room is mapped, and no work is going on in it.
            unsafe { self.zeroer.zero(*address, *pages as u64 * PAGE) };
        }
    }

    /// Maps the room for as long as something is done in it.
    ///
    /// The exception that puts work aside overwrites `ELR_EL2` and `SPSR_EL2`, which are a Realm's, and so
    /// does going on: they are kept.
    fn with_room<T>(
        &self,
        granules: &[GranuleAddress; TOKEN_GRANULES],
        act: impl FnOnce() -> T,
    ) -> T {
        assert!(!self.in_use.replace(true), "work inside of work");
        self.map(granules);
        let (link, state): (u64, u64);
        // SAFETY: reading the registers changes nothing.
        unsafe {
            asm!("mrs {0}, elr_el2", "mrs {1}, spsr_el2", out(reg) link, out(reg) state, options(nomem, nostack));
        }
        let result = act();
        // SAFETY: back to what was there.
        unsafe {
            asm!("msr elr_el2, {0}", "msr spsr_el2, {1}", in(reg) link, in(reg) state, options(nomem, nostack));
        }
        self.unmap();
        self.in_use.set(false);
        result
    }

    /// Level 3 entries of the room's pages.
    fn entries() -> impl Iterator<Item = usize> {
        PARTS.into_iter().flat_map(|(address, pages)| {
            let first = ((address - ROOM) / PAGE) as usize;
            first..first + pages
        })
    }

    fn map(&self, granules: &[GranuleAddress; TOKEN_GRANULES]) {
        for (entry, granule) in Self::entries().zip(granules) {
            // SAFETY: the entries are this CPU's alone, and empty while the room is not in use.
            unsafe {
                ptr::write_volatile(
                    self.entries.add(entry),
                    translation::page(*granule, Attributes::RealmMemory),
                );
            }
        }
        // SAFETY: barriers only order. No TLB holds entries that were not valid.
        unsafe { asm!("dsb nshst", "isb", options(nostack, preserves_flags)) };
    }

    fn unmap(&self) {
        for entry in Self::entries() {
            // SAFETY: as in `map`.
            unsafe { ptr::write_volatile(self.entries.add(entry), 0) };
        }
        translation::forget_each(Self::entries().map(|entry| ROOM + entry as u64 * PAGE));
    }
}

/// What an interrupt of the RMM does: it puts work aside, if that is what runs. False when it does
/// not.
pub(crate) fn put_aside(frame: &mut Frame) -> bool {
    /// EL2 with `SP_EL0`, everything masked.
    const EL2T_MASKED: u64 = 0x3c8;
    if !is_on_stack(frame.sp) || park::stopped() {
        return false;
    }
    // SAFETY: code whose stack is the workroom's runs while the room is mapped; the place is for
    // this.
    unsafe { (&raw mut (*control()).frame).write(*frame) };
    // Nothing of the work stays in registers or on the stack of exceptions, where `vectors.S` leaves no more
    // than this.
    frame.x = [0; 31];
    frame.elr = rmm_work_interrupted as *const () as u64;
    frame.spsr = EL2T_MASKED;
    true
}
