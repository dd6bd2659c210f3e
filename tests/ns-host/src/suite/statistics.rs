//! What the RMM counts, as a host reads it (`docs/statistics.md`).

use alloc::vec::Vec;

use ns_host::random::Random;
use realm_payload::Command;
use realm_payload::measure::Operation;
use rmm_abi::rmi::run::ExitReason;
use rmm_abi::rmi::{StatusCode, fid};
use rmm_abi::statistics::{COUNTERS, Counter, Description, Event, EventKind, EventList, Query};

use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::realm::{Replied, RunningRealm, SPARE, Shape};
use crate::rmi::{self, SUCCESS, must_delegate, must_refuse, must_undelegate};
use crate::suite::Host;
use crate::suite::realm::furnished;
use crate::time::now;

/// Events that a list keeps.
const EVENTS: u16 = 32;

fn ask(query: Query) -> Outcome<[u64; 3]> {
    ask_index(query.index())
}

fn ask_index(index: u64) -> Outcome<[u64; 3]> {
    let [x0, words @ ..] = rmi::command(fid::FEATURES, &[index])?;
    ensure_word!(x0, SUCCESS, "x0 for index {index:#x}");
    Ok(words)
}

fn description() -> Outcome<Description> {
    match Description::from_words(ask(Query::Description)?) {
        Some(description) => Ok(description),
        None => fail!("the RMM has no statistics that this test knows"),
    }
}

fn counter(cpu: usize, counter: Counter) -> Outcome<u64> {
    let query = Query::Counters {
        cpu: number(cpu),
        first: counter.number(),
    };
    Ok(ask(query)?[0])
}

fn number(cpu: usize) -> u16 {
    u16::try_from(cpu).unwrap_or(u16::MAX)
}

/// Events of a CPU, in order.
fn events(cpu: usize, list: EventList) -> Outcome<Vec<Event>> {
    let mut events = Vec::new();
    for place in 0..EVENTS {
        let query = Query::Event {
            cpu: number(cpu),
            list,
            place,
        };
        events.extend(Event::from_words(ask(query)?));
    }
    events.sort_unstable_by_key(|event| event.number);
    Ok(events)
}

/// The latest event of a CPU.
fn latest(cpu: usize, list: EventList) -> Outcome<Event> {
    match events(cpu, list)?.pop() {
        Some(event) => Ok(event),
        None => fail!("CPU {cpu} has no events of {list:?}"),
    }
}

const fn command(function: u64, status: StatusCode) -> Counter {
    Counter::Command(function, status)
}

pub(crate) fn described(host: &Host) -> Outcome {
    let description = description()?;
    let there = host.cpus.count();
    ensure!(
        description.cpus as usize >= there,
        "{} CPUs can count, and {there} are there",
        description.cpus
    );
    ensure_word!(description.events.into(), EVENTS.into(), "events of a list");
    ensure_word!(description.counters.into(), COUNTERS.into(), "counters");
    let beyond = Query::Counters {
        cpu: number(description.cpus as usize),
        first: Counter::Boot.number(),
    };
    ensure!(
        ask(beyond)? == [0; 3],
        "a CPU that there is not has counted"
    );
    Ok(())
}

/// Every CPU has booted, and said so.
pub(crate) fn boots(host: &Host) -> Outcome {
    for cpu in 0..host.cpus.count() {
        let boots = counter(cpu, Counter::Boot)?;
        let noted = events(cpu, EventList::LifeCycle)?;
        let noted = noted
            .iter()
            .filter(|event| event.kind == EventKind::CpuBooted)
            .count();
        ensure!(
            boots >= 1 && (noted >= 1 || latest(cpu, EventList::LifeCycle)?.number > 32),
            "CPU {cpu} has counted {boots} boots and noted {noted}"
        );
    }
    Ok(())
}

/// A CPU that goes and comes again has booted once more.
pub(crate) fn another_boot(host: &Host) -> Outcome {
    let cpu = host.cpus.count() - 1;
    let before = counter(cpu, Counter::Boot)?;
    host.cpus.power_off(cpu)?;
    ensure_word!(
        counter(cpu, Counter::Boot)?,
        before,
        "boots of a CPU that is off"
    );
    let start = now();
    host.cpus.power_on(cpu)?;
    ensure_word!(
        counter(cpu, Counter::Boot)?,
        before + 1,
        "boots of CPU {cpu}"
    );
    let event = latest(cpu, EventList::LifeCycle)?;
    ensure!(
        event.kind == EventKind::CpuBooted && (start..=now()).contains(&event.time),
        "after the boot of CPU {cpu} its latest event is {event:?}"
    );
    Ok(())
}

