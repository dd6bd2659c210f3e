//! Calls to EL3.

#![allow(unsafe_code)]

use core::arch::global_asm;

use rmm_abi::smc::psci;

use crate::outcome::{Outcome, fail};

global_asm!(include_str!("asm/smc.S"));

unsafe extern "C" {
    fn smc_with_registers(registers: &mut Registers);
}

/// X0 to X30 before a call, and after it.
#[derive(Clone, Debug)]
#[repr(transparent)]
pub(crate) struct Registers(pub(crate) [u64; 31]);

impl Registers {
    /// A call with its arguments from X1 on. Every other register holds a value of its own, by
    /// which a change shows.
    pub(crate) fn new(function: u64, arguments: &[u64]) -> Self {
        let mut registers = [0; 31];
        for (number, register) in (0u64..).zip(&mut registers) {
            *register = 0xc0de_0000_0000_0000 | number << 32 | (0xfeed_0000 + number);
        }
        registers[0] = function;
        for (register, argument) in registers[1..].iter_mut().zip(arguments) {
            *register = *argument;
        }
        Self(registers)
    }

    /// Makes the call and returns the registers after it.
    pub(crate) fn call(&self) -> Self {
        let mut registers = self.clone();
        // SAFETY: none of the functions that this program calls changes memory that Rust knows
        // of, and the routine keeps to the procedure call standard whatever the call does to
        // the registers.
        unsafe { smc_with_registers(&mut registers) };
        registers
    }

    /// Fails when a register from X`first` on is not what it was before the call.
    pub(crate) fn expect_kept(&self, before: &Self, first: usize) -> Outcome {
        for (number, (now, before)) in self.0.iter().zip(&before.0).enumerate().skip(first) {
            if now != before {
                return fail!("x{number} was {before:#x} before the call and is {now:#x} after it");
            }
        }
        Ok(())
    }
}

/// Makes a call without further checks; X0.
pub(crate) fn call(function: u64, arguments: &[u64]) -> u64 {
    Registers::new(function, arguments).call().0[0]
}

/// Result of a PSCI function: a signed 32-bit value, as which SMC32 functions return it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "PSCI results are 32 bits wide"
)]
pub(crate) fn psci(function: u64, arguments: &[u64]) -> i64 {
    i64::from(call(function, arguments) as i32)
}

/// Switches this CPU off. Comes back with the error code when that is refused.
pub(crate) fn cpu_off() -> i64 {
    psci(psci::CPU_OFF, &[])
}
