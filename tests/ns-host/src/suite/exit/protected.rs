//! Accesses to the protected half that the Realm's tables do not let through.

use super::{DATA_ABORT, expect, is_external_abort};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word, skip};
use crate::realm::{
    Command, Exit, GIGABYTE, NO_RAM, PAGE_LEVEL, Replied, RunningRealm, SPARE, command, esr, hpfar,
};
use crate::rmi::commands;
use crate::suite::Host;

/// A data abort that the host has to do something about.
const fn needs_memory(ipa: u64, level: u64) -> Exit {
    Exit::Data {
        esr: esr::of(esr::DATA, esr::translation(level)),
        far: 0,
        hpfar: hpfar(ipa),
        value: 0,
    }
}

/// RAM without memory: the host gives some, and the access goes through.
pub(crate) fn not_mapped(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    // Reads and writes of each size, offsets that must not be told, a pair, an atomic.
    let mut ipa = SPARE;
    for access in [
        command::load(ipa + 0x128, 8),
        command::store(ipa + 0x1004, 4, 0x1234_5678),
        command::load(ipa + 0x2fff, 1),
        command::store(ipa + 0x3ffe, 2, 0x1234),
        command::load_pair(ipa + 0x4010),
        command::atomic_add(ipa + 0x5020, 7),
    ] {
        // Before the first page there is no table.
        let level = if ipa == SPARE { 2 } else { 3 };
        let expected = needs_memory(ipa, level);
        let report = realm.first().begin(&access)?;
        expect("an access to RAM without memory", &report, expected)?;
        let report = realm.first().run()?;
        expect("the same without help", &report, expected)?;
        realm.realm.supply(ipa)?;
        let report = realm.first().run()?;
        let [value, ..] = realm.first().finish(&report)?.done("access")?;
        ensure_word!(value, 0, "what a fresh page holds at {ipa:#x}");
        ipa += GRANULE;
    }
    let written = realm.first().command(&command::load(SPARE + 0x1004, 4))?;
    ensure_word!(written.done("load")?[0], 0x1234_5678, "what was written");
    realm.tear_down()
}

/// A page that the host took away. The REC cannot go on from there by itself.
pub(crate) fn destroyed(host: &Host) -> Outcome {
    for access in [
        command::load(SPARE, 8),
        command::store(SPARE + 8, 1, 1),
        command::load_pair(SPARE),
    ] {
        let mut realm = RunningRealm::plain(host)?;
        let data = realm.realm.supply(SPARE)?;
        let store = command::store(SPARE, 8, 42);
        realm.first().command(&store)?.done("store")?;
        realm.realm.destroy_page(SPARE, data)?;
        let report = realm.first().begin(&access)?;
        let expected = needs_memory(SPARE, 3);
        expect("an access to what was destroyed", &report, expected)?;
        // Memory alone does not bring it back.
        let data = realm.realm.data_unknown(SPARE)?;
        let report = realm.first().run()?;
        expect("the same with new memory", &report, expected)?;
        realm.realm.destroy_page(SPARE, data)?;
        let report = realm.first().run()?;
        expect("the same without it", &report, expected)?;
        realm.tear_down()?;
    }
    Ok(())
}

/// No RAM: the Realm's own mistake, the host does not hear of it.
pub(crate) fn empty(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    // With a table, without one; with memory behind it, which does not help.
    let without_table = GIGABYTE / 2;
    for round in 0..2 {
        for address in [
            NO_RAM,
            NO_RAM + 0xff8,
            without_table,
            without_table + GIGABYTE,
        ] {
            for (what, access) in [
                ("a load from no RAM", command::load(address, 8)),
                ("a store to no RAM", command::store(address, 4, 1)),
                ("a pair from no RAM", command::load_pair(address & !0xf)),
            ] {
                let taken = realm.first().command(&access)?.exception(what)?;
                let at = if what.starts_with("a pair") {
                    address & !0xf
                } else {
                    address
                };
                is_external_abort(what, &taken, DATA_ABORT, at)?;
            }
        }
        if round == 0 {
            realm.realm.data_unknown(NO_RAM)?;
        }
    }
    realm.tear_down()
}