/// Every CPU counts its own calls, and nobody else's.
pub(crate) fn commands_on_every_cpu(host: &Host) -> Outcome {
    const CALLS: u64 = 10;
    let count = host.cpus.count();
    let first = host.granules(count as u64)?;
    let counters = [
        (command(fid::GRANULE_DELEGATE, StatusCode::Success), CALLS),
        (
            command(fid::GRANULE_DELEGATE, StatusCode::ErrorInput),
            CALLS,
        ),
        (command(fid::GRANULE_UNDELEGATE, StatusCode::Success), CALLS),
        (
            command(fid::GRANULE_UNDELEGATE, StatusCode::ErrorInput),
            2 * CALLS,
        ),
    ];
    let mut before = Vec::new();
    for cpu in 0..count {
        for (counted, _) in counters {
            before.push(counter(cpu, counted)?);
        }
    }
    host.cpus.check(count, &|cpu| {
        let granule = first + cpu as u64 * crate::memory::GRANULE;
        for _ in 0..CALLS {
            must_delegate(granule)?;
            must_undelegate(granule)?;
            must_refuse(granule + 8, "misaligned")?;
            ensure_word!(rmi::undelegate(granule)?, rmi::ERROR_INPUT, "again");
        }
        Ok(())
    })?;
    let mut before = before.into_iter();
    for cpu in 0..count {
        for (counted, calls) in counters {
            let before = before.next().unwrap_or(0);
            ensure_word!(
                counter(cpu, counted)? - before,
                calls,
                "{counted:?} on CPU {cpu}"
            );
        }
    }
    Ok(())
}

/// A Realm's life: what is made and unmade, entries and exits.
pub(crate) fn life_of_a_realm(host: &Host) -> Outcome {
    let counters = [
        command(fid::REALM_CREATE, StatusCode::Success),
        command(fid::REALM_DESTROY, StatusCode::Success),
        command(fid::REC_CREATE, StatusCode::Success),
        command(fid::REC_DESTROY, StatusCode::Success),
        command(fid::REC_ENTER, StatusCode::Success),
        Counter::Exit(ExitReason::HostCall as u8),
    ];
    let read = || -> Outcome<Vec<u64>> {
        counters
            .iter()
            .map(|counted| counter(0, *counted))
            .collect()
    };
    let delegated = || -> Outcome<u64> {
        Ok(
            counter(0, command(fid::GRANULE_DELEGATE, StatusCode::Success))?
                - counter(0, command(fid::GRANULE_UNDELEGATE, StatusCode::Success))?,
        )
    };
    let granules = delegated()?;
    let before = read()?;
    let start = now();
    let mut realm = RunningRealm::plain(host)?;
    let rd = realm.realm.rd;
    let created = latest(0, EventList::LifeCycle)?;
    let vcpu = realm.first();
    let nothing = Command::Measure {
        operation: Operation::Nothing,
        repetitions: 1,
        address: SPARE,
    };
    for _ in 0..3 {
        vcpu.command(&nothing)?.done("nothing")?;
    }
    ensure!(delegated()? > granules, "a Realm is not of granules");
    realm.tear_down()?;
    let destroyed = latest(0, EventList::LifeCycle)?;
    let end = now();

    let after = read()?;
    let made: Vec<_> = before.iter().zip(&after).map(|(b, a)| a - b).collect();
    ensure!(
        made[..4] == [1, 1, 1, 1],
        "Realms and RECs made and unmade: {made:?}"
    );
    ensure!(
        made[4] >= 4 && made[5] == made[4],
        "entries and exits for host calls: {made:?}"
    );
    ensure_word!(delegated()?, granules, "granules delegated");
    for (event, kind) in [
        (created, EventKind::RealmCreated),
        (destroyed, EventKind::RealmDestroyed),
    ] {
        ensure!(
            event.kind == kind && event.subject == rd && (start..=end).contains(&event.time),
            "{event:?} is not {kind:?} of {rd:#x}"
        );
    }
    ensure_word!(
        u64::from(destroyed.number - created.number),
        1,
        "events in between"
    );
    Ok(())
}

/// A command that fails leaves its code and what it was asked for.
pub(crate) fn failures(host: &Host) -> Outcome {
    let unknown = counter(0, Counter::UnknownCall(0x163))?;
    let granule = host.granule()?;
    let start = now();
    ensure_word!(
        rmi::undelegate(granule)?,
        rmi::ERROR_INPUT,
        "undelegate of what is not delegated"
    );
    let event = latest(0, EventList::Errors)?;
    let function = u16::try_from(fid::GRANULE_UNDELEGATE & 0xfff).unwrap_or(0);
    ensure!(
        event.kind == EventKind::CallFailed(function, 1)
            && event.subject == granule
            && (start..=now()).contains(&event.time),
        "the latest error is {event:?}"
    );
    ensure_word!(
        crate::smc::call(0xc400_0163, &[]),
        rmm_abi::smc::NOT_SUPPORTED,
        "a function that is not there"
    );
    ensure_word!(
        counter(0, Counter::UnknownCall(0x163))?,
        unknown + 1,
        "unknown calls"
    );
    // Failures do not drive out what came and went.
    let before = events(0, EventList::LifeCycle)?;
    for _ in 0..100 {
        must_refuse(granule + 1, "misaligned")?;
    }
    ensure!(
        events(0, EventList::LifeCycle)? == before,
        "failures are in the list of the life cycle"
    );
    Ok(())
}

/// Whatever a host asks, it gets an answer, and the RMM goes on.
pub(crate) fn any_question(host: &Host) -> Outcome {
    let realm = furnished(host, Shape::USUAL)?;
    let mut random = Random::new(9);
    for _ in 0..2000 {
        let index = Query::Description.index() | random.below(1 << 32);
        let words = ask_index(index)?;
        if Query::from_index(index).is_none() {
            ensure!(
                words == [0; 3],
                "index {index:#x} is none, and reads {words:x?}"
            );
        }
    }
    for first in 0..=COUNTERS {
        ask(Query::Counters { cpu: 0, first })?;
    }
    realm.tear_down()
}
