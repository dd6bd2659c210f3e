//! `RMI_REALM_CREATE`, `RMI_REALM_ACTIVATE` and `RMI_REALM_DESTROY`.

mod params;
mod shapes;

pub(crate) use params::{
    contradicting_tables, parameters_beyond_the_offer, reserved_bytes_do_not_matter,
};
pub(crate) use shapes::{shapes, shapes_refused};

use arrayvec::ArrayVec;
use rmm_abi::rmi::{DATA_MEASURE, Ripas};

use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word};
use crate::realm::{
    EntryState, GIGABYTE, Kind, PAGE_LEVEL, Realm, Shape, Specimens, TWO_MEGABYTES, give_back,
    has_16_bit_vmids, nth, unused_vmid, write_page,
};
use crate::rmi::{ERROR_INPUT, ERROR_REALM, commands, must_delegate, undelegate};
use crate::suite::Host;

/// A Realm with a bit of everything.
pub(crate) fn furnished(host: &Host, shape: Shape) -> Outcome<Realm<'_>> {
    let mut realm = Realm::new(host, shape)?;
    let half = shape.half();
    realm.tables(0, PAGE_LEVEL)?;
    realm.tables(half, PAGE_LEVEL)?;
    realm.init_ripas(0, 4 * GRANULE)?;
    realm.data(0, DATA_MEASURE)?;
    realm.data(GRANULE, 0)?;
    realm.data_unknown(2 * GRANULE)?;
    commands::map_unprotected(realm.rd, half, PAGE_LEVEL, realm.page)?.done("MAP_UNPROTECTED")?;
    realm.rec()?;
    realm.activate()?;
    Ok(realm)
}

pub(crate) fn build_and_tear_down(host: &Host) -> Outcome {
    for shape in [Shape::USUAL, Shape::DEEP] {
        let realm = furnished(host, shape)?;
        realm.expect(
            3 * GRANULE,
            PAGE_LEVEL,
            EntryState::unassigned(PAGE_LEVEL, Ripas::Ram),
        )?;
        realm.tear_down()?;
    }
    Ok(())
}

pub(crate) fn create_wants_its_granules(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let other = Realm::without_descriptor(host, Shape::USUAL)?;
    write_page(other.page, &other.params())?;
    specimens.only(Kind::Delegated, "rd of REALM_CREATE", |rd| {
        commands::realm_create(rd, other.page)
    })?;
    specimens.only(Kind::Undelegated, "params of REALM_CREATE", |params| {
        commands::realm_create(other.rd, params)
    })?;
    // With both arguments the same granule.
    for (_, granule) in specimens.granules() {
        commands::realm_create(*granule, *granule)?
            .refused(ERROR_INPUT, "REALM_CREATE with rd = params")?;
    }
    specimens.are_unchanged("REALM_CREATE with rd = params")?;
    // Each of the start tables counts.
    for (kind, granule) in specimens.granules() {
        if *kind == Kind::Delegated || !granule.is_multiple_of(2 * GRANULE) {
            continue;
        }
        let mut params = other.params();
        params.rtt_base = *granule;
        write_page(other.page, &params)?;
        commands::realm_create(other.rd, other.page)?.refused(
            ERROR_INPUT,
            format_args!("REALM_CREATE with {kind:?} as table"),
        )?;
    }
    specimens.are_unchanged("REALM_CREATE with other tables")?;
    // Nothing of what was refused has an effect on what is accepted.
    write_page(other.page, &other.params())?;
    commands::realm_create(other.rd, other.page)?.done("REALM_CREATE in the end")?;
    other.tear_down()?;
    specimens.tear_down()
}

pub(crate) fn start_tables_in_their_states(host: &Host) -> Outcome {
    let shape = Shape::new(43, 1, 16);
    let realm = Realm::without_descriptor(host, shape)?;
    write_page(realm.page, &realm.params())?;
    for missing in [0, 1, 7, 15] {
        let table = nth(realm.start_tables, missing);
        give_back(table)?;
        commands::realm_create(realm.rd, realm.page)?.refused(
            ERROR_INPUT,
            format_args!("REALM_CREATE without start table {missing}"),
        )?;
        // The others are not locked and not tables now.
        for index in (0..16).filter(|index| *index != missing) {
            give_back(nth(realm.start_tables, index))?;
            must_delegate(nth(realm.start_tables, index))?;
        }
        must_delegate(table)?;
    }
    commands::realm_create(realm.rd, realm.page)?.done("REALM_CREATE with all start tables")?;
    for index in 0..16 {
        ensure_word!(
            undelegate(nth(realm.start_tables, index))?,
            ERROR_INPUT,
            "undelegate of start table {index}"
        );
    }
    realm.tear_down()
}

