//! What makes a REC come out, and what the host is told then.

mod counters;
mod emulation;
mod fetch;
mod interrupt;
mod protected;
mod timer;
mod unprotected;
mod virtual_interrupts;
mod wait;

pub(crate) use counters::overflow;
pub(crate) use emulation::{reads, refused_by_the_host, without_syndrome, writes};
pub(crate) use fetch::fetches;
pub(crate) use interrupt::{host_timer, masked_by_priority, sgi_registers};
pub(crate) use protected::{above_the_space, destroyed, empty, not_mapped, tables_of_the_realm};
pub(crate) use timer::{physical_timer, timers_are_told, virtual_timer};
pub(crate) use unprotected::{mapped, read_only, taken_away};
pub(crate) use virtual_interrupts::{
    delivered, end_without_list_register, maintenance, priorities,
};
pub(crate) use wait::{untrapped, wfe, wfi, with_timeout};

use crate::outcome::{Outcome, ensure};
use crate::realm::{Exception, Exit, Report};

/// The exit must be that, in every bit.
fn expect(what: &str, report: &Report, expected: Exit) -> Outcome {
    ensure!(
        report.exit == expected,
        "exit of {what}: {:x?} instead of {expected:x?}",
        report.exit
    );
    Ok(())
}

/// Exception classes of the Realm's own level.
const FETCH_ABORT: u64 = 0x21;
const DATA_ABORT: u64 = 0x25;

/// The Realm must have taken a synchronous external abort of this class for this address.
fn is_external_abort(what: &str, taken: &Exception, class: u64, address: u64) -> Outcome {
    /// External abort, not on a table walk.
    const STATUS: u64 = 0x10;
    const VALID_ADDRESS: u64 = 0;
    /// IL, `FnV`, EA, S1PTW and the status; the others describe the access.
    const TOLD: u64 = 0x3f << 26 | 1 << 25 | 1 << 10 | 1 << 9 | 1 << 7 | 0x3f;
    let expected = class << 26 | 1 << 25 | VALID_ADDRESS << 10 | 1 << 9 | STATUS;
    ensure!(
        taken.esr & TOLD == expected && taken.far == address && taken.is_from_the_same_level(),
        "{what}: expected an external abort (ESR {expected:#x}) for {address:#x}, the Realm took {taken:x?}"
    );
    Ok(())
}
