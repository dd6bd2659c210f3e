//! The virtual interrupt controller: what the host may put into it, what the Realm finds there, and
//! what the host gets back (reference, section 7.4).
#![allow(missing_docs)]

use fake_machine::{Bench, FEATURES, Memory, PAGE, Scene, assert_exit, exit, realm_params};
use rmm_abi::rmi::FeatureRegister0;
use rmm_abi::rmi::run::gic_control::{ALL, END_OF_INTERRUPT_COUNT};
use rmm_abi::rmi::run::{ExitReason, RecEnter};

const ERROR_REC: u64 = 3;
const ENABLE: u64 = 1;
const PENDING: u64 = 1 << 62;
const ACTIVE: u64 = 1 << 63;
const HARDWARE: u64 = 1 << 61;
const GROUP_1: u64 = 1 << 60;
const EOI: u64 = 1 << 41;
/// The list registers of the machine.
const LIST: usize = 4;

fn with_list(registers: &[u64]) -> RecEnter {
    let mut enter = RecEnter::default();
    enter.gicv3_lrs[..registers.len()].copy_from_slice(registers);
    enter
}

/// Enters a REC with list registers that must not be taken, or that must.
fn check(enter: &RecEnter, accepted: bool, why: &str) {
    Scene::play(1, |scene| {
        let (rec, run) = (scene.rec(), scene.run);
        if accepted {
            scene.enter_with(enter);
        } else {
            scene.bench.refuse_entry(ERROR_REC, rec, run, enter, why);
            scene.enter();
        }
    });
}

#[test]
fn control_bits() {
    for bit in 0..64 {
        let mut enter = RecEnter::default();
        enter.gicv3_hcr = 1 << bit;
        check(&enter, ALL & 1 << bit != 0, &format!("bit {bit}"));
    }
}

#[test]
fn fields_of_a_list_register() {
    let entry = PENDING | GROUP_1 | 0xa0 << 48 | 32;
    for (value, accepted) in [
        (entry, true),
        (entry | ACTIVE, true),
        (entry & !PENDING | ACTIVE, true),
        (entry | EOI, true),
        (entry | HARDWARE, false),
        (entry & !PENDING | HARDWARE, true),
        // Priorities have five bits.
        (entry | 0xf8 << 48, true),
        (entry | 0x04 << 48, false),
        (entry | 0x01 << 48, false),
        // pINTID belongs to interrupts of hardware.
        (entry | 1 << 32, false),
        (entry | 1 << 44, false),
        (entry | 1 << 40, false),
        // Identifiers.
        (PENDING, true),
        (PENDING | 0x3fb, true),
        (PENDING | 0x3fc, false),
        (PENDING | 0x3ff, false),
        (PENDING | 0x420, false),
        (PENDING | 0x1000, false),
        (PENDING | 0x1fff, false),
        (PENDING | 0x2000, true),
        (PENDING | 0xffff, true),
        (PENDING | 0x1_0000, false),
        (PENDING | 0xffff_ffff, false),
        // Nothing of an entry that is not in use counts.
        (!(PENDING | ACTIVE), true),
    ] {
        for number in [0, LIST - 1] {
            let mut enter = RecEnter::default();
            enter.gicv3_lrs[number] = value;
            check(&enter, accepted, &format!("{value:#x} in {number}"));
        }
        // What the machine does not have is not looked at.
        let mut enter = RecEnter::default();
        enter.gicv3_lrs[LIST..].fill(value);
        check(&enter, true, "registers that are not there");
    }
}

#[test]
fn one_interrupt_in_two_list_registers() {
    check(
        &with_list(&[PENDING | 0x1b, 0, ACTIVE | 0x1b]),
        false,
        "twice",
    );
    check(&with_list(&[PENDING | 0x1b, 0, 0x1b]), true, "not in use");
    check(&with_list(&[PENDING | 0x1b, ACTIVE | 0x1c]), true, "two");
}

