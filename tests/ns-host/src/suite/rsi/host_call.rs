//! `RSI_HOST_CALL`.

use ns_host::random::Random;
use realm_payload::immediate;
use rmm_abi::rsi::fid;

use super::{ERROR_INPUT, fails, load, store};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{
    Exit, GIGABYTE, NO_RAM, PAGE_LEVEL, RunningRealm, SPARE, Vcpu, command, esr, hpfar,
};
use crate::suite::Host;

/// An immediate that the payload does not use.
const IMMEDIATE: u16 = 0xbeef;

/// Writes the structure: the immediate, something behind it, and the registers.
fn prepare(vcpu: &mut Vcpu, buffer: u64, gprs: &[u64; 31]) -> Outcome {
    let first = 0x1122_3344_5566_0000 | u64::from(IMMEDIATE);
    store(vcpu, buffer, first)?;
    for (address, value) in (buffer + 8..).step_by(8).zip(gprs) {
        store(vcpu, address, *value)?;
    }
    Ok(())
}

/// The structure must hold these registers, and what was in front of them.
fn holds(vcpu: &mut Vcpu, buffer: u64, gprs: &[u64; 31]) -> Outcome {
    let first = load(vcpu, buffer)?;
    ensure_word!(
        first & 0xffff,
        u64::from(IMMEDIATE),
        "immediate after a host call"
    );
    for (number, (address, value)) in (buffer + 8..).step_by(8).zip(gprs).enumerate() {
        ensure_word!(
            load(vcpu, address)?,
            *value,
            "register {number} after a host call"
        );
    }
    Ok(())
}

fn random_registers(random: &mut Random) -> [u64; 31] {
    core::array::from_fn(|_| random.word())
}

/// All registers out and back in, anywhere in a page.
pub(crate) fn host_call(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    let mut random = Random::new(31);
    for offset in [0, 0x100, 0x800, 0xf00] {
        let buffer = vcpu.hello.scratch + offset;
        let (out, back) = (random_registers(&mut random), random_registers(&mut random));
        prepare(vcpu, buffer, &out)?;
        let call = [fid::HOST_CALL, buffer];
        let report = vcpu.begin(&command::smc(&call))?;
        ensure!(
            report.exit
                == Exit::HostCall {
                    imm: IMMEDIATE,
                    gprs: out
                },
            "exit of a host call: {:x?}",
            report.exit
        );
        // The host's own calls in between do not disturb it.
        vcpu.enter.gprs = back;
        let report = vcpu.run()?;
        let results = vcpu.end_call(&report, &call, 0)?;
        ensure_word!(results[0], 0, "x0 of a host call");
        holds(vcpu, buffer, &back)?;
    }
    realm.tear_down()
}

pub(crate) fn host_call_refused(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let (half, end) = (realm.realm.shape.half(), realm.realm.shape.end());
    let vcpu = realm.first();
    let page = vcpu.hello.scratch;
    for address in [
        page + 1,
        page + 8,
        page + 0x80,
        page + 0xff,
        page + 0xf80,
        half,
        half + page,
        end - 0x100,
        end,
        end | page,
        1 << 63 | page,
        !0xff,
        u64::MAX,
        NO_RAM,
        NO_RAM + 0x100,
        0,
        GIGABYTE / 2,
    ] {
        fails(vcpu, &[fid::HOST_CALL, address], ERROR_INPUT)?;
    }
    realm.tear_down()
}

/// The exit for a structure that has no memory.
fn needs(buffer: u64, level: u64) -> Exit {
    Exit::Data {
        esr: esr::of(esr::DATA, esr::translation(level)),
        far: 0,
        hpfar: hpfar(buffer),
        value: 0,
    }
}

/// A structure in a page that has no memory yet: the call is made again.
pub(crate) fn host_call_without_memory(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let buffer = SPARE + GRANULE + 0x300;
    let call = [fid::HOST_CALL, buffer];
    let report = realm.first().begin(&command::smc(&call))?;
    ensure!(report.exit == needs(buffer, 2), "exit: {:x?}", report.exit);
    let vcpu = realm.first();
    vcpu.enter.gprs = [0xbad; 31];
    let report = vcpu.run()?;
    ensure!(
        report.exit == needs(buffer, 2),
        "exit without help: {:x?}",
        report.exit
    );
    realm.realm.supply(buffer)?;
    let vcpu = realm.first();
    vcpu.enter.gprs = [0xbad; 31];
    let report = vcpu.run()?;
    // A page without content is zero.
    ensure!(
        report.exit
            == Exit::HostCall {
                imm: 0,
                gprs: [0; 31]
            },
        "exit with memory: {:x?}",
        report.exit
    );
    vcpu.enter.gprs = core::array::from_fn(|number| number as u64 + 1);
    let report = vcpu.run()?;
    let results = vcpu.end_call(&report, &call, 0)?;
    ensure_word!(results[0], 0, "x0 of a host call");
    ensure_word!(load(vcpu, buffer + 8)?, 1, "first register");
    ensure_word!(load(vcpu, buffer + 8 * 31)?, 31, "last register");
    realm.tear_down()
}

/// The page goes while the host is at work: its answer waits until there is one again.
pub(crate) fn host_call_takes_its_buffer(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let buffer = SPARE + 0x400;
    let data = realm.realm.supply(SPARE)?;
    let out = core::array::from_fn(|number| 0x77 << 32 | number as u64);
    prepare(realm.first(), buffer, &out)?;
    let call = [fid::HOST_CALL, buffer];
    let report = realm.first().begin(&command::smc(&call))?;
    ensure!(
        report.exit
            == Exit::HostCall {
                imm: IMMEDIATE,
                gprs: out
            },
        "exit of a host call: {:x?}",
        report.exit
    );
    realm.realm.destroy_page(SPARE, data)?;
    let vcpu = realm.first();
    for _ in 0..2 {
        vcpu.enter.gprs = [0xbad; 31];
        let report = vcpu.run()?;
        ensure!(
            report.exit == needs(buffer, PAGE_LEVEL.unsigned_abs().into()),
            "exit when the page is gone: {:x?}",
            report.exit
        );
    }
    // It is destroyed, so memory alone is not enough, and this Realm cannot ask for more.
    let data = realm.realm.data_unknown(SPARE)?;
    let vcpu = realm.first();
    vcpu.enter.gprs = [0xbad; 31];
    let report = vcpu.run()?;
    ensure!(
        report.exit == needs(buffer, PAGE_LEVEL.unsigned_abs().into()),
        "exit with memory that is not RAM: {:x?}",
        report.exit
    );
    realm.realm.destroy_page(SPARE, data)?;
    ensure!(
        immediate::SERVE != IMMEDIATE,
        "the payload uses the immediate of this test"
    );
    realm.tear_down()
}
