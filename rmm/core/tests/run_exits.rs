//! What the host is told when a REC exits, byte by byte. The CPU has ones wherever nothing is said
//! about a bit: in syndromes, fault addresses and all registers of the Realm.
#![allow(missing_docs)]

use fake_machine::{
    Guest, Instruction, Scene, SystemEncoding, WaitFor, assert_exit, exit, synchronous_exit,
};
use rmm_abi::rmi::run::{ExitReason, RecExit};
use rmm_core::machine::ExceptionKind;

const ONES: u64 = u64::MAX;
/// Everything of a syndrome but the class and the fault status.
const REST: u64 = !(0x3f << 26 | 0x3f);

const DATA_ABORT: u64 = 0x24 << 26;
const INSTRUCTION_ABORT: u64 = 0x20 << 26;
const TRANSLATION_FAULT: u64 = 0x07;
const PERMISSION_FAULT: u64 = 0x0f;
const ISV: u64 = 1 << 24;
const WNR: u64 = 1 << 6;
const SET: u64 = 0b11 << 11;
const FNV: u64 = 1 << 10;
const EA: u64 = 1 << 9;
const S1PTW: u64 = 1 << 7;

fn synchronous(esr: u64, ipa: u64) -> RecExit {
    synchronous_exit(esr, 0, ipa)
}

/// Ones in every register that could leak.
fn fill(guest: &Guest) {
    guest.registers(|registers| {
        registers.general = [ONES; 31];
        registers.stack_pointer = ONES;
        registers.fault_address = ONES;
        registers.fault_ipa = ONES;
    });
}

/// What the host sees after one instruction of a Realm full of ones.
fn after(instruction: Instruction) -> RecExit {
    let mut seen = None;
    Scene::play(1, |scene| {
        scene.program(move |guest| async move {
            fill(&guest);
            let _ = guest.execute(instruction).await;
            unreachable!("the REC was entered once");
        });
        seen = Some(scene.enter());
    });
    seen.unwrap()
}

/// `HPFAR_EL2` of an address, and ones around the field.
fn fault_ipa(ipa: u64) -> u64 {
    ipa >> 12 << 4 | !0xfff_ffff_fff0
}

fn check(instruction: Instruction, expected: &RecExit) {
    assert_exit(&after(instruction), expected);
}

#[test]
fn interrupts_tell_nothing() {
    for (kind, reason) in [
        (ExceptionKind::Irq, ExitReason::Irq),
        (ExceptionKind::Fiq, ExitReason::Fiq),
    ] {
        check(Instruction::Interruption(kind, ONES), &exit(reason));
    }
}

#[test]
fn serror_has_five_fields() {
    // IDS, AET, EA and the status; IESB and all that is not defined stay behind.
    for (syndrome, seen) in [
        (ONES, 0x3f << 26 | 1 << 24 | 0b111 << 10 | EA | 0x3f),
        (0x2f << 26 | 0x11, 0x2f << 26 | 0x11),
        (!(1 << 24 | 0b111 << 10 | EA | 0x3f), 0x3f << 26),
        (1 << 13 | 1 << 25 | 1 << 32, 0),
    ] {
        let mut expected = exit(ExitReason::SError);
        expected.esr = seen;
        let instruction = Instruction::Interruption(ExceptionKind::SError, syndrome);
        check(instruction, &expected);
    }
}

#[test]
fn waiting_tells_the_instruction() {
    for instruction in 0..4 {
        // The register number is all ones too: the zero register.
        let syndrome = 1 << 26 | REST | 0x3c | instruction;
        check(
            Instruction::Synchronous(syndrome, ONES, ONES),
            &synchronous(1 << 26 | instruction, 0),
        );
    }
}

#[test]
fn waiting_with_a_timeout_tells_it() {
    use rmm_abi::rmi::run::enter_flags::{TRAP_WFE, TRAP_WFI};
    for (what, instruction, timeout) in [
        (WaitFor::Interrupt, 0, 0),
        (WaitFor::Event, 1, 0),
        (WaitFor::InterruptUntil(7), 2, 0x1234_5678_9abc_def0),
        (WaitFor::EventUntil(7), 3, 0x1234_5678_9abc_def0),
        (WaitFor::EventUntil(31), 3, 0),
    ] {
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                fill(&guest);
                guest.set_general(7, 0x1234_5678_9abc_def0);
                let before = guest.program_counter();
                guest.finished(Instruction::Wait(what)).await;
                assert_eq!(guest.program_counter(), before + 4);
                assert_eq!(guest.general(0), ONES);
            });
            let mut expected = synchronous(1 << 26 | instruction, 0);
            expected.gprs[0] = timeout;
            assert_exit(&scene.enter_with_flags(TRAP_WFI | TRAP_WFE), &expected);
            assert_exit(&scene.enter(), &exit(ExitReason::Irq));
        });
    }
}

