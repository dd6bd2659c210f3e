//! `RMI_GRANULE_DELEGATE` and `RMI_GRANULE_UNDELEGATE` on one CPU at a time.

#![allow(unsafe_code)]

use ns_host::random::Random;
use rmm_abi::rmi::fid;
use rmm_abi::smc::SVE_HINT;
use rmm_model::{Command, Granule, Model};

use crate::machine::CarveOut;
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure_word, fail};
use crate::rmi::{
    self, ERROR_INPUT, SUCCESS, delegate, must_delegate, must_refuse, must_undelegate, undelegate,
};
use crate::suite::{Host, expect};

const PATTERN: u64 = 0x0123_4567_89ab_cdef;

/// A word for each place, by which a moved or lost one shows.
const fn pattern(index: u64) -> u64 {
    PATTERN ^ index
}

pub(crate) fn there_and_back(host: &Host) -> Outcome {
    let granule = host.granule()?;
    for _ in 0..3 {
        ensure_word!(
            undelegate(granule)?,
            ERROR_INPUT,
            "undelegate without a delegate"
        );
        must_delegate(granule)?;
        ensure_word!(delegate(granule)?, ERROR_INPUT, "second delegate");
        must_undelegate(granule)?;
        ensure_word!(undelegate(granule)?, ERROR_INPUT, "second undelegate");
    }
    expect::accessible(granule)
}

pub(crate) fn like_the_model(host: &Host) -> Outcome {
    const COUNT: usize = 8;
    let first = host.granules(COUNT as u64)?;
    let mut granules = [Granule::Undelegated; COUNT];
    let mut model = Model::new(first, &mut granules);
    let mut random = Random::new(2);
    for step in 0..400 {
        let granule = first + random.below(COUNT as u64) * GRANULE;
        // Now and then at an address inside of the granule.
        let offset = if random.below(8) == 0 {
            random.below(GRANULE)
        } else {
            0
        };
        let address = granule + offset;
        let (command, word) = if random.below(2) == 0 {
            (Command::Delegate, delegate(address)?)
        } else {
            (Command::Undelegate, undelegate(address)?)
        };
        ensure_word!(
            word,
            model.apply(command, address),
            "step {step}, {command:?} of {address:#x}"
        );
        reality_is(&model, first, COUNT as u64)?;
    }
    for index in 0..COUNT as u64 {
        let granule = first + index * GRANULE;
        if model.granule(granule) == Granule::Delegated {
            must_undelegate(granule)?;
        }
        expect::holds(granule, |_| 0).or_else(|stop| {
            // Only granules that were never delegated may hold something else.
            if model.granule(granule) == Granule::Delegated {
                Err(stop)
            } else {
                Ok(())
            }
        })?;
    }
    Ok(())
}

/// Each granule must be reachable or not as the model says.
fn reality_is(model: &Model, first: u64, count: u64) -> Outcome {
    for index in 0..count {
        let granule = first + index * GRANULE;
        let reached = crate::memory::try_read(granule).is_some_and(|result| result.is_ok());
        if reached != model.granule(granule).host_may_access() {
            return fail!(
                "{granule:#x} is {:?} but reading it {}",
                model.granule(granule),
                if reached { "works" } else { "faults" }
            );
        }
    }
    Ok(())
}

pub(crate) fn unaligned(host: &Host) -> Outcome {
    let (undelegated, delegated) = (host.granule()?, host.granule()?);
    expect::fill(undelegated, pattern)?;
    must_delegate(delegated)?;
    for bit in 0..12 {
        must_refuse(undelegated | 1 << bit, "unaligned")?;
        must_refuse(delegated | 1 << bit, "unaligned")?;
    }
    must_refuse(undelegated | 0xfff, "unaligned")?;
    expect::holds(undelegated, pattern)?;
    // SAFETY: the pool gave the granule out.
    unsafe { expect::protected(delegated) }?;
    must_undelegate(delegated)
}

pub(crate) fn out_of_range(host: &Host) -> Outcome {
    let start = host.machine.dram().map(|range| range.start()).min();
    let end = host.machine.dram().map(|range| range.end()).max();
    let (Some(start), Some(end)) = (start, end) else {
        return fail!("the device tree lists no memory");
    };
    must_refuse(0, "the first address")?;
    if let Some(below) = start.checked_sub(GRANULE) {
        must_refuse(below, "right below memory")?;
    }
    must_refuse(end, "right behind memory")?;
    must_refuse(end.next_power_of_two() * 2, "far behind memory")?;
    for bit in 40..64 {
        if 1 << bit >= end {
            must_refuse(1 << bit, "one bit")?;
        }
    }
    must_refuse(1 << 52 | start, "memory beyond 52 bits")?;
    must_refuse(u64::MAX, "all ones")?;
    must_refuse(!(GRANULE - 1), "the last granule")?;
    must_refuse(1 << 63, "negative")
}

