//! `RMI_DATA_CREATE`, `RMI_DATA_CREATE_UNKNOWN`, `RMI_DATA_DESTROY` (DEN0137 section B4.3).

use rmm_abi::rmi::{DATA_MEASURE, ReturnCode, Ripas};

use super::{host_granule, is_aligned, realm_of, require, walk_error};
use crate::Machine;
use crate::context::{Context, Outcome};
use crate::error::Error;
use crate::granule::{Data, Delegated};
use crate::measurement::{Addition, Measurement};
use crate::realm::{Descriptor, RealmState};
use crate::rtt::{Entry, Invalidation, PAGE_LEVEL, walk, walk_in_locked_realm};

/// Gives a Realm that is being built a page with content from the host.
pub(crate) fn create<M: Machine>(
    context: &Context<'_, M>,
    [rd, data, ipa, source, flags]: [u64; 5],
) -> Result<Outcome, Error> {
    require(flags & !DATA_MEASURE == 0)?;
    require(is_aligned(ipa, PAGE_LEVEL))?;
    // No granule is in two states, and the second lock would wait for the first.
    require(data != rd)?;
    let source = host_granule(context, source)?;
    let data = context.lock::<Delegated>(data)?;
    let (rd, stage2) = realm_of(context, rd)?;
    require(stage2.is_protected(ipa))?;
    let words = context.machine.map(&rd);
    let realm = Descriptor::new(&words);
    if realm.state() != RealmState::New {
        return Err(Error::Reply(ReturnCode::ERROR_REALM));
    }
    // The descriptor stays locked: its RIM is about to change.
    let mut walk = walk_in_locked_realm(context, &rd, stage2, ipa, PAGE_LEVEL)?;
    if walk.level != PAGE_LEVEL || !matches!(walk.entry, Entry::Unassigned(_)) {
        return Err(walk_error(walk.level));
    }
    context
        .machine
        .copy_from_host(source, &data)
        .map_err(|_| Error::Reply(ReturnCode::ERROR_INPUT))?;

    // Nothing can fail from here on. What is measured is the copy, which the host cannot reach.
    let algorithm = realm.hash_algorithm();
    let measured = if flags & DATA_MEASURE != 0 {
        Measurement::of(context.machine, algorithm, &*context.machine.map(&data))
    } else {
        Measurement::ZERO
    };
    let addition = Addition::Data {
        ipa,
        flags,
        content: measured,
    };
    realm.set_rim(&realm.rim().extended(context.machine, algorithm, &addition));
    let data = data.into_filled_data();
    context.machine.clean_for_fetches(&data);
    // The bytes are there before the entry is.
    context.machine.publish_tables();
    walk.write(context.machine, Entry::Assigned(data.address(), Ripas::Ram));
    context.machine.publish_tables();
    Ok(Outcome::SUCCESS)
}

/// Gives a Realm a page whose content it cannot rely on: zeroes.
pub(crate) fn create_unknown<M: Machine>(
    context: &Context<'_, M>,
    rd: u64,
    data: u64,
    ipa: u64,
) -> Result<Outcome, Error> {
    require(is_aligned(ipa, PAGE_LEVEL))?;
    require(data != rd)?;
    let data = context.lock::<Delegated>(data)?;
    let (rd, stage2) = realm_of(context, rd)?;
    require(stage2.is_protected(ipa))?;
    let mut walk = walk(context, rd, stage2, ipa, PAGE_LEVEL)?;
    let (PAGE_LEVEL, Entry::Unassigned(ripas)) = (walk.level, walk.entry) else {
        return Err(walk_error(walk.level));
    };
    let data = data.wipe(context.machine).put_to_use::<Data>();
    // The zeroes are there before the entry is, or a running Realm could see what was before them.
    context.machine.publish_tables();
    walk.write(context.machine, Entry::Assigned(data.address(), ripas));
    context.machine.publish_tables();
    Ok(Outcome::SUCCESS)
}

/// Takes a page from a Realm.
pub(crate) fn destroy<M: Machine>(
    context: &Context<'_, M>,
    rd: u64,
    ipa: u64,
) -> Result<Outcome, Error> {
    require(is_aligned(ipa, PAGE_LEVEL))?;
    let (rd, stage2) = realm_of(context, rd)?;
    require(stage2.is_protected(ipa))?;
    let mut walk = walk(context, rd, stage2, ipa, PAGE_LEVEL)?;
    let (PAGE_LEVEL, Entry::Assigned(address, ripas)) = (walk.level, walk.entry) else {
        let top = walk.top(context.machine, ipa);
        return Ok(Outcome {
            code: ReturnCode::error_rtt(walk.level),
            outputs: [0, top, 0],
            ripas: Ripas::Empty,
        });
    };
    let data = context.lock_known::<Data>(address)?;
    let after = if ripas == Ripas::Ram {
        Ripas::Destroyed
    } else {
        ripas
    };
    let was_valid = walk.entry.is_valid_leaf();
    walk.write(context.machine, Entry::Unassigned(after));
    if was_valid {
        context.machine.invalidate(&Invalidation::Entry {
            vmid: stage2.vmid,
            ipa,
        });
    }
    drop(data.release());
    let top = walk.top(context.machine, ipa);
    Ok(Outcome::with_outputs([address.get(), top, 0]))
}
