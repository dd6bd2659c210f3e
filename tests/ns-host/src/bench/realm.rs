//! The commands for Realms.

use rmm_abi::rmi::{DATA_MEASURE, REC_RUNNABLE, fid};

use super::timed::{Timed, timed, timed_success};
use super::{minimum, minimum_of_both};
use crate::console::say;
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word};
use crate::realm::{
    PAGE_LEVEL, Realm, Rec, Shape, TWO_MEGABYTES, give_back, nth, unused_vmid, write_page,
};
use crate::rmi::SUCCESS;
use crate::rmi::commands::level_word;
use crate::suite::{Host, expect};

/// Prints the figures of all of them.
pub(super) fn operations(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::USUAL)?;
    tables(&realm)?;
    pages(&realm)?;
    unprotected(&realm)?;
    ripas(&realm)?;
    realm.tear_down()?;
    realms(host)?;
    recs(host)?;
    whole_realm(host)
}

// A command that takes something away says where the next thing is. `…_ALONE` is when there is none
// up to the end of the table, otherwise it is the entry behind.

fn tables(realm: &Realm) -> Outcome {
    let table = realm.granule()?;
    let (rd, level) = (realm.rd, level_word(PAGE_LEVEL));
    realm.tables(0, 2)?;
    let create = || timed_success(fid::RTT_CREATE, &[rd, table, 0, level]);
    let destroy = || timed_success(fid::RTT_DESTROY, &[rd, 0, level]);
    // Folded, the entry above is as it was; after RTT_DESTROY its RIPAS is another.
    minimum_of_both(["RTT_CREATE", "RTT_FOLD"], || {
        let ticks = create()?;
        Ok([ticks, timed_success(fid::RTT_FOLD, &[rd, 0, level])?])
    })?;
    minimum("RTT_DESTROY_ALONE", || {
        create()?;
        destroy()
    })?;
    realm.tables(TWO_MEGABYTES, PAGE_LEVEL)?;
    minimum("RTT_DESTROY", || {
        create()?;
        destroy()
    })?;
    realm.tables(0, PAGE_LEVEL)?;
    minimum("RTT_READ_ENTRY", || {
        timed_success(fid::RTT_READ_ENTRY, &[rd, 0, level])
    })?;
    give_back(table)
}

fn pages(realm: &Realm) -> Outcome {
    let (rd, data, source) = (realm.rd, realm.granule()?, realm.page);
    expect::fill(source, |index| index)?;
    let create = |flags| timed_success(fid::DATA_CREATE, &[rd, data, 0, source, flags]);
    let destroy = || timed_success(fid::DATA_DESTROY, &[rd, 0]);
    minimum("DATA_DESTROY_ALONE", || {
        create(0)?;
        destroy()
    })?;
    realm.data_unknown(GRANULE)?;
    minimum_of_both(["DATA_CREATE_UNMEASURED", "DATA_DESTROY"], || {
        Ok([create(0)?, destroy()?])
    })?;
    minimum("DATA_CREATE_MEASURED", || {
        let ticks = create(DATA_MEASURE)?;
        destroy()?;
        Ok(ticks)
    })?;
    minimum("DATA_CREATE_UNKNOWN", || {
        let ticks = timed_success(fid::DATA_CREATE_UNKNOWN, &[rd, data, 0])?;
        destroy()?;
        Ok(ticks)
    })?;
    give_back(data)
}

fn unprotected(realm: &Realm) -> Outcome {
    let (rd, half) = (realm.rd, realm.shape.half());
    let level = level_word(PAGE_LEVEL);
    let descriptor = realm.page | 0x18 | 0xc0;
    let map = |ipa| timed_success(fid::RTT_MAP_UNPROTECTED, &[rd, ipa, level, descriptor]);
    let unmap = |ipa| timed_success(fid::RTT_UNMAP_UNPROTECTED, &[rd, ipa, level]);
    realm.tables(half, PAGE_LEVEL)?;
    minimum("UNMAP_UNPROTECTED_ALONE", || {
        map(half)?;
        unmap(half)
    })?;
    map(half + GRANULE)?;
    minimum_of_both(["MAP_UNPROTECTED", "UNMAP_UNPROTECTED"], || {
        Ok([map(half)?, unmap(half)?])
    })
}

/// One call over the 512 pages of a table, for tables that were not touched before.
fn ripas(realm: &Realm) -> Outcome {
    let mut least = u64::MAX;
    for block in 1..5 {
        let base = block * TWO_MEGABYTES;
        let top = base + TWO_MEGABYTES;
        realm.tables(base, PAGE_LEVEL)?;
        let Timed {
            ticks,
            code,
            output,
        } = timed(fid::RTT_INIT_RIPAS, &[realm.rd, base, top]);
        ensure_word!(code, SUCCESS, "INIT_RIPAS");
        ensure_word!(output, top, "INIT_RIPAS of a table in one call");
        least = least.min(ticks);
    }
    say!("bench RTT_INIT_RIPAS {least}");
    Ok(())
}

