//! The PMU of a Realm: whether it interrupts is told at each exit.

use crate::outcome::{Outcome, ensure_word, skip};
use crate::realm::{Command, Options, Replied, RunningRealm, Vcpu, command};
use crate::register;
use crate::suite::Host;

const CONTROL: [u8; 5] = [3, 3, 9, 12, 0];
const ENABLE_SET: [u8; 5] = [3, 3, 9, 12, 1];
const ENABLE_CLEAR: [u8; 5] = [3, 3, 9, 12, 2];
const OVERFLOW_CLEAR: [u8; 5] = [3, 3, 9, 12, 3];
const OVERFLOW_SET: [u8; 5] = [3, 3, 9, 14, 3];
const INTERRUPT_SET: [u8; 5] = [3, 0, 9, 14, 1];
const INTERRUPT_CLEAR: [u8; 5] = [3, 0, 9, 14, 2];

/// Writes a register and looks at what the next exit says.
fn told_after(vcpu: &mut Vcpu, register: [u8; 5], value: u64, expected: u8) -> Outcome {
    let report = vcpu.begin(&command::write_register(register, value))?;
    ensure_word!(
        report.surroundings.pmu_overflow.into(),
        expected.into(),
        "pmu_ovf_status after {value:#x} was written to S{register:?}"
    );
    vcpu.finish(&report)?
        .done("write of a PMU register")
        .map(|_| ())
}

/// A counter has overflowed, is enabled, interrupts, and the PMU is on: only all four together.
pub(crate) fn overflow(host: &Host) -> Outcome {
    let version = register::read!("id_aa64dfr0_el1") >> 8 & 0xf;
    if version == 0 || version == 0xf {
        return skip!("the CPU has no PMU");
    }
    let options = Options {
        pmu: Some(1),
        ..Options::PLAIN
    };
    let mut realm = RunningRealm::greeted(host, options)?;
    let vcpu = realm.first();
    // The cycle counter, and the one event counter.
    for counter in [1 << 31, 1 << 0] {
        told_after(vcpu, OVERFLOW_SET, counter, 0)?;
        told_after(vcpu, INTERRUPT_SET, counter, 0)?;
        told_after(vcpu, ENABLE_SET, counter, 0)?;
        told_after(vcpu, CONTROL, 1, 1)?;
        // It stays so from exit to exit.
        for _ in 0..3 {
            let report = vcpu.begin(&Command::Time)?;
            ensure_word!(
                report.surroundings.pmu_overflow.into(),
                1,
                "pmu_ovf_status that nobody has cleared"
            );
            vcpu.finish(&report)?.done("a command")?;
        }
        for (clear, set) in [
            (INTERRUPT_CLEAR, INTERRUPT_SET),
            (ENABLE_CLEAR, ENABLE_SET),
            (OVERFLOW_CLEAR, OVERFLOW_SET),
        ] {
            told_after(vcpu, clear, counter, 0)?;
            told_after(vcpu, set, counter, 1)?;
        }
        told_after(vcpu, CONTROL, 0, 0)?;
        for clear in [INTERRUPT_CLEAR, ENABLE_CLEAR, OVERFLOW_CLEAR] {
            told_after(vcpu, clear, counter, 0)?;
        }
    }
    realm.tear_down()
}