pub(crate) fn descriptor_among_the_tables(host: &Host) -> Outcome {
    let shape = Shape::new(34, 2, 16);
    let realm = Realm::without_descriptor(host, shape)?;
    write_page(realm.page, &realm.params())?;
    for index in 0..16 {
        let rd = nth(realm.start_tables, index);
        commands::realm_create(rd, realm.page)?.refused(
            ERROR_INPUT,
            format_args!("REALM_CREATE with start table {index} as rd"),
        )?;
    }
    for index in 0..16 {
        give_back(nth(realm.start_tables, index))?;
        must_delegate(nth(realm.start_tables, index))?;
    }
    // The granules next to the tables are as good as any.
    commands::realm_create(realm.rd, realm.page)?.done("REALM_CREATE")?;
    realm.tear_down()
}

pub(crate) fn activate(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    specimens.only(Kind::Rd, "REALM_ACTIVATE", commands::realm_activate)?;
    specimens.realm.activate()?;
    for _ in 0..2 {
        commands::realm_activate(specimens.realm.rd)?
            .refused(ERROR_REALM, "REALM_ACTIVATE of an active Realm")?;
    }
    specimens.only(Kind::Rd, "REALM_ACTIVATE", commands::realm_activate)?;
    specimens.tear_down()
}

/// What only a new Realm takes.
pub(crate) fn what_ends_with_activation(host: &Host) -> Outcome {
    let mut realm = Realm::new(host, Shape::USUAL)?;
    realm.tables(0, PAGE_LEVEL)?;
    let source = host.granule()?;
    let (data, rec) = (realm.granule()?, realm.rec_memory()?);
    realm.rec()?;
    write_page(realm.page, &rec.params(1, 0))?;
    realm.activate()?;
    commands::data_create(realm.rd, data, 0, source, DATA_MEASURE)?
        .refused(ERROR_REALM, "DATA_CREATE in an active Realm")?;
    commands::rec_create(realm.rd, rec.address, realm.page)?
        .refused(ERROR_REALM, "REC_CREATE in an active Realm")?;
    commands::init_ripas(realm.rd, 0, GRANULE)?
        .refused(ERROR_REALM, "INIT_RIPAS in an active Realm")?;
    realm.expect(
        0,
        PAGE_LEVEL,
        EntryState::unassigned(PAGE_LEVEL, Ripas::Empty),
    )?;
    give_back(data)?;
    rec.give_back()?;
    // What goes on.
    let page = realm.data_unknown(0)?;
    realm.destroy_page(0, page)?;
    realm.tables(GIGABYTE, 2)?;
    realm.tear_down()
}

pub(crate) fn destroy(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    specimens.only(Kind::Rd, "REALM_DESTROY", commands::realm_destroy)?;
    for _ in 0..2 {
        commands::realm_destroy(specimens.realm.rd)?
            .refused(ERROR_REALM, "REALM_DESTROY of a live Realm")?;
    }
    specimens.are_unchanged("REALM_DESTROY of a live Realm")?;
    specimens.tear_down()
}

/// Each of the things that keep a Realm alive, alone.
pub(crate) fn what_keeps_it_alive(host: &Host) -> Outcome {
    let live = |realm: &Realm, what: &str| {
        commands::realm_destroy(realm.rd)?.refused(ERROR_REALM, what)?;
        ensure_word!(
            undelegate(realm.start_tables)?,
            ERROR_INPUT,
            "undelegate of a start table"
        );
        Ok(())
    };
    // A table in either half, in each of the start tables, in states new and active.
    for (ipa, active) in [(0, false), (Shape::USUAL.half(), true)] {
        let realm = Realm::new(host, Shape::USUAL)?;
        let table = realm.table(ipa, 2)?;
        if active {
            realm.activate()?;
        }
        live(&realm, "REALM_DESTROY with a table")?;
        realm.destroy_table(ipa, 2, table)?;
        realm.tear_down()?;
    }
    // A REC.
    let mut realm = Realm::new(host, Shape::USUAL)?;
    realm.rec()?;
    live(&realm, "REALM_DESTROY with a REC")?;
    realm.tear_down()?;
    // Memory mapped by a start table: a block.
    let realm = Realm::new(host, Shape::new(32, 2, 4))?;
    let first = host.aligned_granules(512, TWO_MEGABYTES)?;
    let table = realm.table(0, PAGE_LEVEL)?;
    for index in 0..512 {
        must_delegate(nth(first, index))?;
        realm.data_unknown_in(nth(first, index), index * GRANULE)?;
    }
    realm.fold(0, PAGE_LEVEL, table)?;
    realm.expect(0, 2, EntryState::assigned(2, first, Ripas::Empty))?;
    live(&realm, "REALM_DESTROY with a block")?;
    realm.tear_down()?;
    // Memory of the host does not keep it alive.
    let realm = Realm::new(host, Shape::new(32, 2, 4))?;
    commands::map_unprotected(realm.rd, realm.shape.half(), 2, 0x4000_0000)?
        .done("MAP_UNPROTECTED")?;
    commands::realm_destroy(realm.rd)?.done("REALM_DESTROY with memory of the host")?;
    realm.give_back()
}

