//! Accesses of a Realm to memory of every kind (reference, section 5.3), through the tables that
//! the RMM writes.
#![allow(missing_docs)]

use fake_machine::{Instruction, MemoryAccess, Scene, Taken, assert_exit, exit, synchronous_exit};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{ExitReason, RecExit};
use rmm_core::rec::layout::SystemRegister;

const DATA_ABORT: u64 = 0x24 << 26;
const INSTRUCTION_ABORT: u64 = 0x20 << 26;
const ISV: u64 = 1 << 24;
const SF: u64 = 1 << 15;
const WNR: u64 = 1 << 6;
const EIGHT_BYTES: u64 = 3 << 22;
const TRANSLATION_FAULT_3: u64 = 0x07;
const TRANSLATION_FAULT_2: u64 = 0x06;
const PERMISSION_FAULT_3: u64 = 0x0f;

fn irq() -> RecExit {
    exit(ExitReason::Irq)
}

const fn load(address: u64) -> Instruction {
    Instruction::Access(MemoryAccess::load(address, 8))
}

const fn store(address: u64) -> Instruction {
    Instruction::Access(MemoryAccess::store(address, 8))
}

/// The exit of a load or store of eight bytes that the host may emulate.
fn emulatable(address: u64, status: u64) -> RecExit {
    let esr = DATA_ABORT | ISV | EIGHT_BYTES | SF | status;
    synchronous_exit(esr, address & 0xfff, address)
}

#[test]
fn memory_of_the_realm() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            guest.store(0x1018, 8, 0x8877_6655_4433_2211).await;
            for (offset, size, value) in [
                (0, 1, 0x11),
                (7, 1, 0x88),
                (2, 2, 0x4433),
                (4, 4, 0x8877_6655),
                (0, 8, 0x8877_6655_4433_2211),
            ] {
                assert_eq!(guest.load(0x1018 + offset, size).await, value);
            }
            guest.store(0x101a, 2, 0xffff_abcd).await;
            assert_eq!(guest.load(0x1018, 8).await, 0x8877_6655_abcd_2211);
            guest.finished(Instruction::Fetch(0x2000)).await;
            assert_eq!(guest.program_counter(), 0x2000);
            assert_eq!(guest.load(0x3ff8, 8).await, 0);
        });
        assert_exit(&scene.enter(), &irq());
        assert_eq!(scene.word(0x1018), 0x8877_6655_abcd_2211);
    });
}

/// A Realm that knows that there is nothing learns it by itself.
#[test]
fn what_the_realm_gave_up() {
    for address in [
        Scene::EMPTY,
        Scene::ASSIGNED_EMPTY,
        Scene::NO_TABLE,
        (1 << 39) - 8,
    ] {
        for (instruction, class, direction) in [
            (load(address), 0x25, 0),
            (store(address), 0x25, WNR),
            (Instruction::Fetch(address), 0x21, 0),
        ] {
            Scene::play(1, |scene| {
                scene.program(move |guest| async move {
                    guest.set_system(SystemRegister::VBAR_EL1, 0x10_0000);
                    let before = guest.program_counter();
                    let link = match instruction {
                        Instruction::Fetch(target) => target,
                        _ => before,
                    };
                    assert_eq!(
                        guest.refused(instruction).await,
                        Taken {
                            vector: 0x200,
                            syndrome: class << 26 | 1 << 25 | 1 << 9 | direction | 0x10,
                            fault_address: address,
                            link,
                            saved_state: 0x3c5,
                            state: 0x3c5,
                        }
                    );
                });
                assert_exit(&scene.enter(), &irq());
            });
        }
    }
}

#[test]
fn what_the_host_is_to_provide() {
    for address in [
        Scene::UNASSIGNED,
        Scene::DESTROYED,
        Scene::ASSIGNED_DESTROYED,
    ] {
        for (instruction, class) in [
            (load(address + 8), DATA_ABORT),
            (store(address + 8), DATA_ABORT),
            (Instruction::Fetch(address + 8), INSTRUCTION_ABORT),
        ] {
            Scene::play(1, |scene| {
                scene.program(move |guest| async move {
                    guest.finished(instruction).await;
                });
                let esr = class | TRANSLATION_FAULT_3;
                let expected = synchronous_exit(esr, 0, address);
                // As long as the host has not provided it, nothing else happens.
                assert_exit(&scene.enter(), &expected);
                assert_exit(&scene.enter(), &expected);
                if address == Scene::UNASSIGNED {
                    scene.bench.data(scene.rd, address);
                    assert_exit(&scene.enter(), &irq());
                }
            });
        }
    }
}

