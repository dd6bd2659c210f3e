//! Instructions that are trapped: `WFI` and `WFE`, system registers, calls that nobody knows.
#![allow(missing_docs)]

use fake_machine::{
    Guest, Instruction, Scene, SystemEncoding, WaitFor, assert_exit, exit, id_registers,
    realm_params, synchronous_exit,
};
use rmm_abi::rmi::realm_flags;
use rmm_abi::rmi::run::enter_flags::{TRAP_WFE, TRAP_WFI};
use rmm_abi::rmi::run::{ExitReason, RecEnter};
use rmm_core::cpu_view::{Features, IdRegister, RealmIdRegisters};

const UNDEFINED: u64 = 1 << 25;

fn irq(scene: &mut Scene<'_>) {
    assert_exit(&scene.enter(), &exit(ExitReason::Irq));
}

#[test]
fn waiting_is_trapped_as_the_host_says() {
    use WaitFor::{Event, EventUntil, Interrupt, InterruptUntil};
    for (what, flag, instruction) in [
        (Interrupt, TRAP_WFI, 0),
        (Event, TRAP_WFE, 1),
        (InterruptUntil(3), TRAP_WFI, 2),
        (EventUntil(3), TRAP_WFE, 3),
    ] {
        for flags in [0, TRAP_WFI, TRAP_WFE, TRAP_WFI | TRAP_WFE, !0x1f] {
            Scene::play(1, |scene| {
                scene.program(move |guest| async move {
                    guest.finished(Instruction::Wait(what)).await;
                    assert_eq!(guest.program_counter(), Scene::ENTRY + 4);
                });
                let expected = if flags & flag == 0 {
                    exit(ExitReason::Irq)
                } else {
                    synchronous_exit(1 << 26 | instruction, 0, 0)
                };
                assert_exit(&scene.enter_with_flags(flags), &expected);
                // What the host said last time does not count.
                irq(scene);
            });
        }
    }
}

#[test]
fn calls_that_nobody_serves() {
    const NOT_SUPPORTED: u64 = u64::MAX;
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            for function in [
                0,
                0x8000_0001,
                0xc400_0150,
                0xc400_018f,
                0xc400_019a,
                0xc400_01b0,
                0x8400_0020,
                0xc400_0190 ^ 1 << 31,
                0x8400_0190,
                0xffff_ffff,
            ] {
                guest.registers(|registers| {
                    registers.general = std::array::from_fn(|number| 0x100 + number as u64);
                    registers.general[0] = function;
                });
                let before = guest.program_counter();
                guest.finished(Instruction::Smc(0)).await;
                guest.registers(|registers| {
                    let mut expected = std::array::from_fn(|number| 0x100 + number as u64);
                    expected[0] = NOT_SUPPORTED;
                    assert_eq!(registers.general, expected, "{function:#x}");
                });
                assert_eq!(guest.program_counter(), before + 4);
            }
        });
        irq(scene);
    });
}

#[test]
fn version_of_the_calling_convention() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            // The upper half of X0 means nothing, and the SVE hint may be set.
            for function in [0x8000_0000, 0x8001_0000, 0xabcd_0000_8000_0000] {
                assert_eq!(guest.smc(&[function]).await[0], 0x1_0002, "{function:#x}");
            }
        });
        irq(scene);
    });
}

const fn id(crm: u8, op2: u8) -> SystemEncoding {
    SystemEncoding::new(3, 0, 0, crm, op2)
}

#[test]
fn identification_registers() {
    for (flags, features) in [
        (
            0,
            Features {
                breakpoints: 1,
                watchpoints: 1,
                ..Features::default()
            },
        ),
        (
            realm_flags::SVE | realm_flags::PMU,
            Features {
                sve_vector_length: Some(1),
                pmu_counters: Some(2),
                breakpoints: 1,
                watchpoints: 1,
            },
        ),
    ] {
        let mut params = realm_params(40, 1, 2);
        params.flags = flags;
        params.sve_vl = 1;
        params.pmu_num_ctrs = 2;
        Scene::with_params(&params, 1, |scene| {
            scene.program(move |guest: Guest| async move {
                // The CPU says that it has everything.
                let seen = RealmIdRegisters::of(&id_registers());
                for crm in 1..8 {
                    for op2 in 0..8 {
                        let register = 3 + op2;
                        let value = seen.read(features, IdRegister::new(crm, op2));
                        let read = Instruction::ReadSystem(id(crm, op2), register);
                        assert_eq!(guest.finished(read).await, value, "{crm} {op2}");
                        let refused = guest
                            .refused(Instruction::WriteSystem(id(crm, op2), register))
                            .await;
                        assert_eq!(refused.syndrome, UNDEFINED);
                        guest.return_from_exception();
                    }
                }
                guest.set_general(0, 5);
                guest.finished(Instruction::ReadSystem(id(4, 0), 31)).await;
                assert_eq!(guest.general(0), 5);
                // What no Realm is shown: AMU, SVE without the flag, MTE, SME, SPE, BRBE, trace.
                let pfr0 = guest.read_system(id(4, 0)).await;
                assert_eq!(pfr0 >> 44 & 0xf, 0);
                assert_eq!(pfr0 >> 32 & 0xf != 0, flags & realm_flags::SVE != 0);
                let pfr1 = guest.read_system(id(4, 1)).await;
                assert_eq!((pfr1 >> 8 & 0xf, pfr1 >> 24 & 0xf), (0, 0));
                let dfr0 = guest.read_system(id(5, 0)).await;
                assert_eq!(
                    (dfr0 >> 32 & 0xf, dfr0 >> 52 & 0xf, dfr0 >> 4 & 0xf),
                    (0, 0, 0)
                );
                assert_eq!(dfr0 >> 8 & 0xf != 0, flags & realm_flags::PMU != 0);
                // Breakpoints and watchpoints of the Realm, less one.
                assert_eq!((dfr0 >> 12 & 0xf, dfr0 >> 20 & 0xf), (1, 1));
            });
            irq(scene);
        });
    }
}

