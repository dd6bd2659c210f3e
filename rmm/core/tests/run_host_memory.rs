//! The run page is the host's memory: it can go away, and change, at any moment.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fake_machine::{Instruction, MemoryAccess, Owner, Scene, assert_exit, exit};
use rmm_abi::rmi::run::enter_flags::{EMULATED_MMIO, INJECT_SEA, TRAP_WFE, TRAP_WFI};
use rmm_abi::rmi::run::{ExitReason, RecEnter};

const ERROR_INPUT: u64 = 1;

/// First word of what the RMM writes.
const HALF: usize = 256;

/// Words that the RMM reads on entry, each how often.
fn words_read(scene: &mut Scene<'_>) -> BTreeMap<usize, u64> {
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let (noted, run) = (Arc::clone(&seen), scene.run);
    scene.bench.memory().on_host_read(move |_, address, word| {
        assert_eq!(address, run);
        *noted.lock().unwrap().entry(word).or_default() += 1;
    });
    scene.enter();
    scene.bench.memory().clear_host_read();
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[test]
fn each_word_is_read_once() {
    Scene::play(1, |scene| {
        let words = words_read(scene);
        assert!(words.values().all(|times| *times == 1), "{words:?}");
        // Flags, X0 to X30, GIC.
        let wanted = (0..1)
            .chain(0x200 / 8..0x2f8 / 8)
            .chain(0x300 / 8..0x388 / 8);
        for word in wanted {
            assert!(words.contains_key(&word), "word {word}");
        }
        assert!(words.keys().all(|word| *word < HALF), "{words:?}");
    });
}

/// The host takes the page away before the RMM has read a word of it.
#[test]
fn a_page_that_goes_away_while_it_is_read() {
    let words = {
        let mut words = BTreeMap::new();
        Scene::play(1, |scene| words = words_read(scene));
        words
    };
    for &last in words.keys() {
        Scene::play(1, |scene| {
            let (rec, run) = (scene.rec(), scene.run);
            let memory = scene.bench.memory();
            scene.program(|guest| async move {
                guest.interrupt().await;
                guest.store(0x1000, 8, 1).await;
            });
            scene.enter();
            scene.bench.prepare(run, &RecEnter::default());
            let before = memory.snapshot();
            memory.on_host_read(move |memory, address, word| {
                if (address, word) == (run, last) {
                    memory.set_owner(run, Owner::Secure);
                }
            });
            let reply = scene.bench.enter_unpredictably(rec, run);
            assert_eq!(reply, [ERROR_INPUT, 0, 0, 0, 0], "word {last}");
            memory.clear_host_read();
            memory.set_owner(run, Owner::NonSecure);
            let after = memory.snapshot();
            assert!(before == after, "{:x?}", before.differences(&after));
            // And then it goes on as if nothing had been.
            assert_eq!(scene.word(0x1000), 0);
            assert_exit(&scene.enter(), &exit(ExitReason::Irq));
            assert_eq!(scene.word(0x1000), 1);
        });
    }
}

/// The page goes away before the RMM has written a word of it. The Realm has run, so what it did is
/// done; the host has only itself to blame for not being told.
#[test]
fn a_page_that_goes_away_while_it_is_written() {
    for last in HALF..2 * HALF {
        Scene::play(1, |scene| {
            let (rec, run) = (scene.rec(), scene.run);
            let memory = scene.bench.memory();
            scene.program(|guest| async move {
                guest.set_vector(1, 11).await;
                guest.store(0x1000, 8, 1).await;
                guest.interrupt().await;
                assert_eq!(guest.vector(1).await, 11);
                guest.store(0x1000, 8, 2).await;
            });
            scene.bench.prepare(run, &RecEnter::default());
            memory.on_host_write(move |memory, address, word| {
                if (address, word) == (run, last) {
                    memory.set_owner(run, Owner::Root);
                }
            });
            let reply = scene.bench.enter_unpredictably(rec, run);
            assert_eq!(reply, [ERROR_INPUT, 0, 0, 0, 0], "word {last}");
            memory.clear_host_write();
            memory.set_owner(run, Owner::NonSecure);
            assert_eq!(scene.word(0x1000), 1);
            assert_exit(&scene.enter(), &exit(ExitReason::Irq));
            assert_eq!(scene.word(0x1000), 2);
        });
    }
}

/// The host changes every word right after it was read: only what was read counts.
#[test]
fn a_page_that_changes_while_it_is_read() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            let load = Instruction::Access(MemoryAccess::load(Scene::UNMAPPED, 8));
            assert_eq!(guest.finished(load).await, 0x1234);
            guest.registers(|registers| {
                assert_eq!(registers.gic_control, 1 | 1 << 3);
                assert_eq!(registers.list_registers[..4], [1 << 62 | 0x21, 0, 0, 0]);
            });
            guest.wait_for_interrupt().await;
        });
        scene.enter();
        let (rec, run) = (scene.rec(), scene.run);
        let mut enter = RecEnter::default();
        enter.flags = EMULATED_MMIO;
        enter.gprs[0] = 0x1234;
        enter.gicv3_hcr = 1 << 3;
        enter.gicv3_lrs[0] = 1 << 62 | 0x21;
        scene.bench.prepare(run, &enter);
        let memory = scene.bench.memory();
        let previous = Mutex::new(None);
        memory.on_host_read(move |memory, address, word| {
            if let Some(word) = previous.lock().unwrap().replace(word) {
                let evil = match word {
                    0 => INJECT_SEA | TRAP_WFI | TRAP_WFE,
                    _ => u64::MAX,
                };
                memory.host_write(address, word, evil).unwrap();
            }
        });
        let reply = scene.bench.enter_unpredictably(rec, run);
        assert_eq!(reply[0], 0);
        memory.clear_host_read();
        assert_eq!(memory.host_read(run, HALF), Ok(ExitReason::Irq as u64));
    });
}

/// What the host writes into the upper half, before and during the run, is gone.
#[test]
fn a_page_that_changes_while_the_realm_runs() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            guest.interrupt().await;
        });
        let run = scene.run;
        let memory = scene.bench.memory();
        memory.on_host_write(move |memory, address, word| {
            assert_eq!(address, run);
            memory.host_write(run, word, 0xbad).unwrap();
        });
        assert_exit(&scene.enter(), &exit(ExitReason::Irq));
        memory.clear_host_write();
    });
}
