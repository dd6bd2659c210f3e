//! `RSI_IPA_STATE_SET` with what the host makes of it, and `RSI_IPA_STATE_GET` (reference, sections
//! 5.10, 8.6 and 8.7).
#![allow(missing_docs)]

use fake_machine::{Guest, Instruction, PAGE, Scene, assert_exit, exit};
use rmm_abi::rmi::fid as rmi_fid;
use rmm_abi::rmi::run::enter_flags::{EMULATED_MMIO, INJECT_SEA, RIPAS_REJECTED};
use rmm_abi::rmi::run::{ExitReason, RecExit};
use rmm_abi::rsi::fid;

const ERROR_INPUT: u64 = 1;
const EMPTY: u64 = 0;
const RAM: u64 = 1;
const DESTROYED: u64 = 2;
const ACCEPT: u64 = 0;
const REJECT: u64 = 1;
const HALF: u64 = Scene::SHARED;

async fn set(guest: &Guest, base: u64, top: u64, ripas: u64, flags: u64) -> [u64; 4] {
    guest
        .call(&[fid::IPA_STATE_SET, base, top, ripas, flags])
        .await
}

/// X1 and X2 of a successful query.
async fn get(guest: &Guest, base: u64, top: u64) -> (u64, u64) {
    let [code, reached, ripas, zero] = guest.call(&[fid::IPA_STATE_GET, base, top]).await;
    assert_eq!((code, zero), (0, 0), "{base:#x} {top:#x}");
    (reached, ripas)
}

fn change(base: u64, top: u64, value: u64) -> RecExit {
    let mut expected = exit(ExitReason::RipasChange);
    (expected.ripas_base, expected.ripas_top) = (base, top);
    expected.ripas_value = u8::try_from(value).unwrap();
    expected
}

fn irq(scene: &mut Scene<'_>) {
    assert_exit(&scene.enter(), &exit(ExitReason::Irq));
}

/// Ranges that are neither asked about nor changed.
const WRONG_RANGES: [(u64, u64); 14] = [
    (0x1008, 0x3000),
    (0x1000, 0x3008),
    (0x1800, 0x2800),
    (0x3000, 0x3000),
    (0x3000, 0x2000),
    (0, 0),
    (HALF, HALF + PAGE),
    (HALF - PAGE, HALF + PAGE),
    (0, HALF + PAGE),
    (Scene::BEYOND, Scene::BEYOND + PAGE),
    (u64::MAX - 0xfff, 0),
    (u64::MAX - 0x1fff, u64::MAX - 0xfff),
    (0x1000, u64::MAX - 0xfff),
    (0x1000, 1 << 63 | 0x2000),
];

#[test]
fn wrong_arguments() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            for (base, top) in WRONG_RANGES {
                for ripas in [EMPTY, RAM] {
                    let reply = set(&guest, base, top, ripas, 0).await;
                    assert_eq!(reply, [ERROR_INPUT, 0, 0, 0], "{base:#x} {top:#x}");
                }
                let reply = guest.call(&[fid::IPA_STATE_GET, base, top]).await;
                assert_eq!(reply, [ERROR_INPUT, 0, 0, 0], "{base:#x} {top:#x}");
            }
            for ripas in [DESTROYED, 3, 0x100, u64::MAX] {
                let reply = set(&guest, 0x1000, 0x2000, ripas, 0).await;
                assert_eq!(reply, [ERROR_INPUT, 0, 0, 0], "{ripas:#x}");
            }
        });
        irq(scene);
    });
}

