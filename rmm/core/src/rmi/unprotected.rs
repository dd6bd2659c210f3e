//! `RMI_RTT_MAP_UNPROTECTED` and `RMI_RTT_UNMAP_UNPROTECTED` (DEN0137 section B4.3).

use rmm_abi::rmi::{ReturnCode, Ripas};

use super::{is_aligned, realm_of, require, walk_error};
use crate::Machine;
use crate::context::{Context, Outcome};
use crate::error::Error;
use crate::rtt::{Entry, Invalidation, NonSecureMapping, walk};

/// Highest level at which memory can be mapped by a block.
const BLOCK_LEVEL: i8 = 1;

/// Lets a Realm reach memory of the host. The physical address is not checked: the granule
/// protection check is what protects it.
pub(crate) fn map<M: Machine>(
    context: &Context<'_, M>,
    [rd, ipa, level, descriptor]: [u64; 4],
) -> Result<Outcome, Error> {
    let (rd, stage2) = realm_of(context, rd)?;
    let level = stage2
        .level(level, BLOCK_LEVEL)
        .ok_or(Error::Reply(ReturnCode::ERROR_INPUT))?;
    let mapping = NonSecureMapping::new(descriptor, level, stage2.lpa2)
        .ok_or(Error::Reply(ReturnCode::ERROR_INPUT))?;
    require(is_aligned(ipa, level))?;
    require(stage2.contains(ipa) && !stage2.is_protected(ipa))?;
    let mut walk = walk(context, rd, stage2, ipa, level)?;
    if walk.level != level || walk.entry != Entry::UnassignedNonSecure {
        return Err(walk_error(walk.level));
    }
    walk.write(context.machine, Entry::AssignedNonSecure(mapping));
    context.machine.publish_tables();
    Ok(Outcome::SUCCESS)
}

/// Ends that.
pub(crate) fn unmap<M: Machine>(
    context: &Context<'_, M>,
    rd: u64,
    ipa: u64,
    level: u64,
) -> Result<Outcome, Error> {
    let (rd, stage2) = realm_of(context, rd)?;
    let level = stage2
        .level(level, BLOCK_LEVEL)
        .ok_or(Error::Reply(ReturnCode::ERROR_INPUT))?;
    require(is_aligned(ipa, level))?;
    require(stage2.contains(ipa) && !stage2.is_protected(ipa))?;
    let mut walk = walk(context, rd, stage2, ipa, level)?;
    let code = if walk.level == level && matches!(walk.entry, Entry::AssignedNonSecure(_)) {
        walk.write(context.machine, Entry::UnassignedNonSecure);
        context.machine.invalidate(&Invalidation::Entry {
            vmid: stage2.vmid,
            ipa,
        });
        ReturnCode::SUCCESS
    } else {
        ReturnCode::error_rtt(walk.level)
    };
    let top = walk.top(context.machine, ipa);
    Ok(Outcome {
        code,
        outputs: [top, 0, 0],
        ripas: Ripas::Empty,
    })
}
