//! Many calls on all CPUs at once, held against the model.

#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use ns_host::fault::FaultKind;
use ns_host::random::Random;
use rmm_abi::rmi::fid;
use rmm_model::{Command, Granule, GranuleSet, History, Workspace};
use spin::Mutex;

use crate::console::note;
use crate::memory::{self, GRANULE};
use crate::outcome::{Outcome, ensure, fail};
use crate::rmi::{must_delegate, must_undelegate};
use crate::smc;
use crate::suite::{Host, expect};
use crate::time::relax;

/// Granules that the CPUs fight over. Few, so that calls meet.
const GRANULES: usize = 24;

/// Too large for a stack.
static WORKSPACE: Mutex<Workspace> = Mutex::new(Workspace::new());

pub(crate) fn two_cpus(host: &Host) -> Outcome {
    overlapping(host, 2)
}

pub(crate) fn four_cpus(host: &Host) -> Outcome {
    overlapping(host, 4)
}

fn overlapping(host: &Host, cpus: usize) -> Outcome {
    let first = host.granules(GRANULES as u64)?;
    let events = event_memory(host, 2 * host.arguments.calls)?;
    let history = History::new(events);
    host.cpus.run(cpus, &|cpu| {
        let mut random = Random::new(0x5eed + cpu as u64);
        while let Some(ticket) = history.begin() {
            let number = random.below(GRANULES as u64);
            let (command, function) = if random.below(2) == 0 {
                (Command::Delegate, fid::GRANULE_DELEGATE)
            } else {
                (Command::Undelegate, fid::GRANULE_UNDELEGATE)
            };
            let word = smc::call(function, &[first + number * GRANULE]);
            #[expect(clippy::cast_possible_truncation, reason = "there are few granules")]
            history.end(ticket, cpu, command, number as u32, word);
            // On an emulator with one thread this is where the CPUs change.
            if random.below(4) == 0 {
                relax();
            }
        }
    });
    let mut states = [GranuleSet::of(Granule::Undelegated); GRANULES];
    if let Err(violation) = WORKSPACE.lock().check(history.events(), &mut states) {
        return fail!("{violation}");
    }
    report(history.events(), cpus);
    compare_with_reality(first, &states)
}

/// Says what the history consisted of; a history without contention would prove little.
fn report(events: &[AtomicU64], cpus: usize) {
    let (mut calls, mut successes, mut overlaps) = (0u64, 0u64, 0u64);
    let mut under_way = [None; rmm_model::MAX_CPUS];
    for event in events {
        match rmm_model::Event::unpack(event.load(Ordering::Relaxed)) {
            Some(rmm_model::Event::Begin(call)) => {
                calls += 1;
                successes += u64::from(call.answer == Some(0));
                overlaps += u64::from(under_way.contains(&Some(call.granule)));
                under_way[call.cpu] = Some(call.granule);
            }
            Some(rmm_model::Event::End(call)) => under_way[call.cpu] = None,
            None => {}
        }
    }
    note!(
        "{calls} calls on {cpus} CPUs: {successes} succeeded, {overlaps} began during another call for the same granule"
    );
}

/// Zeroed memory for that many events.
fn event_memory(host: &Host, count: u64) -> Outcome<&'static [AtomicU64]> {
    let bytes = count * 8;
    let address = host.granules(bytes.div_ceil(GRANULE))?;
    if address + bytes > crate::paging::IDENTITY_LIMIT {
        return fail!("free memory at {address:#x} is too far away for the history");
    }
    let (Ok(count), start) = (usize::try_from(count), address as *mut AtomicU64) else {
        return fail!("{count} events do not fit");
    };
    // SAFETY: the pool gave the memory out, nobody gives it back, and it is mapped.
    unsafe {
        core::ptr::write_bytes(start, 0, count);
        Ok(core::slice::from_raw_parts(start, count))
    }
}

fn compare_with_reality(first: u64, states: &[GranuleSet]) -> Outcome {
    for (number, state) in (0u64..).zip(states) {
        let granule = first + number * GRANULE;
        let delegated = match memory::try_read(granule) {
            Some(Ok(_)) => false,
            Some(Err(fault)) if fault.kind() == FaultKind::GranuleProtection => true,
            Some(Err(fault)) => return fail!("read of {granule:#x}: {fault}"),
            None => return fail!("{granule:#x} cannot be mapped"),
        };
        let seen = if delegated {
            Granule::Delegated
        } else {
            Granule::Undelegated
        };
        ensure!(
            *state == GranuleSet::of(seen),
            "{granule:#x} is {seen:?}, which the calls do not explain"
        );
        if delegated {
            // SAFETY: the pool gave the granule out.
            unsafe { expect::protected(granule) }?;
            must_undelegate(granule)?;
        }
        expect::accessible(granule)?;
    }
    Ok(())
}

/// Neighbouring granules share what the RMM and EL3 keep about them; CPUs that work on different
/// ones must not disturb each other.
pub(crate) fn own_granules(host: &Host) -> Outcome {
    let count = host.cpus.count();
    let first = host.granules(count as u64)?;
    host.cpus.check(count, &|cpu| {
        let granule = first + cpu as u64 * GRANULE;
        for round in 0..200 {
            expect::write(granule + 8, round)?;
            must_delegate(granule)?;
            if let Some(Ok(value)) = memory::try_read(granule + 8) {
                return fail!("round {round}: delegated {granule:#x} shows {value:#x}");
            }
            must_undelegate(granule)?;
            let value = expect::read(granule + 8)?;
            ensure!(
                value == 0,
                "round {round}: {granule:#x} came back with {value:#x}"
            );
        }
        Ok(())
    })
}
