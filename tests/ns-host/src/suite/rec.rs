//! `RMI_REC_CREATE`, `RMI_REC_DESTROY` and `RMI_REC_AUX_COUNT`.

use arrayvec::ArrayVec;
use rmm_abi::rmi::{MAX_REC_AUX, REC_RUNNABLE, RecParams, fid};

use crate::outcome::{Outcome, ensure, ensure_word, skip};
use crate::realm::{Kind, Realm, Rec, Shape, Specimens, give_back, nth, write_page};
use crate::rmi::{self, ERROR_INPUT, ERROR_REALM, SUCCESS, commands, must_delegate, undelegate};
use crate::suite::Host;

pub(crate) fn aux_count(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let before = specimens.realm.aux_count()?;
    specimens.only(Kind::Rd, "REC_AUX_COUNT", commands::rec_aux_count)?;
    specimens.realm.activate()?;
    let after = specimens.realm.aux_count()?;
    ensure!(
        before == after,
        "REC_AUX_COUNT went from {before} to {after}"
    );
    specimens.tear_down()
}

pub(crate) fn create_and_destroy(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::USUAL)?;
    for (index, flags) in [(0, REC_RUNNABLE), (1, 0), (2, REC_RUNNABLE), (3, 0)] {
        let rec = realm.rec_memory()?;
        let mut params = rec.params(index, flags);
        params.pc = 0x1000 * index;
        params.gprs = [index; 8];
        write_page(realm.page, &params)?;
        commands::rec_create(realm.rd, rec.address, realm.page)?.done("REC_CREATE")?;
        for granule in rec.aux.iter().chain([&rec.address]) {
            ensure_word!(
                undelegate(*granule)?,
                ERROR_INPUT,
                "undelegate of {granule:#x} of a REC"
            );
        }
        commands::realm_destroy(realm.rd)?.refused(ERROR_REALM, "REALM_DESTROY with a REC")?;
        rec.destroy()?;
        commands::rec_destroy(rec.address)?.refused(ERROR_INPUT, "second REC_DESTROY")?;
    }
    realm.tear_down()
}

pub(crate) fn create_wants_its_granules(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let realm = &specimens.realm;
    let rec = realm.rec_memory()?;
    write_page(realm.page, &rec.params(1, REC_RUNNABLE))?;
    specimens.only(Kind::Rd, "rd of REC_CREATE", |rd| {
        commands::rec_create(rd, rec.address, realm.page)
    })?;
    specimens.only(Kind::Delegated, "rec of REC_CREATE", |address| {
        commands::rec_create(realm.rd, address, realm.page)
    })?;
    specimens.only(Kind::Undelegated, "params of REC_CREATE", |params| {
        commands::rec_create(realm.rd, rec.address, params)
    })?;
    for (_, granule) in specimens.granules() {
        commands::rec_create(*granule, *granule, realm.page)?
            .refused(ERROR_INPUT, "REC_CREATE with rd = rec")?;
        commands::rec_create(realm.rd, *granule, *granule)?
            .refused(ERROR_INPUT, "REC_CREATE with rec = params")?;
    }
    for index in 0..rec.aux.len() {
        specimens.only(Kind::Delegated, "aux of REC_CREATE", |address| {
            let mut params = rec.params(1, REC_RUNNABLE);
            params.aux[index] = address;
            write_page(realm.page, &params)?;
            commands::rec_create(realm.rd, rec.address, realm.page)
        })?;
        // None of the others is locked or a REC's.
        for aux in rec.aux.iter().chain([&rec.address]) {
            give_back(*aux)?;
            must_delegate(*aux)?;
        }
    }
    write_page(realm.page, &rec.params(1, REC_RUNNABLE))?;
    commands::rec_create(realm.rd, rec.address, realm.page)?.done("REC_CREATE in the end")?;
    rec.destroy()?;
    specimens.tear_down()
}

