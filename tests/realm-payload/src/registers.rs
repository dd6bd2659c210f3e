//! System registers that are only known at run time: instructions are put together in memory.

#![allow(unsafe_code)]

use core::arch::asm;

use realm_payload::canary::{self, CanaryRegister, Features, IdRegisters, MAXIMUM_REGISTERS};
use realm_payload::pattern::Kind;
use realm_payload::{MAXIMUM_RECS, SystemRegister};
use rmm_abi::GRANULE_SIZE;

unsafe extern "C" {
    static mut code_pages: [[u32; GRANULE_SIZE / 4]; MAXIMUM_RECS];
    static mut register_routines: [[Routines; MAXIMUM_REGISTERS]; Kind::ALL.len()];
}

/// Two instructions: the access, and the return.
type Routine = [u32; 2];

/// What there is for a register of `canary`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Routines {
    read: Routine,
    write: Routine,
    /// Writes the register that clears bits, or this one if there is none.
    clear: Routine,
    unused: Routine,
}

// `entry.S` reserves seven pages.
const _: () =
    assert!(size_of::<[[Routines; MAXIMUM_REGISTERS]; Kind::ALL.len()]>() <= 7 * GRANULE_SIZE);

/// Reads a system register.
macro_rules! read_register {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: reading an identification or control register changes nothing.
        unsafe {
            core::arch::asm!(
                concat!("mrs {}, ", $name),
                out(reg) value,
                options(nomem, nostack, preserves_flags)
            );
        }
        value
    }};
}
pub(crate) use read_register;

/// `MPIDR_EL1`.
pub(crate) fn mpidr() -> u64 {
    read_register!("mpidr_el1")
}

/// What this CPU shows.
pub(crate) fn features() -> Features {
    let id = IdRegisters {
        pfr0: read_register!("id_aa64pfr0_el1"),
        dfr0: read_register!("id_aa64dfr0_el1"),
        isar1: read_register!("id_aa64isar1_el1"),
        isar2: read_register!("S3_0_C0_C6_2"),
    };
    Features::new(&id, || (read_register!("pmcr_el0") >> 11 & 0x1f) as u8)
}

/// Makes what was written to memory from `start` on the instructions that are executed there.
fn synchronise(start: *const u32, bytes: usize) {
    // No line is shorter than this.
    for offset in (0..bytes).step_by(16) {
        let line = start.wrapping_byte_add(offset);
        // SAFETY: cache maintenance does not change memory.
        unsafe {
            asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags));
        }
    }
    // SAFETY: as above.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    for offset in (0..bytes).step_by(16) {
        let line = start.wrapping_byte_add(offset);
        // SAFETY: as above.
        unsafe {
            asm!("ic ivau, {}", in(reg) line, options(nostack, preserves_flags));
        }
    }
    // SAFETY: as above.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Calls a routine of one instruction, with a value in X0 before and after.
fn call(routine: *const Routine, value: u64) -> u64 {
    // SAFETY: all routines are an access to a system register by X0 and a return, which is what
    // a function of this type may do. What a register does to the program is the business of who
    // asks for it.
    unsafe {
        let routine = core::mem::transmute::<*const Routine, extern "C" fn(u64) -> u64>(routine);
        routine(value)
    }
}

/// Executes one access, in the page that the REC has for it.
fn execute(rec: usize, instruction: u32, value: u64) -> u64 {
    let page = (&raw mut code_pages)
        .cast::<[u32; GRANULE_SIZE / 4]>()
        .wrapping_add(rec.min(MAXIMUM_RECS - 1))
        .cast::<Routine>();
    // SAFETY: the page is in the array and belongs to this REC; it runs nothing there now.
    unsafe { page.write_volatile([instruction, SystemRegister::RETURN]) };
    synchronise(page.cast(), size_of::<Routine>());
    call(page, value)
}

/// Reads a register.
pub(crate) fn read(rec: usize, register: SystemRegister) -> u64 {
    execute(rec, register.read_instruction(), 0)
}

/// Writes a register.
pub(crate) fn write(rec: usize, register: SystemRegister, value: u64) {
    execute(rec, register.write_instruction(), value);
    // SAFETY: a barrier changes nothing that Rust knows of.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// The most that any CPU has.
const EVERYTHING: Features = Features {
    breakpoints: 16,
    watchpoints: 16,
    event_counters: Some(31),
    pointer_authentication: true,
    ras: true,
    sve: true,
};

/// Where the routines for a register of a family are. `first` is the index of the family's first.
fn routines(kind: Kind, position: usize) -> *mut Routines {
    (&raw mut register_routines)
        .cast::<Routines>()
        .wrapping_add(kind as usize * MAXIMUM_REGISTERS + position.min(MAXIMUM_REGISTERS - 1))
}

/// Puts together the routines of all families. Once, before the other RECs start.
pub(crate) fn prepare_routines() {
    for kind in Kind::ALL {
        for (position, register) in canary::registers(kind, EVERYTHING).enumerate() {
            let instruction = register.register;
            let clear = register.clear.unwrap_or(instruction);
            let routine = |instruction| [instruction, SystemRegister::RETURN];
            let all = Routines {
                read: routine(instruction.read_instruction()),
                write: routine(instruction.write_instruction()),
                clear: routine(clear.write_instruction()),
                unused: routine(SystemRegister::RETURN),
            };
            // SAFETY: in the array; only the first REC runs.
            unsafe { routines(kind, position).write_volatile(all) };
        }
    }
    synchronise(
        (&raw const register_routines).cast(),
        size_of::<[[Routines; MAXIMUM_REGISTERS]; Kind::ALL.len()]>(),
    );
}

/// A register of a family, and where its routines are.
#[derive(Clone, Copy)]
pub(crate) struct Prepared {
    pub(crate) register: CanaryRegister,
    routines: *const Routines,
}

/// The registers of a family that this CPU has.
pub(crate) fn family(kind: Kind, features: Features) -> impl Iterator<Item = Prepared> {
    // A CPU that has less leaves registers out in the middle: the two sequences are merged.
    let mut present = canary::registers(kind, features).peekable();
    canary::registers(kind, EVERYTHING)
        .enumerate()
        .filter_map(move |(position, register)| {
            let here = present.next_if(|next| next.register == register.register)?;
            Some(Prepared {
                register: here,
                routines: routines(kind, position),
            })
        })
}

impl Prepared {
    pub(crate) fn read(&self) -> u64 {
        // SAFETY: `family` has it from `routines`.
        call(unsafe { &raw const (*self.routines).read }, 0)
    }

    pub(crate) fn write(&self, value: u64) {
        // SAFETY: as above.
        unsafe {
            if self.register.clear.is_some() {
                call(&raw const (*self.routines).clear, self.register.mask);
            }
            call(&raw const (*self.routines).write, value);
            asm!("isb", options(nostack, preserves_flags));
        }
    }
}
