//! The commands of the RMI, a file per family (DEN0137 section B4.3).
//!
//! Checks come in the same order everywhere: registers by themselves; granules that the host
//! names; addresses that depend on the Realm; structures in the host's memory; state of Realm or
//! REC; the walk; the entry (reference, section 3.0). Each file says where it must differ.

pub(crate) mod data;
pub(crate) mod features;
pub(crate) mod granule;
pub(crate) mod psci;
pub(crate) mod realm;
pub(crate) mod rec;
pub(crate) mod ripas;
pub(crate) mod rtt;
pub(crate) mod run;
pub(crate) mod unprotected;
pub(crate) mod version;

use rmm_abi::rmi::ReturnCode;

use crate::Machine;
use crate::context::Context;
use crate::error::{Error, Fatal};
use crate::granule::{GranuleAddress, GranuleError, Locked, Rd, Undelegated};
use crate::machine::WORDS_PER_GRANULE;
use crate::realm::Descriptor;
use crate::rtt::Stage2;

/// The host's granule at an address: tracked, and not in the Realm world as far as the RMM knows.
/// The host may change that at any time, so every access to it can still fault.
fn host_granule<M: Machine>(
    context: &Context<'_, M>,
    address: u64,
) -> Result<GranuleAddress, GranuleError> {
    context
        .lock::<Undelegated>(address)
        .map(|granule| granule.address())
}

/// A private copy of a structure in the host's memory, read once.
fn host_page<M: Machine>(
    context: &Context<'_, M>,
    address: u64,
) -> Result<[u64; WORDS_PER_GRANULE], Error> {
    let source = host_granule(context, address)?;
    let mut page = [0; WORDS_PER_GRANULE];
    context
        .machine
        .read_host(source, &mut page)
        .map_err(|_| Error::Reply(ReturnCode::ERROR_INPUT))?;
    Ok(page)
}

/// The locked descriptor of a Realm and how the Realm's addresses are translated.
#[expect(
    clippy::inline_always,
    reason = "measured: it begins almost every command"
)]
#[inline(always)]
fn realm_of<'t, M: Machine>(
    context: &'t Context<'_, M>,
    rd: u64,
) -> Result<(Locked<'t, Rd>, Stage2), Error> {
    let rd = context.lock::<Rd>(rd)?;
    let stage2 = Descriptor::new(&context.machine.map(&rd))
        .stage2()
        .ok_or(Fatal::BrokenRealm {
            granule: rd.address(),
        })?;
    Ok((rd, stage2))
}

/// Whether an address is a multiple of what an entry of a level translates.
pub(crate) const fn is_aligned(address: u64, level: i8) -> bool {
    address & (Stage2::entry_size(level) - 1) == 0
}

/// The code for unacceptable input, unless a condition holds.
fn require(condition: bool) -> Result<(), Error> {
    if condition {
        Ok(())
    } else {
        Err(Error::Reply(ReturnCode::ERROR_INPUT))
    }
}

/// The code for a walk that ended at a level where it should not have.
fn walk_error(level: i8) -> Error {
    Error::Reply(ReturnCode::error_rtt(level))
}
