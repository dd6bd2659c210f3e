//! The vector registers: the host's, or a Realm's.
//!
//! EL3 does not switch them. They stay the host's until a Realm uses them, which traps; then they
//! are exchanged, and back again before the host goes on. In between every register is cleared at
//! the longest length there is: when vectors get shorter, the bits beyond need not be lost, and
//! may come back when they get longer.
//!
//! `ZCR_EL2` and `SMCR_EL2`, which say how long vectors are, may be shared by the worlds or not:
//!
//! - Where EL3 keeps one for each world, that of the RMM stays at the longest
//!   ([`VectorUnit::of_this_cpu`]), so all of the host's registers is saved.
//! - Where it does not, the RMM finds the host's. What is beyond that length the host cannot reach,
//!   and may not expect to find again.
//!
//! Either way the value that was found is put back.
//!
//! `ZA` and `ZT0` stay where they are: no Realm can reach them. `FPMR` as well, except that the
//! architecture clears it when the CPU leaves streaming mode: a host that calls from streaming mode
//! and uses it has to save it.

mod registers;
mod traps;

use core::arch::global_asm;
use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;

use rmm_core::GranuleWords;

use crate::simd::{LONGEST, STREAMING, VectorUnit};

global_asm!(include_str!("vector_state/move.S"), options(raw));

unsafe extern "C" {
    fn rmm_save_simd(registers: *mut u64);
    fn rmm_load_simd(registers: *const u64);
    fn rmm_clear_simd();
    fn rmm_save_sve(low: *mut u64, high: *mut u64, predicates: *mut u64, first_fault: u64);
    fn rmm_load_sve(low: *const u64, high: *const u64, predicates: *const u64, first_fault: u64);
    fn rmm_clear_sve();
}

/// Where what is in the granules of a Realm's state.
///
/// The first granule has Z0 to Z15, the second Z16 to Z31, one after the other at the length of the
/// Realm's vectors; the third P0 to P15 and the first-fault register likewise. Without SVE the
/// first has V0 to V31. All zero is the state out of reset.
pub mod layout {
    /// Word of `FPCR` in the third granule.
    pub const CONTROL: usize = 128;
    /// Word of `FPSR` in the third granule.
    pub const STATUS: usize = CONTROL + 1;

    const _: () = assert!(CONTROL * size_of::<u64>() >= super::LONGEST_PREDICATES);
}

/// Bytes of the longest vector of the architecture.
const LONGEST_VECTOR: usize = 256;
/// Bytes of sixteen of them, half of the registers.
const LONGEST_HALF: usize = 16 * LONGEST_VECTOR;
/// Bytes of sixteen predicates and the first-fault register, the longest there are.
const LONGEST_PREDICATES: usize = 17 * LONGEST_VECTOR / 8;

const _: () = assert!(LONGEST_HALF <= rmm_abi::GRANULE_SIZE);

/// Vector registers in memory, at any length. What bytes mean depends on who wrote them.
#[repr(C, align(16))]
struct Registers {
    /// Z0 to Z15; without SVE, V0 to V31.
    low: [u64; LONGEST_HALF / 8],
    /// Z16 to Z31.
    high: [u64; LONGEST_HALF / 8],
    /// P0 to P15 and the first-fault register.
    predicates: [u64; LONGEST_PREDICATES / 8],
}

/// Memory for the host's vector registers, some 9 KiB. One for each CPU.
#[derive(Debug)]
pub struct HostArea(UnsafeCell<MaybeUninit<Registers>>);

impl HostArea {
    /// An area with nothing in it.
    #[expect(
        clippy::new_without_default,
        reason = "a default would be something that is there"
    )]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    fn parts(&self) -> Parts {
        let registers: *mut Registers = self.0.get().cast();
        // SAFETY: the pointer is to memory of this size; nothing is read.
        unsafe {
            Parts {
                low: (&raw mut (*registers).low).cast(),
                high: (&raw mut (*registers).high).cast(),
                predicates: (&raw mut (*registers).predicates).cast(),
            }
        }
    }
}

