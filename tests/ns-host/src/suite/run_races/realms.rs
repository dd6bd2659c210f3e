//! Realms of all shapes, and what one leaves for the next.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use rmm_abi::rmi::fid;
use spin::Mutex;

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{
    Command, Exit, Options, PAGE_LEVEL, Replied, RunningRealm, SPARE, Shape, TWO_MEGABYTES, Vcpu,
    command, hpfar, nth, unused_vmid,
};
use crate::rmi::{self, must_delegate};
use crate::suite::Host;
use crate::time::{Deadline, relax};

/// The payload runs wherever its memory fits.
pub(crate) fn shapes(host: &Host) -> Outcome {
    let [code, features, ..] = rmi::command(fid::FEATURES, &[0])?;
    ensure_word!(code, rmi::SUCCESS, "FEATURES");
    let (widest, lpa2) = (features & 0xff, features >> 8 & 1 == 1);
    for (width, level, tables, with_lpa2) in [
        (32, 2, 4, false),
        (34, 2, 16, false),
        (36, 1, 1, false),
        (39, 1, 1, false),
        (43, 1, 16, false),
        (42, 0, 1, false),
        (48, 0, 1, false),
        (40, 1, 2, true),
        (48, 0, 1, true),
        (48, -1, 1, true),
    ] {
        // A start level of -1 is for wide spaces only.
        if u64::from(width) > widest || with_lpa2 && !lpa2 || level < 0 {
            continue;
        }
        let shape = Shape {
            lpa2: with_lpa2,
            ..Shape::new(width, level, tables)
        };
        let options = Options {
            shape,
            ..Options::PLAIN
        };
        let mut realm = RunningRealm::greeted(host, options)?;
        let address = realm.unprotected(0x1230);
        let report = realm.first().begin(&command::load(address, 8))?;
        ensure!(
            matches!(report.exit, Exit::Data { hpfar: at, .. } if at == hpfar(address)),
            "exit of a load at {address:#x} in {shape:?}: {:x?}",
            report.exit
        );
        let RunningRealm {
            realm: memory,
            vcpus,
            ..
        } = &mut realm;
        memory.serve(&mut vcpus[0], &report)?.done("load")?;
        let report = vcpus[0].begin(&command::store(SPARE, 8, 7))?;
        memory.serve(&mut vcpus[0], &report)?.done("store")?;
        realm.tear_down()?;
    }
    Ok(())
}

/// A Realm with the VMID of one that has gone sees its own memory on every CPU.
pub(crate) fn vmid_again(host: &Host) -> Outcome {
    let options = Options {
        vmid: Some(unused_vmid()),
        ..Options::PLAIN
    };
    for round in 0..4u64 {
        let mut realm = RunningRealm::greeted(host, options)?;
        realm.realm.supply(SPARE)?;
        let vcpu = Mutex::new(realm.first());
        let count = host.cpus.count() as u64;
        let next = AtomicU64::new(0);
        host.cpus.check(host.cpus.count(), &|cpu| {
            while next.load(Ordering::Acquire) < count {
                if next.load(Ordering::Acquire) != cpu as u64 {
                    relax();
                    continue;
                }
                let outcome = fresh_memory(&mut vcpu.lock(), round, cpu as u64);
                next.fetch_add(1, Ordering::AcqRel);
                outcome?;
            }
            Ok(())
        })?;
        realm.tear_down()?;
    }
    Ok(())
}

/// The page holds nothing but what the CPUs before have written in this round.
fn fresh_memory(vcpu: &mut Vcpu, round: u64, cpu: u64) -> Outcome {
    let value = |cpu: u64| round << 32 | 1 << 16 | cpu;
    for earlier in 0..cpu {
        let seen = vcpu.command(&command::load(SPARE + 8 * earlier, 8))?;
        ensure_word!(
            seen.done("load")?[0],
            value(earlier),
            "what CPU {earlier} has written"
        );
    }
    let address = SPARE + 8 * cpu;
    let seen = vcpu.command(&command::load(address, 8))?;
    ensure_word!(seen.done("load")?[0], 0, "a page without content");
    vcpu.command(&command::store(address, 8, value(cpu)))?
        .done("store")
        .map(|_| ())
}

/// How long tables are folded and unfolded.
const TIME: Duration = Duration::from_secs(2);

/// A table is folded into a block and unfolded again while the Realm works with its pages: the Realm
/// must not notice.
pub(crate) fn fold_and_unfold(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let first = host.aligned_granules(512, TWO_MEGABYTES)?;
    realm.realm.tables(SPARE, PAGE_LEVEL)?;
    for index in 0..512 {
        must_delegate(nth(first, index))?;
        realm
            .realm
            .data_unknown_in(nth(first, index), nth(SPARE, index))?;
    }
    let over = AtomicBool::new(false);
    let RunningRealm {
        realm: memory,
        vcpus,
        ..
    } = &mut realm;
    let vcpu = Mutex::new(&mut vcpus[0]);
    let folds = AtomicU64::new(0);
    host.cpus.check(2, &|cpu| {
        let outcome = if cpu == 1 {
            work_with_pages(&mut vcpu.lock(), &over)
        } else {
            let time = Deadline::after(TIME);
            let mut outcome = Ok(());
            while outcome.is_ok() && !time.passed() && !over.load(Ordering::Acquire) {
                outcome = fold_once(memory);
                folds.fetch_add(1, Ordering::Relaxed);
                relax();
            }
            outcome
        };
        over.store(true, Ordering::Release);
        outcome
    })?;
    let folds = folds.into_inner();
    ensure!(folds > 3, "only {folds} folds");
    realm.tear_down()
}

fn fold_once(memory: &crate::realm::Realm) -> Outcome {
    let table = memory.entry(SPARE, 2)?.descriptor;
    memory.fold(SPARE, PAGE_LEVEL, table)?;
    memory.table(SPARE, PAGE_LEVEL).map(|_| ())
}

/// Each page is written and read again later.
fn work_with_pages(vcpu: &mut Vcpu, over: &AtomicBool) -> Outcome {
    let mut round = 0;
    while !over.load(Ordering::Acquire) {
        let page = SPARE + round * 37 % 512 * GRANULE;
        let value = 1 + round / 512;
        let old = vcpu.command(&command::load(page, 8))?.done("load")?;
        ensure_word!(old[0], value - 1, "page {page:#x} in round {round}");
        vcpu.command(&command::store(page, 8, value))?
            .done("store")?;
        round += 1;
    }
    ensure!(round > 0, "the Realm did not work");
    vcpu.command(&Command::Time)?.done("a command").map(|_| ())
}
