//! How the host completes an access that a REC has exited for: by its value, or by an abort.
#![allow(missing_docs)]

use fake_machine::{
    Guest, Instruction, MemoryAccess, Scene, Taken, assert_exit, exit, synchronous_exit,
};
use rmm_abi::rmi::run::enter_flags::{EMULATED_MMIO, INJECT_SEA};
use rmm_abi::rmi::run::{ExitReason, RecEnter, RecExit};

const ERROR_REC: u64 = 3;

const DATA_ABORT: u64 = 0x24 << 26;
const ISV: u64 = 1 << 24;
const SF: u64 = 1 << 15;
const WNR: u64 = 1 << 6;
const TRANSLATION_FAULT_3: u64 = 0x07;
/// A synchronous external abort from the same level.
const INJECTED: u64 = 0x25 << 26 | 1 << 25 | 1 << 9 | 0x10;

const ADDRESS: u64 = Scene::UNMAPPED + 0x40;
const VALUE: u64 = 0xfedc_ba98_8765_c3a1;

fn irq() -> RecExit {
    exit(ExitReason::Irq)
}

fn with_value(flags: u64, value: u64) -> RecEnter {
    let mut enter = RecEnter::default();
    enter.flags = flags;
    // Only the first means anything.
    enter.gprs = [0x1111; 31];
    enter.gprs[0] = value;
    enter
}

/// The register after a load, by the definition of load instructions.
fn loaded(access: &MemoryAccess, value: u64) -> u64 {
    let bytes = value.to_le_bytes();
    let [a, b, c, d, ..] = bytes;
    let extended = match (access.size, access.is_signed) {
        (1, false) => u64::from(a),
        (2, false) => u64::from(u16::from_le_bytes([a, b])),
        (4, false) => u64::from(u32::from_le_bytes([a, b, c, d])),
        (1, true) => i64::from(i8::from_le_bytes([a])).cast_unsigned(),
        (2, true) => i64::from(i16::from_le_bytes([a, b])).cast_unsigned(),
        (4, true) => i64::from(i32::from_le_bytes([a, b, c, d])).cast_unsigned(),
        _ => value,
    };
    if access.is_signed && !access.is_64_bit {
        extended & 0xffff_ffff
    } else {
        extended
    }
}

fn esr(access: &MemoryAccess) -> u64 {
    DATA_ABORT
        | ISV
        | u64::from(access.size.trailing_zeros()) << 22
        | if access.is_64_bit { SF } else { 0 }
        | if access.is_write { WNR } else { 0 }
        | TRANSLATION_FAULT_3
}

fn accesses(is_write: bool) -> Vec<MemoryAccess> {
    let mut accesses = Vec::new();
    for size in [1, 2, 4, 8] {
        for is_signed in [false, true] {
            for is_64_bit in [false, true] {
                for register in [0, 1, 17, 30, 31] {
                    let access = MemoryAccess {
                        is_write,
                        is_signed,
                        is_64_bit,
                        register,
                        ..MemoryAccess::load(ADDRESS, size)
                    };
                    // Loads of all bits have no sign, and stores neither.
                    let signs = !(is_write || size == 8 && !is_64_bit);
                    if signs || !is_signed {
                        accesses.push(access);
                    }
                }
            }
        }
    }
    accesses
}

/// Registers that tell their numbers.
fn number_registers(guest: &Guest) {
    guest.registers(|registers| {
        for (number, register) in registers.general.iter_mut().enumerate() {
            *register = 0x9999_0000 + number as u64;
        }
    });
}

#[test]
fn an_emulated_load() {
    for access in accesses(false) {
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                number_registers(&guest);
                // What a trapped instruction leaves in PSTATE is gone when it was emulated.
                let before = guest.program_counter();
                guest.continue_at(before, 0x3c5 | 1 << 21 | 0b10 << 10);
                guest.finished(Instruction::Access(access)).await;
                let expected = std::array::from_fn(|number| {
                    if number == usize::from(access.register) {
                        loaded(&access, VALUE)
                    } else {
                        0x9999_0000 + number as u64
                    }
                });
                guest.registers(|registers| {
                    assert_eq!(registers.general, expected, "{access:?}");
                    assert_eq!(registers.program_counter, before + 4);
                    assert_eq!(registers.processor_state, 0x3c5);
                });
            });
            let expected = synchronous_exit(esr(&access), 0x40, ADDRESS);
            assert_exit(&scene.enter(), &expected);
            let enter = with_value(EMULATED_MMIO, VALUE);
            assert_exit(&scene.enter_with(&enter), &irq());
        });
    }
}

#[test]
fn an_emulated_store() {
    for access in accesses(true) {
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                number_registers(&guest);
                let before = guest.program_counter();
                if access.register < 31 {
                    guest.set_general(access.register.into(), VALUE);
                }
                let after = guest.registers(|registers| registers.general);
                guest.finished(Instruction::Access(access)).await;
                guest.registers(|registers| {
                    assert_eq!(registers.general, after, "{access:?}");
                    assert_eq!(registers.program_counter, before + 4);
                });
            });
            let mut expected = synchronous_exit(esr(&access), 0x40, ADDRESS);
            if access.register < 31 {
                expected.gprs[0] = VALUE & u64::MAX >> (64 - 8 * access.size);
            }
            assert_exit(&scene.enter(), &expected);
            let enter = with_value(EMULATED_MMIO, 0x5555);
            assert_exit(&scene.enter_with(&enter), &irq());
        });
    }
}

