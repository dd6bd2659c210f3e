//! Accesses to memory that Realm and host share.

use super::{DATA_ABORT, expect};
use crate::machine::CarveOut;
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{Exit, PAGE_LEVEL, Replied, RunningRealm, command, esr, hpfar, nth};
use crate::rmi::{commands, must_delegate, must_undelegate};
use crate::suite::{Host, expect as memory};

/// What one writes the other reads, at once and in both directions.
pub(crate) fn mapped(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let first = host.granules(2)?;
    let address = realm.unprotected(0x60_0000);
    realm.realm.tables(address, PAGE_LEVEL)?;
    for index in 0..2 {
        memory::fill(nth(first, index), |word| word << 8 | index)?;
        commands::map_unprotected(
            realm.realm.rd,
            nth(address, index),
            PAGE_LEVEL,
            nth(first, index) | command::READ_WRITE,
        )?
        .done("MAP_UNPROTECTED")?;
    }
    for index in 0..2u64 {
        for word in [0, 1, 511] {
            let at = nth(address, index) + 8 * word;
            let reply = realm.first().command(&command::load(at, 8))?;
            ensure_word!(reply.done("load")?[0], word << 8 | index, "load of {at:#x}");
            let value = 0xabcd << 16 | word;
            realm
                .first()
                .command(&command::store(at, 8, value))?
                .done("store")?;
            let seen = memory::read(nth(first, index) + 8 * word)?;
            ensure_word!(seen, value, "what the host finds at {at:#x}");
        }
    }
    realm.tear_down()
}

/// The host may keep the Realm from writing, or from reading.
pub(crate) fn read_only(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let page = host.granule()?;
    memory::fill(page, |word| word ^ 0x77)?;
    let address = realm.unprotected(0x80_0000);
    realm.realm.tables(address, PAGE_LEVEL)?;
    commands::map_unprotected(
        realm.realm.rd,
        address,
        PAGE_LEVEL,
        page | command::READ_ONLY,
    )?
    .done("MAP_UNPROTECTED")?;
    let reply = realm.first().command(&command::load(address + 8, 8))?;
    ensure_word!(
        reply.done("load")?[0],
        1 ^ 0x77,
        "load of what is read-only"
    );
    let report = realm
        .first()
        .begin(&command::store(address + 0x18, 4, 0x1_2345))?;
    let syndrome = esr::ISV | 2 << 22 | esr::WNR | esr::permission(3);
    expect(
        "a store to what is read-only",
        &report,
        Exit::Data {
            esr: esr::of(esr::DATA, syndrome),
            far: 0x18,
            hpfar: hpfar(address),
            value: 0x1_2345,
        },
    )?;
    let vcpu = realm.first();
    vcpu.enter.flags = rmm_abi::rmi::run::enter_flags::EMULATED_MMIO;
    let report = vcpu.run()?;
    vcpu.finish(&report)?
        .done("a store that the host has emulated")?;
    memory::holds(page, |word| word ^ 0x77)?;
    // Neither readable nor writable.
    commands::unmap_unprotected(realm.realm.rd, address, PAGE_LEVEL)?.done("UNMAP")?;
    commands::map_unprotected(
        realm.realm.rd,
        address,
        PAGE_LEVEL,
        page | command::NO_ACCESS,
    )?
    .done("MAP_UNPROTECTED")?;
    let report = realm.first().begin(&command::load(address + 0x20, 8))?;
    let syndrome = esr::ISV | 3 << 22 | esr::SF | esr::permission(3);
    expect(
        "a load of what cannot be read",
        &report,
        Exit::Data {
            esr: esr::of(esr::DATA, syndrome),
            far: 0x20,
            hpfar: hpfar(address),
            value: 0,
        },
    )?;
    let vcpu = realm.first();
    vcpu.enter.flags = rmm_abi::rmi::run::enter_flags::EMULATED_MMIO;
    vcpu.enter.gprs[0] = 0x99;
    let report = vcpu.run()?;
    ensure_word!(
        vcpu.finish(&report)?.done("load")?[0],
        0x99,
        "an emulated load"
    );
    realm.tear_down()
}

/// What is mapped is not the host's any more, or never was: the Realm takes the fault.
pub(crate) fn taken_away(host: &Host) -> Outcome {
    /// Granule protection fault, IL.
    const STATUS: u64 = DATA_ABORT << 26 | 1 << 25 | 0x28;
    const TOLD: u64 = 0x3f << 26 | 1 << 25 | 0x3f;
    let mut realm = RunningRealm::plain(host)?;
    let page = host.granule()?;
    let address = realm.unprotected(0xa0_0000);
    realm.realm.tables(address, PAGE_LEVEL)?;
    let mut targets = arrayvec::ArrayVec::<u64, 8>::new();
    targets.push(page);
    for carve_out in CarveOut::ALL {
        let range = memory::carve_out(host, carve_out)?.whole_granules();
        targets.push(range.start());
    }
    for target in targets {
        if target == page {
            must_delegate(page)?;
        }
        commands::map_unprotected(
            realm.realm.rd,
            address,
            PAGE_LEVEL,
            target | command::READ_WRITE,
        )?
        .done("MAP_UNPROTECTED")?;
        for access in [
            command::load(address + 8, 8),
            command::store(address + 8, 8, 1),
        ] {
            let taken = realm
                .first()
                .command(&access)?
                .exception("an access to memory of another world")?;
            ensure!(
                taken.esr & TOLD == STATUS && taken.far == address + 8,
                "an access to {target:#x} of another world: the Realm took {taken:x?}"
            );
        }
        if target == page {
            must_undelegate(page)?;
            realm
                .first()
                .command(&command::load(address, 8))?
                .done("load")?;
        }
        commands::unmap_unprotected(realm.realm.rd, address, PAGE_LEVEL)?.done("UNMAP")?;
    }
    let report = realm
        .first()
        .begin(&command::load(address + GRANULE - 8, 8))?;
    ensure!(
        matches!(report.exit, Exit::Data { .. }),
        "exit after the last mapping went: {:x?}",
        report.exit
    );
    realm.tear_down()
}
