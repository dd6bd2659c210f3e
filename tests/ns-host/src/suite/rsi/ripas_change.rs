//! `RSI_IPA_STATE_SET` and the part of the host in it.

use rmm_abi::rmi::Ripas;
use rmm_abi::rmi::run::enter_flags::RIPAS_REJECTED;
use rmm_abi::rsi::{CHANGE_DESTROYED, Response, fid};

use super::ripas::ranges_refused;
use super::{ERROR_INPUT, SUCCESS, fails};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{
    Command, EntryState, Exit, NO_RAM, PAGE_LEVEL, RAM_END, Realm, Replied, RunningRealm, SPARE,
    TWO_MEGABYTES, Vcpu, command,
};
use crate::rmi::{self, ERROR_REC, commands, error_rtt};
use crate::suite::Host;

/// A request on its way.
struct Request {
    call: [u64; 5],
}

impl Request {
    /// Makes it; it must come out as it was made.
    fn begin(vcpu: &mut Vcpu, base: u64, top: u64, ripas: Ripas, flags: u64) -> Outcome<Self> {
        let call = [fid::IPA_STATE_SET, base, top, ripas as u64, flags];
        let report = vcpu.begin(&command::smc(&call))?;
        ensure!(
            report.exit
                == Exit::RipasChange {
                    base,
                    top,
                    ripas: ripas as u8
                },
            "exit of IPA_STATE_SET {base:#x} to {top:#x}: {:x?}",
            report.exit
        );
        Ok(Self { call })
    }

    /// Lets the Realm go on: it must be told how far it went.
    fn end(self, vcpu: &mut Vcpu, flags: u64, reached: u64, response: Response) -> Outcome {
        vcpu.enter.flags = flags;
        vcpu.enter.gprs = [0xbad; 31];
        let report = vcpu.run()?;
        let results = vcpu.end_call(&report, &self.call, 2)?;
        let [_, base, top, ..] = self.call;
        ensure_word!(results[0], SUCCESS, "IPA_STATE_SET {base:#x} to {top:#x}");
        ensure_word!(results[1], reached, "new base of {base:#x} to {top:#x}");
        ensure_word!(
            results[2],
            response as u64,
            "response for {base:#x} to {top:#x}"
        );
        Ok(())
    }
}

/// `RMI_RTT_SET_RIPAS` must get that far.
fn set(realm: &Realm, rec: u64, base: u64, top: u64, reached: u64) -> Outcome {
    let [out_top, ..] = commands::set_ripas(realm.rd, rec, base, top)?
        .done(format_args!("SET_RIPAS of {base:#x} to {top:#x}"))?;
    ensure_word!(out_top, reached, "SET_RIPAS of {base:#x} to {top:#x}");
    Ok(())
}

fn ripas_is(realm: &Realm, ipa: u64, ripas: Ripas) -> Outcome {
    let seen = realm.entry(ipa, PAGE_LEVEL)?.ripas;
    ensure!(
        seen == ripas,
        "RIPAS of {ipa:#x} is {seen:?} instead of {ripas:?}"
    );
    Ok(())
}

/// There and back, on pages and on larger entries.
pub(crate) fn accepted(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let rec = realm.vcpus[0].rec;
    // Whole entries of level 2.
    for (ripas, seen) in [(Ripas::Empty, Ripas::Empty), (Ripas::Ram, Ripas::Ram)] {
        let request = Request::begin(realm.first(), SPARE, RAM_END, ripas, 0)?;
        set(&realm.realm, rec, SPARE, RAM_END, RAM_END)?;
        request.end(realm.first(), 0, RAM_END, Response::Accept)?;
        ripas_is(&realm.realm, SPARE, seen)?;
    }
    // Pages with memory and without: what the memory holds comes back with the RAM.
    realm.realm.supply(SPARE)?;
    realm
        .first()
        .command(&command::store(SPARE, 8, 0x77))?
        .done("store")?;
    let top = SPARE + 3 * GRANULE;
    let request = Request::begin(realm.first(), SPARE, top, Ripas::Empty, 0)?;
    set(&realm.realm, rec, SPARE, top, top)?;
    request.end(realm.first(), 0, top, Response::Accept)?;
    ripas_is(&realm.realm, SPARE, Ripas::Empty)?;
    ripas_is(&realm.realm, top, Ripas::Ram)?;
    realm
        .first()
        .command(&command::load(SPARE, 8))?
        .exception("a load from what is no RAM any more")?;
    let request = Request::begin(realm.first(), SPARE, top, Ripas::Ram, 0)?;
    set(&realm.realm, rec, SPARE, top, top)?;
    request.end(realm.first(), 0, top, Response::Accept)?;
    let value = realm
        .first()
        .command(&command::load(SPARE, 8))?
        .done("load")?;
    ensure_word!(value[0], 0x77, "what the memory of RAM holds");
    // To what it is already.
    let request = Request::begin(realm.first(), SPARE, top, Ripas::Ram, 0)?;
    set(&realm.realm, rec, SPARE, top, top)?;
    request.end(realm.first(), 0, top, Response::Accept)?;
    realm.tear_down()
}

