//! Commands for Realms from several CPUs at once.

#![allow(unsafe_code)]

mod crossed;
mod one_realm;
mod races;

pub(crate) use crossed::{any_granule_anywhere, crossed_granules};
pub(crate) use one_realm::{four_cpus, two_cpus};
pub(crate) use races::one_winner;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use ns_host::fault::FaultKind;
use ns_host::random::Random;
use rmm_abi::rmi::DATA_MEASURE;

use crate::memory::{self, GRANULE, GRANULE_WORDS};
use crate::outcome::{Outcome, ensure, fail};
use crate::realm::{PAGE_LEVEL, Realm, Shape, give_back};
use crate::rmi::{ERROR_INPUT, SUCCESS, commands, must_delegate};
use crate::suite::Host;
use crate::suite::realm::furnished;
use crate::time::{Deadline, relax};
use crate::{rmi, smc};

/// Every CPU builds Realms of its own and takes them down. Nobody is in anybody's way.
pub(crate) fn disjoint_realms(host: &Host) -> Outcome {
    host.cpus.check(host.cpus.count(), &|cpu| {
        for round in 0..50 {
            let shape = if (cpu + round) % 2 == 0 {
                Shape::USUAL
            } else {
                Shape::DEEP
            };
            furnished(host, shape)?.tear_down()?;
        }
        Ok(())
    })
}

/// How long the source of `DATA_CREATE` changes.
const CHANGES: Duration = Duration::from_secs(4);

/// One CPU creates pages from a source that another one writes, gives to the Realm world and takes
/// back.
pub(crate) fn changing_source(host: &Host) -> Outcome {
    let realm = Realm::new(host, Shape::USUAL)?;
    realm.tables(0, PAGE_LEVEL)?;
    let source = host.granule()?;
    let data = realm.granule()?;
    let over = AtomicBool::new(false);
    let (created, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let outcome = host.cpus.check(2, &|cpu| {
        if cpu == 1 {
            return change(source, &over);
        }
        let outcome = create(&realm, data, source, &created, &refused);
        over.store(true, Ordering::Release);
        outcome
    });
    outcome?;
    let (created, refused) = (
        created.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
    );
    ensure!(
        created > 0 && refused > 0,
        "{created} pages were created and {refused} refused: the CPUs did not meet"
    );
    give_back(data)?;
    realm.tear_down()
}

fn create(
    realm: &Realm,
    data: u64,
    source: u64,
    created: &AtomicU64,
    refused: &AtomicU64,
) -> Outcome {
    let time = Deadline::after(CHANGES);
    let mut flags = 0;
    while !time.passed() {
        flags ^= DATA_MEASURE;
        let reply = commands::data_create(realm.rd, data, GRANULE, source, flags)?;
        if reply.succeeded() {
            created.fetch_add(1, Ordering::Relaxed);
            realm.lend(1);
            realm.destroy_page(GRANULE, data)?;
        } else {
            reply.refused(ERROR_INPUT, "DATA_CREATE from a changing source")?;
            refused.fetch_add(1, Ordering::Relaxed);
            // Whatever was copied before is gone.
            give_back(data)?;
        }
        must_delegate(data)?;
        relax();
    }
    Ok(())
}

fn change(source: u64, over: &AtomicBool) -> Outcome {
    let mut random = Random::new(6);
    while !over.load(Ordering::Acquire) {
        for _ in 0..random.below(400) {
            let address = source + 8 * random.below(GRANULE_WORDS);
            // SAFETY: the pool gave the granule out.
            match unsafe { memory::try_write(address, random.word()) } {
                Some(Ok(())) => {}
                Some(Err(fault)) if fault.kind() == FaultKind::GranuleProtection => {
                    return fail!("{address:#x} is not the host's although it is undelegated");
                }
                _ => return fail!("write of {address:#x} failed"),
            }
        }
        relax();
        must_delegate(source)?;
        for _ in 0..random.below(40) {
            relax();
        }
        let word = smc::call(rmm_abi::rmi::fid::GRANULE_UNDELEGATE, &[source]);
        ensure!(
            word == SUCCESS,
            "undelegate of the source returned {word:#x}"
        );
        relax();
    }
    rmi::must_be_there()
}