/// All that the host says comes to the Realm, and nothing of the registers that there are not.
#[test]
fn what_the_realm_finds() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            guest.registers(|registers| {
                assert_eq!(registers.gic_control, ALL | ENABLE);
                let mut expected = [0; 16];
                for (number, register) in expected[..LIST].iter_mut().enumerate() {
                    *register = PENDING | (32 + number as u64);
                }
                assert_eq!(registers.list_registers, expected);
            });
        });
        let mut enter = RecEnter::default();
        enter.gicv3_hcr = ALL;
        for (number, register) in enter.gicv3_lrs.iter_mut().enumerate() {
            *register = PENDING | (32 + number as u64);
        }
        let mut expected = exit(ExitReason::Irq);
        expected.gicv3_hcr = ALL;
        expected.gicv3_lrs[..LIST].copy_from_slice(&enter.gicv3_lrs[..LIST]);
        assert_exit(&scene.enter_with(&enter), &expected);
        // What was said once is not said for ever.
        assert_exit(&scene.enter(), &exit(ExitReason::Irq));
    });
}

/// Every bit set in the CPU: the host sees what is its own, and how many interrupts have ended.
#[test]
fn what_the_host_gets_back() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            guest.registers(|registers| {
                registers.gic_control = u64::MAX;
                registers.gic_maintenance = 0x7777_7777_7777_7777;
                registers.gic[0] = 0x8888_8888_8888_8888;
                registers.list_registers[..LIST].fill(u64::MAX);
                registers.gic[1..].fill(u64::MAX);
            });
        });
        let mut expected = exit(ExitReason::Irq);
        expected.gicv3_hcr = ALL | END_OF_INTERRUPT_COUNT;
        expected.gicv3_misr = 0x7777_7777_7777_7777;
        expected.gicv3_vmcr = 0x8888_8888_8888_8888;
        expected.gicv3_lrs[..LIST].fill(u64::MAX);
        assert_exit(&scene.enter(), &expected);
        // The virtual machine's control stays with the REC; the rest is the host's to say.
        let mut expected = exit(ExitReason::Irq);
        expected.gicv3_vmcr = 0x8888_8888_8888_8888;
        assert_exit(&scene.enter(), &expected);
    });
}

/// Active priorities and the virtual machine's control are the REC's own.
#[test]
fn state_of_two_recs() {
    Scene::play(2, |scene| {
        let (recs, run) = (scene.recs.clone(), scene.run);
        for (number, &rec) in recs.iter().enumerate() {
            scene.bench.program(rec, move |guest| async move {
                if number == 0 {
                    guest.smc(&[0xc400_0003, 1, 0x2000, 0]).await;
                }
                for round in 0..3 {
                    let value = 0x1000 * (number as u64 + 1) + round;
                    guest.registers(|registers| registers.gic = [value; 16]);
                    guest.interrupt().await;
                    guest.registers(|registers| assert_eq!(registers.gic, [value; 16]));
                }
            });
        }
        scene.enter();
        let complete = [recs[0], recs[1], 0];
        scene
            .bench
            .succeed(rmm_abi::rmi::fid::PSCI_COMPLETE, &complete);
        for round in 0..3 {
            for (number, &rec) in recs.iter().enumerate() {
                let mut expected = exit(ExitReason::Irq);
                expected.gicv3_vmcr = 0x1000 * (number as u64 + 1) + round;
                let seen = scene.bench.enter(rec, run, &RecEnter::default());
                assert_exit(&seen, &expected);
            }
        }
    });
}

/// A machine with all list registers that the interface has room for, and one with a single one.
#[test]
fn other_numbers_of_list_registers() {
    for last in [15, 0] {
        let features = FeatureRegister0 {
            gic_list_registers: last,
            ..FEATURES
        };
        let base = 0x8000_0000;
        let memory = Memory::new(&[(base, 128)]);
        let rmm = memory.rmm_with_features(features);
        let granules = (0..128).map(|number| base + number * PAGE).collect();
        let bench = Bench::with_granules(&memory, &rmm, features, granules);
        let mut scene = Scene::build(bench, &realm_params(40, 1, 2), 1);
        let count = usize::from(last) + 1;
        let mut enter = RecEnter::default();
        for (number, register) in enter.gicv3_lrs.iter_mut().enumerate() {
            *register = PENDING | (32 + number as u64);
        }
        let mut expected = exit(ExitReason::Irq);
        expected.gicv3_lrs[..count].copy_from_slice(&enter.gicv3_lrs[..count]);
        assert_exit(&scene.enter_with(&enter), &expected);
        enter.gicv3_lrs[count - 1] |= HARDWARE;
        let (rec, run) = (scene.rec(), scene.run);
        scene
            .bench
            .refuse_entry(ERROR_REC, rec, run, &enter, "the last one counts");
    }
}