#[test]
fn fetch_of_a_missing_page() {
    for ipa in [
        Scene::UNASSIGNED,
        Scene::DESTROYED,
        Scene::ASSIGNED_DESTROYED,
    ] {
        let syndrome = INSTRUCTION_ABORT | REST | TRANSLATION_FAULT;
        check(
            Instruction::Synchronous(syndrome, ONES, fault_ipa(ipa)),
            &synchronous(INSTRUCTION_ABORT | SET | EA | TRANSLATION_FAULT, ipa),
        );
    }
}

#[test]
fn access_to_a_missing_page() {
    for ipa in [
        Scene::UNASSIGNED,
        Scene::DESTROYED,
        Scene::ASSIGNED_DESTROYED,
    ] {
        let syndrome = DATA_ABORT | REST | TRANSLATION_FAULT;
        check(
            Instruction::Synchronous(syndrome, ONES, fault_ipa(ipa)),
            &synchronous(DATA_ABORT | SET | FNV | EA | TRANSLATION_FAULT, ipa),
        );
    }
}

#[test]
fn access_that_the_host_cannot_emulate() {
    for (syndrome, ipa) in [
        (REST & !ISV | TRANSLATION_FAULT, Scene::UNMAPPED),
        (REST & !ISV | TRANSLATION_FAULT, Scene::UNMAPPED_NO_TABLE),
        // A walk of stage 1 that was to write the read-only page: the CPU tells where it is.
        (REST & !ISV | S1PTW | PERMISSION_FAULT, Scene::READ_ONLY),
    ] {
        check(
            Instruction::Synchronous(DATA_ABORT | syndrome, ONES, fault_ipa(ipa)),
            &synchronous(DATA_ABORT | SET | FNV | EA | syndrome & 0x3f, ipa),
        );
    }
}

/// What of the syndrome of an access the host sees that may emulate it.
const EMULATABLE: u64 = 0x3f << 26 | ISV | 0b11 << 22 | 1 << 15 | SET | FNV | EA | WNR | 0x3f;

#[test]
fn load_that_the_host_may_emulate() {
    let syndrome = DATA_ABORT | REST & !WNR | TRANSLATION_FAULT;
    let instruction = Instruction::Synchronous(syndrome, ONES, fault_ipa(Scene::UNMAPPED));
    let mut expected = synchronous(syndrome & EMULATABLE, Scene::UNMAPPED);
    expected.far = 0xfff;
    check(instruction, &expected);
}

#[test]
fn store_that_the_host_may_emulate() {
    for (size, value) in [(0, 0xff), (1, 0xffff), (2, 0xffff_ffff), (3, ONES)] {
        for (register, value) in [(5, value), (31, 0)] {
            let access = size << 22 | register << 16;
            let syndrome = DATA_ABORT | REST & !(0b11 << 22 | 0x1f << 16) | TRANSLATION_FAULT;
            let syndrome = syndrome | access;
            let instruction = Instruction::Synchronous(syndrome, ONES, fault_ipa(Scene::UNMAPPED));
            let mut expected = synchronous(syndrome & EMULATABLE, Scene::UNMAPPED);
            expected.far = 0xfff;
            expected.gprs[0] = value;
            check(instruction, &expected);
        }
    }
}

#[test]
fn an_external_abort() {
    for status in (0x10..0x18).filter(|status| !matches!(status, 0x11 | 0x12)) {
        for (class, fields) in [(DATA_ABORT, SET | FNV | EA), (INSTRUCTION_ABORT, SET | EA)] {
            check(
                Instruction::Synchronous(class | REST | status, ONES, ONES),
                &synchronous(class | fields | status, 0),
            );
        }
    }
}

#[test]
fn a_software_generated_interrupt() {
    const ICC_SGI0R: SystemEncoding = SystemEncoding::new(3, 0, 12, 11, 7);
    const ICC_SGI1R: SystemEncoding = SystemEncoding::new(3, 0, 12, 11, 5);
    const ICC_DIR: SystemEncoding = SystemEncoding::new(3, 0, 12, 11, 1);
    for register in [ICC_SGI0R, ICC_SGI1R, ICC_DIR] {
        for (general, value) in [(9, 0x77), (31, 0)] {
            Scene::play(1, |scene| {
                scene.program(move |guest| async move {
                    fill(&guest);
                    guest.set_general(9, 0x77);
                    guest
                        .finished(Instruction::WriteSystem(register, general))
                        .await;
                    assert_eq!(guest.general(9), 0x77);
                });
                let syndrome = 0x18 << 26 | 1 << 25 | register.syndrome(general, false);
                let mut expected = synchronous(syndrome, 0);
                expected.gprs[0] = value;
                assert_exit(&scene.enter(), &expected);
                assert_exit(&scene.enter(), &exit(ExitReason::Irq));
            });
        }
    }
}

#[test]
fn a_software_generated_interrupt_has_no_second_syndrome() {
    let register = SystemEncoding::new(3, 0, 12, 11, 5).syndrome(9, false);
    let mut expected = synchronous(0x18 << 26 | 1 << 25 | register, 0);
    expected.gprs[0] = ONES;
    check(
        Instruction::Synchronous(ONES << 32 | 0x18 << 26 | 1 << 25 | register, ONES, ONES),
        &expected,
    );
}
