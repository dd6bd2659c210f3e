//! What the host takes away from a Realm that uses it at that moment.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use realm_payload::Reply;
use rmm_abi::rmi::Ripas;
use rmm_abi::rsi;
use spin::Mutex;

use super::spinner::Spinner;
use super::while_it_runs;
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::realm::{
    EntryState, Exit, Options, PAGE_LEVEL, Realm, Replied, RunningRealm, SPARE, Vcpu, command, esr,
    hpfar,
};
use crate::rmi::{ERROR_INPUT, ERROR_REALM, ERROR_REC, commands};
use crate::suite::Host;
use crate::time::{relax, wait_until};

/// `RMI_REC_DESTROY` of a REC that runs, and of others beside it.
pub(crate) fn rec_destroy(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(3))?;
    let [first, second, third] = [0, 1, 2].map(|index| realm.vcpus[index].rec);
    while_it_runs(host, &realm.realm, &mut realm.vcpus[0], &|| {
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
    while_it_runs(host, &realm.realm, &mut realm.vcpus[0], &|| {
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

/// CPU 1 lets the payload write to a page on and on. It comes out when the page has gone, waits until
/// CPU 0 has put things right, and goes on.
struct Writer<'a> {
    spinner: Spinner,
    expected: &'a (dyn Fn(&Exit) -> bool + Sync),
    /// Rounds in which the payload came out.
    came_out: AtomicU64,
    /// Rounds in which CPU 0 has put things right again.
    repaired: AtomicU64,
    over: AtomicBool,
}

impl Writer<'_> {
    fn write(&self, vcpu: &mut Vcpu) -> Outcome {
        let mut report = vcpu.begin(&self.spinner.command())?;
        loop {
            let (reply, last) = vcpu.until_reply(&report)?;
            if let Some(reply) = reply {
                return reply.done("stores").map(|_| ());
            }
            ensure!(
                (self.expected)(&last.exit),
                "exit of a store: {:x?}",
                last.exit
            );
            let round = self.came_out.fetch_add(1, Ordering::AcqRel) + 1;
            let repaired = wait_until(ROUND_TIME, || {
                self.repaired.load(Ordering::Acquire) >= round || self.over.load(Ordering::Acquire)
            });
            ensure!(repaired, "CPU 0 does not put right what it took away");
            if self.over.load(Ordering::Acquire) {
                return Ok(());
            }
            report = vcpu.run()?;
        }
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
    realm: &Realm,
    vcpu: &mut Vcpu,
    address: u64,
    expected: &(dyn Fn(&Exit) -> bool + Sync),
    round: &(dyn Fn(&Writer, u64) -> Outcome + Sync),
) -> Outcome {
    let writer = Writer {
        spinner: Spinner::new(host, realm, vcpu, Some(address))?,
        expected,
        came_out: AtomicU64::new(0),
        repaired: AtomicU64::new(0),
        over: AtomicBool::new(false),
    };
    writer.spinner.prepare()?;
    let vcpu = Mutex::new(vcpu);
    host.cpus.check(2, &|cpu| {
        if cpu == 1 {
            let outcome = writer.write(&mut vcpu.lock());
            if outcome.is_err() {
                writer.over.store(true, Ordering::Release);
            }
            return outcome;
        }
        let outcome = (1..=ROUNDS).try_for_each(|number| {
            // The payload has written since the last round, without an exit.
            writer.spinner.wait_for_progress()?;
            round(&writer, number)?;
            writer.repaired.store(number, Ordering::Release);
            Ok(())
        });
        if outcome.is_err() {
            writer.over.store(true, Ordering::Release);
        }
        writer.spinner.end()?;
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
    against_a_writer(host, memory, writer, SPARE, &expected, &|writer, round| {
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
    against_a_writer(host, memory, writer, ipa, &expected, &|writer, round| {
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

/// One REC gives up RAM to which the other writes on and on: the writes must fail at once, and go
/// through when it is RAM again.
pub(crate) fn set_ripas(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    realm.switch_on(1)?;
    realm.realm.supply(SPARE)?;
    let [writer, helper] = realm.vcpus.as_mut_slice() else {
        return fail!("there are not two RECs");
    };
    let memory = &realm.realm;
    let spinner = Spinner::new(host, memory, writer, Some(SPARE))?;
    spinner.prepare()?;
    let (faults, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (writer, helper) = (Mutex::new(writer), Mutex::new(helper));
    let change = |ripas: Ripas| {
        let mut helper = helper.lock();
        let request = [
            rsi::fid::IPA_STATE_SET,
            SPARE,
            SPARE + GRANULE,
            ripas as u64,
            0,
        ];
        let report = helper.begin(&command::smc(&request))?;
        let results = memory.serve(&mut helper, &report)?.done("RIPAS change")?;
        ensure_word!(results[0], 0, "IPA_STATE_SET");
        Ok(())
    };
    host.cpus.check(2, &|cpu| {
        let outcome = if cpu == 1 {
            write_until(&mut writer.lock(), &spinner, &faults, &over)
        } else {
            (0..ROUNDS).try_for_each(|_| {
                spinner.wait_for_progress()?;
                change(Ripas::Empty)?;
                two_faults(&faults, &over)?;
                let written = spinner.progress()?;
                two_faults(&faults, &over)?;
                ensure_word!(spinner.progress()?, written, "writes to what is no RAM");
                change(Ripas::Ram)
            })
        };
        over.store(true, Ordering::Release);
        spinner.end()?;
        outcome
    })?;
    realm.tear_down()
}

/// Waits for two more faults: the second is of a try that began after this.
fn two_faults(faults: &AtomicU64, over: &AtomicBool) -> Outcome {
    let before = faults.load(Ordering::Acquire);
    let stopped = wait_until(ROUND_TIME, || {
        faults.load(Ordering::Acquire) > before + 1 || over.load(Ordering::Acquire)
    });
    ensure!(
        stopped && !over.load(Ordering::Acquire),
        "a Realm goes on writing to what is no RAM any more"
    );
    Ok(())
}

/// Starts the writer again after each fault.
fn write_until(
    vcpu: &mut Vcpu,
    spinner: &Spinner,
    faults: &AtomicU64,
    over: &AtomicBool,
) -> Outcome {
    while !over.load(Ordering::Acquire) {
        match vcpu.command(&spinner.command())? {
            Reply::Done(_) => {}
            reply => {
                reply.exception("stores")?;
                faults.fetch_add(1, Ordering::AcqRel);
            }
        }
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
    let RunningRealm {
        realm: memory,
        vcpus,
        ..
    } = &mut realm;
    let vcpu = &mut vcpus[0];
    against_a_writer(host, memory, vcpu, address, &expected, &|writer, round| {
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
