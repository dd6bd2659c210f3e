//! The granules in which tokens are made: what becomes of work that does not go on.

use fake_machine::{AUX_GRANULES, WORDS_PER_GRANULE};
use rmm_abi::rmi::fid as rmi_fid;
use rmm_abi::rmi::run::RecEnter;
use rmm_abi::smc::psci;
use rmm_core::machine::TOKEN_GRANULES;

use super::interruption::{enter, switch_all_on};
use super::*;

/// The granules of a REC in which it makes tokens.
fn granules(scene: &Scene<'_>, rec: u64) -> Vec<u64> {
    let aux = &scene.bench.world().rec(rec).expect("a REC").aux;
    aux[AUX_GRANULES - TOKEN_GRANULES..].to_vec()
}

/// Whether there is nothing but zeroes in a granule.
fn is_empty(scene: &Scene<'_>, granule: u64) -> bool {
    let memory = scene.bench.memory();
    (0..WORDS_PER_GRANULE).all(|word| memory.inspect(granule, word) == 0)
}

/// How many of a REC's granules have something in them.
fn in_use(scene: &Scene<'_>, rec: u64) -> usize {
    let used = granules(scene, rec);
    let used = used.iter().filter(|granule| !is_empty(scene, **granule));
    used.count()
}

/// `RSI_ATTESTATION_TOKEN_INIT` while work is put aside: nothing of the old work is left, and the new
/// token is for the new challenge.
#[test]
fn begun_anew() {
    play(1, |scene, mut request| {
        request.challenge = challenge(0x51);
        scene.program(|guest| async move {
            for old in [0x4f, 0x50] {
                ask(&guest, &challenge(old)).await;
                assert_eq!(proceed(&guest, BUFFER, 0, PAGE).await, (INCOMPLETE, 0));
                guest.interrupt().await;
            }
            ask(&guest, &challenge(0x51)).await;
            guest.interrupt().await;
            assert!(fetch(&guest).await == token(&request, SIZE));
        });
        let rec = scene.rec();
        for _ in 0..2 {
            scene.bench.memory().tokens().interrupt(1);
            irq(scene);
            assert_eq!(in_use(scene, rec), TOKEN_GRANULES);
            irq(scene);
        }
        irq(scene);
        assert_eq!(in_use(scene, rec), 0);
        irq(scene);
        // The token itself.
        assert_eq!(in_use(scene, rec), 1);
    });
}

/// How far the token is when its REC switches itself off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Requested,
    PutAside,
    Ready,
}

/// A REC that switches itself off forgets its token; when it is switched on again, there is none.
#[test]
fn switched_off() {
    for stage in [Stage::Requested, Stage::PutAside, Stage::Ready] {
        play(2, |scene, request| {
            switch_all_on(scene);
            let (first, second) = (scene.recs[0], scene.recs[1]);
            scene.bench.program(second, move |guest| async move {
                ask(&guest, &CHALLENGE).await;
                if stage != Stage::Requested {
                    let done = u64::from(stage == Stage::Ready);
                    let reply = proceed(&guest, BUFFER, 0, done).await;
                    assert_eq!(reply, (INCOMPLETE, done));
                }
                guest.interrupt().await;
                guest.smc(&[psci::CPU_OFF]).await;
                unreachable!("it is off");
            });
            if stage == Stage::PutAside {
                scene.bench.memory().tokens().interrupt(1);
                assert_exit(&enter(scene, 1), &exit(ExitReason::Irq));
                assert_eq!(in_use(scene, second), TOKEN_GRANULES);
            }
            assert_exit(&enter(scene, 1), &exit(ExitReason::Irq));
            let mut off = exit(ExitReason::Psci);
            off.gprs[0] = psci::CPU_OFF;
            assert_exit(&enter(scene, 1), &off);
            if stage != Stage::Ready {
                assert_eq!(in_use(scene, second), 0, "{stage:?}");
            }
            scene.program(|guest| async move {
                guest.smc(&[psci::CPU_ON, 1, Scene::ENTRY, 0]).await;
            });
            scene.enter();
            let complete = [first, second, 0];
            scene.bench.succeed(rmi_fid::PSCI_COMPLETE, &complete);
            scene.bench.program(second, move |guest| async move {
                for size in [0, PAGE] {
                    let reply = proceed(&guest, BUFFER, 0, size).await;
                    assert_eq!(reply, (ERROR_STATE, 0), "{stage:?}");
                }
                ask(&guest, &CHALLENGE).await;
                assert!(fetch(&guest).await == token(&request, SIZE));
            });
            assert_exit(&enter(scene, 1), &exit(ExitReason::Irq));
        });
    }
}