pub(crate) fn vmids(host: &Host) -> Outcome {
    let first = Realm::new(host, Shape::USUAL)?;
    let vmid = first.vmid;
    let second = Realm::without_descriptor(host, Shape::USUAL)?;
    let mut params = second.params();
    params.vmid = vmid;
    write_page(second.page, &params)?;
    commands::realm_create(second.rd, second.page)?
        .refused(ERROR_INPUT, "REALM_CREATE with the VMID of another")?;
    first.tear_down()?;
    commands::realm_create(second.rd, second.page)?
        .done("REALM_CREATE with the VMID of a destroyed one")?;
    second.tear_down()?;
    // A REALM_CREATE that fails for another reason does not keep the VMID.
    let realm = Realm::without_descriptor(host, Shape::USUAL)?;
    write_page(realm.page, &realm.params())?;
    commands::realm_create(realm.start_tables, realm.page)?
        .refused(ERROR_INPUT, "REALM_CREATE with a table as rd")?;
    commands::realm_create(realm.rd, realm.page)?.done("REALM_CREATE after a failed one")?;
    realm.tear_down()?;
    for vmid in [0, 0xff, 0x100, 0x8000, 0xffff] {
        let realm = Realm::without_descriptor(host, Shape::USUAL)?;
        let mut params = realm.params();
        params.vmid = vmid;
        write_page(realm.page, &params)?;
        let reply = commands::realm_create(realm.rd, realm.page)?;
        if vmid <= 0xff || has_16_bit_vmids() {
            reply.done(format_args!("REALM_CREATE with VMID {vmid:#x}"))?;
            realm.tear_down()?;
        } else {
            reply.refused(
                ERROR_INPUT,
                format_args!("REALM_CREATE with VMID {vmid:#x}"),
            )?;
            realm.give_back()?;
        }
    }
    Ok(())
}

pub(crate) fn many_at_once(host: &Host) -> Outcome {
    const COUNT: usize = 100;
    let mut realms = ArrayVec::<_, COUNT>::new();
    for _ in 0..COUNT {
        let realm = Realm::new(host, Shape::USUAL)?;
        realm.tables(GIGABYTE, PAGE_LEVEL)?;
        let page = realm.data_unknown(GIGABYTE)?;
        realms.push((realm, page));
    }
    // Each still has its own page and no other.
    for (realm, page) in &realms {
        realm.expect(
            GIGABYTE,
            PAGE_LEVEL,
            EntryState::assigned(PAGE_LEVEL, *page, Ripas::Empty),
        )?;
    }
    // They go in another order than they came.
    while !realms.is_empty() {
        let (realm, _) = realms.swap_remove(realms.len() / 3);
        realm.tear_down()?;
    }
    Ok(())
}

/// One Realm after the other in the same granules.
pub(crate) fn again_and_again(host: &Host) -> Outcome {
    let realm = Realm::without_descriptor(host, Shape::USUAL)?;
    let vmid = unused_vmid();
    for round in 0..50 {
        let mut params = realm.params();
        params.vmid = vmid;
        params.rpv = [round; 64];
        write_page(realm.page, &params)?;
        commands::realm_create(realm.rd, realm.page)?.done("REALM_CREATE")?;
        let table = realm.table(0, 2)?;
        realm.expect(0, 1, EntryState::table(1, table))?;
        realm.destroy_table(0, 2, table)?;
        if round % 2 == 0 {
            realm.activate()?;
        }
        commands::realm_destroy(realm.rd)?.done("REALM_DESTROY")?;
    }
    realm.give_back()
}
