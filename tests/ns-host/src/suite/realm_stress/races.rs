//! The same command from all CPUs at the same moment: one wins.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use arrayvec::ArrayVec;
use rmm_abi::rmi::REC_RUNNABLE;

use crate::machine::MAX_CPUS;
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, fail};
use crate::realm::{PAGE_LEVEL, Realm, Rec, Shape, give_back, nth, write_page};
use crate::rmi::{ERROR_INPUT, ERROR_REALM, Reply, SUCCESS, commands, error_rtt, must_delegate};
use crate::suite::Host;
use crate::time::{relax, wait_until};

const ROUNDS: u64 = 12;
const MEETING_TIME: Duration = Duration::from_secs(10);

/// Lets every CPU give the command with its number. One must succeed, the others must see one of
/// the codes of losers. The number of the winner.
fn race(
    host: &Host,
    what: &str,
    losers: &[u64],
    command: &(dyn Fn(u64) -> Outcome<Reply> + Sync),
) -> Outcome<u64> {
    let count = host.cpus.count();
    let ready = AtomicUsize::new(0);
    let codes = [const { AtomicU64::new(0) }; MAX_CPUS];
    host.cpus.check(count, &|cpu| {
        ready.fetch_add(1, Ordering::AcqRel);
        let all = wait_until(MEETING_TIME, || ready.load(Ordering::Acquire) == count);
        ensure!(all, "the CPUs did not meet");
        let reply = command(cpu as u64)?;
        codes[cpu].store(reply.code, Ordering::Release);
        relax();
        Ok(())
    })?;
    let mut winner = None;
    for (cpu, code) in (0..).zip(&codes[..count]) {
        match code.load(Ordering::Acquire) {
            SUCCESS if winner.is_none() => winner = Some(cpu),
            SUCCESS => return fail!("{what}: more than one CPU succeeded"),
            code if losers.contains(&code) => {}
            code => return fail!("{what}: CPU {cpu} got {code:#x}"),
        }
    }
    match winner {
        Some(winner) => Ok(winner),
        None => fail!("{what}: no CPU succeeded"),
    }
}

pub(crate) fn one_winner(host: &Host) -> Outcome {
    for _ in 0..ROUNDS {
        round(host)?;
    }
    Ok(())
}

fn round(host: &Host) -> Outcome {
    let realm = Realm::without_descriptor(host, Shape::USUAL)?;
    write_page(realm.page, &realm.params())?;
    race(host, "REALM_CREATE", &[ERROR_INPUT], &|_| {
        commands::realm_create(realm.rd, realm.page)
    })?;
    tables(host, &realm)?;
    pages(host, &realm)?;
    recs(host, &realm)?;
    race(host, "REALM_ACTIVATE", &[ERROR_REALM], &|_| {
        commands::realm_activate(realm.rd)
    })?;
    race(host, "REALM_DESTROY", &[ERROR_INPUT], &|_| {
        commands::realm_destroy(realm.rd)
    })?;
    realm.give_back()
}

/// A delegated granule for each CPU, in a row.
fn one_each(host: &Host) -> Outcome<u64> {
    let count = host.cpus.count() as u64;
    let first = host.granules(count)?;
    for cpu in 0..count {
        must_delegate(nth(first, cpu))?;
    }
    Ok(first)
}

/// Those of the losers come back.
fn give_back_others(host: &Host, first: u64, winner: u64) -> Outcome {
    (0..host.cpus.count() as u64)
        .filter(|cpu| *cpu != winner)
        .try_for_each(|cpu| give_back(nth(first, cpu)))
}

fn tables(host: &Host, realm: &Realm) -> Outcome {
    // The same place.
    let first = one_each(host)?;
    let winner = race(host, "RTT_CREATE at one place", &[error_rtt(1)], &|cpu| {
        commands::rtt_create(realm.rd, nth(first, cpu), 0, 2)
    })?;
    give_back_others(host, first, winner)?;
    race(host, "RTT_DESTROY", &[error_rtt(1)], &|_| {
        commands::rtt_destroy(realm.rd, 0, 2)
    })?;
    give_back(nth(first, winner))?;
    // The same granule.
    let table = realm.granule()?;
    race(host, "RTT_CREATE of one granule", &[ERROR_INPUT], &|cpu| {
        commands::rtt_create(realm.rd, table, cpu << 30, 2)
    })?;
    for index in 0..host.cpus.count() as u64 {
        // Only one of them is there.
        let reply = commands::rtt_fold(realm.rd, index << 30, 2)?;
        if !reply.succeeded() {
            reply.refused(error_rtt(1), "RTT_FOLD of a loser")?;
        }
    }
    give_back(table)?;
    let table = realm.table(0, 2)?;
    race(host, "RTT_FOLD", &[error_rtt(1)], &|_| {
        commands::rtt_fold(realm.rd, 0, 2)
    })?;
    realm.lend(-1);
    give_back(table)
}