#[test]
fn a_table_that_is_not_there() {
    Scene::play(1, |scene| {
        let (rd, address) = (scene.rd, Scene::NO_TABLE + 0x3000);
        // Only a Realm that asks for it gets RAM there; what the host destroys need not be asked for.
        scene.bench.tables(rd, Scene::NO_TABLE, 3);
        scene
            .bench
            .succeed(fid::RTT_DESTROY, &[rd, Scene::NO_TABLE, 3]);
        scene.program(move |guest| async move {
            guest.finished(load(address)).await;
        });
        let esr = DATA_ABORT | TRANSLATION_FAULT_2;
        assert_exit(&scene.enter(), &synchronous_exit(esr, 0, address));
    });
}

#[test]
fn memory_of_the_host() {
    Scene::play(1, |scene| {
        let (memory, shared) = (scene.bench.memory(), scene.shared);
        memory.host_write(shared, 3, 0x1234).unwrap();
        scene.program(|guest| async move {
            assert_eq!(guest.load(Scene::SHARED + 24, 8).await, 0x1234);
            assert_eq!(guest.load(Scene::READ_ONLY + 24, 8).await, 0x1234);
            guest.store(Scene::SHARED + 32, 8, 0x5678).await;
            guest.store(Scene::WRITE_ONLY + 40, 8, 0x9abc).await;
        });
        assert_exit(&scene.enter(), &irq());
        assert_eq!(memory.host_read(shared, 4), Ok(0x5678));
        assert_eq!(memory.host_read(shared, 5), Ok(0x9abc));
    });
}

#[test]
fn what_the_host_has_not_mapped_or_not_for_this() {
    for (instruction, expected) in [
        (
            load(Scene::UNMAPPED + 8),
            emulatable(Scene::UNMAPPED + 8, TRANSLATION_FAULT_3),
        ),
        (
            load(Scene::UNMAPPED_NO_TABLE + 8),
            emulatable(Scene::UNMAPPED_NO_TABLE + 8, TRANSLATION_FAULT_2),
        ),
        (
            load(Scene::WRITE_ONLY + 8),
            emulatable(Scene::WRITE_ONLY + 8, PERMISSION_FAULT_3),
        ),
        (
            store(Scene::READ_ONLY + 8),
            emulatable(Scene::READ_ONLY + 8, WNR | PERMISSION_FAULT_3),
        ),
    ] {
        for stage_1 in [None, Some(0xffff_0000_0000_0000)] {
            Scene::play(1, |scene| {
                scene.program(move |guest| async move {
                    let Instruction::Access(mut access) = instruction else {
                        unreachable!("a load or store")
                    };
                    if let Some(first) = stage_1 {
                        guest.translate_from(first);
                        access.address += first;
                    }
                    guest.finished(Instruction::Access(access)).await;
                });
                assert_exit(&scene.enter(), &expected);
                // Without an answer the access is made again.
                assert_exit(&scene.enter(), &expected);
            });
        }
    }
}

#[test]
fn a_page_that_the_host_maps_after_the_access() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            assert_eq!(guest.load(Scene::UNMAPPED + 8, 8).await, 0x77);
        });
        let expected = emulatable(Scene::UNMAPPED + 8, TRANSLATION_FAULT_3);
        assert_exit(&scene.enter(), &expected);
        let (rd, shared) = (scene.rd, scene.shared);
        scene.bench.memory().host_write(shared, 1, 0x77).unwrap();
        let map = [rd, Scene::UNMAPPED, 3, shared | 0xd8];
        scene.bench.succeed(fid::RTT_MAP_UNPROTECTED, &map);
        assert_exit(&scene.enter(), &irq());
    });
}

