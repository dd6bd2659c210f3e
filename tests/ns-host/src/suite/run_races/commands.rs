//! What the host takes away from a Realm that uses it at that moment.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use realm_payload::Reply;
use rmm_abi::rmi::Ripas;
use rmm_abi::rsi;
use spin::Mutex;

use super::while_it_runs;
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::realm::{
    EntryState, Exit, Options, PAGE_LEVEL, Replied, RunningRealm, SPARE, Vcpu, command, esr, hpfar,
};
use crate::rmi::{ERROR_INPUT, ERROR_REALM, ERROR_REC, commands};
use crate::suite::Host;
use crate::time::{relax, wait_until};

/// `RMI_REC_DESTROY` of a REC that runs, and of others beside it.
pub(crate) fn rec_destroy(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(3))?;
    let rd = realm.realm.rd;
    let [first, second, third] = [0, 1, 2].map(|index| realm.vcpus[index].rec);
    let vcpu = &mut realm.vcpus[0];
    while_it_runs(host, rd, vcpu, &|| {
        for _ in 0..50 {
            commands::rec_destroy(first)?.refused(ERROR_REC, "REC_DESTROY of a REC that runs")?;
            relax();
        }
        commands::psci_complete(first, second, 0)?
            .refused(ERROR_INPUT, "PSCI_COMPLETE of a REC that runs")?;
        commands::rec_destroy(third)?.done("REC_DESTROY of another REC")?;
        commands::rec_destroy(third)?.refused(ERROR_INPUT, "REC_DESTROY once more")
    })?;
    realm.realm.forget_rec(third)?;
    realm.vcpus.truncate(2);
    realm.tear_down()
}

/// `RMI_REALM_DESTROY` of a Realm that runs.
pub(crate) fn realm_destroy(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let rd = realm.realm.rd;
    while_it_runs(host, rd, &mut realm.vcpus[0], &|| {
        for _ in 0..50 {
            commands::realm_destroy(rd)?.refused(ERROR_REALM, "REALM_DESTROY while it runs")?;
            commands::realm_activate(rd)?.refused(ERROR_REALM, "REALM_ACTIVATE while it runs")?;
            relax();
        }
        Ok(())
    })?;
    realm.tear_down()
}

/// How often each of the following is done.
const ROUNDS: u64 = 40;
/// How long the other CPU may take for its part of a round.
const ROUND_TIME: Duration = Duration::from_secs(10);

/// CPU 1 lets the payload write a page again and again. It stops in the end, or when it came out with
/// something that `expected` knows; then `resume` is called with its number of the round.
struct Writer<'a> {
    address: u64,
    expected: &'a (dyn Fn(&Exit) -> bool + Sync),
    /// Rounds in which the payload came out.
    came_out: AtomicU64,
    /// Rounds in which CPU 0 has put things right again.
    repaired: AtomicU64,
    over: AtomicBool,
}

impl Writer<'_> {
    fn write(&self, vcpu: &mut Vcpu) -> Outcome {
        let mut value = 0;
        while !self.over.load(Ordering::Acquire) {
            value += 1;
            let mut report = vcpu.begin(&command::store(self.address, 8, value))?;
            loop {
                let (reply, last) = vcpu.until_reply(&report)?;
                if let Some(reply) = reply {
                    reply.done("a store")?;
                    break;
                }
                ensure!(
                    (self.expected)(&last.exit),
                    "exit of a store: {:x?}",
                    last.exit
                );
                let round = self.came_out.fetch_add(1, Ordering::AcqRel) + 1;
                let repaired = wait_until(ROUND_TIME, || {
                    self.repaired.load(Ordering::Acquire) >= round
                        || self.over.load(Ordering::Acquire)
                });
                ensure!(repaired, "CPU 0 does not put right what it took away");
                report = vcpu.run()?;
            }
        }
        Ok(())
    }

    /// On CPU 0: waits until the payload came out in this round.
    fn wait(&self, round: u64) -> Outcome {
        let out = wait_until(ROUND_TIME, || {
            self.came_out.load(Ordering::Acquire) >= round || self.over.load(Ordering::Acquire)
        });
        ensure!(
            out && !self.over.load(Ordering::Acquire),
            "the payload goes on writing after round {round}"
        );
        Ok(())
    }
}

