//! `RMI_PSCI_COMPLETE`.

use rmm_abi::smc::psci;

use super::{ask, comes_out, result};
use crate::outcome::{Outcome, ensure_word};
use crate::realm::{Kind, Options, RunningRealm, Specimens, Vcpu};
use crate::rmi::{ERROR_INPUT, ERROR_REC, commands};
use crate::suite::Host;

/// The call comes to its end; X0.
fn end(vcpu: &mut Vcpu, call: &[u64]) -> Outcome<u64> {
    vcpu.enter.gprs = [0xbad; 31];
    let report = vcpu.run()?;
    Ok(vcpu.end_call(&report, call, 0)?[0])
}

pub(crate) fn cpu_on(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(3))?;
    let entry = realm.vcpus[0].hello.secondary_entry;
    for (index, function) in [(1, psci::CPU_ON), (2, psci::CPU_ON_32)] {
        let call = [function, index as u64, entry, index as u64];
        let (calling, target) = (realm.vcpus[0].rec, realm.vcpus[index].rec);
        comes_out(realm.first(), &call)?;
        realm.vcpus[index].refused(ERROR_REC, "REC_ENTER before PSCI_COMPLETE")?;
        commands::psci_complete(calling, target, psci::SUCCESS)?.done("PSCI_COMPLETE")?;
        // It may run before the other one hears of it.
        let hello = realm.vcpus[index].greet()?;
        ensure_word!(hello.rec, index as u64, "context of CPU_ON");
        let code = end(realm.first(), &call)?;
        ensure_word!(code, result(psci::SUCCESS), "CPU_ON of REC {index}");
        // Once more, with another entry and context: it stays as it is.
        let call = [function, index as u64, 0x1000, 99];
        comes_out(realm.first(), &call)?;
        commands::psci_complete(calling, target, psci::SUCCESS)?.done("PSCI_COMPLETE")?;
        let code = end(realm.first(), &call)?;
        ensure_word!(code, result(psci::ALREADY_ON), "CPU_ON of a REC that is on");
        realm.vcpus[index].command(&crate::realm::Command::Time)?;
    }
    realm.tear_down()
}

/// The host may refuse to switch a REC on that is off.
pub(crate) fn cpu_on_denied(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    let entry = realm.vcpus[0].hello.secondary_entry;
    let call = [psci::CPU_ON, 1, entry, 1];
    let (calling, target) = (realm.vcpus[0].rec, realm.vcpus[1].rec);
    comes_out(realm.first(), &call)?;
    commands::psci_complete(calling, target, psci::DENIED)?.done("PSCI_COMPLETE, denied")?;
    let code = end(realm.first(), &call)?;
    ensure_word!(code, result(psci::DENIED), "CPU_ON that the host denies");
    realm.vcpus[1].refused(ERROR_REC, "REC_ENTER of a REC that is off")?;
    let seen = ask(&mut realm, 1)?;
    ensure_word!(
        seen,
        result(psci::AFFINITY_OFF),
        "AFFINITY_INFO of a REC that is off"
    );
    // One that is on cannot be denied.
    realm.switch_on(1)?;
    comes_out(realm.first(), &call)?;
    commands::psci_complete(calling, target, psci::DENIED)?
        .refused(ERROR_INPUT, "PSCI_COMPLETE, denied, of a REC that is on")?;
    commands::psci_complete(calling, target, psci::SUCCESS)?.done("PSCI_COMPLETE")?;
    let code = end(realm.first(), &call)?;
    ensure_word!(code, result(psci::ALREADY_ON), "CPU_ON of a REC that is on");
    realm.tear_down()
}

pub(crate) fn affinity_info(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    let seen = ask(&mut realm, 1)?;
    ensure_word!(
        seen,
        result(psci::AFFINITY_OFF),
        "AFFINITY_INFO of a REC that is off"
    );
    realm.switch_on(1)?;
    let seen = ask(&mut realm, 1)?;
    ensure_word!(
        seen,
        result(psci::SUCCESS),
        "AFFINITY_INFO of a REC that is on"
    );
    // The other form.
    let call = [psci::AFFINITY_INFO_32, 1, 0];
    let (calling, target) = (realm.vcpus[0].rec, realm.vcpus[1].rec);
    comes_out(realm.first(), &call)?;
    commands::psci_complete(calling, target, psci::SUCCESS)?.done("PSCI_COMPLETE")?;
    let seen = end(realm.first(), &call)?;
    ensure_word!(seen, result(psci::SUCCESS), "AFFINITY_INFO with 32 bits");
    realm.tear_down()
}

fn refused(calling: u64, target: u64, status: i64, why: &str) -> Outcome {
    commands::psci_complete(calling, target, status)?.refused(ERROR_INPUT, why)
}