/// Calls `REC_CREATE` with changed parameters.
fn with_params(
    realm: &Realm,
    rec: &Rec,
    index: u64,
    change: impl FnOnce(&mut RecParams),
) -> Outcome<rmi::Reply> {
    let mut params = rec.params(index, REC_RUNNABLE);
    change(&mut params);
    write_page(realm.page, &params)?;
    commands::rec_create(realm.rd, rec.address, realm.page)
}

pub(crate) fn auxiliary_granules(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::USUAL)?;
    let rec = realm.rec_memory()?;
    let count = rec.aux.len() as u64;
    for wrong in [
        count + 1,
        count.wrapping_sub(1),
        16,
        17,
        255,
        1 << 32 | count,
        u64::MAX,
    ] {
        if wrong == count {
            continue;
        }
        // Enough granules are there; only their number is wrong.
        with_params(&realm, &rec, 0, |params| params.num_aux = wrong)?.refused(
            ERROR_INPUT,
            format_args!("REC_CREATE with {wrong:#x} auxiliary granules instead of {count}"),
        )?;
    }
    for first in 0..rec.aux.len() {
        for second in first + 1..rec.aux.len() {
            with_params(&realm, &rec, 0, |params| {
                params.aux[second] = rec.aux[first];
            })?
            .refused(
                ERROR_INPUT,
                format_args!("REC_CREATE with equal auxiliary granules {first} and {second}"),
            )?;
        }
        with_params(&realm, &rec, 0, |params| params.aux[first] = rec.address)?.refused(
            ERROR_INPUT,
            format_args!("REC_CREATE with itself as auxiliary granule {first}"),
        )?;
        with_params(&realm, &rec, 0, |params| params.aux[first] = realm.rd)?.refused(
            ERROR_INPUT,
            format_args!("REC_CREATE with the rd as auxiliary granule {first}"),
        )?;
    }
    // What is behind the auxiliary granules does not matter.
    with_params(&realm, &rec, 0, |params| {
        for unused in &mut params.aux[rec.aux.len()..] {
            *unused = u64::MAX;
        }
    })?
    .done("REC_CREATE with rubbish behind its auxiliary granules")?;
    rec.destroy()?;
    realm.tear_down()?;
    if count == 0 {
        return skip!("RECs of this RMM have no auxiliary granules");
    }
    Ok(())
}

pub(crate) fn in_order(host: &Host) -> Outcome {
    /// `RmiRecMpidr` of the REC with a number.
    const fn mpidr(index: u64) -> u64 {
        index & 0xf | (index >> 4 & 0xff) << 8 | (index >> 12 & 0xff) << 16
    }
    let realm = Realm::new(host, Shape::USUAL)?;
    let mut recs = ArrayVec::<Rec, 20>::new();
    for index in 0..20u64 {
        let rec = realm.rec_memory()?;
        for wrong in [
            index + 1,
            index.wrapping_sub(1),
            index + 16,
            index + 0x1000,
            0xff_ffff,
        ] {
            with_params(&realm, &rec, mpidr(wrong), |_| ())?.refused(
                ERROR_INPUT,
                format_args!("REC_CREATE of {wrong} as number {index}"),
            )?;
        }
        with_params(&realm, &rec, mpidr(index), |_| ())?
            .done(format_args!("REC_CREATE of number {index}"))?;
        recs.push(rec);
    }
    // A number is never given again.
    let last = recs.len() as u64 - 1;
    let Some(rec) = recs.pop() else {
        return Ok(());
    };
    commands::rec_destroy(rec.address)?.done("REC_DESTROY")?;
    for wrong in [0, last - 1, last] {
        with_params(&realm, &rec, mpidr(wrong), |_| ())?
            .refused(ERROR_INPUT, format_args!("REC_CREATE of {wrong} once more"))?;
    }
    with_params(&realm, &rec, mpidr(last + 1), |_| ())?.done("REC_CREATE of the next number")?;
    recs.push(rec);
    recs.iter().try_for_each(Rec::destroy)?;
    realm.tear_down()
}