/// Runs a writer on CPU 1 and `round` on CPU 0. The round takes something away, waits, and puts it
/// right.
fn against_a_writer(
    host: &Host,
    vcpu: &mut Vcpu,
    address: u64,
    expected: &(dyn Fn(&Exit) -> bool + Sync),
    round: &(dyn Fn(&Writer, u64) -> Outcome + Sync),
) -> Outcome {
    let writer = Writer {
        address,
        expected,
        came_out: AtomicU64::new(0),
        repaired: AtomicU64::new(0),
        over: AtomicBool::new(false),
    };
    let vcpu = Mutex::new(vcpu);
    host.cpus.check(2, &|cpu| {
        let outcome = if cpu == 1 {
            writer.write(&mut vcpu.lock())
        } else {
            (1..=ROUNDS).try_for_each(|number| {
                // Now and then the payload is in the middle of its work, now and then outside.
                for _ in 0..number * 7 % 30 {
                    relax();
                }
                round(&writer, number)?;
                writer.repaired.store(number, Ordering::Release);
                Ok(())
            })
        };
        writer.over.store(true, Ordering::Release);
        outcome
    })
}

/// A page goes while it is written, and comes back as RAM. Nothing that is written may reach the
/// granule when it is the host's again.
pub(crate) fn data_destroy(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    realm.switch_on(1)?;
    let first = realm.realm.supply(SPARE)?;
    let page = Mutex::new(first);
    let expected = |exit: &Exit| {
        *exit
            == Exit::Data {
                esr: esr::of(esr::DATA, esr::translation(3)),
                far: 0,
                hpfar: hpfar(SPARE),
                value: 0,
            }
    };
    // The other REC accepts the loss, so that the page can be RAM again.
    let [writer, helper] = realm.vcpus.as_mut_slice() else {
        return fail!("there are not two RECs");
    };
    let (memory, helper) = (&realm.realm, Mutex::new(helper));
    against_a_writer(host, writer, SPARE, &expected, &|writer, round| {
        let mut page = page.lock();
        memory.destroy_page(SPARE, *page)?;
        writer.wait(round)?;
        memory.expect(
            SPARE,
            PAGE_LEVEL,
            EntryState::unassigned(PAGE_LEVEL, Ripas::Destroyed),
        )?;
        let mut helper = helper.lock();
        let request = [
            rsi::fid::IPA_STATE_SET,
            SPARE,
            SPARE + GRANULE,
            Ripas::Ram as u64,
            rsi::CHANGE_DESTROYED,
        ];
        let report = helper.begin(&command::smc(&request))?;
        memory.serve(&mut helper, &report)?.done("RIPAS change")?;
        *page = memory.data_unknown(SPARE)?;
        Ok(())
    })?;
    realm.tear_down()
}

/// A table goes with the page's RIPAS, and comes back.
pub(crate) fn rtt_destroy(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    realm.switch_on(1)?;
    let ipa = SPARE;
    let page = Mutex::new(realm.realm.supply(ipa)?);
    let expected = |exit: &Exit| {
        let Exit::Data { esr, hpfar: at, .. } = *exit else {
            return false;
        };
        let faults = [2, 3].map(|level| esr::of(esr::DATA, esr::translation(level)));
        faults.contains(&esr) && at == hpfar(ipa)
    };
    let [writer, helper] = realm.vcpus.as_mut_slice() else {
        return fail!("there are not two RECs");
    };
    let (memory, helper) = (&realm.realm, Mutex::new(helper));
    against_a_writer(host, writer, ipa, &expected, &|writer, round| {
        let mut page = page.lock();
        commands::rtt_destroy(memory.rd, ipa, PAGE_LEVEL)?.refused_with(
            crate::rmi::error_rtt(PAGE_LEVEL),
            [0, ipa, 0, 0],
            "RTT_DESTROY of a table with a page",
        )?;
        memory.destroy_page(ipa, *page)?;
        let table = memory.entry(ipa, 2)?.descriptor;
        memory.destroy_table(ipa, PAGE_LEVEL, table)?;
        writer.wait(round)?;
        let mut helper = helper.lock();
        let request = [
            rsi::fid::IPA_STATE_SET,
            ipa,
            ipa + GRANULE,
            Ripas::Ram as u64,
            rsi::CHANGE_DESTROYED,
        ];
        let report = helper.begin(&command::smc(&request))?;
        memory.serve(&mut helper, &report)?.done("RIPAS change")?;
        memory.tables(ipa, PAGE_LEVEL)?;
        *page = memory.data_unknown(ipa)?;
        Ok(())
    })?;
    realm.tear_down()
}