/// Where the registers go, or come from.
#[derive(Clone, Copy)]
struct Parts {
    low: *mut u64,
    high: *mut u64,
    predicates: *mut u64,
}

impl Parts {
    fn of_realm(areas: [&GranuleWords; 3]) -> Self {
        // Words of a granule are atomics, which may be written through a shared reference.
        let [low, high, predicates] = areas.map(|area| area.as_ptr().cast_mut().cast());
        Self {
            low,
            high,
            predicates,
        }
    }
}

/// Whose registers are in the CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Host,
    Realm,
}

/// The host's vector registers while a Realm's are in this CPU.
#[derive(Debug)]
pub struct VectorState<'a> {
    unit: VectorUnit,
    owner: Cell<Owner>,
    area: &'a HostArea,
    control: Cell<u64>,
    status: Cell<u64>,
    /// `ZCR_EL2`; only with SVE.
    length: Cell<u64>,
    /// `SVCR`; only with SME.
    streaming: Cell<u64>,
    /// The registers are this CPU's.
    not_send: PhantomData<*mut ()>,
}

impl<'a> VectorState<'a> {
    /// Asks the CPU what it has, and makes its vectors as long as they get. To be called when the
    /// CPU comes up.
    pub fn of_this_cpu(area: &'a HostArea) -> Self {
        Self {
            unit: VectorUnit::of_this_cpu(),
            owner: Cell::new(Owner::Host),
            area,
            control: Cell::new(0),
            status: Cell::new(0),
            length: Cell::new(0),
            streaming: Cell::new(0),
            not_send: PhantomData,
        }
    }

    /// Whether a Realm's registers are in the CPU.
    pub fn is_realms(&self) -> bool {
        self.owner.get() == Owner::Realm
    }

    /// Takes the host's registers out of the CPU and puts a Realm's in; [`layout`] says where they
    /// are. `sve_vl` is the length of the Realm's vectors as `ZCR_EL2.LEN` has it, `None` without
    /// SVE, and never changes. Afterwards the Realm can use them, and SVE if it has that.
    ///
    /// # Panics
    ///
    /// When a Realm's registers are in the CPU already.
    pub fn to_realm(&self, areas: [&GranuleWords; 3], sve_vl: Option<u8>) {
        assert!(
            !self.is_realms(),
            "the host's vector registers are not there"
        );
        self.owner.set(Owner::Realm);
        traps::lift(self.unit);
        self.save_host();
        let realm = Parts::of_realm(areas);
        let sve_vl = sve_vl.filter(|_| self.unit.has_sve());
        if self.unit.has_sve() {
            clear_at_longest();
        }
        // SAFETY: vector instructions do not trap, and the registers of the host are saved. The
        // first granule has room for 32 vectors of 128 bits; with SVE, which the CPU has then, all
        // three have room for vectors of any length.
        unsafe {
            if let Some(length) = sve_vl {
                registers::set_length(length.into());
                rmm_load_sve(realm.low, realm.high, realm.predicates, FIRST_FAULT);
            } else {
                rmm_load_simd(realm.low);
            }
        }
        registers::set_control(areas[2][layout::CONTROL].load(Ordering::Relaxed));
        registers::set_status(areas[2][layout::STATUS].load(Ordering::Relaxed));
        traps::set_for_realm(sve_vl.is_some());
    }

