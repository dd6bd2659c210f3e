//! `RSI_REALM_CONFIG`.

use rmm_abi::rmi::HashAlgorithm;
use rmm_abi::rsi::{RealmConfig, fid};
use zerocopy::IntoBytes;

use super::{ERROR_INPUT, fails, fill, load, store, succeeds};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{
    Exit, GIGABYTE, NO_RAM, Options, PAGE_LEVEL, RunningRealm, SPARE, Shape, Vcpu, command, esr,
    hpfar,
};
use crate::suite::Host;

/// The page must be right to the last byte.
fn is_right(vcpu: &mut Vcpu, page: u64, options: &Options) -> Outcome {
    let mut expected = RealmConfig::default();
    expected.ipa_width = options.shape.width.into();
    expected.hash_algo = options.hash as u8;
    expected.rpv = options.rpv;
    for (address, bytes) in (page..).step_by(8).zip(expected.as_bytes().as_chunks().0) {
        let seen = load(vcpu, address)?;
        ensure_word!(
            seen,
            u64::from_le_bytes(*bytes),
            "Realm configuration at {:#x}",
            address - page
        );
    }
    Ok(())
}

/// Realms that differ in all that the page tells.
pub(crate) fn realm_config(host: &Host) -> Outcome {
    let rpv = core::array::from_fn(|index| 0xc0 ^ index.to_le_bytes()[0]);
    for options in [
        Options::PLAIN,
        Options {
            hash: HashAlgorithm::Sha512,
            rpv,
            shape: Shape::DEEP,
            ..Options::PLAIN
        },
        Options {
            rpv: [0xff; 64],
            shape: Shape::new(36, 1, 1),
            ..Options::PLAIN
        },
    ] {
        let mut realm = RunningRealm::greeted(host, options)?;
        let vcpu = realm.first();
        let page = vcpu.hello.scratch;
        fill(vcpu, page, u64::MAX)?;
        store(vcpu, page + GRANULE, 0x1234)?;
        succeeds(vcpu, &[fid::REALM_CONFIG, page], 0)?;
        is_right(vcpu, page, &options)?;
        ensure_word!(
            load(vcpu, page + GRANULE)?,
            0x1234,
            "what is behind the page"
        );
        realm.tear_down()?;
    }
    Ok(())
}

pub(crate) fn realm_config_refused(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let (half, end) = (realm.realm.shape.half(), realm.realm.shape.end());
    let vcpu = realm.first();
    let page = vcpu.hello.scratch;
    store(vcpu, page, 0x1234)?;
    for address in [
        page + 1,
        page + 8,
        page + 0x800,
        page + GRANULE - 1,
        half,
        half + page,
        end,
        end - GRANULE,
        end | page,
        1 << 63 | page,
        0u64.wrapping_sub(GRANULE),
        u64::MAX,
        // No RAM, with a table and without.
        NO_RAM,
        0,
        GIGABYTE / 2,
        half - GRANULE,
    ] {
        fails(vcpu, &[fid::REALM_CONFIG, address], ERROR_INPUT)?;
    }
    ensure_word!(load(vcpu, page)?, 0x1234, "a page after refused calls");
    realm.tear_down()
}

/// A page without memory: the call comes out, and is made again when there is some.
pub(crate) fn realm_config_without_memory(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let call = [fid::REALM_CONFIG, SPARE];
    let needs = |level| Exit::Data {
        esr: esr::of(esr::DATA, esr::translation(level)),
        far: 0,
        hpfar: hpfar(SPARE),
        value: 0,
    };
    let report = realm.first().begin(&command::smc(&call))?;
    ensure!(report.exit == needs(2), "exit: {:x?}", report.exit);
    let report = realm.first().run()?;
    ensure!(
        report.exit == needs(2),
        "exit without help: {:x?}",
        report.exit
    );
    realm.realm.tables(SPARE, PAGE_LEVEL)?;
    let report = realm.first().run()?;
    ensure!(
        report.exit == needs(3),
        "exit with a table: {:x?}",
        report.exit
    );
    let data = realm.realm.supply(SPARE)?;
    let report = realm.first().run()?;
    let results = realm.first().end_call(&report, &call, 0)?;
    ensure_word!(results[0], 0, "REALM_CONFIG with memory at last");
    is_right(realm.first(), SPARE, &Options::PLAIN)?;
    // Destroyed, it is the host's affair too; and the Realm's when it is no RAM any more.
    realm.realm.destroy_page(SPARE, data)?;
    let report = realm.first().begin(&command::smc(&call))?;
    ensure!(
        report.exit == needs(3),
        "exit when destroyed: {:x?}",
        report.exit
    );
    realm.tear_down()
}
