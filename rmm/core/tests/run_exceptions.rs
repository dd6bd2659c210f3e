//! Exceptions that the RMM lets a Realm take to its EL1: where from, where to, and what the
//! registers say (Arm ARM, "Exception entry").
#![allow(missing_docs)]

use fake_machine::{
    Guest, Instruction, MemoryAccess, Scene, SystemEncoding, Taken, VectorUse, assert_exit, exit,
    synchronous_exit,
};
use rmm_abi::rmi::run::ExitReason;
use rmm_abi::rmi::run::enter_flags::INJECT_SEA;
use rmm_core::machine::ExceptionKind;
use rmm_core::rec::layout::SystemRegister;

const VECTORS: u64 = 0xffff_8000_0012_3000;
const HERE: u64 = 0x1230;
/// N, Z, C, V and everything else that an instruction at EL0 or EL1 may see or set.
const FLAGS: u64 = 0xf000_0000;
const PAN: u64 = 1 << 22;
const DIT: u64 = 1 << 24;
const SSBS: u64 = 1 << 12;
/// `SCTLR_EL1.SPAN`.
const KEEPS_PAN: u64 = 1 << 23;
/// `SCTLR_EL1.DSSBS`.
const SETS_SSBS: u64 = 1 << 44;
/// EL1 with its own stack pointer, everything masked.
const EL1H_MASKED: u64 = 0x3c5;

/// PSTATE, and the vector for synchronous exceptions from there.
const ORIGINS: [(u64, u64); 7] = [
    (0, 0x400),
    (FLAGS | DIT, 0x400),
    (0x4, 0),
    (0x4 | FLAGS | PAN, 0),
    (0x5, 0x200),
    (0x5 | FLAGS | PAN | DIT | SSBS | 0x3c0, 0x200),
    (0x10 | FLAGS | 0x1a0, 0x600),
];

fn is_from_el1(state: u64) -> bool {
    state & 0xc != 0
}

/// A Realm executes one instruction in a state and takes an exception.
fn taken_in(state: u64, control: u64, instruction: Instruction) -> Taken {
    let (send, receive) = std::sync::mpsc::channel();
    Scene::play(1, |scene| {
        scene.program(move |guest| async move {
            guest.set_system(SystemRegister::VBAR_EL1, VECTORS);
            guest.set_system(SystemRegister::SCTLR_EL1, control);
            guest.set_system(SystemRegister::FAR_EL1, 0xfa_fa_fa);
            guest.continue_at(HERE, state);
            send.send(guest.refused(instruction).await).unwrap();
        });
        assert_exit(&scene.enter(), &exit(ExitReason::Irq));
    });
    receive.recv().unwrap()
}

#[test]
fn undefined_instructions() {
    for (state, vector) in ORIGINS {
        for instruction in [
            Instruction::Hvc(0x1234),
            Instruction::ReadVector(VectorUse::Sme, 0, 0),
            Instruction::ReadVector(VectorUse::Sve, 1, 0),
            // A class that nothing is known of, with everything set.
            Instruction::Synchronous(0x3f << 26 | 0x3ff_ffff, u64::MAX, u64::MAX),
            // Pointer authentication, a transactional instruction, a 64-byte store, `ERET`.
            Instruction::Synchronous(0x09 << 26, 0, 0),
            Instruction::Synchronous(0x0a << 26, 0, 0),
            Instruction::Synchronous(0x1a << 26, 0, 0),
        ] {
            let taken = taken_in(state, KEEPS_PAN, instruction);
            let expected = Taken {
                vector,
                syndrome: 1 << 25,
                // An undefined instruction has no address.
                fault_address: 0xfa_fa_fa,
                link: HERE,
                saved_state: state,
                state: taken.state,
            };
            assert_eq!(taken, expected, "{state:#x} {instruction:x?}");
        }
    }
}

