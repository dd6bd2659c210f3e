//! What a host may write into the interrupt controller of a REC.

use rmm_abi::rmi::run::gic_control;

use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{Command, Replied, RunningRealm, lr};
use crate::register;
use crate::rmi::ERROR_REC;
use crate::suite::Host;

/// Each bit by itself: refused, or taken and told again.
pub(crate) fn control_bits(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    for bit in 0..64 {
        let value = 1 << bit;
        vcpu.enter.gicv3_hcr = value;
        if gic_control::ALL & value == 0 {
            vcpu.refused(ERROR_REC, format_args!("gicv3_hcr with bit {bit}"))?;
            vcpu.enter.gicv3_hcr = value | gic_control::ALL;
            vcpu.refused(ERROR_REC, format_args!("gicv3_hcr with bit {bit} and more"))?;
            continue;
        }
        let report = vcpu.begin(&Command::Time)?;
        ensure_word!(
            report.surroundings.gic_hcr,
            value,
            "gicv3_hcr of the exit after bit {bit}"
        );
        vcpu.finish(&report)?.done("a command")?;
    }
    vcpu.enter.gicv3_hcr = gic_control::ALL;
    let report = vcpu.begin(&Command::Time)?;
    ensure_word!(
        report.surroundings.gic_hcr,
        gic_control::ALL,
        "gicv3_hcr of the exit"
    );
    // Each entry says it anew.
    let report = vcpu.begin(&Command::Time)?;
    ensure_word!(report.surroundings.gic_hcr, 0, "gicv3_hcr of the next exit");
    realm.tear_down()
}

/// Bits of priorities that the CPU does not have.
fn priority_bits() -> u64 {
    // ICH_VTR_EL2.PRIbits, minus one.
    let bits = (register::read!("S3_4_C12_C11_1") >> 29 & 7) + 1;
    (0xff >> bits) & 0xff
}

/// First number that the CPU has no bits for.
fn too_large() -> u64 {
    // ICH_VTR_EL2.IDbits.
    match register::read!("S3_4_C12_C11_1") >> 23 & 7 {
        0 => 1 << 16,
        _ => 1 << 24,
    }
}

pub(crate) fn valid_list_registers(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    let count = vcpu.list_registers();
    let good = [
        lr::pending(0),
        lr::pending(15),
        lr::pending(16),
        lr::pending(31),
        lr::pending(32),
        lr::pending(1019),
        lr::pending(8192),
        lr::pending(too_large() - 1),
        lr::pending(40) | lr::ACTIVE,
        lr::active(41),
        lr::pending(42) & !lr::GROUP_1,
        lr::pending(43) | lr::END_OF_INTERRUPT,
        lr::pending(44) | 0x08 << 48,
        0,
    ];
    // The payload takes no interrupt, so they stay as they are.
    for value in good {
        for index in 0..count {
            vcpu.enter.gicv3_lrs[index] = value;
            let report = vcpu.begin(&Command::Time)?;
            for (number, seen) in report.surroundings.lrs.iter().enumerate() {
                let expected = if number == index { value } else { 0 };
                ensure_word!(*seen, expected, "list register {number}");
            }
            vcpu.finish(&report)?.done("a command")?;
        }
    }
    // All at once, each with a number of its own; the same number twice where one is not valid.
    for (index, lr) in vcpu.enter.gicv3_lrs.iter_mut().enumerate().take(count) {
        *lr = lr::pending(100 + index as u64);
    }
    vcpu.command(&Command::Time)?.done("a command")?;
    if count > 1 {
        vcpu.enter.gicv3_lrs[0] = lr::pending(100);
        vcpu.enter.gicv3_lrs[1] = lr::pending(100) & !lr::STATE;
        vcpu.command(&Command::Time)?.done("a command")?;
    }
    realm.tear_down()
}

pub(crate) fn invalid_list_registers(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    let count = vcpu.list_registers();
    let mut bad = arrayvec::ArrayVec::<(u64, &str), 40>::new();
    for state in [lr::PENDING, lr::ACTIVE, lr::STATE] {
        let base = lr::pending(40) & !lr::STATE | state;
        bad.push((base | lr::HARDWARE, "a hardware interrupt"));
        for number in [1020, 1021, 1023, 8191, 2048] {
            bad.push((
                base & !lr::NUMBER | number,
                "a number that no interrupt has",
            ));
        }
        bad.push((
            base & !lr::NUMBER | too_large(),
            "a number with too many bits",
        ));
        for bit in [32, 40, 42, 44] {
            bad.push((base | 1 << bit, "a physical number"));
        }
        if priority_bits() != 0 {
            bad.push((
                base | priority_bits() << 48,
                "a priority with too many bits",
            ));
        }
    }
    for (value, what) in bad {
        for index in 0..count {
            vcpu.enter.gicv3_lrs[index] = value;
            vcpu.refused(
                ERROR_REC,
                format_args!("list register {index} = {value:#x}, {what}"),
            )?;
            vcpu.enter.gicv3_lrs[index] = 0;
        }
    }
    for first in 0..count {
        for second in first + 1..count {
            for state in [lr::PENDING, lr::ACTIVE, lr::STATE] {
                vcpu.enter.gicv3_lrs[first] = lr::pending(77);
                vcpu.enter.gicv3_lrs[second] = lr::pending(77) & !lr::STATE | state;
                vcpu.refused(
                    ERROR_REC,
                    format_args!("list registers {first} and {second} with one number"),
                )?;
                vcpu.enter.gicv3_lrs = [0; 16];
            }
        }
    }
    // What is behind those that there are is not looked at.
    vcpu.enter.gicv3_lrs[count..].fill(u64::MAX);
    vcpu.command(&Command::Time)?.done("a command")?;
    ensure!(count > 0, "the RMM offers no list register");
    realm.tear_down()
}