/// The host does a part, or nothing, or comes back in the middle.
pub(crate) fn partial(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let rec = realm.vcpus[0].rec;
    realm.realm.tables(SPARE, PAGE_LEVEL)?;
    let top = SPARE + 8 * GRANULE;
    for ripas in [Ripas::Empty, Ripas::Ram] {
        // Nothing.
        let request = Request::begin(realm.first(), SPARE, top, ripas, 0)?;
        request.end(realm.first(), 0, SPARE, Response::Accept)?;
        // In three calls, not all.
        let request = Request::begin(realm.first(), SPARE, top, ripas, 0)?;
        for (base, next) in [(0, 1), (1, 3), (3, 6)] {
            let (base, next) = (SPARE + base * GRANULE, SPARE + next * GRANULE);
            set(&realm.realm, rec, base, next, next)?;
        }
        let reached = SPARE + 6 * GRANULE;
        request.end(realm.first(), 0, reached, Response::Accept)?;
        ripas_is(&realm.realm, reached - GRANULE, ripas)?;
        // The rest.
        let request = Request::begin(realm.first(), reached, top, ripas, 0)?;
        set(&realm.realm, rec, reached, top, top)?;
        request.end(realm.first(), 0, top, Response::Accept)?;
    }
    // The end of a table ends a call of the host's, and what has a table takes a page at a time.
    let last = SPARE + TWO_MEGABYTES - GRANULE;
    let request = Request::begin(realm.first(), last, RAM_END + GRANULE, Ripas::Ram, 0)?;
    set(&realm.realm, rec, last, RAM_END + GRANULE, RAM_END)?;
    commands::set_ripas(realm.realm.rd, rec, RAM_END, RAM_END + GRANULE)?
        .refused(error_rtt(2), "SET_RIPAS of a page without a table")?;
    realm.realm.tables(RAM_END, PAGE_LEVEL)?;
    set(
        &realm.realm,
        rec,
        RAM_END,
        RAM_END + GRANULE,
        RAM_END + GRANULE,
    )?;
    request.end(realm.first(), 0, RAM_END + GRANULE, Response::Accept)?;
    realm.tear_down()
}

/// The host says no: that counts for RAM that it has not made.
pub(crate) fn rejected(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let rec = realm.vcpus[0].rec;
    realm.realm.tables(SPARE, PAGE_LEVEL)?;
    let top = SPARE + 4 * GRANULE;
    let middle = SPARE + GRANULE;
    for (ripas, reached, response) in [
        (Ripas::Ram, SPARE, Response::Reject),
        (Ripas::Ram, middle, Response::Reject),
        (Ripas::Ram, top, Response::Accept),
        (Ripas::Empty, SPARE, Response::Accept),
        (Ripas::Empty, middle, Response::Accept),
        (Ripas::Empty, top, Response::Accept),
    ] {
        let request = Request::begin(realm.first(), SPARE, top, ripas, 0)?;
        if reached > SPARE {
            set(&realm.realm, rec, SPARE, reached, reached)?;
        }
        request.end(realm.first(), RIPAS_REJECTED, reached, response)?;
        // The answer is for that request only.
        let results = realm.first().call(&[fid::VERSION, 0x1_0000], 2)?;
        ensure_word!(results[0], SUCCESS, "a call after a refused change");
    }
    realm.tear_down()
}

/// What was destroyed changes only when the Realm says so.
pub(crate) fn destroyed(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let rec = realm.vcpus[0].rec;
    let ipa = |index: u64| SPARE + index * GRANULE;
    realm.realm.tables(SPARE, PAGE_LEVEL)?;
    for ripas in [Ripas::Empty, Ripas::Ram] {
        let data = realm.realm.supply(ipa(1))?;
        realm.realm.destroy_page(ipa(1), data)?;
        ripas_is(&realm.realm, ipa(1), Ripas::Destroyed)?;
        let request = Request::begin(realm.first(), ipa(0), ipa(3), ripas, 0)?;
        set(&realm.realm, rec, ipa(0), ipa(3), ipa(1))?;
        let reply = commands::set_ripas(realm.realm.rd, rec, ipa(1), ipa(3))?;
        reply.refused(error_rtt(PAGE_LEVEL), "SET_RIPAS of what was destroyed")?;
        request.end(realm.first(), 0, ipa(1), Response::Accept)?;
        ripas_is(&realm.realm, ipa(1), Ripas::Destroyed)?;
        // Other bits of the flags mean nothing.
        let flags = !CHANGE_DESTROYED;
        let request = Request::begin(realm.first(), ipa(1), ipa(3), ripas, flags)?;
        let reply = commands::set_ripas(realm.realm.rd, rec, ipa(1), ipa(3))?;
        reply.refused(error_rtt(PAGE_LEVEL), "SET_RIPAS of what was destroyed")?;
        request.end(realm.first(), 0, ipa(1), Response::Accept)?;
        let request = Request::begin(realm.first(), ipa(0), ipa(3), ripas, CHANGE_DESTROYED)?;
        set(&realm.realm, rec, ipa(0), ipa(3), ipa(3))?;
        request.end(realm.first(), 0, ipa(3), Response::Accept)?;
        for index in 0..3 {
            realm.realm.expect(
                ipa(index),
                PAGE_LEVEL,
                EntryState::unassigned(PAGE_LEVEL, ripas),
            )?;
        }
        // As RAM again for the next round.
        let request = Request::begin(realm.first(), ipa(0), ipa(3), Ripas::Ram, 0)?;
        set(&realm.realm, rec, ipa(0), ipa(3), ipa(3))?;
        request.end(realm.first(), 0, ipa(3), Response::Accept)?;
    }
    realm.tear_down()
}