#[test]
fn instructions_are_not_fetched_from_the_host() {
    for address in [Scene::SHARED, Scene::UNMAPPED, Scene::UNMAPPED_NO_TABLE] {
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                let taken = guest.refused(Instruction::Fetch(address)).await;
                assert_eq!(taken.syndrome, 0x21 << 26 | 1 << 25 | 1 << 9 | 0x10);
                assert_eq!(taken.fault_address, address);
                assert_eq!(taken.link, address);
            });
            assert_exit(&scene.enter(), &irq());
        });
    }
}

/// The host takes back a page that it has mapped: the hardware tells the Realm.
#[test]
fn memory_that_is_not_the_hosts_any_more() {
    Scene::play(1, |scene| {
        let shared = scene.shared;
        scene.bench.succeed(fid::GRANULE_DELEGATE, &[shared]);
        scene.program(|guest| async move {
            let taken = guest.refused(load(Scene::SHARED)).await;
            assert_eq!(taken.syndrome & 0x3f, 0x28);
        });
        assert_exit(&scene.enter(), &irq());
    });
}

#[test]
fn beyond_the_address_space() {
    for address in [Scene::BEYOND, Scene::BEYOND + 0x1238, 1 << 47] {
        for (instruction, class, direction) in [
            (load(address), 0x25, 0),
            (store(address), 0x25, WNR),
            (Instruction::Fetch(address), 0x21, 0),
        ] {
            Scene::play(1, |scene| {
                scene.program(move |guest| async move {
                    let taken = guest.refused(instruction).await;
                    // Address size fault, level 0.
                    assert_eq!(taken.syndrome, class << 26 | 1 << 25 | direction);
                    assert_eq!(taken.fault_address, address);
                });
                assert_exit(&scene.enter(), &irq());
            });
        }
    }
}

/// A walk of the Realm's own tables may fault too, and what the host sees is where the table is.
#[test]
fn tables_of_the_realm_where_nothing_is() {
    const S1PTW: u64 = 1 << 7;
    for (ipa, class, exits) in [
        (Scene::UNASSIGNED, DATA_ABORT, true),
        (Scene::UNASSIGNED, INSTRUCTION_ABORT, true),
        (Scene::UNMAPPED, DATA_ABORT, true),
        (Scene::UNMAPPED, INSTRUCTION_ABORT, false),
        (Scene::EMPTY, DATA_ABORT, false),
        (Scene::BEYOND, DATA_ABORT, false),
    ] {
        let syndrome = class | 1 << 25 | S1PTW | TRANSLATION_FAULT_3;
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                let walk = Instruction::Synchronous(syndrome, 0x7_7777_0008, ipa >> 12 << 4);
                let outcome = guest.execute(walk).await;
                assert_eq!(outcome.is_err(), !exits);
                if let Err(taken) = outcome {
                    assert_eq!(taken.fault_address, 0x7_7777_0008);
                }
            });
            if exits {
                let esr = class | TRANSLATION_FAULT_3;
                assert_exit(&scene.enter(), &synchronous_exit(esr, 0, ipa));
            }
            assert_exit(&scene.enter(), &irq());
        });
    }
}

/// After a permission fault the CPU does not say where in the IPA space it was, and by the time that
/// the RMM asks the Realm may have changed its tables.
#[test]
fn a_permission_fault_that_cannot_be_found_again() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            guest.translate_from(0xffff_0000_0000_0000);
            let syndrome = DATA_ABORT | 1 << 25 | ISV | PERMISSION_FAULT_3;
            let fault = Instruction::Synchronous(syndrome, 0x1000, 0);
            guest.finished(fault).await;
            guest.set_general(5, 1);
        });
        assert_exit(&scene.enter(), &irq());
    });
}

/// The host provides a page while the Realm's abort is on its way to the RMM.
#[test]
fn an_abort_that_is_over_before_it_is_looked_at() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            let syndrome = DATA_ABORT | 1 << 25 | TRANSLATION_FAULT_3;
            guest
                .finished(Instruction::Synchronous(syndrome, 0x1000, 0x1 << 4))
                .await;
        });
        assert_exit(&scene.enter(), &irq());
    });
}
