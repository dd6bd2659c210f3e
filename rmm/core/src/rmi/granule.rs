//! `RMI_GRANULE_DELEGATE` and `RMI_GRANULE_UNDELEGATE` (DEN0137 section B4.3).

use crate::Machine;
use crate::context::{Context, Outcome};
use crate::error::Error;
use crate::granule::{Delegated, Undelegated};

/// Moves a granule of the host to the Realm world.
pub(crate) fn delegate<M: Machine>(
    context: &Context<'_, M>,
    address: u64,
) -> Result<Outcome, Error> {
    let granule = context.lock::<Undelegated>(address)?;
    drop(granule.delegate(context.machine)?);
    Ok(Outcome::SUCCESS)
}

/// Moves a granule that is not in use back to the host, wiped.
pub(crate) fn undelegate<M: Machine>(
    context: &Context<'_, M>,
    address: u64,
) -> Result<Outcome, Error> {
    let granule = context.lock::<Delegated>(address)?;
    drop(granule.wipe(context.machine).undelegate(context.machine)?);
    Ok(Outcome::SUCCESS)
}
