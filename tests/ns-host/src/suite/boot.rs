//! What follows from the boot manifest: which memory the RMM tracks.

#![allow(unsafe_code)]

use arrayvec::ArrayVec;

use crate::memory::{GRANULE, Range};
use crate::outcome::{Outcome, ensure};
use crate::rmi::{must_delegate, must_refuse, must_undelegate};
use crate::suite::{Host, expect};

/// The banks of the manifest: those of the command line, or all memory of the machine.
fn banks(host: &Host) -> ArrayVec<Range, 64> {
    match host.arguments.banks() {
        Some(banks) => banks.map(|(base, size)| Range::new(base, size)).collect(),
        None => host.machine.dram().collect(),
    }
}

/// What is in a bank and in memory can be delegated, everything else is refused: at the ends of
/// all banks and of all memory, on both sides.
pub(crate) fn tracked_memory(host: &Host) -> Outcome {
    let banks = banks(host);
    let mut delegated = 0;
    for range in banks.iter().chain(&host.free) {
        let before = range.start().checked_sub(GRANULE);
        let inside = [range.start(), range.last_granule()];
        for granule in inside.into_iter().chain(before).chain([range.end()]) {
            delegated += usize::from(check(host, &banks, granule)?);
        }
    }
    ensure!(
        delegated > 0 || banks.is_empty(),
        "no granule of any bank could be tried"
    );
    Ok(())
}

/// Tries a granule. Whether it could be delegated.
fn check(host: &Host, banks: &[Range], granule: u64) -> Outcome<bool> {
    let is_in = |ranges: &[Range]| ranges.iter().any(|range| range.contains(granule));
    let in_memory = host.machine.dram().any(|range| range.contains(granule));
    let carve_outs = &host.machine.carve_outs;
    let in_carve_out = carve_outs.iter().any(|(_, range)| range.contains(granule));
    if is_in(banks) && is_in(&host.free) {
        must_delegate(granule)?;
        // SAFETY: nobody uses free memory.
        unsafe { expect::protected(granule) }?;
        must_undelegate(granule)?;
        expect::holds(granule, |_| 0)?;
        return Ok(true);
    }
    if !is_in(banks) {
        must_refuse(granule, "in no bank")?;
    } else if in_carve_out || !in_memory {
        must_refuse(granule, "no memory of the host")?;
    }
    // What is left is this program's own.
    Ok(false)
}