#[test]
fn registers_that_read_as_something() {
    const ICC_SRE: SystemEncoding = SystemEncoding::new(3, 0, 12, 12, 5);
    const ERRIDR: SystemEncoding = SystemEncoding::new(3, 0, 5, 3, 0);
    const ERXSTATUS: SystemEncoding = SystemEncoding::new(3, 0, 5, 4, 2);
    const ERXMISC0: SystemEncoding = SystemEncoding::new(3, 0, 5, 5, 0);
    const OSDLR: SystemEncoding = SystemEncoding::new(2, 0, 1, 3, 4);
    const DBGDTR: SystemEncoding = SystemEncoding::new(2, 3, 0, 4, 0);
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            for (register, value) in [
                (ICC_SRE, 7),
                (ERXSTATUS, 0),
                (ERXMISC0, 0),
                (OSDLR, 0),
                (DBGDTR, 0),
            ] {
                guest.set_general(0, 0x99);
                assert_eq!(guest.read_system(register).await, value, "{register:?}");
                guest.write_system(register, 0x55).await;
                assert_eq!(guest.general(0), 0x55);
                assert_eq!(guest.read_system(register).await, value, "{register:?}");
            }
            assert_eq!(guest.read_system(ERRIDR).await, 0);
        });
        irq(scene);
    });
}

/// Group 1 interrupts of another Security state go nowhere, and not to the host.
#[test]
fn interrupts_for_another_security_state() {
    const ICC_ASGI1R: SystemEncoding = SystemEncoding::new(3, 0, 12, 11, 6);
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            guest.write_system(ICC_ASGI1R, 0x5555).await;
        });
        irq(scene);
    });
}

#[test]
fn registers_that_are_not_there() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            for register in [
                // PMCR_EL0 and PMCCNTR_EL0 of a Realm without a PMU.
                SystemEncoding::new(3, 3, 9, 12, 0),
                SystemEncoding::new(3, 3, 9, 13, 0),
                // PMSCR_EL1, TRBLIMITR_EL1, AMCR_EL0, MPAM1_EL1, GCR_EL1, SMCR_EL1.
                SystemEncoding::new(3, 0, 9, 9, 0),
                SystemEncoding::new(3, 0, 9, 11, 0),
                SystemEncoding::new(3, 3, 13, 2, 0),
                SystemEncoding::new(3, 0, 10, 5, 0),
                SystemEncoding::new(3, 0, 1, 0, 6),
                SystemEncoding::new(3, 0, 1, 2, 6),
                // IMPLEMENTATION DEFINED.
                SystemEncoding::new(3, 0, 11, 0, 0),
                SystemEncoding::new(3, 7, 15, 15, 7),
                // Breakpoint and watchpoint 2, where there are two of each.
                SystemEncoding::new(2, 0, 0, 2, 4),
                SystemEncoding::new(2, 0, 0, 2, 7),
            ] {
                for instruction in [
                    Instruction::ReadSystem(register, 7),
                    Instruction::WriteSystem(register, 7),
                ] {
                    guest.set_general(7, 0x77);
                    let before = guest.program_counter();
                    let taken = guest.refused(instruction).await;
                    assert_eq!(taken.syndrome, UNDEFINED, "{register:?}");
                    assert_eq!(taken.link, before);
                    assert_eq!(guest.general(7), 0x77);
                    guest.return_from_exception();
                }
            }
        });
        irq(scene);
    });
}

#[test]
fn the_mpidr_is_the_recs() {
    Scene::play(17, |scene| {
        let recs = scene.recs.clone();
        let run = scene.run;
        scene.program(|guest| async move {
            assert_eq!(guest.read_system(SystemEncoding::MPIDR).await, 1 << 31);
            for index in 1..17 {
                let mpidr = index & 0xf | (index >> 4) << 8;
                guest.smc(&[0xc400_0003, mpidr, 0x2000, index]).await;
            }
        });
        for (index, &target) in (1..).zip(&recs[1..]) {
            scene.enter();
            let complete = [recs[0], target, 0];
            scene
                .bench
                .succeed(rmm_abi::rmi::fid::PSCI_COMPLETE, &complete);
            let affinities: u64 = index & 0xf | (index >> 4) << 8;
            scene.bench.program(target, move |guest| async move {
                let mpidr = guest.read_system(SystemEncoding::MPIDR).await;
                assert_eq!(mpidr, 1 << 31 | affinities);
            });
            let seen = scene.bench.enter(target, run, &RecEnter::default());
            assert_exit(&seen, &exit(ExitReason::Irq));
        }
    });
}