    /// Takes the Realm's registers out of the CPU and puts the host's back, exactly as they were.
    /// Afterwards all use traps. The arguments are those of [`to_realm`](Self::to_realm).
    ///
    /// # Panics
    ///
    /// When the host's registers are in the CPU already.
    pub fn to_host(&self, areas: [&GranuleWords; 3], sve_vl: Option<u8>) {
        assert!(self.is_realms(), "no Realm's vector registers are there");
        traps::lift(self.unit);
        areas[2][layout::CONTROL].store(registers::control(), Ordering::Relaxed);
        areas[2][layout::STATUS].store(registers::status(), Ordering::Relaxed);
        let realm = Parts::of_realm(areas);
        // SAFETY: vector instructions do not trap. The registers are the Realm's, their length
        // still the one that `to_realm` has set, and the granules have room for them.
        unsafe {
            if sve_vl.is_some() && self.unit.has_sve() {
                rmm_save_sve(realm.low, realm.high, realm.predicates, FIRST_FAULT);
            } else {
                rmm_save_simd(realm.low);
            }
        }
        if self.unit.has_sve() {
            clear_at_longest();
        }
        self.load_host();
        traps::set();
        self.owner.set(Owner::Host);
    }

    /// Gives the CPU back the host's registers. What there is of a Realm's is lost.
    pub(crate) fn evict(&self) {
        if !self.is_realms() {
            return;
        }
        traps::lift(self.unit);
        if self.unit.has_sve() {
            clear_at_longest();
        } else {
            // SAFETY: no use of the registers traps, and what is in them is to be lost.
            unsafe { rmm_clear_simd() };
        }
        self.load_host();
        traps::set();
        self.owner.set(Owner::Host);
    }

    /// Saves the host's registers, and leaves streaming mode. The traps must be lifted.
    fn save_host(&self) {
        let host = self.area.parts();
        self.control.set(registers::control());
        self.status.set(registers::status());
        if self.unit.has_sve() {
            // SAFETY: there is SVE and it does not trap.
            self.length.set(unsafe { registers::length() });
        }
        let streaming = self.streaming_mode();
        self.streaming.set(streaming);
        // SAFETY: vector instructions do not trap. Streaming mode has the instructions of SVE, and
        // its first-fault register if `first_fault` says so. The area has room for all.
        unsafe {
            if streaming & STREAMING != 0 {
                let first_fault = registers::streaming_first_fault();
                rmm_save_sve(host.low, host.high, host.predicates, first_fault);
                registers::set_streaming(streaming & !STREAMING);
            } else if self.unit.has_sve() {
                rmm_save_sve(host.low, host.high, host.predicates, FIRST_FAULT);
            } else {
                rmm_save_simd(host.low);
            }
        }
    }

    /// Loads what [`save_host`](Self::save_host) has saved. The traps must be lifted.
    fn load_host(&self) {
        let host = self.area.parts();
        if self.unit.has_sve() {
            // SAFETY: there is SVE. This is what it was for the host.
            unsafe { registers::set_length(self.length.get()) };
        }
        let streaming = self.streaming.get();
        // SAFETY: as in `save_host`, which has filled the area: a Realm's registers are in the CPU.
        // The same instructions read it: lengths and modes are as they were.
        unsafe {
            if streaming & STREAMING != 0 {
                registers::set_streaming(streaming);
                let first_fault = registers::streaming_first_fault();
                rmm_load_sve(host.low, host.high, host.predicates, first_fault);
            } else if self.unit.has_sve() {
                rmm_load_sve(host.low, host.high, host.predicates, FIRST_FAULT);
            } else {
                rmm_load_simd(host.low);
            }
        }
        registers::set_control(self.control.get());
        registers::set_status(self.status.get());
    }

    /// `SVCR`; zero without SME. The traps must be lifted.
    fn streaming_mode(&self) -> u64 {
        if self.unit.has_sme() {
            // SAFETY: there is SME and it does not trap.
            unsafe { registers::streaming() }
        } else {
            0
        }
    }
}

/// Clears Z0 to Z31, predicates and the first-fault register. There must be SVE, not in streaming
/// mode, and the traps must be lifted. Leaves the vectors at their longest.
fn clear_at_longest() {
    // SAFETY: as above; what was in the registers has been saved, or is to be lost.
    unsafe {
        registers::set_length(LONGEST);
        rmm_clear_sve();
    }
}

/// For routines that are to move the first-fault register.
const FIRST_FAULT: u64 = 1;