/// A load from an unmapped page, and what the second entry comes to.
fn second_entry(flags: u64, check: impl FnOnce(Guest, Result<u64, Taken>) + Send + 'static) {
    Scene::play(1, |scene| {
        scene.program(move |guest| async move {
            let load = Instruction::Access(MemoryAccess::load(ADDRESS, 8));
            let outcome = guest.execute(load).await;
            check(guest, outcome);
        });
        let access = MemoryAccess::load(ADDRESS, 8);
        assert_exit(
            &scene.enter(),
            &synchronous_exit(esr(&access), 0x40, ADDRESS),
        );
        let exit = scene.enter_with(&with_value(flags, VALUE));
        assert_exit(&exit, &irq());
    });
}

#[test]
fn flags_that_mean_nothing() {
    second_entry(EMULATED_MMIO | !0x1f, |_, outcome| {
        assert_eq!(outcome, Ok(VALUE));
    });
}

#[test]
fn an_abort_for_the_realm() {
    for flags in [INJECT_SEA, INJECT_SEA | EMULATED_MMIO] {
        second_entry(flags, |guest, outcome| {
            let taken = outcome.expect_err("an abort");
            assert_eq!(taken.syndrome, INJECTED);
            assert_eq!(taken.fault_address, ADDRESS);
            assert_eq!(taken.link, Scene::ENTRY);
            assert_eq!(taken.vector, 0x200);
            assert_eq!(guest.general(0), 0);
        });
    }
}

/// An access that the host cannot emulate can still be refused.
#[test]
fn an_abort_for_what_cannot_be_emulated() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            let access = MemoryAccess {
                is_described: false,
                ..MemoryAccess::store(ADDRESS, 8)
            };
            let taken = guest.refused(Instruction::Access(access)).await;
            assert_eq!(taken.syndrome, INJECTED | WNR);
        });
        let expected = synchronous_exit(DATA_ABORT | TRANSLATION_FAULT_3, 0, ADDRESS);
        assert_exit(&scene.enter(), &expected);
        scene.refuse(ERROR_REC, EMULATED_MMIO, "the CPU did not describe it");
        assert_exit(&scene.enter_with_flags(INJECT_SEA), &irq());
    });
}

/// `AArch32` instructions are not described by the same fields.
#[test]
fn a_32_bit_application() {
    const EL0_AARCH32: u64 = 1 << 4;
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            guest.continue_at(0x3000, EL0_AARCH32);
            let access = Instruction::Access(MemoryAccess::load(ADDRESS, 4));
            let taken = guest.refused(access).await;
            assert_eq!(taken.vector, 0x600);
            assert_eq!(taken.syndrome, INJECTED & !(1 << 26));
            assert_eq!(taken.saved_state, EL0_AARCH32);
            assert_eq!(taken.link, 0x3000);
        });
        let expected = synchronous_exit(DATA_ABORT | TRANSLATION_FAULT_3, 0, ADDRESS);
        assert_exit(&scene.enter(), &expected);
        scene.refuse(ERROR_REC, EMULATED_MMIO, "AArch32");
        assert_exit(&scene.enter_with_flags(INJECT_SEA), &irq());
    });
}

/// Only the exit before counts, and once.
#[test]
fn an_access_is_completed_once() {
    Scene::play(1, |scene| {
        scene.refuse(ERROR_REC, EMULATED_MMIO, "there was no exit yet");
        scene.program(|guest| async move {
            for _ in 0..2 {
                assert_eq!(guest.load(ADDRESS, 8).await, VALUE);
                guest.interrupt().await;
            }
            let protected = Instruction::Access(MemoryAccess::load(Scene::UNASSIGNED, 8));
            guest.finished(protected).await;
        });
        let access = MemoryAccess::load(ADDRESS, 8);
        let expected = synchronous_exit(esr(&access), 0x40, ADDRESS);
        let answer = with_value(EMULATED_MMIO, VALUE);
        for _ in 0..2 {
            assert_exit(&scene.enter(), &expected);
            assert_exit(&scene.enter_with(&answer), &irq());
            scene.refuse(ERROR_REC, EMULATED_MMIO, "an interrupt is not an access");
        }
        let expected = synchronous_exit(DATA_ABORT | TRANSLATION_FAULT_3, 0, Scene::UNASSIGNED);
        assert_exit(&scene.enter(), &expected);
        scene.refuse(
            ERROR_REC,
            EMULATED_MMIO,
            "memory of the Realm is not emulated",
        );
        // There is nothing to refuse either.
        assert_exit(&scene.enter_with_flags(INJECT_SEA), &expected);
        let both = EMULATED_MMIO | INJECT_SEA;
        assert_exit(&scene.enter_with_flags(both), &expected);
    });
}

/// An entry that fails leaves the access open.
#[test]
fn a_refused_entry_changes_nothing() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            assert_eq!(guest.load(ADDRESS, 8).await, VALUE);
        });
        scene.enter();
        let mut wrong = with_value(EMULATED_MMIO, 1);
        wrong.gicv3_hcr = 1;
        let (rec, run) = (scene.rec(), scene.run);
        for _ in 0..2 {
            scene
                .bench
                .refuse_entry(ERROR_REC, rec, run, &wrong, "a bit of the RMM's");
        }
        assert_exit(&scene.enter_with(&with_value(EMULATED_MMIO, VALUE)), &irq());
    });
}