pub(crate) fn high_bits(host: &Host) -> Outcome {
    let (undelegated, delegated) = (host.granule()?, host.granule()?);
    expect::fill(undelegated, pattern)?;
    must_delegate(delegated)?;
    for bit in 48..64 {
        must_refuse(undelegated | 1 << bit, "high bit")?;
        must_refuse(delegated | 1 << bit, "high bit")?;
    }
    expect::holds(undelegated, pattern)?;
    // SAFETY: the pool gave the granule out.
    unsafe { expect::protected(delegated) }?;
    must_undelegate(delegated)
}

pub(crate) fn other_worlds(host: &Host) -> Outcome {
    for carve_out in CarveOut::ALL {
        let range = expect::carve_out(host, carve_out)?.whole_granules();
        let middle = range.start() + range.size() / 2;
        for address in [range.start(), middle & !(GRANULE - 1), range.last_granule()] {
            must_refuse(address, carve_out.name())?;
            // SAFETY: it belongs to another world.
            unsafe { expect::protected(address) }?;
        }
    }
    Ok(())
}

pub(crate) fn devices(host: &Host) -> Outcome {
    for device in &host.machine.devices {
        must_refuse(device & !(GRANULE - 1), "device")?;
    }
    if host.machine.devices.is_empty() {
        return fail!("the device tree lists no device");
    }
    Ok(())
}

pub(crate) fn ends_of_memory(host: &Host) -> Outcome {
    for range in &host.free {
        for granule in [range.start(), range.last_granule()] {
            must_delegate(granule)?;
            // SAFETY: nobody uses free memory, and the pool does not give out its ends.
            unsafe { expect::protected(granule) }?;
            must_undelegate(granule)?;
            expect::holds(granule, |_| 0)?;
        }
    }
    Ok(())
}

pub(crate) fn failure_changes_nothing(host: &Host) -> Outcome {
    let first = host.granules(3)?;
    let [undelegated, delegated, neighbour] = [0, 1, 2].map(|index| first + index * GRANULE);
    expect::fill(undelegated, pattern)?;
    expect::fill(neighbour, pattern)?;
    must_delegate(delegated)?;
    for _ in 0..10 {
        ensure_word!(undelegate(undelegated)?, ERROR_INPUT, "undelegate");
        ensure_word!(delegate(delegated)?, ERROR_INPUT, "second delegate");
    }
    expect::holds(undelegated, pattern)?;
    expect::holds(neighbour, pattern)?;
    // SAFETY: the pool gave the granule out.
    unsafe { expect::protected(delegated) }?;
    must_undelegate(delegated)?;
    expect::accessible(undelegated)
}

pub(crate) fn vector_hint(host: &Host) -> Outcome {
    let granule = host.granule()?;
    let hinted = |function| rmi::command_without_output(function | SVE_HINT, &[granule]);
    ensure_word!(hinted(fid::GRANULE_DELEGATE)?, SUCCESS, "hinted delegate");
    // SAFETY: the pool gave the granule out.
    unsafe { expect::protected(granule) }?;
    ensure_word!(
        hinted(fid::GRANULE_DELEGATE)?,
        ERROR_INPUT,
        "second hinted delegate"
    );
    ensure_word!(
        hinted(fid::GRANULE_UNDELEGATE)?,
        SUCCESS,
        "hinted undelegate"
    );
    expect::holds(granule, |_| 0)
}

pub(crate) fn from_cpu_to_cpu(host: &Host) -> Outcome {
    let count = host.cpus.count();
    let granule = host.granule()?;
    for giver in 0..count {
        for taker in 0..count {
            host.cpus.check(count, &|cpu| match cpu {
                cpu if cpu == giver => must_delegate(granule),
                _ => Ok(()),
            })?;
            host.cpus.check(count, &|cpu| match cpu {
                cpu if cpu == taker => must_undelegate(granule),
                _ => Ok(()),
            })?;
            expect::holds(granule, |_| 0)?;
            expect::fill(granule, pattern)?;
        }
    }
    Ok(())
}