/// `RMI_REC_DESTROY` gives the granules back, however far the token is: the host finds zeroes.
#[test]
fn destroyed() {
    for (is_ready, is_off) in [(false, false), (true, false), (false, true)] {
        play(1, |scene, _| {
            scene.program(move |guest| async move {
                ask(&guest, &CHALLENGE).await;
                let done = u64::from(is_ready);
                let reply = proceed(&guest, BUFFER, 0, done).await;
                assert_eq!(reply, (INCOMPLETE, done));
                guest.smc(&[psci::SYSTEM_OFF]).await;
            });
            let rec = scene.rec();
            let interruptions = u64::from(!is_ready);
            scene.bench.memory().tokens().interrupt(interruptions);
            if is_ready {
                scene.enter();
            } else {
                irq(scene);
                if is_off {
                    scene.enter();
                }
                assert_eq!(in_use(scene, rec), TOKEN_GRANULES);
            }
            let aux = scene.bench.world().rec(rec).unwrap().aux.clone();
            scene.bench.succeed(rmi_fid::REC_DESTROY, &[rec]);
            for granule in aux.into_iter().chain([rec]) {
                scene.bench.succeed(rmi_fid::GRANULE_UNDELEGATE, &[granule]);
                for word in 0..WORDS_PER_GRANULE {
                    let found = scene.bench.memory().host_read(granule, word);
                    assert_eq!(found, Ok(0), "{granule:#x}");
                }
            }
        });
    }
}

/// Granules of work that was put aside become those of another Realm's REC, in another order. The
/// machine ends the test when new work finds anything in them.
#[test]
fn granules_of_another_realm() {
    play(1, |scene, _| {
        scene.program(|guest| async move {
            ask(&guest, &CHALLENGE).await;
            assert_eq!(proceed(&guest, BUFFER, 0, PAGE).await, (INCOMPLETE, 0));
            unreachable!("it is destroyed");
        });
        scene.bench.memory().tokens().interrupt(1);
        irq(scene);
        let (rec, run) = (scene.rec(), scene.run);
        let aux = scene.bench.world().rec(rec).unwrap().aux.clone();
        scene.bench.succeed(rmi_fid::REC_DESTROY, &[rec]);
        let bench = &mut scene.bench;
        let mut other = params(HashAlgorithm::Sha512);
        other.vmid = 1;
        let rd = bench.realm(&other);
        let mut rec_params = bench.rec_params(rd);
        for (place, granule) in rec_params.aux.iter_mut().zip(aux.into_iter().rev()) {
            *place = granule;
        }
        rec_params.flags = 1;
        rec_params.pc = Scene::ENTRY;
        let page = bench.host_granule();
        bench.write(page, &rec_params);
        bench.succeed(rmi_fid::REC_CREATE, &[rd, rec, page]);
        bench.activate(rd);
        bench.program(rec, |guest| async move {
            let reply = proceed(&guest, BUFFER, 0, PAGE).await;
            assert_eq!(reply, (ERROR_STATE, 0));
            ask(&guest, &challenge(3)).await;
            // This Realm has no page for it, but the token is made.
            let reply = proceed(&guest, BUFFER, 0, 0).await;
            assert_eq!(reply, (ERROR_INPUT, 0));
        });
        let seen = bench.enter(rec, run, &RecEnter::default());
        assert_exit(&seen, &exit(ExitReason::Irq));
        assert_eq!(in_use(scene, rec), 1);
    });
}