fn pages(host: &Host, realm: &Realm) -> Outcome {
    realm.tables(0, PAGE_LEVEL)?;
    let first = one_each(host)?;
    let what = "DATA_CREATE at one place";
    let winner = race(host, what, &[error_rtt(3)], &|cpu| {
        commands::data_create(realm.rd, nth(first, cpu), 0, realm.page, cpu % 2)
    })?;
    give_back_others(host, first, winner)?;
    race(host, "DATA_DESTROY", &[error_rtt(3)], &|_| {
        commands::data_destroy(realm.rd, 0)
    })?;
    let data = nth(first, winner);
    let what = "DATA_CREATE_UNKNOWN of one granule";
    let winner = race(host, what, &[ERROR_INPUT], &|cpu| {
        commands::data_create_unknown(realm.rd, data, cpu * GRANULE)
    })?;
    realm.lend(1);
    realm.destroy_page(winner * GRANULE, data)?;
    // Tables go away while others look for pages in them.
    let granules = one_each(host)?;
    let outcome = host.cpus.check(host.cpus.count(), &|cpu| {
        let reply = if cpu == 0 {
            commands::rtt_fold(realm.rd, 0, PAGE_LEVEL)?
        } else {
            commands::data_create_unknown(
                realm.rd,
                nth(granules, cpu as u64),
                cpu as u64 * GRANULE,
            )?
        };
        let allowed = [SUCCESS, error_rtt(2), error_rtt(3)];
        ensure!(
            allowed.contains(&reply.code),
            "fold against create: CPU {cpu} got {:#x}",
            reply.code
        );
        Ok(())
    });
    outcome?;
    for index in 0..host.cpus.count() as u64 {
        let reply = commands::data_destroy(realm.rd, index * GRANULE)?;
        ensure!(
            reply.succeeded() || reply.code == error_rtt(3) || reply.code == error_rtt(2),
            "DATA_DESTROY afterwards returned {:#x}",
            reply.code
        );
        give_back(nth(granules, index))?;
    }
    for level in [PAGE_LEVEL, 2] {
        let reply = commands::rtt_destroy(realm.rd, 0, level)?;
        if reply.succeeded() {
            give_back(reply.outputs[0])?;
        } else {
            reply.refused_with(
                error_rtt(2),
                [0, 1 << 30, 0, 0],
                "RTT_DESTROY of a folded table",
            )?;
        }
    }
    // The two tables are gone one way or the other.
    realm.lend(-2);
    Ok(())
}

fn recs(host: &Host, realm: &Realm) -> Outcome {
    let mut memory = ArrayVec::<Rec, MAX_CPUS>::new();
    for _ in 0..host.cpus.count() {
        memory.push(realm.rec_memory()?);
    }
    // The same number for all of them, each from parameters of its own.
    let params = host.granules(memory.len() as u64)?;
    for (cpu, rec) in (0..).zip(&memory) {
        write_page(nth(params, cpu), &rec.params(0, REC_RUNNABLE))?;
    }
    let winner = race(host, "REC_CREATE of one number", &[ERROR_INPUT], &|cpu| {
        let rec = &memory[usize::try_from(cpu).unwrap_or(0)];
        commands::rec_create(realm.rd, rec.address, nth(params, cpu))
    })?;
    let winner = usize::try_from(winner).unwrap_or(0);
    race(host, "REC_DESTROY", &[ERROR_INPUT], &|_| {
        commands::rec_destroy(memory[winner].address)
    })?;
    // The same granules.
    let rec = &memory[winner];
    write_page(realm.page, &rec.params(1, 0))?;
    race(host, "REC_CREATE in one granule", &[ERROR_INPUT], &|_| {
        commands::rec_create(realm.rd, rec.address, realm.page)
    })?;
    rec.destroy()?;
    memory
        .iter()
        .filter(|other| other.address != rec.address)
        .try_for_each(Rec::give_back)
}
