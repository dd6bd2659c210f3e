//! Whether the RMM's own mappings protect it: the MMU is asked, once, before anything is served.

use core::fmt;

use rmm_hw::layout;
use rmm_hw::translation::translate;

unsafe extern "C" {
    static __text_start: u8;
    static __rodata_start: u8;
    static __data_start: u8;
    static __boot_stack_guard: u8;
    static __boot_exception_stack_guard: u8;
}

/// An address that can be accessed although it must not, or the reverse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unprotected {
    what: &'static str,
    address: u64,
}

impl fmt::Display for Unprotected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {:#x} is not protected as it must be",
            self.what, self.address
        )
    }
}

/// What may be done with a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    None,
    Read,
    ReadWrite,
}

fn require(what: &'static str, address: u64, expected: Access) -> Result<(), Unprotected> {
    let access = match (translate(address, false), translate(address, true)) {
        (None, None) => Access::None,
        (Some(_), None) => Access::Read,
        (_, Some(_)) => Access::ReadWrite,
    };
    if access == expected {
        Ok(())
    } else {
        Err(Unprotected { what, address })
    }
}

/// Text and constants cannot be written, guards and small addresses cannot be reached.
pub(crate) fn check() -> Result<(), Unprotected> {
    require("text", (&raw const __text_start) as u64, Access::Read)?;
    require(
        "read-only data",
        (&raw const __rodata_start) as u64,
        Access::Read,
    )?;
    require("data", (&raw const __data_start) as u64, Access::ReadWrite)?;
    require(
        "guard of the boot stack",
        (&raw const __boot_stack_guard) as u64,
        Access::None,
    )?;
    let guard = (&raw const __boot_exception_stack_guard) as u64;
    require("guard of the exception stack", guard, Access::None)?;
    require("the null page", 0, Access::None)
}

/// Each CPU has its stacks, with nothing mapped below them.
pub(crate) fn check_stacks(cpus: u32) -> Result<(), Unprotected> {
    for cpu in 0..cpus {
        let base = layout::PER_CPU + (u64::from(cpu) << layout::PER_CPU_SHIFT);
        for (what, offset) in [
            ("guard of a stack", layout::STACK),
            ("guard of an exception stack", layout::EXCEPTION_STACK),
            ("guard of the slots", layout::SLOTS),
        ] {
            require(what, base + offset - layout::PAGE, Access::None)?;
        }
        require("a stack", base + layout::STACK, Access::ReadWrite)?;
        require(
            "an exception stack",
            base + layout::EXCEPTION_STACK,
            Access::ReadWrite,
        )?;
    }
    Ok(())
}
