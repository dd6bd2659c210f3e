//! How the RMM is entered.
#![allow(unsafe_code)]

use rmm_abi::Version;

use crate::registers::read_register;
use crate::report::{Outcome, expect_equal, fail};
use crate::start::{BootRegisters, LOWEST};

pub(crate) fn registers(registers: &BootRegisters) -> Outcome {
    let [cpu, version, cpus, shared, token] = registers.0;
    let Some(version) = Version::from_word(version) else {
        fail!("X1 is not a version: {version:#x}");
    };
    expect_equal!(version.major(), LOWEST.major(), "major version in X1");
    if version.minor() < LOWEST.minor() {
        fail!("version {version} in X1 is below {LOWEST}");
    }
    if cpus == 0 || cpus > 0x1_0000 {
        fail!("{cpus} CPUs in X2");
    }
    if cpu >= cpus {
        fail!("CPU {cpu} in X0 is not below the {cpus} CPUs in X2");
    }
    if shared == 0 || !shared.is_multiple_of(0x1000) {
        fail!("the shared page in X3 is at {shared:#x}");
    }
    expect_equal!(token, 0, "activation token in X4 at the first boot");
    Ok(())
}

pub(crate) fn processor_state() -> Outcome {
    expect_equal!(read_register!("currentel") >> 2, 2, "exception level");
    expect_equal!(read_register!("spsel"), 1, "stack pointer select");
    expect_equal!(read_register!("daif") >> 6, 0xf, "mask of exceptions");
    let sctlr = read_register!("sctlr_el2");
    expect_equal!(sctlr & 1, 0, "MMU");
    // Access to pointer authentication, floating point and vectors does not trap to EL3: that
    // would show as an unexpected exception in the tests that use them.
    Ok(())
}
