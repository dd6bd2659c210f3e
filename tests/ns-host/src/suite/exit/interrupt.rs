//! Interrupts of the host while a Realm runs, and software-generated ones that a Realm sends.

use core::time::Duration;

use rmm_abi::rmi::run::gic_control;

use super::expect;
use crate::gic;
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::realm::{Command, Exit, Replied, RunningRealm, command, esr};
use crate::suite::Host;
use crate::timer::{self, HostTimer};

/// The Realm works on and on; the host's timer brings it out each time.
pub(crate) fn host_timer(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    timer::silence();
    // Pending before the entry, and while the Realm works.
    for microseconds in [0, 0, 200, 1000, 3000, 10_000] {
        HostTimer::Physical.start(Duration::from_micros(microseconds));
        let vcpu = realm.first();
        let report = vcpu.work()?;
        expect("a Realm with an interrupt of the host", &report, Exit::Irq)?;
        // As often as the host leaves it pending.
        for _ in 0..3 {
            let report = vcpu.run()?;
            expect("a Realm with an interrupt that stays", &report, Exit::Irq)?;
        }
        ensure_word!(
            gic::pending().unwrap_or(u64::MAX),
            HostTimer::Physical.interrupt(),
            "the interrupt that is pending after the exit"
        );
        HostTimer::Physical.stop();
        timer::silence();
        vcpu.stop_work()?;
    }
    realm.tear_down()
}

/// What the host has masked by its priority does not disturb the Realm.
pub(crate) fn masked_by_priority(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    timer::silence();
    HostTimer::Physical.start(Duration::ZERO);
    let vcpu = realm.first();
    gic::with_priority_mask(0, || {
        for _ in 0..5 {
            let report = vcpu.begin(&Command::Yield { count: 10_000 })?;
            ensure!(
                matches!(report.exit, Exit::HostCall { .. }),
                "exit although the interrupt is masked: {:x?}",
                report.exit
            );
            vcpu.finish(&report)?.done("work")?;
        }
        Ok(())
    })?;
    let report = vcpu.begin(&Command::Yield { count: 10_000 })?;
    expect(
        "the same with the interrupt let through",
        &report,
        Exit::Irq,
    )?;
    HostTimer::Physical.stop();
    timer::silence();
    let report = vcpu.run()?;
    vcpu.finish(&report)?.done("work")?;
    realm.tear_down()
}

/// `op0`, `op2`, `op1`, `CRn`, `CRm`, direction of an access in its syndrome.
const fn syndrome(op1: u64, crn: u64, crm: u64, op2: u64) -> u64 {
    esr::of(
        esr::SYSTEM_REGISTER,
        1 << 25 | 3 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1,
    )
}

/// The register that the payload happens to use.
const TRANSFER_REGISTER: u64 = 0x1f << 5;

pub(crate) fn sgi_registers(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    // ICC_SGI1R_EL1, ICC_SGI0R_EL1.
    for (crm, op2) in [(11u8, 5u8), (11, 7)] {
        for value in [0, 1 << 24 | 1, 0x00ff_00ff_0fff_ffff, u64::MAX] {
            let vcpu = realm.first();
            let write = command::write_register([3, 0, 12, crm, op2], value);
            let report = vcpu.begin(&write)?;
            let Exit::SystemRegister { esr, value: told } = report.exit else {
                return fail!("exit of an SGI: {:x?}", report.exit);
            };
            ensure_word!(
                esr & !TRANSFER_REGISTER,
                syndrome(0, 12, crm.into(), op2.into()),
                "ESR of an SGI"
            );
            ensure_word!(told, value, "value of an SGI");
            // The instruction is done, whatever the host says.
            vcpu.enter.gprs = [0xbad; 31];
            let report = vcpu.run()?;
            vcpu.finish(&report)?.done("an SGI")?;
        }
    }
    // ICC_DIR_EL1, when the host wants to know.
    let deactivate = command::write_register([3, 0, 12, 11, 1], 77);
    let vcpu = realm.first();
    vcpu.enter.gicv3_hcr = gic_control::TRAP_DEACTIVATION;
    let report = vcpu.begin(&deactivate)?;
    let Exit::SystemRegister { esr, value: told } = report.exit else {
        return fail!("exit of a deactivation: {:x?}", report.exit);
    };
    ensure_word!(
        esr & !TRANSFER_REGISTER,
        syndrome(0, 12, 11, 1),
        "ESR of a deactivation"
    );
    ensure_word!(told, 77, "value of a deactivation");
    let report = vcpu.run()?;
    vcpu.finish(&report)?.done("a deactivation")?;
    vcpu.command(&deactivate)?
        .done("a deactivation that the host does not want to know of")?;
    // ICC_ASGI1R_EL1: there is no other Security state that a Realm could reach.
    let write = command::write_register([3, 0, 12, 11, 6], 1);
    realm.first().command(&write)?;
    realm.tear_down()
}
