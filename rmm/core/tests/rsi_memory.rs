//! RSI commands that read and write the Realm's memory: `RSI_REALM_CONFIG`, `RSI_HOST_CALL`.
#![allow(missing_docs)]

use fake_machine::{
    Bench, FEATURES, Guest, Memory, PAGE, Scene, assert_exit, exit, realm_params, synchronous_exit,
};
use rmm_abi::rmi::run::{ExitReason, RecEnter, RecExit};
use rmm_abi::rmi::{FeatureRegister0, HashAlgorithm, fid as rmi_fid, realm_flags};
use rmm_abi::rsi::fid;

const SUCCESS: u64 = 0;
const ERROR_INPUT: u64 = 1;

/// A data abort by a translation fault at a level, as an access would take it.
fn missing(ipa: u64, level: u64) -> RecExit {
    synchronous_exit(0x24 << 26 | (0x04 + level), 0, ipa)
}

#[test]
fn configuration() {
    for (algorithm, width, tables) in [
        (HashAlgorithm::Sha256, 40, 2),
        (HashAlgorithm::Sha512, 40, 2),
    ] {
        let mut params = realm_params(width, 1, tables);
        params.hash_algo = algorithm as u8;
        for (number, byte) in (1..).zip(&mut params.rpv) {
            *byte = number;
        }
        Scene::with_params(&params, 1, |scene| {
            scene.program(|guest| async move {
                for word in 0..512 {
                    guest.store(0x2000 + 8 * word, 8, u64::MAX).await;
                }
                let reply = guest.call(&[fid::REALM_CONFIG, 0x2000]).await;
                assert_eq!(reply, [SUCCESS, 0, 0, 0]);
            });
            assert_exit(&scene.enter(), &exit(ExitReason::Irq));
            let mut expected = [0; 512];
            expected[0] = u64::from(width);
            expected[1] = algorithm as u64;
            for (word, bytes) in expected[64..].iter_mut().zip(params.rpv.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            for (word, expected) in (0..).zip(expected) {
                assert_eq!(scene.word(0x2000 + 8 * word), expected, "word {word}");
            }
            assert_eq!(scene.word(0x1ff8), 0);
            assert_eq!(scene.word(0x3000), 0);
        });
    }
}

#[test]
fn addresses_that_are_refused() {
    for (function, align) in [(fid::REALM_CONFIG, 0x1000), (fid::HOST_CALL, 0x100)] {
        for address in [
            0x1000 + align / 2,
            0x1001,
            0x1008,
            // Unprotected, the first address that is, and beyond.
            Scene::SHARED,
            Scene::UNMAPPED,
            Scene::BEYOND,
            Scene::BEYOND + 0x1000,
            !(align - 1),
            1 << 63 | 0x1000,
            // The Realm knows that there is nothing.
            Scene::EMPTY,
            Scene::ASSIGNED_EMPTY,
            Scene::NO_TABLE,
        ] {
            Scene::play(1, |scene| {
                scene.program(move |guest| async move {
                    let reply = guest.call(&[function, address]).await;
                    assert_eq!(reply, [ERROR_INPUT, 0, 0, 0], "{address:#x}");
                });
                assert_exit(&scene.enter(), &exit(ExitReason::Irq));
            });
        }
    }
}

/// A page that the host is to provide first: an exit as for an access, and the call is made again.
#[test]
fn memory_that_is_missing() {
    for (function, reason) in [
        (fid::REALM_CONFIG, ExitReason::Irq),
        (fid::HOST_CALL, ExitReason::HostCall),
    ] {
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                let reply = guest.call(&[function, Scene::UNASSIGNED]).await;
                assert_eq!(reply, [SUCCESS, 0, 0, 0]);
            });
            let expected = missing(Scene::UNASSIGNED, 3);
            assert_exit(&scene.enter(), &expected);
            assert_exit(&scene.enter(), &expected);
            scene.bench.data(scene.rd, Scene::UNASSIGNED);
            assert_exit(&scene.enter(), &exit(reason));
        });
        for address in [Scene::DESTROYED, Scene::ASSIGNED_DESTROYED] {
            Scene::play(1, |scene| {
                scene.program(move |guest| async move {
                    guest.call(&[function, address]).await;
                });
                assert_exit(&scene.enter(), &missing(address, 3));
            });
        }
        // Where the tables end.
        Scene::play(1, |scene| {
            let (rd, base) = (scene.rd, Scene::NO_TABLE);
            scene.bench.tables(rd, base, 3);
            scene.bench.succeed(rmi_fid::RTT_DESTROY, &[rd, base, 3]);
            scene.program(move |guest| async move {
                guest.call(&[function, base + 0x5000]).await;
            });
            assert_exit(&scene.enter(), &missing(base + 0x5000, 2));
        });
    }
}

