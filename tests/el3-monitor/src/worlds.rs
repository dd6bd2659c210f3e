//! The two worlds on each CPU.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering};

use el3_monitor::index;
use el3_monitor::psci::MAX_CPUS;

use crate::context::Context;
use crate::features::Features;
use crate::memory::{Stack, Uninitialised};
use crate::registers::execute;

/// A world below EL3.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum World {
    Normal = 0,
    Realm = 1,
}

/// Bytes of the EL3 stack of a world on a CPU: guard page, stack, context. Signing a platform token
/// needs most of it.
pub(crate) const WORLD_STACK_SIZE: usize = 0xa000;

/// For each CPU one of the normal world, then one of the Realm world.
#[unsafe(link_section = ".uninit.world_stacks")]
pub(crate) static WORLD_STACKS: Uninitialised<[Stack<WORLD_STACK_SIZE>; 2 * MAX_CPUS]> =
    Uninitialised::new();

/// Whether RMI calls go to the RMM; `switch.S` reads it.
pub(crate) static REALM_WORLD_IS_ON: AtomicU32 = AtomicU32::new(0);

/// PSTATE at entry to a world: EL2 with its own stack pointer, everything masked.
const EL2H_MASKED: u64 = 0x3c9;

unsafe extern "C" {
    fn boot_world(context: *mut Context);
    fn enter_world(context: *mut Context) -> !;
    fn capture_world(context: *mut Context);
}

/// Turns the Realm world on or off, on all CPUs.
pub(crate) fn set_realm_world(on: bool) {
    REALM_WORLD_IS_ON.store(u32::from(on), Ordering::Release);
}

/// Whether the Realm world is on.
pub(crate) fn realm_world_is_on() -> bool {
    REALM_WORLD_IS_ON.load(Ordering::Acquire) != 0
}

fn context(cpu: usize, world: World) -> *mut Context {
    let number = (2 * cpu + world as usize + 1) * WORLD_STACK_SIZE - size_of::<Context>();
    core::ptr::with_exposed_provenance_mut(index(WORLD_STACKS.address()) + number)
}

/// Prepares a world of this CPU to be entered, as after reset, with these first registers.
///
/// The EL2 registers of the CPU are changed: the world that has them must not be running.
pub(crate) fn prepare(cpu: usize, world: World, features: Features, entry: u64, first: &[u64]) {
    let other = match world {
        World::Normal => World::Realm,
        World::Realm => World::Normal,
    };
    let mut general = [0; 31];
    for (register, value) in general.iter_mut().zip(first) {
        *register = *value;
    }
    let place = context(cpu, world);
    features.reset_el2();
    // SAFETY: the context is this CPU's, inside the mapped stacks, and neither world uses it now.
    // Capturing it fills the rest.
    unsafe {
        place.write_bytes(0, 1);
        (*place).features = features.0;
        capture_world(place);
        (*place).general = general;
        (*place).scr_el3 = features.scr(world == World::Realm);
        (*place).elr_el3 = entry;
        (*place).spsr_el3 = EL2H_MASKED;
        (*place).other = context(cpu, other);
        (*place).cpu = cpu as u64;
    }
}

/// What an RMM says when it has booted: X1 and X2 of its `BOOT_COMPLETE`.
pub(crate) struct BootReport {
    pub(crate) code: u64,
    pub(crate) token: u64,
}

/// Enters the prepared Realm world of this CPU and comes back when the RMM has booted.
pub(crate) fn boot_realm(cpu: usize) -> BootReport {
    let place = context(cpu, World::Realm);
    // SAFETY: the context was prepared; on the way back nobody else uses it.
    unsafe {
        execute!("ic iallu");
        execute!("dsb sy");
        execute!("isb");
        boot_world(place);
        (*place).boot_stack = 0;
        BootReport {
            code: (*place).general[1],
            token: (*place).general[2],
        }
    }
}

/// Enters the prepared normal world of this CPU.
pub(crate) fn enter_normal(cpu: usize) -> ! {
    // SAFETY: the context was prepared; what is on this stack is not needed any more.
    unsafe {
        execute!("ic iallu");
        execute!("dsb sy");
        execute!("isb");
        enter_world(context(cpu, World::Normal))
    }
}
