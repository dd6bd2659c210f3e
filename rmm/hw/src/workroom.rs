//! Work that interrupts can put aside.
//!
//! Making a token takes millions of instructions, longer than a host may be kept from its
//! interrupts. So it is done on a stack of its own, with interrupts unmasked: one that comes is not
//! handled but puts the work aside, and it goes on where it stopped when the REC is next entered,
//! on whichever CPU that is.
//!
//! Stack and heap of the work are auxiliary granules of the REC. They are mapped in the lower half,
//! where each CPU has tables of its own, at addresses that are the same on all CPUs, so pointers
//! stay true. Outside of work the lower half is empty.

use core::arch::{asm, global_asm};
use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr;

use rmm_core::granule::GranuleAddress;

use crate::exception::Frame;
use crate::layout::{self, PAGE};
use crate::translation::{self, Attributes};

/// First address of the workroom. The page there is a guard, as are those between its parts.
const ROOM: u64 = 2 << 20;
/// The control page.
pub const CONTROL: u64 = ROOM + PAGE;
/// Pages of the stack.
pub const STACK_PAGES: usize = 5;
const STACK: u64 = CONTROL + 2 * PAGE;
/// First address behind the stack.
const STACK_END: u64 = STACK + STACK_PAGES as u64 * PAGE;
/// Pages of the heap.
pub const HEAP_PAGES: usize = 4;
/// First address of the heap.
pub const HEAP: u64 = STACK_END + PAGE;
/// Bytes of the heap.
pub const HEAP_SIZE: u64 = HEAP_PAGES as u64 * PAGE;

/// Granules that work needs: control page, stack, heap.
pub const GRANULES: usize = 1 + STACK_PAGES + HEAP_PAGES;

/// Words of the control page.
mod control {
    /// The ordinary stack pointer of the CPU that works.
    pub(super) const MAIN: u64 = 0;
    /// Registers of work that was put aside.
    pub(super) const FRAME: u64 = 16;
    /// For the argument and the result of the work.
    pub(super) const ARGUMENT: u64 = FRAME + 40 * 8;
}

/// First byte of the control page that work may use as it likes.
pub const ARGUMENT: u64 = CONTROL + control::ARGUMENT;
/// Bytes from there to the end of the page.
pub const ARGUMENT_SIZE: usize = (PAGE - control::ARGUMENT) as usize;

global_asm!(
    include_str!("workroom/switch.S"),
    MAIN = const CONTROL + control::MAIN,
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
    in_use: Cell<bool>,
    not_send: PhantomData<*mut ()>,
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
            in_use: Cell::new(false),
            not_send: PhantomData,
        })
    }

    /// Does work in these granules, which are the room's control page, stack and heap: from its
    /// beginning, or, with `None`, from where it was put aside.
    ///
    /// `fill` may write the argument of work that begins, `read` sees what is there when the
    /// work is done.
    ///
    /// # Safety
    ///
    /// The granules must be in the Realm world, this CPU's alone while the work is done, and
    /// the same in the same order each time. Work may be resumed only if it was put aside.
    ///
    /// # Panics
    ///
    /// When the room is in use.
    pub unsafe fn work(
        &self,
        granules: &[GranuleAddress; GRANULES],
        begin: Option<extern "C" fn(*mut u8)>,
        fill: impl FnOnce(*mut u8),
        read: impl FnOnce(*const u8),
    ) -> Progress {
        assert!(!self.in_use.replace(true), "work inside of work");
        self.map(granules);
        let argument = ARGUMENT as *mut u8;
        let (link, state): (u64, u64);
        // SAFETY: the exception that puts work aside overwrites these two, which are a Realm's.
        unsafe {
            asm!("mrs {0}, elr_el2", "mrs {1}, spsr_el2", out(reg) link, out(reg) state, options(nomem, nostack));
        }
        // SAFETY: the room is mapped, and by the contract of this function nobody else uses it. What
        // is on the stack of work that was put aside is what it left there.
        let done = unsafe {
            match begin {
                Some(work) => {
                    fill(argument);
                    rmm_work_begin(work, argument, STACK_END)
                }
                None => rmm_work_resume((CONTROL + control::FRAME) as *const Frame),
            }
        };
        // SAFETY: back to what was there.
        unsafe {
            asm!("msr elr_el2, {0}", "msr spsr_el2, {1}", in(reg) link, in(reg) state, options(nomem, nostack));
        }
        if done != 0 {
            read(argument);
        }
        self.unmap();
        self.in_use.set(false);
        if done != 0 {
            Progress::Done
        } else {
            Progress::Interrupted
        }
    }

    /// Level 3 entries of the parts, with the granule of each.
    fn entries() -> impl Iterator<Item = usize> {
        let page = |address: u64| ((address - ROOM) / PAGE) as usize;
        [page(CONTROL)]
            .into_iter()
            .chain(page(STACK)..page(STACK_END))
            .chain(page(HEAP)..page(HEAP + HEAP_SIZE))
    }

    fn map(&self, granules: &[GranuleAddress; GRANULES]) {
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

const _: () = assert!(HEAP + HEAP_SIZE <= ROOM + layout::WINDOW_SIZE);

/// What an interrupt of the RMM does: it puts work aside, if that is what runs. False when it does
/// not.
pub(crate) fn put_aside(frame: &mut Frame) -> bool {
    if !(STACK..STACK_END + 1).contains(&frame.sp) {
        return false;
    }
    /// EL2 with `SP_EL0`, everything masked.
    const EL2T_MASKED: u64 = 0x3c8;
    let place = (CONTROL + control::FRAME) as *mut Frame;
    // SAFETY: code whose stack is the workroom's runs while the room is mapped; the place is for
    // this and has room for a frame.
    unsafe { place.write(*frame) };
    // Nothing of the work stays in registers or on the stack of exceptions.
    frame.x = [0; 31];
    frame.elr = rmm_work_interrupted as *const () as u64;
    frame.spsr = EL2T_MASKED;
    true
}
