//! `RMI_PSCI_COMPLETE` (DEN0137 section B4.3).

use rmm_abi::smc::{self, psci};

use super::require;
use crate::Machine;
use crate::context::{Context, Outcome};
use crate::error::Error;
use crate::granule::{Locked, Rec};
use crate::rec::layout::SystemRegister;
use crate::rec::{Descriptor, Flag, index_of_mpidr, index_of_mpidr_el1};

/// Completes a call of PSCI that named another REC: the host says which one that is, and whether
/// it goes along.
pub(crate) fn complete<M: Machine>(
    context: &Context<'_, M>,
    calling: u64,
    target: u64,
    status: u64,
) -> Result<Outcome, Error> {
    require(calling != target)?;
    let (calling, target) = lock_both(context, calling, target)?;
    // A REC that runs has no request pending that the host could know of.
    require(!calling.is_running())?;
    let calling_words = context.machine.map(&calling);
    let caller = Descriptor::new(&calling_words);
    require(caller.flag(Flag::PsciPending))?;

    // What a REC that runs is doing is its own; that it runs means that it is on.
    let target_words = (!target.is_running()).then(|| context.machine.map(&target));
    let at_rest = target_words.as_deref().map(Descriptor::new);
    let (owner, mpidr, is_on) = if let Some(rec) = at_rest {
        (rec.owner(), rec.mpidr(), rec.flag(Flag::Runnable))
    } else {
        // These two never change.
        let words = context.machine.map_constant(&target);
        let rec = Descriptor::new(&words);
        (rec.owner(), rec.mpidr(), true)
    };
    require(owner == caller.owner())?;
    require(index_of_mpidr_el1(caller.general(1)) == Some(index_of_mpidr(mpidr)))?;

    let function = smc::function_identifier(caller.general(0));
    let is_switch_on = matches!(function, psci::CPU_ON | psci::CPU_ON_32);
    let answer = match (status.cast_signed(), is_switch_on) {
        (psci::SUCCESS, true) if is_on => psci::ALREADY_ON,
        (psci::SUCCESS, true) => {
            if let Some(rec) = at_rest {
                switch_on(rec, caller);
            }
            psci::SUCCESS
        }
        (psci::SUCCESS, false) if is_on => psci::SUCCESS,
        (psci::SUCCESS, false) => psci::AFFINITY_OFF,
        (psci::DENIED, true) if !is_on => psci::DENIED,
        _ => return Err(Error::Reply(rmm_abi::rmi::ReturnCode::ERROR_INPUT)),
    };
    caller.set_flag(Flag::PsciPending, false);
    caller.set_general(0, answer.cast_unsigned());
    for number in 1..=3 {
        caller.set_general(number, 0);
    }
    Ok(Outcome::SUCCESS)
}

/// Locks two RECs in ascending order of their addresses.
fn lock_both<'t, M: Machine>(
    context: &'t Context<'_, M>,
    calling: u64,
    target: u64,
) -> Result<(Locked<'t, Rec>, Locked<'t, Rec>), Error> {
    if calling < target {
        let calling = context.lock(calling)?;
        Ok((calling, context.lock(target)?))
    } else {
        let target = context.lock(target)?;
        Ok((context.lock(calling)?, target))
    }
}

/// The target starts as the caller said, in the byte order of the caller.
fn switch_on(target: Descriptor<'_>, caller: Descriptor<'_>) {
    const BIG_ENDIAN: u64 = 1 << 25;
    target.reset(caller.general(2));
    target.set_general(0, caller.general(3));
    for number in 1..31 {
        target.set_general(number, 0);
    }
    let control = SystemRegister::SCTLR_EL1.word();
    target.set(
        control,
        target.get(control) | caller.get(control) & BIG_ENDIAN,
    );
    target.set_flag(Flag::Runnable, true);
}