/// Bits of the MPIDR that are reserved do not change the number, those of the last level do.
pub(crate) fn bits_of_the_mpidr(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::USUAL)?;
    let rec = realm.rec_memory()?;
    for bit in (0..4).chain(8..32) {
        with_params(&realm, &rec, 1 << bit, |_| ())?.refused(
            ERROR_INPUT,
            format_args!("REC_CREATE of number 0 with bit {bit} in its MPIDR"),
        )?;
    }
    with_params(&realm, &rec, 0xffff_ffff_0000_00f0, |_| ())?
        .done("REC_CREATE of number 0 with reserved bits in its MPIDR")?;
    rec.destroy()?;
    realm.tear_down()
}

/// As many RECs as the features offer, which is more than 512, and none more.
pub(crate) fn as_many_as_offered(host: &Host) -> Outcome {
    let [x0, features, ..] = rmi::command(fid::FEATURES, &[0])?;
    ensure_word!(x0, SUCCESS, "FEATURES");
    let most = (1 << (features >> 38 & 0xf)) - 1;
    ensure!(most >= 512, "the RMM offers only {most} RECs");
    let realm = Realm::new(host, Shape::USUAL)?;
    let aux = realm.aux_count()? as u64;
    let first = host.granules((most + 1) * (1 + aux))?;
    let memory = |index: u64| {
        let address = nth(first, index * (1 + aux));
        Rec {
            address,
            aux: (1..=aux)
                .map(|number| nth(address, number))
                .collect::<ArrayVec<_, MAX_REC_AUX>>(),
        }
    };
    for granule in 0..(most + 1) * (1 + aux) {
        must_delegate(nth(first, granule))?;
    }
    for index in 0..most {
        let mpidr = index & 0xf | index >> 4 << 8;
        with_params(&realm, &memory(index), mpidr, |_| ())?
            .done(format_args!("REC_CREATE of number {index}"))?;
    }
    let mpidr = most & 0xf | most >> 4 << 8;
    with_params(&realm, &memory(most), mpidr, |_| ())?.refused(
        ERROR_REALM,
        format_args!("REC_CREATE of one more than {most}"),
    )?;
    commands::realm_destroy(realm.rd)?.refused(ERROR_REALM, "REALM_DESTROY with RECs")?;
    memory(most).give_back()?;
    // From the middle to both ends.
    for index in (0..most / 2).rev().chain(most / 2..most) {
        memory(index).destroy()?;
    }
    realm.tear_down()
}

pub(crate) fn destroy_wants_a_rec(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    specimens.only(Kind::Rec, "REC_DESTROY", commands::rec_destroy)?;
    specimens.realm.activate()?;
    specimens.only(Kind::Rec, "REC_DESTROY", commands::rec_destroy)?;
    specimens.tear_down()
}

/// A REC whose Realm is another than the one next to it.
pub(crate) fn of_two_realms(host: &Host) -> Outcome {
    let (mut one, mut other) = (
        Realm::new(host, Shape::USUAL)?,
        Realm::new(host, Shape::USUAL)?,
    );
    let (first, second) = (one.rec()?, other.rec()?);
    ensure!(first != second, "two RECs in one granule {first:#x}");
    for realm in [&one, &other] {
        commands::realm_destroy(realm.rd)?.refused(ERROR_REALM, "REALM_DESTROY with a REC")?;
    }
    one.recs()[0].destroy()?;
    // That of the other Realm still counts.
    commands::realm_destroy(other.rd)?.refused(ERROR_REALM, "REALM_DESTROY with a REC")?;
    commands::realm_destroy(one.rd)?.done("REALM_DESTROY without a REC")?;
    one.give_back()?;
    // The granules of a destroyed REC can be anything.
    let spare = other.rec_memory()?;
    commands::rtt_create(other.rd, spare.address, 0, 2)?.done("RTT_CREATE")?;
    other.lend(1);
    other.destroy_table(0, 2, spare.address)?;
    for aux in &spare.aux {
        give_back(*aux)?;
    }
    other.tear_down()
}