/// Each thing that is wrong, and that nothing comes of it.
pub(crate) fn complete_refused(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(3))?;
    let other = RunningRealm::greeted(host, Options::with_recs(2))?;
    let specimens = Specimens::new(host)?;
    let entry = realm.vcpus[0].hello.secondary_entry;
    let recs = [0, 1, 2].map(|index: usize| realm.vcpus[index].rec);
    let [calling, target, third] = recs;
    for first in recs {
        for second in recs {
            refused(first, second, psci::SUCCESS, "without a request")?;
            refused(first, second, psci::DENIED, "without a request, denied")?;
        }
    }
    for call in [[psci::CPU_ON, 1, entry, 1], [psci::AFFINITY_INFO, 1, 0, 0]] {
        comes_out(realm.first(), &call)?;
        refused(calling, calling, psci::SUCCESS, "with one REC twice")?;
        refused(target, calling, psci::SUCCESS, "the wrong way round")?;
        refused(calling, third, psci::SUCCESS, "with a REC not asked for")?;
        refused(third, target, psci::SUCCESS, "of a REC without a request")?;
        for stranger in &other.vcpus {
            refused(calling, stranger.rec, psci::SUCCESS, "with another Realm's")?;
            refused(stranger.rec, target, psci::SUCCESS, "of another Realm's")?;
        }
        specimens.only(Kind::Rec, "calling of PSCI_COMPLETE", |calling| {
            commands::psci_complete(calling, target, psci::SUCCESS)
        })?;
        specimens.only(Kind::Rec, "target of PSCI_COMPLETE", |target| {
            commands::psci_complete(calling, target, psci::SUCCESS)
        })?;
        for offset in [1, 8, 0x800, 0xfff] {
            refused(
                calling + offset,
                target,
                psci::SUCCESS,
                "unaligned calling REC",
            )?;
            refused(calling, target + offset, psci::SUCCESS, "unaligned target")?;
        }
        statuses_refused(calling, target)?;
        if call[0] == psci::AFFINITY_INFO {
            refused(calling, target, psci::DENIED, "AFFINITY_INFO, denied")?;
        }
        // After all that the request still waits.
        realm
            .first()
            .refused(ERROR_REC, "REC_ENTER before PSCI_COMPLETE")?;
        commands::psci_complete(calling, target, psci::SUCCESS)?.done("PSCI_COMPLETE")?;
        refused(calling, target, psci::SUCCESS, "a second time")?;
        let code = end(realm.first(), &call)?;
        ensure_word!(code, result(psci::SUCCESS), "{:#x}", call[0]);
    }
    specimens.tear_down()?;
    other.tear_down()?;
    realm.tear_down()
}

/// What the host may never say.
fn statuses_refused(calling: u64, target: u64) -> Outcome {
    let never = [
        1,
        2,
        3,
        -1,
        -2,
        -4,
        -5,
        -6,
        -7,
        -8,
        -9,
        -10,
        i64::MIN,
        i64::MAX,
    ];
    for status in never {
        refused(
            calling,
            target,
            status,
            "with a status that no host may give",
        )?;
    }
    // The status has 64 bits.
    refused(calling, target, 0xffff_fffd, "with half of a status")?;
    refused(calling, target, 1 << 32, "with a status beyond 32 bits")
}

/// Requests of two Realms at the same time have nothing to do with each other.
pub(crate) fn two_requests(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    let mut other = RunningRealm::greeted(host, Options::with_recs(2))?;
    let entry = realm.vcpus[0].hello.secondary_entry;
    let (ask, start) = ([psci::AFFINITY_INFO, 1, 0, 0], [psci::CPU_ON, 1, entry, 1]);
    comes_out(realm.first(), &ask)?;
    comes_out(other.first(), &start)?;
    let ours = [0, 1].map(|index: usize| realm.vcpus[index].rec);
    let theirs = [0, 1].map(|index: usize| other.vcpus[index].rec);
    refused(ours[0], theirs[1], psci::SUCCESS, "with the other's target")?;
    refused(theirs[0], ours[1], psci::SUCCESS, "for the other's request")?;
    commands::psci_complete(theirs[0], theirs[1], psci::SUCCESS)?.done("PSCI_COMPLETE")?;
    realm
        .first()
        .refused(ERROR_REC, "REC_ENTER before PSCI_COMPLETE")?;
    commands::psci_complete(ours[0], ours[1], psci::SUCCESS)?.done("PSCI_COMPLETE")?;
    let code = end(other.first(), &start)?;
    ensure_word!(code, result(psci::SUCCESS), "CPU_ON");
    let code = end(realm.first(), &ask)?;
    ensure_word!(code, result(psci::AFFINITY_OFF), "AFFINITY_INFO");
    other.tear_down()?;
    realm.tear_down()
}

/// X1 to X3 are zero after the call, whatever they were, and the others are kept.
pub(crate) fn results_and_registers(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    let (calling, target) = (realm.vcpus[0].rec, realm.vcpus[1].rec);
    let entry = realm.vcpus[0].hello.secondary_entry;
    for (call, status, code) in [
        (
            [psci::CPU_ON, 1, entry, u64::MAX],
            psci::DENIED,
            psci::DENIED,
        ),
        (
            [psci::AFFINITY_INFO, 1, 0, u64::MAX],
            psci::SUCCESS,
            psci::AFFINITY_OFF,
        ),
        ([psci::CPU_ON, 1, entry, 1], psci::SUCCESS, psci::SUCCESS),
        (
            [psci::CPU_ON, 1, u64::MAX >> 32, u64::MAX],
            psci::SUCCESS,
            psci::ALREADY_ON,
        ),
    ] {
        comes_out(realm.first(), &call)?;
        commands::psci_complete(calling, target, status)?.done("PSCI_COMPLETE")?;
        // `end` looks at all registers.
        let seen = end(realm.first(), &call)?;
        ensure_word!(seen, result(code), "PSCI {call:x?}");
    }
    realm.tear_down()
}