fn realms(host: &Host) -> Outcome {
    let realm = Realm::without_descriptor(host, Shape::USUAL)?;
    write_page(realm.page, &realm.params())?;
    let create = || timed_success(fid::REALM_CREATE, &[realm.rd, realm.page]);
    let destroy = || timed_success(fid::REALM_DESTROY, &[realm.rd]);
    minimum_of_both(["REALM_CREATE", "REALM_DESTROY"], || {
        Ok([create()?, destroy()?])
    })?;
    minimum("REALM_ACTIVATE", || {
        create()?;
        let ticks = timed_success(fid::REALM_ACTIVATE, &[realm.rd])?;
        destroy()?;
        Ok(ticks)
    })?;
    realm.give_back()
}

fn recs(host: &Host) -> Outcome {
    let realm = Realm::without_descriptor(host, Shape::USUAL)?;
    let params = host.granule()?;
    write_page(realm.page, &realm.params())?;
    let mut memory = None;
    // A new Realm each time, for the number of a REC is not given again.
    minimum_of_both(["REC_CREATE", "REC_DESTROY"], || {
        timed_success(fid::REALM_CREATE, &[realm.rd, realm.page])?;
        let rec = match memory.take() {
            Some(rec) => rec,
            None => realm.rec_memory()?,
        };
        write_page(params, &rec.params(0, REC_RUNNABLE))?;
        let ticks = [
            timed_success(fid::REC_CREATE, &[realm.rd, rec.address, params])?,
            timed_success(fid::REC_DESTROY, &[rec.address])?,
        ];
        memory = Some(rec);
        timed_success(fid::REALM_DESTROY, &[realm.rd])?;
        Ok(ticks)
    })?;
    if let Some(rec) = memory {
        rec.give_back()?;
    }
    realm.give_back()
}

/// Pages of one mebibyte.
const IMAGE_PAGES: u64 = 256;

/// A Realm with a mebibyte of measured content: all calls from the first delegation to the
/// activation, and all from there to the last granule that comes back. Instructions of the host
/// between its calls do not count.
fn whole_realm(host: &Host) -> Outcome {
    let shape = Shape::USUAL;
    let rd = host.granule()?;
    let start_tables = host.aligned_granules(2, 2 * GRANULE)?;
    let tables = host.granules(2)?;
    let image = host.granules(IMAGE_PAGES)?;
    let data = host.granules(IMAGE_PAGES)?;
    let params = host.granule()?;
    let rec_params = host.granule()?;
    for page in 0..IMAGE_PAGES {
        expect::fill(nth(image, page), |index| page << 32 | index)?;
    }
    write_page(params, &shape.params(start_tables, unused_vmid()))?;
    // How many auxiliary granules a REC has is asked of another Realm.
    let other = Realm::new(host, shape)?;
    let aux_count = other.aux_count()? as u64;
    other.tear_down()?;
    let rec_memory = host.granules(1 + aux_count)?;
    let rec = Rec {
        address: rec_memory,
        aux: (1..=aux_count)
            .map(|index| nth(rec_memory, index))
            .collect(),
    };
    write_page(rec_params, &rec.params(0, REC_RUNNABLE))?;

    let groups = [
        (rd, 1),
        (start_tables, 2),
        (tables, 2),
        (data, IMAGE_PAGES),
        (rec_memory, 1 + aux_count),
    ];
    let granules = || {
        groups
            .into_iter()
            .flat_map(|(first, count)| (0..count).map(move |index| nth(first, index)))
    };
    let create = || {
        let mut ticks = 0;
        for granule in granules() {
            ticks += timed_success(fid::GRANULE_DELEGATE, &[granule])?;
        }
        ticks += timed_success(fid::REALM_CREATE, &[rd, params])?;
        for (index, level) in (0..).zip([2, PAGE_LEVEL]) {
            let table = nth(tables, index);
            ticks += timed_success(fid::RTT_CREATE, &[rd, table, 0, level_word(level)])?;
        }
        ticks += timed_success(fid::RTT_INIT_RIPAS, &[rd, 0, IMAGE_PAGES * GRANULE])?;
        for page in 0..IMAGE_PAGES {
            let (data, ipa) = (nth(data, page), page * GRANULE);
            let arguments = [rd, data, ipa, nth(image, page), DATA_MEASURE];
            ticks += timed_success(fid::DATA_CREATE, &arguments)?;
        }
        ticks += timed_success(fid::REC_AUX_COUNT, &[rd])?;
        ticks += timed_success(fid::REC_CREATE, &[rd, rec.address, rec_params])?;
        Ok(ticks + timed_success(fid::REALM_ACTIVATE, &[rd])?)
    };
    let destroy = || {
        let mut ticks = timed_success(fid::REC_DESTROY, &[rec.address])?;
        for page in 0..IMAGE_PAGES {
            ticks += timed_success(fid::DATA_DESTROY, &[rd, page * GRANULE])?;
        }
        for level in [PAGE_LEVEL, 2] {
            ticks += timed_success(fid::RTT_DESTROY, &[rd, 0, level_word(level)])?;
        }
        ticks += timed_success(fid::REALM_DESTROY, &[rd])?;
        for granule in granules() {
            ticks += timed_success(fid::GRANULE_UNDELEGATE, &[granule])?;
        }
        Ok(ticks)
    };
    let (mut least_create, mut least_destroy) = (u64::MAX, u64::MAX);
    for _ in 0..3 {
        least_create = least_create.min(create()?);
        least_destroy = least_destroy.min(destroy()?);
    }
    say!("bench REALM_1MIB_CREATE {least_create}");
    say!("bench REALM_1MIB_DESTROY {least_destroy}");
    Ok(())
}
