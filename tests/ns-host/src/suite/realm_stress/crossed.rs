//! Granules in roles that they do not have, from several CPUs at once. A command that waits for a
//! granule while it holds another one could wait for ever.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use arrayvec::ArrayVec;
use ns_host::random::Random;
use rmm_abi::rmi::StatusCode;

use crate::machine::MAX_CPUS;
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure};
use crate::realm::{
    Kind, PAGE_LEVEL, Realm, Rec, Shape, Specimens, TWO_MEGABYTES, give_back, write_page,
};
use crate::rmi::{ERROR_INPUT, Reply, commands, must_delegate};
use crate::suite::Host;
use crate::time::{relax, wait_until};

/// Calls of each CPU, and those before which the CPUs meet.
const ROUNDS: u64 = 3000;
const MEETINGS: usize = 800;

/// How long a CPU waits for the others before a call.
const MEETING_TIME: Duration = Duration::from_secs(10);

/// Two delegated granules, each the Realm of one CPU and the page, table or REC of the other.
pub(crate) fn crossed_granules(host: &Host) -> Outcome {
    let (one, other) = (host.granule()?, host.granule()?);
    must_delegate(one)?;
    must_delegate(other)?;
    let realm = Realm::new(host, Shape::USUAL)?;
    let count = host.cpus.count();
    // Auxiliary granules are locked as well, which gives the CPUs more time to meet.
    let mut recs = ArrayVec::<(Rec, u64), MAX_CPUS>::new();
    for cpu in 0..count {
        let mut rec = realm.rec_memory()?;
        give_back(rec.address)?;
        rec.address = if cpu % 2 == 0 { other } else { one };
        let params = host.granule()?;
        write_page(params, &rec.params(0, 0))?;
        recs.push((rec, params));
    }
    let arrived = AtomicUsize::new(0);
    host.cpus.check(count, &|cpu| {
        let mut random = Random::new(0xc405_5ed0 + cpu as u64);
        let (first, second) = if cpu % 2 == 0 {
            (one, other)
        } else {
            (other, one)
        };
        for round in 1..=MEETINGS {
            arrived.fetch_add(1, Ordering::AcqRel);
            let all = || arrived.load(Ordering::Acquire) >= round * count;
            ensure!(wait_until(MEETING_TIME, all), "the CPUs did not meet");
            let reply = match random.below(8) {
                0 => commands::data_create(first, second, 0, realm.page, 1)?,
                1 => commands::data_create_unknown(first, second, 0)?,
                2 => commands::rtt_create(first, second, 0, 2)?,
                3 => commands::set_ripas(realm.rd, second, 0, GRANULE)?,
                _ => commands::rec_create(first, second, recs[cpu].1)?,
            };
            reply.refused(ERROR_INPUT, "command on two granules that are not in use")?;
        }
        Ok(())
    })?;
    for (rec, _) in recs {
        rec.aux.iter().try_for_each(|aux| give_back(*aux))?;
    }
    give_back(one)?;
    give_back(other)?;
    realm.tear_down()
}

/// Any granule of a Realm in any place of any command that does not take the Realm apart.
pub(crate) fn any_granule_anywhere(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let rest = Specimens::new(host)?;
    let mut granules = ArrayVec::<u64, 64>::new();
    // The delegated ones would be taken by a command that succeeds.
    let all = specimens.granules().iter().chain(rest.granules());
    for (_, granule) in all.filter(|(kind, _)| *kind != Kind::Delegated) {
        granules.push(*granule);
    }
    host.cpus.check(host.cpus.count(), &|cpu| {
        let mut random = Random::new(0xa11 + cpu as u64);
        for _ in 0..ROUNDS {
            let mut any = || {
                let number = random.below(granules.len() as u64);
                usize::try_from(number).map_or(0, |number| granules[number])
            };
            let [a, b, c] = [any(), any(), any()];
            let ipa = TWO_MEGABYTES;
            let reply = match random.below(14) {
                0 => commands::data_create(a, b, GRANULE, c, 1)?,
                1 => commands::data_create_unknown(a, b, GRANULE)?,
                2 => commands::rtt_create(a, b, ipa, PAGE_LEVEL)?,
                3 => commands::rec_create(a, b, c)?,
                4 => commands::set_ripas(a, b, 0, GRANULE)?,
                5 => commands::realm_create(a, b)?,
                6 => commands::realm_destroy(a)?,
                7 => commands::data_destroy(a, GRANULE)?,
                8 => commands::rtt_destroy(a, ipa, PAGE_LEVEL)?,
                9 => commands::rtt_fold(a, ipa, PAGE_LEVEL)?,
                10 => commands::unmap_unprotected(a, specimens.realm.shape.half() + ipa, 2)?,
                11 => commands::rec_aux_count(a)?,
                12 => commands::init_ripas(a, ipa, ipa + GRANULE)?,
                _ => commands::read_entry(a, 0, PAGE_LEVEL)?,
            };
            is_a_code(reply)?;
            if random.below(4) == 0 {
                relax();
            }
        }
        Ok(())
    })?;
    for specimens in [specimens, rest] {
        specimens.are_unchanged("commands on any granule")?;
        specimens.tear_down()?;
    }
    Ok(())
}

fn is_a_code(reply: Reply) -> Outcome {
    let [status, ..] = reply.code.to_le_bytes();
    ensure!(
        status <= StatusCode::ErrorRtt as u8 && reply.code >> 16 == 0,
        "a command returned {:#x}",
        reply.code
    );
    Ok(())
}