#[test]
fn aborts() {
    let address = Scene::EMPTY + 0x128;
    for (state, vector) in ORIGINS {
        for (instruction, class, direction, link) in [
            (
                Instruction::Access(MemoryAccess::load(address, 8)),
                0x24,
                0,
                HERE,
            ),
            (
                Instruction::Access(MemoryAccess::store(address, 8)),
                0x24,
                1 << 6,
                HERE,
            ),
            (Instruction::Fetch(address), 0x20, 0, address),
        ] {
            let taken = taken_in(state, KEEPS_PAN, instruction);
            let class = class + u64::from(is_from_el1(state));
            let expected = Taken {
                vector,
                syndrome: class << 26 | 1 << 25 | direction | 1 << 9 | 0x10,
                fault_address: address,
                link,
                saved_state: state,
                state: taken.state,
            };
            assert_eq!(taken, expected, "{state:#x} {instruction:x?}");
        }
    }
}

/// What of a syndrome comes through to the Realm: whether it was a write, and cache maintenance.
#[test]
fn fields_of_an_abort() {
    const CM: u64 = 1 << 8;
    const WNR: u64 = 1 << 6;
    let ipa = Scene::EMPTY >> 12 << 4;
    for (class, through) in [(0x24 << 26, CM | WNR), (0x20 << 26, 0)] {
        let everything = class | !(0x3f << 26 | 0x3f) | 0x07;
        let abort = Instruction::Synchronous(everything, 0x1_2345_6789, ipa);
        let taken = taken_in(0x5, KEEPS_PAN, abort);
        let expected = class | 1 << 26 | 1 << 25 | 1 << 9 | through | 0x10;
        assert_eq!(taken.syndrome, expected);
        assert_eq!(taken.fault_address, 0x1_2345_6789);
    }
}

/// An abort of the memory system may come without an address, and the Realm is told so.
#[test]
fn an_abort_without_an_address() {
    const FNV: u64 = 1 << 10;
    let syndrome = 0x24 << 26 | 1 << 25 | FNV | 0x10;
    Scene::play(1, |scene| {
        scene.program(move |guest| async move {
            let abort = Instruction::Synchronous(syndrome, 0x7777_0000, u64::MAX);
            let taken = guest.refused(abort).await;
            let expected = 0x25 << 26 | 1 << 25 | FNV | 1 << 9 | 0x10;
            assert_eq!((taken.syndrome, taken.fault_address), (expected, 0));
        });
        let esr = 0x24 << 26 | FNV | 0x10;
        assert_exit(&scene.enter(), &synchronous_exit(esr, 0, 0));
        assert_exit(&scene.enter(), &exit(ExitReason::Irq));
    });
}

#[test]
fn processor_state_afterwards() {
    for (state, control, after) in [
        (0x5, KEEPS_PAN, 0),
        (0x5, 0, PAN),
        (0x5 | PAN, KEEPS_PAN, PAN),
        (0x0, 0, PAN),
        (0x5 | DIT, KEEPS_PAN, DIT),
        (DIT, KEEPS_PAN, DIT),
        // SS.
        (0x5 | 1 << 21, KEEPS_PAN, 0),
        (0x5 | SSBS, KEEPS_PAN, 0),
        (0x5, KEEPS_PAN | SETS_SSBS, SSBS),
        // BTYPE, UAO, TCO, IL: gone.
        (0x5 | 0b11 << 10 | 1 << 23 | 1 << 20, KEEPS_PAN, 0),
    ] {
        let taken = taken_in(state, control, Instruction::Hvc(0));
        let flags = FLAGS & taken.state;
        assert_eq!(
            taken.state & !flags,
            EL1H_MASKED | after,
            "{state:#x} {control:#x}"
        );
        assert_eq!(taken.saved_state, state);
    }
}