/// Addresses of 52 bits may be missing one level further up.
#[test]
fn memory_that_is_missing_at_the_top() {
    const BASE: u64 = 0x8000_0000;
    const SIZE: u64 = 1 << 48;
    let features = FeatureRegister0 {
        ipa_width: 52,
        lpa2: true,
        ..FEATURES
    };
    let memory = Memory::new(&[(BASE, 64)]);
    let rmm = memory.rmm_with_features(features);
    let granules = (0..64).map(|number| BASE + number * PAGE).collect();
    let mut bench = Bench::with_granules(&memory, &rmm, features, granules);
    let mut params = realm_params(52, -1, 1);
    params.flags = realm_flags::LPA2;
    let rd = bench.realm(&params);
    let rec = bench.rec(rd, true);
    bench.activate(rd);
    let run = bench.host_granule();
    bench.program(rec, |guest| async move {
        guest.smc(&[fid::IPA_STATE_SET, SIZE, 2 * SIZE, 1, 0]).await;
        guest.call(&[fid::HOST_CALL, SIZE + 0x1_2345_6700]).await;
        unreachable!("the page never comes");
    });
    let enter = RecEnter::default();
    let seen = bench.enter(rec, run, &enter);
    assert_eq!(seen.exit_reason, ExitReason::RipasChange as u8);
    bench.succeed(rmi_fid::RTT_SET_RIPAS, &[rd, rec, SIZE, 2 * SIZE]);
    let expected = synchronous_exit(0x24 << 26 | 0x2b, 0, SIZE + 0x1_2345_6000);
    assert_exit(&bench.enter(rec, run, &enter), &expected);
}

const BUFFERS: [u64; 4] = [0x1000, 0x1100, 0x1e00, 0x1f00];

/// Fills a structure, and gives the exit that it makes.
async fn fill(guest: &Guest, address: u64, imm: u64) {
    guest.store(address, 8, 0xdddd_dddd_dddd_0000 | imm).await;
    for number in 0..31 {
        guest
            .store(address + 8 + 8 * number, 8, 0x5500 + number)
            .await;
    }
}

fn host_call(imm: u16) -> RecExit {
    let mut expected = exit(ExitReason::HostCall);
    expected.imm = imm;
    for (number, register) in (0..).zip(&mut expected.gprs) {
        *register = 0x5500 + number;
    }
    expected
}

fn answer() -> RecEnter {
    let mut enter = RecEnter::default();
    for (number, register) in (0..).zip(&mut enter.gprs) {
        *register = 0x6600 + number;
    }
    enter
}

#[test]
fn a_call_to_the_host() {
    for (buffer, imm) in BUFFERS.into_iter().zip([0, 1, 0x8000, 0xffff]) {
        Scene::play(1, |scene| {
            scene.program(move |guest| async move {
                fill(&guest, buffer, imm.into()).await;
                for neighbour in [buffer - 8, buffer + 0x100] {
                    guest.store(neighbour, 8, 0x99).await;
                }
                let reply = guest.call(&[fid::HOST_CALL, buffer]).await;
                assert_eq!(reply, [SUCCESS, 0, 0, 0]);
                for number in 0..31 {
                    let value = guest.load(buffer + 8 + 8 * number, 8).await;
                    assert_eq!(value, 0x6600 + number);
                }
            });
            assert_exit(&scene.enter(), &host_call(imm));
            assert_exit(&scene.enter_with(&answer()), &exit(ExitReason::Irq));
            assert_eq!(scene.word(buffer), 0xdddd_dddd_dddd_0000 | u64::from(imm));
            for neighbour in [buffer - 8, buffer + 0x100] {
                assert_eq!(scene.word(neighbour), 0x99);
            }
        });
    }
}

/// The host takes the page away before it answers.
#[test]
fn a_buffer_that_is_taken_away() {
    Scene::play(1, |scene| {
        let (rd, buffer) = (scene.rd, 0x1100);
        scene.program(move |guest| async move {
            fill(&guest, buffer, 5).await;
            let reply = guest.call(&[fid::HOST_CALL, buffer]).await;
            assert_eq!(reply, [SUCCESS, 0, 0, 0]);
            guest.interrupt().await;
        });
        assert_exit(&scene.enter(), &host_call(5));
        scene.bench.succeed(rmi_fid::DATA_DESTROY, &[rd, 0x1000]);
        // Nothing is lost: the answer is asked for again and again.
        for _ in 0..2 {
            assert_exit(&scene.enter_with(&answer()), &missing(buffer, 3));
        }
        // From DESTROYED there is no way back but by the Realm, which does not run.
        let data = scene.bench.delegated();
        let create = [rd, data, 0x1000];
        scene.bench.succeed(rmi_fid::DATA_CREATE_UNKNOWN, &create);
        assert_exit(&scene.enter_with(&answer()), &missing(buffer, 3));
        scene.memory[1] = data;
        assert_eq!(scene.word(buffer + 8), 0);
    });
}

