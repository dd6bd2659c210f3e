//! The end of the program: semihosting ends the emulator.

#![allow(unsafe_code)]

use core::arch::asm;

/// Exit codes, as `docs/development.md` defines them.
#[derive(Clone, Copy)]
pub(crate) enum ExitCode {
    /// Every test that ran has passed.
    Passed = 0,
    /// A test failed.
    Failed = 1,
    /// The command line cannot be used, or the machine cannot do what it asks for.
    Usage = 2,
    /// An exception that no test expected, or a panic.
    Exception = 3,
}

/// Ends the emulator.
pub(crate) fn exit(code: ExitCode) -> ! {
    const SYS_EXIT_EXTENDED: u64 = 0x20;
    const APPLICATION_EXIT: u64 = 0x2_0026;
    let block = [APPLICATION_EXIT, code as u64];
    loop {
        // SAFETY: semihosting reads the two doublewords of the block. Without semihosting
        // `hlt` is an undefined instruction, which ends here again.
        unsafe {
            asm!("hlt #0xf000", "wfi", inout("x0") SYS_EXIT_EXTENDED => _, in("x1") &raw const block);
        }
    }
}
