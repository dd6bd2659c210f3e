//! Exceptions at EL1, and calls that they may end.

#![allow(unsafe_code)]

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use realm_payload::{MAXIMUM_RECS, Reply};

use crate::interrupts;

global_asm!(include_str!("asm/vectors.S"));

unsafe extern "C" {
    static stacks: u8;
    fn call_guarded(
        function: extern "C" fn(*mut u8),
        argument: *mut u8,
        kept: *mut [u64; 13],
    ) -> u64;
}

const STACK_SIZE: usize = 16 << 10;

/// What `vectors.S` saves.
#[repr(C)]
pub(crate) struct Frame {
    registers: [u64; 31],
    link: u64,
    state: u64,
    syndrome: u64,
    address: u64,
}

/// Registers that `call_guarded` keeps.
struct Kept(UnsafeCell<[u64; 13]>);

// SAFETY: each REC has one of its own.
unsafe impl Sync for Kept {}

static KEPT: [Kept; MAXIMUM_RECS] = [const { Kept(UnsafeCell::new([0; 13])) }; MAXIMUM_RECS];

/// The last exception that ended a call: syndrome, address, link, state, vector. Only the REC itself
/// uses its entry; an exception comes between any two instructions of it, though.
static RECORDED: [[AtomicU64; 5]; MAXIMUM_RECS] =
    [const { [const { AtomicU64::new(0) }; 5] }; MAXIMUM_RECS];

/// Interrupts that have come since [`forget`].
pub(crate) static COUNTS: [interrupts::Counts; MAXIMUM_RECS] =
    [const { interrupts::Counts::new() }; MAXIMUM_RECS];

/// Forgets the interrupts of a REC.
pub(crate) fn forget(number: usize) {
    if let Some(counts) = COUNTS.get(number) {
        counts.forget();
    }
}

/// The lowest word of a REC's stack, which nothing uses but [`stack_overflowed`].
fn lowest_word(number: usize) -> &'static AtomicU64 {
    // SAFETY: the link script reserves a stack for each REC, and no stack ever comes near its end
    // without this program giving up.
    unsafe {
        let lowest = (&raw const stacks).wrapping_add(number.min(MAXIMUM_RECS - 1) * STACK_SIZE);
        &*lowest.cast()
    }
}

/// There are no guard pages between stacks: a word at the end of each has to stay what it is.
const END_OF_STACK: u64 = 0x656e_6420_6f66_2073;

/// Marks the end of a REC's stack.
pub(crate) fn mark_end_of_stack(number: usize) {
    lowest_word(number).store(END_OF_STACK, Relaxed);
}

/// Whether the stack of a REC was too small.
pub(crate) fn stack_overflowed(number: usize) -> bool {
    lowest_word(number).load(Relaxed) != END_OF_STACK
}

/// Calls `function`. An exception that is no interrupt ends it, and is what
/// is returned then.
///
/// Nothing on the stack of the function is dropped in that case: neither it nor what it calls may
/// hold a value that must be.
pub(crate) fn guarded<T>(
    number: usize,
    argument: &mut T,
    function: extern "C" fn(&mut T),
) -> Option<Reply> {
    let kept = KEPT[number].0.get();
    // SAFETY: a reference and a pointer travel alike in X0, whatever they point to. The routine
    // calls the function with the argument, once, and returns once: either when the function does,
    // or out of an exception, with the registers and the stack that the caller has to find.
    let ended = unsafe {
        let function =
            core::mem::transmute::<extern "C" fn(&mut T), extern "C" fn(*mut u8)>(function);
        call_guarded(function, core::ptr::from_mut(argument).cast(), kept)
    };
    if ended == 0 {
        return None;
    }
    let [syndrome, address, link, state, vector] =
        RECORDED[number].each_ref().map(|word| word.load(Relaxed));
    Some(Reply::Exception {
        syndrome,
        address,
        link,
        state,
        vector,
    })
}

/// Called by `vectors.S`. Zero goes back to where the exception was taken; otherwise the registers
/// of a call that ends.
#[unsafe(no_mangle)]
extern "C" fn exception(frame: &Frame, vector: u64) -> *mut [u64; 13] {
    // SAFETY: a symbol of the link script; only its address is used.
    let base = core::ptr::from_ref(unsafe { &stacks }).addr();
    // A frame is on the stack of its REC; which number that is cannot be asked of a register that
    // carries no pattern.
    let number = (core::ptr::from_ref(frame).addr() - base) / STACK_SIZE;
    match vector & 0x180 {
        0x080 => interrupts::take(&COUNTS[number], 1),
        0x100 => interrupts::take(&COUNTS[number], 0),
        _ => {
            let words = [
                frame.syndrome,
                frame.address,
                frame.link,
                frame.state,
                vector,
            ];
            for (recorded, word) in RECORDED[number].iter().zip(words) {
                recorded.store(word, Relaxed);
            }
            return KEPT[number].0.get();
        }
    }
    core::ptr::null_mut()
}

const _: () = assert!(size_of::<Frame>() <= 288);