/// Another REC gives the page up, or gets it back, while the call is under way.
#[test]
fn a_buffer_that_another_rec_gives_up() {
    const IPA_STATE_SET: u64 = fid::IPA_STATE_SET;
    for back in [false, true] {
        Scene::play(2, |scene| {
            let (rd, recs, run, buffer) = (scene.rd, scene.recs.clone(), scene.run, 0x1f00);
            scene.program(move |guest| async move {
                guest.smc(&[0xc400_0003, 1, 0x2000, 0]).await;
                fill(&guest, buffer, 5).await;
                let [code, ..] = guest.call(&[fid::HOST_CALL, buffer]).await;
                assert_eq!(code, if back { SUCCESS } else { ERROR_INPUT });
                guest.interrupt().await;
            });
            scene.bench.program(recs[1], move |guest| async move {
                guest.smc(&[IPA_STATE_SET, 0x1000, 0x2000, 0, 0]).await;
                guest.smc(&[IPA_STATE_SET, 0x1000, 0x2000, 1, 1]).await;
            });
            let enter = RecEnter::default();
            scene.enter();
            let complete = [recs[0], recs[1], 0];
            scene.bench.succeed(rmi_fid::PSCI_COMPLETE, &complete);
            assert_exit(&scene.enter(), &host_call(5));
            for _ in 0..=u32::from(back) {
                let seen = scene.bench.enter(recs[1], run, &enter);
                assert_eq!(seen.exit_reason, ExitReason::RipasChange as u8);
                let change = [rd, recs[1], 0x1000, 0x2000];
                scene.bench.succeed(rmi_fid::RTT_SET_RIPAS, &change);
            }
            assert_exit(&scene.enter_with(&answer()), &exit(ExitReason::Irq));
            let expected = if back { 0x6600 } else { 0x5500 };
            assert_eq!(scene.word(buffer + 8), expected);
        });
    }
}

/// A host that is called and takes its time: the answer that counts is the one with which the
/// Realm goes on.
#[test]
fn the_last_answer_counts() {
    Scene::play(1, |scene| {
        scene.program(|guest| async move {
            fill(&guest, 0x1000, 1).await;
            guest.call(&[fid::HOST_CALL, 0x1000]).await;
            assert_eq!(guest.load(0x1008, 8).await, 0x6600);
        });
        scene.enter();
        let mut refused = answer();
        refused.gprs = [9; 31];
        refused.gicv3_hcr = 1;
        let (rec, run) = (scene.rec(), scene.run);
        scene.bench.refuse_entry(3, rec, run, &refused, "GIC");
        scene.enter_with(&answer());
    });
}

/// Pages of a block of 2 MiB.
#[test]
fn a_buffer_in_a_block() {
    const BASE: u64 = 0x8000_0000;
    const BLOCK: u64 = 0x20_0000;
    let memory = Memory::new(&[(BASE, 512), (BASE + 2 * BLOCK, 192)]);
    let rmm = memory.rmm();
    let others = (0..192).map(|number| BASE + 2 * BLOCK + number * PAGE);
    let block = (0..512).map(|number| BASE + number * PAGE);
    // The block comes last, so that nothing of the scene is in it.
    let granules = others.chain(block).collect();
    let mut bench = Bench::with_granules(&memory, &rmm, FEATURES, granules).quick();
    bench.set_aside(BASE..BASE + BLOCK);
    let mut scene = Scene::build(bench, &realm_params(40, 1, 2), 1);
    let (rd, ipa) = (scene.rd, 0x4000_0000);
    scene.bench = scene.bench.quick();
    scene.bench.tables(rd, ipa, 3);
    scene.program(move |guest| async move {
        guest
            .smc(&[fid::IPA_STATE_SET, ipa, ipa + BLOCK, 1, 0])
            .await;
        let buffer = ipa + 300 * PAGE + 0x700;
        fill(&guest, buffer, 3).await;
        let reply = guest.call(&[fid::HOST_CALL, buffer]).await;
        assert_eq!(reply, [SUCCESS, 0, 0, 0]);
        assert_eq!(guest.load(buffer + 8, 8).await, 0x6600);
        let reply = guest.call(&[fid::REALM_CONFIG, ipa + 511 * PAGE]).await;
        assert_eq!(reply, [SUCCESS, 0, 0, 0]);
        assert_eq!(guest.load(ipa + 511 * PAGE, 8).await, 40);
        assert_eq!(guest.load(ipa + 510 * PAGE, 8).await, 0);
    });
    scene.enter();
    let rec = scene.rec();
    let change = [rd, rec, ipa, ipa + BLOCK];
    scene.bench.succeed(rmi_fid::RTT_SET_RIPAS, &change);
    for number in 0..512 {
        let page = BASE + number * PAGE;
        scene.bench.succeed(rmi_fid::GRANULE_DELEGATE, &[page]);
        let create = [rd, page, ipa + number * PAGE];
        scene.bench.succeed(rmi_fid::DATA_CREATE_UNKNOWN, &create);
    }
    scene.bench.succeed(rmi_fid::RTT_FOLD, &[rd, ipa, 3]);
    assert_exit(&scene.enter(), &host_call(3));
    assert_exit(&scene.enter_with(&answer()), &exit(ExitReason::Irq));
    let page = BASE + 300 * PAGE;
    assert_eq!(memory.inspect(page, 0x708 / 8), 0x6600);
}
