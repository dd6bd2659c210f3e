//! Single instructions that the host asks for.

#![allow(unsafe_code)]

use core::arch::asm;

use realm_payload::command::{Load, Size};

/// A load by one instruction of the form that a syndrome describes.
macro_rules! load_by {
    ($instruction:literal, $address:expr) => {{
        let value: u64;
        // SAFETY: the host chooses the address; an access to memory of the program only reads it.
        unsafe {
            asm!(
                $instruction,
                address = in(reg) $address,
                value = out(reg) value,
                options(nostack, preserves_flags, readonly)
            );
        }
        value
    }};
}

macro_rules! store_by {
    ($instruction:literal, $address:expr, $value:expr) => {
        // SAFETY: the host chooses the address. Overwriting the program would be his mistake, and
        // it is his program.
        unsafe {
            asm!(
                $instruction,
                address = in(reg) $address,
                value = in(reg) $value,
                options(nostack, preserves_flags)
            );
        }
    };
}

/// The whole target register after a load.
pub(crate) fn load(load: &Load) -> u64 {
    let address = load.address;
    match (load.sign_extend, load.wide, load.size) {
        (false, _, Size::Byte) => load_by!("ldrb {value:w}, [{address}]", address),
        (false, _, Size::Halfword) => load_by!("ldrh {value:w}, [{address}]", address),
        (false, _, Size::Word) => load_by!("ldr {value:w}, [{address}]", address),
        (_, _, Size::Doubleword) => load_by!("ldr {value}, [{address}]", address),
        (true, false, Size::Byte) => load_by!("ldrsb {value:w}, [{address}]", address),
        (true, false, Size::Halfword) => load_by!("ldrsh {value:w}, [{address}]", address),
        (true, true, Size::Byte) => load_by!("ldrsb {value}, [{address}]", address),
        (true, true, Size::Halfword) => load_by!("ldrsh {value}, [{address}]", address),
        (true, _, Size::Word) => load_by!("ldrsw {value}, [{address}]", address),
    }
}

/// A store by one instruction.
pub(crate) fn store(address: u64, size: Size, value: u64) {
    match size {
        Size::Byte => store_by!("strb {value:w}, [{address}]", address, value),
        Size::Halfword => store_by!("strh {value:w}, [{address}]", address, value),
        Size::Word => store_by!("str {value:w}, [{address}]", address, value),
        Size::Doubleword => store_by!("str {value}, [{address}]", address, value),
    }
}

/// `LDP`.
pub(crate) fn load_pair(address: u64) -> [u64; 2] {
    let (first, second): (u64, u64);
    // SAFETY: as for other loads.
    unsafe {
        asm!(
            "ldp {}, {}, [{}]",
            out(reg) first,
            out(reg) second,
            in(reg) address,
            options(nostack, preserves_flags, readonly)
        );
    }
    [first, second]
}

/// `LDADD`; the old value.
pub(crate) fn atomic_add(address: u64, value: u64) -> u64 {
    let old: u64;
    // SAFETY: as for other stores.
    unsafe {
        asm!(
            "ldadd {}, {}, [{}]",
            in(reg) value,
            out(reg) old,
            in(reg) address,
            options(nostack, preserves_flags)
        );
    }
    old
}

/// `DC CIVAC`.
pub(crate) fn clean_invalidate(address: u64) {
    // SAFETY: cleaning first, it does not change memory.
    unsafe {
        asm!("dc civac, {}", "dsb sy", in(reg) address, options(nostack, preserves_flags));
    }
}

/// Calls what is at an address.
pub(crate) fn fetch(address: u64) {
    // SAFETY: the host chooses the address, and says that a return is there or nothing that can be
    // executed.
    unsafe { asm!("blr {}", in(reg) address, clobber_abi("C")) };
}

/// `WFI`.
pub(crate) fn wait_for_interrupt() {
    // SAFETY: waiting changes nothing.
    unsafe { asm!("wfi", options(nostack, preserves_flags)) };
}

/// `WFE`, after the event that may be there from before is gone.
pub(crate) fn wait_for_event() {
    // SAFETY: waiting changes nothing.
    unsafe { asm!("sevl", "wfe", "wfe", options(nostack, preserves_flags)) };
}

/// Counts to a number.
pub(crate) fn count_to(count: u64) {
    for _ in 0..count {
        // SAFETY: nothing happens; the compiler keeps the loop.
        unsafe { asm!("nop", options(nomem, nostack, preserves_flags)) };
    }
}

/// D, A, I and F of the processor state.
pub(crate) fn daif() -> u64 {
    crate::registers::read_register!("daif")
}

/// Sets D, A, I and F of the processor state.
pub(crate) fn set_daif(daif: u64) {
    // SAFETY: the vectors are prepared for every exception that this lets in.
    unsafe { asm!("msr daif, {}", in(reg) daif, options(nostack)) };
}
