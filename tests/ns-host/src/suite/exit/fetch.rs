//! Instruction fetches that the Realm's tables do not let through.

use super::{FETCH_ABORT, expect, is_external_abort};
use crate::memory::GRANULE;
use crate::outcome::Outcome;
use crate::realm::{Exit, NO_RAM, PAGE_LEVEL, Replied, RunningRealm, SPARE, command, esr, hpfar};
use crate::rmi::commands;
use crate::suite::{Host, expect as memory};

/// The instruction `ret`, twice.
const RETURNS: u64 = 0xd65f_03c0_d65f_03c0;

const fn needs_memory(ipa: u64, level: u64) -> Exit {
    Exit::Fetch {
        esr: esr::of(esr::FETCH, esr::translation(level)),
        hpfar: hpfar(ipa),
    }
}

pub(crate) fn fetches(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    // Something to execute for the second page, so that the fetch can succeed in the end.
    realm.realm.supply(SPARE + GRANULE)?;
    let code = SPARE + GRANULE + 0x40;
    realm
        .first()
        .command(&command::store(code, 8, RETURNS))?
        .done("store")?;
    realm
        .first()
        .command(&command::fetch(code))?
        .done("a fetch from memory")?;
    // RAM without memory.
    let report = realm.first().begin(&command::fetch(SPARE + 0x128))?;
    expect(
        "a fetch from RAM without memory",
        &report,
        needs_memory(SPARE, 3),
    )?;
    let report = realm.first().run()?;
    expect("the same without help", &report, needs_memory(SPARE, 3))?;
    realm.realm.supply(SPARE)?;
    // Zeroes are no instruction.
    let report = realm.first().run()?;
    realm
        .first()
        .finish(&report)?
        .exception("a fetch of zeroes")?;
    // No RAM, with a table and without.
    for address in [NO_RAM, NO_RAM + 0x10, 0x1000] {
        let taken = realm
            .first()
            .command(&command::fetch(address))?
            .exception("a fetch from no RAM")?;
        is_external_abort("a fetch from no RAM", &taken, FETCH_ABORT, address)?;
    }
    // Unprotected memory: unmapped without a table, with one, mapped with code in it.
    let address = realm.unprotected(0x40_0000);
    for step in 0..3 {
        match step {
            0 => {}
            1 => realm.realm.tables(address, PAGE_LEVEL)?,
            _ => {
                let page = host.granule()?;
                memory::fill(page, |_| RETURNS)?;
                commands::map_unprotected(
                    realm.realm.rd,
                    address,
                    PAGE_LEVEL,
                    page | command::READ_WRITE,
                )?
                .done("MAP_UNPROTECTED")?;
            }
        }
        let taken = realm
            .first()
            .command(&command::fetch(address + 0x10))?
            .exception("a fetch from unprotected memory")?;
        is_external_abort(
            "a fetch from unprotected memory",
            &taken,
            FETCH_ABORT,
            address + 0x10,
        )?;
    }
    // What was destroyed. There is no way back from it for this REC.
    let data = realm.realm.entry(SPARE + GRANULE, PAGE_LEVEL)?.descriptor;
    realm.realm.destroy_page(SPARE + GRANULE, data)?;
    let report = realm.first().begin(&command::fetch(code))?;
    expect(
        "a fetch from what was destroyed",
        &report,
        needs_memory(SPARE + GRANULE, 3),
    )?;
    realm.tear_down()
}