/// The Realm gets its exception and goes back to where it was.
#[test]
fn a_realm_that_handles_its_exception() {
    const UNKNOWN: SystemEncoding = SystemEncoding::new(3, 3, 15, 2, 1);
    Scene::play(1, |scene| {
        scene.program(|guest: Guest| async move {
            guest.set_system(SystemRegister::VBAR_EL1, VECTORS);
            guest.continue_at(HERE, 0x5);
            let taken = guest.refused(Instruction::ReadSystem(UNKNOWN, 3)).await;
            assert_eq!(taken.link, HERE);
            guest.set_general(4, 44);
            guest.return_from_exception();
            assert_eq!(guest.program_counter(), HERE);
            guest.continue_at(HERE + 4, 0x5);
            assert_eq!(guest.load(0, 8).await, 0);
        });
        assert_exit(&scene.enter(), &exit(ExitReason::Irq));
    });
}

/// A synchronous external abort of the machine is the Realm's too, unless the CPU could do without
/// the access.
#[test]
fn aborts_of_the_memory_system() {
    const RESTARTABLE: u64 = 0b11 << 11;
    for error_type in 0..4 {
        let error_type = error_type << 11;
        for (class, address) in [(0x24, 0x7777_0000), (0x20, 0x2000)] {
            let syndrome = class << 26 | 1 << 25 | error_type | 0x10;
            Scene::play(1, |scene| {
                scene.program(move |guest| async move {
                    guest.set_system(SystemRegister::VBAR_EL1, VECTORS);
                    let outcome = guest
                        .execute(Instruction::Synchronous(syndrome, address, u64::MAX))
                        .await;
                    if error_type == RESTARTABLE {
                        assert_eq!(outcome, Ok(0));
                    } else {
                        let taken = outcome.unwrap_err();
                        let class = class + 1;
                        assert_eq!(taken.syndrome, class << 26 | 1 << 25 | 1 << 9 | 0x10);
                        assert_eq!(taken.fault_address, address);
                        assert_eq!(taken.link, Scene::ENTRY);
                    }
                });
                let esr = class << 26 | error_type | 0x10;
                assert_exit(&scene.enter(), &synchronous_exit(esr, 0, 0));
                // The exit was not about memory that the host could refuse.
                let again = scene.enter_with_flags(INJECT_SEA);
                assert_exit(&again, &exit(ExitReason::Irq));
            });
        }
    }
}

/// An `SError` that may have damaged the Realm is the Realm's to take, when it lets it.
#[test]
fn serrors() {
    const IDS: u64 = 1 << 24;
    const ASYNCHRONOUS: u64 = 0x11;
    const RESTARTABLE: u64 = 0b010 << 10;
    const CORRECTED: u64 = 0b110 << 10;
    let error_types = (0..8).map(|aet| aet << 10 | ASYNCHRONOUS);
    for syndrome in error_types.chain([IDS | RESTARTABLE | ASYNCHRONOUS, RESTARTABLE | 0x3f]) {
        let is_harmless =
            [RESTARTABLE | ASYNCHRONOUS, CORRECTED | ASYNCHRONOUS].contains(&syndrome);
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                let serror = Instruction::Interruption(
                    ExceptionKind::SError,
                    0x2f << 26 | 1 << 25 | syndrome,
                );
                guest.finished(serror).await;
                // It keeps it masked over another exit.
                assert_eq!(guest.take_serror(), None);
                guest.interrupt().await;
                let here = guest.program_counter();
                guest.continue_at(here, 0x5);
                let pending = guest.take_serror();
                assert_eq!(pending, (!is_harmless).then_some(syndrome));
                guest.interrupt().await;
                assert_eq!(guest.take_serror(), None);
            });
            let mut expected = exit(ExitReason::SError);
            expected.esr = 0x2f << 26 | syndrome;
            assert_exit(&scene.enter(), &expected);
            for _ in 0..3 {
                assert_exit(&scene.enter(), &exit(ExitReason::Irq));
            }
        });
    }
}
