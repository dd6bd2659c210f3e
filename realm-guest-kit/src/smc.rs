//! The conduit of a real CPU: the SMC instruction.

#![allow(unsafe_code)]

use core::arch::asm;
use core::marker::PhantomData;

use crate::{Conduit, REGISTERS};

/// The SMC instruction, in a guest that maps its memory one to one.
#[derive(Clone, Copy, Debug)]
pub struct Smc(PhantomData<()>);

impl Smc {
    /// The conduit of this program.
    ///
    /// # Safety
    ///
    /// The program runs at EL1 of a Realm, and virtual addresses of its objects are their
    /// intermediate physical addresses. Some calls let the RMM write to an address that they name:
    /// whoever makes a call through the [`Conduit`] itself, and not through the functions of this
    /// crate, names only memory that is his to give away.
    pub const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

impl Conduit for Smc {
    fn call(&self, mut registers: [u64; REGISTERS]) -> [u64; REGISTERS] {
        let [
            x0,
            x1,
            x2,
            x3,
            x4,
            x5,
            x6,
            x7,
            x8,
            x9,
            x10,
            x11,
            x12,
            x13,
            x14,
            x15,
            x16,
            x17,
        ] = &mut registers;
        // SAFETY: the call changes X0 to X17, which are outputs here, and memory that its arguments
        // name, which `new` made its caller answer for. All other registers are preserved
        // (DEN0028).
        unsafe {
            asm!(
                "smc #0",
                inlateout("x0") * x0,
                inlateout("x1") * x1,
                inlateout("x2") * x2,
                inlateout("x3") * x3,
                inlateout("x4") * x4,
                inlateout("x5") * x5,
                inlateout("x6") * x6,
                inlateout("x7") * x7,
                inlateout("x8") * x8,
                inlateout("x9") * x9,
                inlateout("x10") * x10,
                inlateout("x11") * x11,
                inlateout("x12") * x12,
                inlateout("x13") * x13,
                inlateout("x14") * x14,
                inlateout("x15") * x15,
                inlateout("x16") * x16,
                inlateout("x17") * x17,
                options(nostack),
            );
        }
        registers
    }
}
