//! Interrupts that the host puts into list registers.

use rmm_abi::rmi::run::gic_control;

use crate::outcome::{Outcome, ensure_word, skip};
use crate::realm::{Command, Replied, RunningRealm, Vcpu, command, lr};
use crate::suite::Host;
use crate::timer;

/// How often the payload took an interrupt.
fn taken(vcpu: &mut Vcpu, number: u64) -> Outcome<u64> {
    let reply = vcpu.command(&Command::InterruptCounts)?;
    let results = reply.done("count of interrupts")?;
    Ok(command::count_of(&results, number))
}

/// An interrupt of each state goes in; the payload takes and ends it.
pub(crate) fn delivered(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    timer::silence();
    let vcpu = realm.first();
    vcpu.command(&command::interrupts(true))?
        .done("interrupts on")?;
    let count = vcpu.list_registers();
    for (index, number) in (0..count).cycle().zip([27, 30, 0, 15, 32, 1019, 100, 101]) {
        let before = taken(vcpu, number)?;
        vcpu.enter.gicv3_lrs[index] = lr::pending(number);
        let report = vcpu.begin(&Command::Yield { count: 1000 })?;
        ensure_word!(
            report.surroundings.lrs[index] & lr::STATE,
            0,
            "state of interrupt {number} after its end"
        );
        vcpu.finish(&report)?.done("work")?;
        ensure_word!(
            taken(vcpu, number)?,
            before + 1,
            "count of interrupt {number}"
        );
    }
    // Several at once.
    for (index, lr) in vcpu.enter.gicv3_lrs.iter_mut().enumerate().take(count) {
        *lr = lr::pending(200 + index as u64);
    }
    let report = vcpu.begin(&Command::Yield { count: 1000 })?;
    for index in 0..count {
        ensure_word!(
            report.surroundings.lrs[index] & lr::STATE,
            0,
            "state of list register {index} when all were used"
        );
    }
    vcpu.finish(&report)?.done("work")?;
    for index in 0..count as u64 {
        ensure_word!(
            taken(vcpu, 200 + index)?,
            1,
            "count of interrupt {}",
            200 + index
        );
    }
    // One whose end the host wants to know of.
    vcpu.enter.gicv3_lrs[0] = lr::pending(250) | lr::END_OF_INTERRUPT;
    let report = vcpu.begin(&Command::Yield { count: 1000 })?;
    ensure_word!(
        report.surroundings.lrs[0] & lr::STATE,
        0,
        "state of an interrupt whose end is told"
    );
    ensure_word!(report.surroundings.misr & 1, 1, "gicv3_misr.EOI");
    vcpu.finish(&report)?.done("work")?;
    // An active one is nothing new.
    vcpu.enter.gicv3_lrs[0] = lr::active(300);
    let report = vcpu.begin(&Command::Yield { count: 1000 })?;
    ensure_word!(
        report.surroundings.lrs[0],
        lr::active(300),
        "an active interrupt"
    );
    vcpu.finish(&report)?.done("work")?;
    ensure_word!(taken(vcpu, 300)?, 0, "count of an active interrupt");
    // Masked by the Realm it stays.
    vcpu.command(&command::interrupts(false))?
        .done("interrupts off")?;
    vcpu.enter.gicv3_lrs[0] = lr::pending(301);
    let report = vcpu.begin(&Command::Yield { count: 1000 })?;
    ensure_word!(
        report.surroundings.lrs[0],
        lr::pending(301),
        "a masked interrupt"
    );
    vcpu.finish(&report)?.done("work")?;
    realm.tear_down()
}

/// The order is that of the priorities.
pub(crate) fn priorities(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    timer::silence();
    let vcpu = realm.first();
    if vcpu.list_registers() < 3 {
        return skip!("there are fewer than three list registers");
    }
    vcpu.command(&command::interrupts(true))?
        .done("interrupts on")?;
    // Priority 0xf8 is below the payload's mask or the last of all; the others come in order.
    for (index, (number, priority)) in [(60u64, 0xc0u64), (61, 0x40), (62, 0x80)]
        .iter()
        .enumerate()
    {
        vcpu.enter.gicv3_lrs[index] = lr::pending(*number) & !(0xff << 48) | priority << 48;
    }
    let report = vcpu.begin(&Command::Yield { count: 1000 })?;
    vcpu.finish(&report)?.done("work")?;
    for number in [60, 61, 62] {
        ensure_word!(taken(vcpu, number)?, 1, "count of interrupt {number}");
    }
    realm.tear_down()
}