pub(crate) fn refused_requests(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let (half, end) = (realm.realm.shape.half(), realm.realm.shape.end());
    let vcpu = realm.first();
    for (base, top) in ranges_refused(half, end) {
        for ripas in [Ripas::Empty, Ripas::Ram] {
            let call = [fid::IPA_STATE_SET, base, top, ripas as u64, 0];
            fails(vcpu, &call, ERROR_INPUT)?;
        }
    }
    for ripas in [2, 3, 4, 0x100, 0x101, 1 << 32, u64::MAX] {
        for flags in [0, CHANGE_DESTROYED] {
            let call = [fid::IPA_STATE_SET, SPARE, RAM_END, ripas, flags];
            fails(vcpu, &call, ERROR_INPUT)?;
        }
    }
    // None of them left a request behind.
    let rec = vcpu.rec;
    commands::set_ripas(realm.realm.rd, rec, SPARE, RAM_END)?
        .refused(rmi::ERROR_INPUT, "SET_RIPAS without a request")?;
    realm.tear_down()
}

/// What the host may ask for while there is a request, and when there is none any more.
pub(crate) fn request_bounds(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let other = RunningRealm::new(host, crate::realm::Options::PLAIN)?;
    let (rd, rec) = (realm.realm.rd, realm.vcpus[0].rec);
    realm.realm.tables(SPARE, PAGE_LEVEL)?;
    let ipa = |index: u64| SPARE + index * GRANULE;
    let request = Request::begin(realm.first(), ipa(2), ipa(6), Ripas::Empty, 0)?;
    for (base, top) in [
        (ipa(1), ipa(6)),
        (ipa(3), ipa(6)),
        (0, ipa(6)),
        (ipa(2), ipa(7)),
        (ipa(2), RAM_END),
        (ipa(2), u64::MAX),
        (ipa(2), ipa(2)),
        (ipa(2), ipa(1)),
        (ipa(2), ipa(3) + 1),
        (ipa(2), ipa(2) + 0x800),
        (ipa(2) + 1, ipa(6)),
        (NO_RAM, ipa(6)),
    ] {
        commands::set_ripas(rd, rec, base, top)?.refused(
            rmi::ERROR_INPUT,
            format_args!("SET_RIPAS of {base:#x} to {top:#x} beside the request"),
        )?;
    }
    commands::set_ripas(other.realm.rd, rec, ipa(2), ipa(6))?
        .refused(ERROR_REC, "SET_RIPAS with the REC of another Realm")?;
    commands::set_ripas(rd, other.vcpus[0].rec, ipa(2), ipa(6))?
        .refused(ERROR_REC, "SET_RIPAS with a REC of another Realm")?;
    set(&realm.realm, rec, ipa(2), ipa(4), ipa(4))?;
    commands::set_ripas(rd, rec, ipa(2), ipa(6))?
        .refused(rmi::ERROR_INPUT, "SET_RIPAS of what is done")?;
    set(&realm.realm, rec, ipa(4), ipa(6), ipa(6))?;
    commands::set_ripas(rd, rec, ipa(6), ipa(6))?
        .refused(rmi::ERROR_INPUT, "SET_RIPAS when all is done")?;
    request.end(realm.first(), 0, ipa(6), Response::Accept)?;
    for (base, top) in [(ipa(2), ipa(6)), (ipa(6), ipa(6)), (0, GRANULE), (0, 0)] {
        commands::set_ripas(rd, rec, base, top)?.refused(
            rmi::ERROR_INPUT,
            format_args!("SET_RIPAS of {base:#x} to {top:#x} after the request"),
        )?;
    }
    // An unfinished request ends with the entry that answers it.
    let request = Request::begin(realm.first(), ipa(2), ipa(6), Ripas::Ram, 0)?;
    request.end(realm.first(), 0, ipa(2), Response::Accept)?;
    commands::set_ripas(rd, rec, ipa(2), ipa(6))?
        .refused(rmi::ERROR_INPUT, "SET_RIPAS after the answer")?;
    realm.first().command(&Command::Time)?.done("a command")?;
    other.tear_down()?;
    realm.tear_down()
}
