//! Calls to EL3.
#![allow(unsafe_code)]

use rmm_abi::el3::ServiceCode;

/// X0 to X3 after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Results(pub(crate) [u64; 4]);

impl Results {
    pub(crate) fn code(self) -> ServiceCode {
        ServiceCode::from_word(self.0[0])
    }

    /// X1, the value of a call that succeeded.
    pub(crate) fn value(self) -> Option<u64> {
        (self.0[0] == 0).then_some(self.0[1])
    }
}

/// Calls EL3 with X0 to X4.
pub(crate) fn call(function: u64, arguments: [u64; 4]) -> Results {
    let [mut x1, mut x2, mut x3, x4] = arguments;
    let mut x0 = function;
    // SAFETY: EL3 keeps the registers that it does not return anything in, one test checks that;
    // what it does to memory is what the test is about.
    unsafe {
        core::arch::asm!(
            "smc #0",
            inout("x0") x0,
            inout("x1") x1,
            inout("x2") x2,
            inout("x3") x3,
            inout("x4") x4 => _,
            out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _,
            out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x16") _,
            out("x17") _,
            options(nostack)
        );
    }
    Results([x0, x1, x2, x3])
}

/// The code that a service returns for up to four arguments.
pub(crate) fn code(function: u64, arguments: &[u64]) -> ServiceCode {
    let mut all = [0; 4];
    for (place, argument) in all.iter_mut().zip(arguments) {
        *place = *argument;
    }
    call(function, all).code()
}

unsafe extern "C" {
    fn call_with_all_registers(before: &[u64; 31], after: &mut [u64; 31]);
}

/// A call with every register given, and every register afterwards.
pub(crate) fn call_and_see_all(before: &[u64; 31]) -> [u64; 31] {
    let mut after = [0; 31];
    // SAFETY: the routine keeps what a function must keep.
    unsafe { call_with_all_registers(before, &mut after) };
    after
}
