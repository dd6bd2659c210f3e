//! Touching memory: wiping, and reads that may fault.

pub mod host;
pub(crate) mod translation;

use core::arch::{asm, global_asm};

use crate::layout::PAGE;
use crate::slot::Mapping;

/// How this CPU zeroes memory.
#[derive(Clone, Copy, Debug)]
pub struct Zeroer {
    /// Bytes that `DC ZVA` zeroes; `None` when the CPU does not allow it.
    block: Option<u64>,
}

impl Zeroer {
    /// Asks the CPU.
    pub fn of_this_cpu() -> Self {
        let id: u64;
        // SAFETY: reading an identification register has no effect.
        unsafe {
            asm!("mrs {0}, dczid_el0", out(reg) id, options(nomem, nostack, preserves_flags));
        };
        let prohibited = id & (1 << 4) != 0;
        Self {
            block: (!prohibited).then_some(4 << (id & 0xf)),
        }
    }

    /// Bytes that `DC ZVA` zeroes; `None` when it may not be used.
    pub(crate) const fn block(self) -> Option<u64> {
        self.block
    }

    /// Overwrites a mapped granule with zeroes.
    pub fn zero_granule(self, granule: &Mapping<'_>) {
        // SAFETY: the mapping gives a whole page to write.
        unsafe { self.zero(granule.address(), PAGE) };
    }

    /// Overwrites `size` bytes at `address` with zeroes.
    ///
    /// # Safety
    ///
    /// The range must be mapped writable Normal memory that nobody else uses, both ends multiples
    /// of a page.
    pub unsafe fn zero(self, address: u64, size: u64) {
        if size == 0 {
            return;
        }
        match self.block {
            // SAFETY: by the contract of this function. The largest block is 2 KiB and divides
            // a page, so the last one ends with the range.
            Some(block) => unsafe {
                asm!(
                    "2:",
                    "dc zva, {at}",
                    "add {at}, {at}, {block}",
                    "cmp {at}, {end}",
                    "b.lo 2b",
                    at = inout(reg) address => _,
                    end = in(reg) address + size,
                    block = in(reg) block,
                    options(nostack),
                );
            },
            // SAFETY: by the contract of this function.
            None => unsafe {
                asm!(
                    "2:",
                    "stp xzr, xzr, [{at}], #16",
                    "cmp {at}, {end}",
                    "b.lo 2b",
                    at = inout(reg) address => _,
                    end = in(reg) address + size,
                    options(nostack),
                );
            },
        }
    }
}

global_asm!(
    ".section .text.probe, \"ax\"",
    ".global rmm_probe_load",
    ".global rmm_probe_load_end",
    ".global rmm_probe_fault",
    "rmm_probe:",
    "rmm_probe_load: ldr w1, [x0]",
    "rmm_probe_load_end:",
    "    mov w0, #1",
    "    ret",
    "rmm_probe_fault:",
    "    mov w0, #0",
    "    ret",
);

unsafe extern "C" {
    fn rmm_probe(address: u64) -> u32;
    static rmm_probe_load: u8;
    static rmm_probe_load_end: u8;
    static rmm_probe_fault: u8;
}

/// Whether a word can be read at a virtual address without a fault.
///
/// `address` must be a multiple of four.
///
/// # Safety
///
/// What is mapped there must be memory, or a register whose reading has no effect. Where nothing
/// is mapped the RMM gives up: only faults that another world's memory answers with are expected.
pub unsafe fn can_read(address: u64) -> bool {
    // SAFETY: by the contract of this function.
    unsafe { rmm_probe(address) != 0 }
}

/// Instructions that may fault, and where execution then goes on.
struct Recoverable {
    first: *const u8,
    /// After the last one.
    end: *const u8,
    next: *const u8,
    expected: Expected,
}

/// Which faults are expected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// What another world's memory, or none, answers an access with.
    OnAccesses,
    /// The same, and what it answers a walk with: the tables are not the RMM's.
    OnWalksToo,
}

impl Expected {
    /// Whether a fault status (`ESR_EL2.DFSC`) is expected: synchronous external abort or granule
    /// protection fault.
    const fn contains(self, status: u64) -> bool {
        match status {
            0x10 | 0x28 => true,
            0x13..=0x17 | 0x23..=0x27 => matches!(self, Self::OnWalksToo),
            _ => false,
        }
    }
}

/// The exception of such a fault overwrites `ELR_EL2` and `SPSR_EL2`, where a Realm goes on that is in this
/// CPU: an instruction that can fault meanwhile puts them back.
///
/// Where execution goes on after a fault of a status at an instruction where it is expected; `None` for
/// all others.
pub(crate) fn recovery(instruction: u64, status: u64) -> Option<u64> {
    let probe = Recoverable {
        first: &raw const rmm_probe_load,
        end: &raw const rmm_probe_load_end,
        next: &raw const rmm_probe_fault,
        expected: Expected::OnAccesses,
    };
    host::recoverable()
        .into_iter()
        .chain([probe, translation::recoverable()])
        .find(|range| {
            (range.first as u64..range.end as u64).contains(&instruction)
                && range.expected.contains(status)
        })
        .map(|range| range.next as u64)
}
