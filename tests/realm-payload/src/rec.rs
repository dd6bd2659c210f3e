//! What belongs to one REC.

#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use realm_payload::canary::Features;
use realm_payload::pattern::{PREDICATE_WORDS, VECTOR_WORDS};
use realm_payload::{Hello, MAXIMUM_RECS, Reply, SCRATCH_PAGES};
use rmm_abi::GRANULE_SIZE;
use rmm_abi::rsi::{HostCall, RealmConfig};

use crate::{exceptions, registers, timers, vectors};

unsafe extern "C" {
    static image_memory_size: u8;
    static image_head: u8;
    static secondary_entry: u8;
    static scratch: u8;
}

/// Registers of SVE in memory, as long as they can be.
#[derive(Debug)]
#[repr(C, align(16))]
pub(crate) struct ScalableRegisters {
    pub(crate) vectors: [u64; 32 * VECTOR_WORDS],
    /// P0 to P15, then the first-fault register.
    pub(crate) predicates: [u64; 17 * PREDICATE_WORDS],
}

/// The state of a REC.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Rec {
    /// For `RSI_REALM_CONFIG`.
    pub(crate) config: RealmConfig,
    /// For another one, to compare.
    pub(crate) second_config: RealmConfig,
    /// The call by which the host is served.
    pub(crate) service: HostCall,
    /// Calls of its own that a command makes.
    pub(crate) call: HostCall,
    pub(crate) scalable: ScalableRegisters,
    pub(crate) number: usize,
    pub(crate) features: Features,
    /// Masks that hold between commands, and come back when an exception ends one.
    pub(crate) daif: u64,
    /// What goes out next.
    pub(crate) reply: Reply,
    /// Whether the host has taken the last reply.
    pub(crate) delivered: bool,
}

struct Recs(UnsafeCell<[MaybeUninit<Rec>; MAXIMUM_RECS]>);

// SAFETY: each REC reaches only its own element, through `claim`.
unsafe impl Sync for Recs {}

static RECS: Recs = Recs(UnsafeCell::new(
    [const { MaybeUninit::zeroed() }; MAXIMUM_RECS],
));

/// The state of REC `number`, as it comes out of reset.
///
/// # Safety
///
/// The caller is REC `number`, below [`MAXIMUM_RECS`], and holds no reference from an earlier claim.
pub(crate) unsafe fn claim(number: usize) -> &'static mut Rec {
    let recs = RECS.0.get().cast::<MaybeUninit<Rec>>();
    // SAFETY: the number is in the array, and nobody else reaches the element.
    let rec = unsafe { &mut *recs.add(number) };
    let rec = rec.as_mut_ptr();
    // SAFETY: structures of whole words and bytes are valid when they are zero, which memory is
    // after boot; the rest is written here.
    unsafe {
        (&raw mut (*rec).number).write(number);
        (&raw mut (*rec).features).write(Features::default());
        (&raw mut (*rec).daif).write(0x3c0);
        (&raw mut (*rec).reply).write(Reply::UnknownCommand);
        (&raw mut (*rec).delivered).write(false);
        &mut *rec
    }
}

fn address_of(symbol: &'static u8) -> u64 {
    core::ptr::from_ref(symbol).addr() as u64
}

/// Where secondary RECs start.
pub(crate) fn secondary_entry_address() -> u64 {
    // SAFETY: a label of `entry.S`; only its address is used.
    address_of(unsafe { &secondary_entry })
}

impl Rec {
    /// Brings the REC into the state that commands start from.
    pub(crate) fn start(&mut self) {
        self.features = registers::features();
        if self.features.sve {
            vectors::use_longest();
        }
        timers::mask_all();
        exceptions::forget(self.number);
        exceptions::mark_end_of_stack(self.number);
        self.reply = self.hello().reply();
    }

    fn hello(&self) -> Hello {
        // SAFETY: symbols of the link script; only their addresses are used.
        let (head, size) = unsafe { (&image_head, &image_memory_size) };
        Hello {
            rec: self.number as u64,
            secondary_entry: secondary_entry_address(),
            scratch: self.scratch(),
            memory_end: address_of(head) + address_of(size),
        }
    }

    /// First of the pages that nothing in this program uses.
    pub(crate) fn scratch(&self) -> u64 {
        // SAFETY: a symbol of the link script; only its address is used.
        let base = address_of(unsafe { &scratch });
        base + (self.number * SCRATCH_PAGES * GRANULE_SIZE) as u64
    }
}