/// A block of stage 1: valid, access flag, inner shareable.
const STAGE_1_BLOCK: u64 = 0b01 | 1 << 10 | 3 << 8;

/// Addresses behind the Realm's space: as on a machine whose memory ends there.
pub(crate) fn above_the_space(host: &Host) -> Outcome {
    /// Address size fault at level 0, IL.
    const ESR: u64 = DATA_ABORT << 26 | 1 << 25;
    let mut realm = RunningRealm::plain(host)?;
    let end = realm.realm.shape.end();
    for ipa in [end, end + GIGABYTE, end << 1, end << 3 | 0x4000_0000] {
        let table = realm.vcpus[0].hello.scratch;
        let block = ipa & !(GIGABYTE - 1) | STAGE_1_BLOCK;
        let vcpu = realm.first();
        vcpu.command(&command::store(table, 8, block))?
            .done("store of a descriptor")?;
        let load = Command::LoadTranslated {
            offset: ipa % GIGABYTE,
            table,
        };
        let taken = vcpu
            .command(&load)?
            .exception("an access above the space")?;
        ensure!(
            taken.esr & (0x3f << 26 | 1 << 25 | 0x3f) == ESR,
            "an access to {ipa:#x}: the Realm took {taken:x?}"
        );
    }
    realm.tear_down()
}

/// Stage 1 tables at an address that needs the host, or that the Realm must not use for them.
pub(crate) fn tables_of_the_realm(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    // In RAM without memory: the host gives some, and the walk finds an invalid entry.
    let walk = |table| Command::LoadTranslated { offset: 0, table };
    let report = realm.first().begin(&walk(SPARE))?;
    expect(
        "a walk through RAM without memory",
        &report,
        needs_memory(SPARE, 2),
    )?;
    realm.realm.supply(SPARE)?;
    let report = realm.first().run()?;
    let taken = realm.first().finish(&report)?.exception("an empty table")?;
    ensure!(
        esr::class(taken.esr) == DATA_ABORT && taken.esr & 0x3c == 0x04,
        "a walk through an empty table: the Realm took {taken:x?}"
    );
    // Where there is no RAM.
    let reply = realm.first().command(&walk(NO_RAM))?;
    let taken = reply.exception("a table where there is no RAM")?;
    let address = taken.far;
    is_external_abort("a table where there is no RAM", &taken, DATA_ABORT, address)?;
    // In memory that it shares with the host, unmapped and mapped.
    let shared = realm.unprotected(0x20_0000);
    let report = realm.first().begin(&walk(shared))?;
    expect(
        "a walk through unprotected memory",
        &report,
        Exit::Data {
            esr: esr::of(esr::DATA, esr::translation(1)),
            far: 0,
            hpfar: hpfar(shared),
            value: 0,
        },
    )?;
    let page = host.granule()?;
    realm.realm.tables(shared, PAGE_LEVEL)?;
    commands::map_unprotected(
        realm.realm.rd,
        shared,
        PAGE_LEVEL,
        page | command::READ_WRITE,
    )?
    .done("MAP_UNPROTECTED")?;
    let report = realm.first().run()?;
    let told = report.exit
        == Exit::Data {
            esr: esr::of(esr::DATA, esr::permission(3)),
            far: 0,
            hpfar: hpfar(shared),
            value: 0,
        };
    if !told {
        // Some emulators let the walk go on; there it finds no entry.
        let taken = realm.first().finish(&report)?;
        let taken = taken.exception("a walk through memory of the host")?;
        ensure!(
            esr::class(taken.esr) == DATA_ABORT && taken.esr & 0x3c == 0x04,
            "a walk through memory of the host: the Realm took {taken:x?}"
        );
    }
    // Otherwise the REC cannot go on from there; nothing else of the Realm is kept by that.
    realm.tear_down()?;
    if told {
        Ok(())
    } else {
        skip!("this CPU lets a Realm have tables in memory of the host")
    }
}