/// One REC gives up RAM that the other writes: the write must fail at once, on every CPU, and go
/// through when it is RAM again.
pub(crate) fn set_ripas(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    realm.switch_on(1)?;
    realm.realm.supply(SPARE)?;
    let [writer, helper] = realm.vcpus.as_mut_slice() else {
        return fail!("there are not two RECs");
    };
    let (memory, rounds) = (&realm.realm, AtomicU64::new(0));
    let over = AtomicBool::new(false);
    let helper = Mutex::new(helper);
    let writer = Mutex::new(writer);
    // In rounds with an even number it is RAM. The writer tells in which round it was last.
    let seen = AtomicU64::new(0);
    host.cpus.check(2, &|cpu| {
        let outcome = if cpu == 1 {
            write_through_rounds(&mut writer.lock(), &rounds, &seen, &over)
        } else {
            (1..=2 * ROUNDS).try_for_each(|round| {
                let ripas = if round % 2 == 1 {
                    Ripas::Empty
                } else {
                    Ripas::Ram
                };
                let mut helper = helper.lock();
                let request = [
                    rsi::fid::IPA_STATE_SET,
                    SPARE,
                    SPARE + GRANULE,
                    ripas as u64,
                    0,
                ];
                let report = helper.begin(&command::smc(&request))?;
                memory.serve(&mut helper, &report)?.done("RIPAS change")?;
                rounds.store(round, Ordering::Release);
                let caught_up = wait_until(ROUND_TIME, || {
                    seen.load(Ordering::Acquire) >= round || over.load(Ordering::Acquire)
                });
                ensure!(caught_up, "the writer does not see round {round}");
                Ok(())
            })
        };
        over.store(true, Ordering::Release);
        outcome
    })?;
    realm.tear_down()
}

fn write_through_rounds(
    vcpu: &mut Vcpu,
    rounds: &AtomicU64,
    seen: &AtomicU64,
    over: &AtomicBool,
) -> Outcome {
    while !over.load(Ordering::Acquire) {
        let round = rounds.load(Ordering::Acquire);
        // Until it is told, the other CPU changes nothing.
        let settled = seen.load(Ordering::Acquire) < round;
        let reply = vcpu.command(&command::store(SPARE, 8, round))?;
        if let Reply::Done(_) = reply {
            ensure!(
                !settled || round.is_multiple_of(2),
                "a store to what is no RAM any more goes through"
            );
        } else {
            let taken = reply.exception("a store")?;
            ensure!(
                !settled || !round.is_multiple_of(2),
                "a store to what is RAM again fails: {taken:x?}"
            );
        }
        seen.store(round, Ordering::Release);
    }
    Ok(())
}

/// Memory of the host that the Realm writes is unmapped and mapped again elsewhere.
pub(crate) fn unmap_unprotected(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let address = realm.unprotected(0x20_0000);
    let pages = host.granules(2)?;
    realm.realm.tables(address, PAGE_LEVEL)?;
    let rd = realm.realm.rd;
    commands::map_unprotected(rd, address, PAGE_LEVEL, pages | command::READ_WRITE)?
        .done("MAP_UNPROTECTED")?;
    let expected = |exit: &Exit| {
        matches!(*exit, Exit::Data { hpfar: at, esr, .. }
            if at == hpfar(address) && esr & esr::STATUS == esr::translation(3))
    };
    let vcpu = &mut realm.vcpus[0];
    against_a_writer(host, vcpu, address, &expected, &|writer, round| {
        commands::unmap_unprotected(rd, address, PAGE_LEVEL)?.done("UNMAP_UNPROTECTED")?;
        let page = pages + (round + 1) % 2 * GRANULE;
        let last = crate::suite::expect::read(page)?;
        writer.wait(round)?;
        let later = crate::suite::expect::read(page)?;
        ensure_word!(later, last, "a page after it was unmapped");
        let other = pages + round % 2 * GRANULE;
        commands::map_unprotected(rd, address, PAGE_LEVEL, other | command::READ_WRITE)?
            .done("MAP_UNPROTECTED")?;
        Ok(())
    })?;
    realm.tear_down()
}