#[test]
fn what_the_realm_can_ask() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            for (base, top, reached, ripas) in [
                // Whether the host has put anything there does not matter.
                (0, 0x1000, 0x1000, RAM),
                (0, Scene::EMPTY, Scene::EMPTY, RAM),
                (0, Scene::NO_TABLE, Scene::EMPTY, RAM),
                (0x3000, HALF, Scene::EMPTY, RAM),
                (Scene::EMPTY, HALF, Scene::DESTROYED, EMPTY),
                (Scene::DESTROYED, HALF, Scene::ASSIGNED_EMPTY, DESTROYED),
                (
                    Scene::ASSIGNED_EMPTY,
                    HALF,
                    Scene::ASSIGNED_DESTROYED,
                    EMPTY,
                ),
                (
                    Scene::ASSIGNED_DESTROYED,
                    HALF,
                    Scene::ASSIGNED_DESTROYED + PAGE,
                    DESTROYED,
                ),
                // At most to the end of the table in which the base is.
                (0x9000, HALF, Scene::NO_TABLE, EMPTY),
                (Scene::NO_TABLE - PAGE, HALF, Scene::NO_TABLE, EMPTY),
                // A larger entry, and one that begins below the base.
                (
                    Scene::NO_TABLE,
                    Scene::NO_TABLE + PAGE,
                    Scene::NO_TABLE + PAGE,
                    EMPTY,
                ),
                (Scene::NO_TABLE, 0x4000_0000, 0x4000_0000, EMPTY),
                (Scene::NO_TABLE + 0x5000, 0x8000_0000, 0x4000_0000, EMPTY),
                (0x4000_0000, HALF, HALF, EMPTY),
                (HALF - PAGE, HALF, HALF, EMPTY),
            ] {
                let found = get(&guest, base, top).await;
                assert_eq!(found, (reached, ripas), "{base:#x} {top:#x}");
            }
        });
        irq(scene);
    });
}

/// The host does all that is asked for.
#[test]
fn a_change_that_is_made() {
    for (base, top, ripas) in [
        (Scene::EMPTY, Scene::DESTROYED, RAM),
        (0x1000, 0x3000, EMPTY),
        (Scene::UNASSIGNED, Scene::EMPTY, EMPTY),
        (Scene::ASSIGNED_EMPTY, Scene::ASSIGNED_DESTROYED, RAM),
    ] {
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                let before = get(&guest, base, top).await;
                assert_eq!(before, (top, 1 - ripas));
                assert_eq!(set(&guest, base, top, ripas, 0).await, [0, top, ACCEPT, 0]);
                assert_eq!(get(&guest, base, top).await, (top, ripas));
            });
            assert_exit(&scene.enter(), &change(base, top, ripas));
            let arguments = [scene.rd, scene.rec(), base, top];
            scene.bench.succeed(rmi_fid::RTT_SET_RIPAS, &arguments);
            irq(scene);
            // The request is over.
            scene
                .bench
                .fail(1, rmi_fid::RTT_SET_RIPAS, &arguments, "over");
        });
    }
}

/// Memory that becomes empty faults from then on, and that becomes RAM again is there again.
#[test]
fn what_a_change_does_to_accesses() {
    Scene::play(1, |scene| {
        let load = Instruction::Access(fake_machine::MemoryAccess::load(0x1000, 8));
        scene.program(move |guest| async move {
            guest.store(0x1000, 8, 5).await;
            set(&guest, 0x1000, 0x2000, EMPTY, 0).await;
            assert_eq!(guest.refused(load).await.syndrome & 0x3f, 0x10);
            guest.return_from_exception();
            set(&guest, 0x1000, 0x2000, RAM, 0).await;
            guest.finished(load).await;
        });
        let arguments = [scene.rd, scene.rec(), 0x1000, 0x2000];
        for ripas in [EMPTY, RAM] {
            assert_exit(&scene.enter(), &change(0x1000, 0x2000, ripas));
            scene.bench.succeed(rmi_fid::RTT_SET_RIPAS, &arguments);
        }
        irq(scene);
    });
}

/// The host does some of it, or nothing, and agrees or does not.
#[test]
fn a_change_in_part() {
    for (ripas, done, flags, response) in [
        // Nothing has been done.
        (RAM, 0, 0, ACCEPT),
        (RAM, 0, RIPAS_REJECTED, REJECT),
        (EMPTY, 0, 0, ACCEPT),
        // A Realm can always give memory up.
        (EMPTY, 0, RIPAS_REJECTED, ACCEPT),
        // A part.
        (RAM, 1, 0, ACCEPT),
        (RAM, 1, RIPAS_REJECTED, REJECT),
        (EMPTY, 1, RIPAS_REJECTED, ACCEPT),
        // Everything: there is nothing left to reject.
        (RAM, 3, 0, ACCEPT),
        (RAM, 3, RIPAS_REJECTED, ACCEPT),
        (RAM, 3, RIPAS_REJECTED | INJECT_SEA, ACCEPT),
    ] {
        Scene::play(1, |scene| {
            let (base, top) = (0x1000, 0x4000);
            let reached = base + done * PAGE;
            scene.program(move |guest| async move {
                let reply = set(&guest, base, top, ripas, 0).await;
                assert_eq!(reply, [0, reached, response, 0]);
            });
            assert_exit(&scene.enter(), &change(base, top, ripas));
            scene.refuse(3, EMULATED_MMIO, "not an access");
            if done != 0 {
                let arguments = [scene.rd, scene.rec(), base, reached];
                scene.bench.succeed(rmi_fid::RTT_SET_RIPAS, &arguments);
            }
            let seen = scene.enter_with_flags(flags);
            assert_exit(&seen, &exit(ExitReason::Irq));
        });
    }
}