/// `EOIcount` counts ends of interrupts that no list register knows.
pub(crate) fn end_without_list_register(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    timer::silence();
    let vcpu = realm.first();
    masked_with_groups(vcpu, 1)?;
    vcpu.enter.gicv3_lrs[0] = lr::pending(70);
    let acknowledge = command::read_register(3, 0, 12, 12, 0);
    let report = vcpu.begin(&acknowledge)?;
    ensure_word!(
        report.surroundings.lrs[0] & lr::STATE,
        lr::ACTIVE,
        "state of an acknowledged interrupt"
    );
    let [number, ..] = vcpu.finish(&report)?.done("acknowledge")?;
    ensure_word!(number, 70, "number of the acknowledged interrupt");
    // The list register is empty now, so its end is counted.
    let end = command::write_register([3, 0, 12, 12, 1], 70);
    vcpu.enter.gicv3_hcr = gic_control::ENTRY_NOT_PRESENT;
    let report = vcpu.begin(&end)?;
    ensure_word!(
        report.surroundings.gic_hcr,
        gic_control::ENTRY_NOT_PRESENT | 1 << 27,
        "gicv3_hcr after an end without list register"
    );
    ensure_word!(
        report.surroundings.misr & 1 << 2,
        1 << 2,
        "gicv3_misr.LRENP"
    );
    vcpu.finish(&report)?.done("end of interrupt")?;
    // The host does not keep the count: each entry starts from zero.
    let report = vcpu.begin(&Command::Time)?;
    ensure_word!(report.surroundings.gic_hcr, 0, "gicv3_hcr of the next exit");
    vcpu.finish(&report)?.done("a command")?;
    realm.tear_down()
}

/// The CPU interface is open for group 1 as asked and closed for group 0, but the Realm takes no
/// interrupt.
fn masked_with_groups(vcpu: &mut Vcpu, group_1: u64) -> Outcome {
    for (what, command) in [
        ("interrupts on", command::interrupts(true)),
        ("masks", Command::SetDaif(0xf << 6)),
        ("group 0", command::write_register([3, 0, 12, 12, 6], 0)),
        ("group 1", group_1_enabled(group_1)),
    ] {
        vcpu.command(&command)?.done(what)?;
    }
    Ok(())
}

/// A write of `ICC_IGRPEN1_EL1`.
fn group_1_enabled(value: u64) -> Command {
    command::write_register([3, 0, 12, 12, 7], value)
}

/// Bits of `ICH_MISR_EL2` that the host may ask for.
pub(crate) fn maintenance(host: &Host) -> Outcome {
    const UNDERFLOW: u64 = 1 << 1;
    const NO_PENDING: u64 = 1 << 3;
    const GROUP_0_DISABLED: u64 = 1 << 5;
    const GROUP_1_ENABLED: u64 = 1 << 6;
    const GROUP_1_DISABLED: u64 = 1 << 7;
    let mut realm = RunningRealm::plain(host)?;
    timer::silence();
    let vcpu = realm.first();
    masked_with_groups(vcpu, 1)?;
    for (control, pending, expected) in [
        (0, false, 0),
        (gic_control::UNDERFLOW, false, UNDERFLOW),
        (gic_control::NO_PENDING, false, NO_PENDING),
        (gic_control::NO_PENDING, true, 0),
        (gic_control::GROUP_1_ENABLED, false, GROUP_1_ENABLED),
        (gic_control::GROUP_1_DISABLED, false, 0),
        (
            gic_control::UNDERFLOW | gic_control::NO_PENDING | gic_control::GROUP_1_ENABLED,
            false,
            UNDERFLOW | NO_PENDING | GROUP_1_ENABLED,
        ),
    ] {
        vcpu.enter.gicv3_hcr = control;
        if pending {
            vcpu.enter.gicv3_lrs[0] = lr::pending(80);
        }
        let report = vcpu.begin(&group_1_enabled(1))?;
        ensure_word!(
            report.surroundings.misr,
            expected,
            "gicv3_misr for {control:#x}"
        );
        ensure_word!(report.surroundings.gic_hcr, control, "gicv3_hcr");
        vcpu.finish(&report)?.done("a command")?;
    }
    // Both groups closed: QEMU 10.0 looks at the wrong one when it is only group 0.
    let closed = gic_control::GROUP_0_DISABLED | gic_control::GROUP_1_DISABLED;
    vcpu.enter.gicv3_hcr = closed;
    let report = vcpu.begin(&group_1_enabled(0))?;
    ensure_word!(
        report.surroundings.misr,
        GROUP_0_DISABLED | GROUP_1_DISABLED,
        "gicv3_misr without groups"
    );
    vcpu.finish(&report)?.done("a command")?;
    realm.tear_down()
}