/// Memory that the host has taken away changes only if the Realm says so.
#[test]
fn memory_that_was_taken_away() {
    for (flags, reached) in [
        (0, Scene::DESTROYED),
        (1, Scene::ASSIGNED_EMPTY),
        (!1, Scene::DESTROYED),
        (u64::MAX, Scene::ASSIGNED_EMPTY),
    ] {
        Scene::play(1, |scene| {
            let (base, top) = (Scene::EMPTY, Scene::ASSIGNED_EMPTY);
            scene.program(move |guest| async move {
                let reply = set(&guest, base, top, RAM, flags).await;
                assert_eq!(reply, [0, reached, ACCEPT, 0]);
            });
            assert_exit(&scene.enter(), &change(base, top, RAM));
            let arguments = [scene.rd, scene.rec(), base, top];
            let [found, ..] = scene.bench.succeed(rmi_fid::RTT_SET_RIPAS, &arguments);
            assert_eq!(found, reached);
            irq(scene);
        });
    }
}

/// Only the range that the Realm asked for, only while it waits, and only of its own REC.
#[test]
fn a_host_that_changes_something_else() {
    Scene::play(2, |scene| {
        let (rd, rec, other) = (scene.rd, scene.recs[0], scene.recs[1]);
        scene.program(|guest| async move {
            set(&guest, 0x1000, 0x3000, EMPTY, 0).await;
            guest.interrupt().await;
        });
        let set_ripas = rmi_fid::RTT_SET_RIPAS;
        let why = "nothing was asked for";
        scene.bench.fail(1, set_ripas, &[rd, rec, 0, 0x1000], why);
        scene.enter();
        for (rec, base, top, why) in [
            (rec, 0, 0x1000, "before"),
            (rec, 0x2000, 0x3000, "not at the base"),
            (rec, 0x1000, 0x4000, "beyond the top"),
            (other, 0x1000, 0x3000, "the other REC has asked for nothing"),
        ] {
            scene.bench.fail(1, set_ripas, &[rd, rec, base, top], why);
        }
        scene.bench.succeed(set_ripas, &[rd, rec, 0x1000, 0x2000]);
        irq(scene);
        let why = "the Realm has gone on";
        scene
            .bench
            .fail(1, set_ripas, &[rd, rec, 0x2000, 0x3000], why);
    });
}

/// A page that the host does not provide is asked for by the exit after the change.
#[test]
fn a_realm_that_gets_memory() {
    Scene::play(1, |scene| {
        let (rd, rec, ipa) = (scene.rd, scene.rec(), Scene::NO_TABLE + 0x7000);
        scene.program(move |guest| async move {
            let base = Scene::NO_TABLE;
            let mut next = base;
            while next < base + 0x1_0000 {
                let [code, reached, response, _] = set(&guest, next, base + 0x1_0000, RAM, 0).await;
                assert_eq!((code, response), (0, ACCEPT));
                next = reached;
            }
            guest.store(ipa, 8, 0x1234).await;
            assert_eq!(guest.load(ipa, 8).await, 0x1234);
        });
        let (base, top) = (Scene::NO_TABLE, Scene::NO_TABLE + 0x1_0000);
        assert_exit(&scene.enter(), &change(base, top, RAM));
        // No progress is an answer too.
        assert_exit(&scene.enter(), &change(base, top, RAM));
        let set_ripas = rmi_fid::RTT_SET_RIPAS;
        scene
            .bench
            .fail(2 << 8 | 4, set_ripas, &[rd, rec, base, top], "no table");
        scene.bench.tables(rd, base, 3);
        scene
            .bench
            .succeed(set_ripas, &[rd, rec, base, base + 0x8000]);
        assert_exit(&scene.enter(), &change(base + 0x8000, top, RAM));
        scene
            .bench
            .succeed(set_ripas, &[rd, rec, base + 0x8000, top]);
        assert_eq!(scene.enter().hpfar, ipa >> 12 << 4);
        scene.bench.data(rd, ipa);
        irq(scene);
    });
}
