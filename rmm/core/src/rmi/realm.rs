//! `RMI_REALM_CREATE`, `RMI_REALM_ACTIVATE`, `RMI_REALM_DESTROY`, `RMI_REC_AUX_COUNT` (DEN0137
//! section B4.3).

use core::sync::atomic::Ordering;

use rmm_abi::GRANULE_SIZE;
use rmm_abi::rmi::{RealmParams, ReturnCode};
use rmm_abi::statistics::EventKind;
use zerocopy::{FromBytes, IntoBytes};

use crate::Machine;
use crate::context::{Context, Outcome};
use crate::error::{Error, Fatal};
use crate::granule::{Delegated, GranuleAddress, GranuleError, Locked, Rd, Rtt};
use crate::measurement::Measurement;
use crate::realm::{Descriptor, Parameters, RealmState, read_parameters};
use crate::rec;
use crate::rmi::host_page;
use crate::rtt::{ENTRIES, Entry, Invalidation, Stage2};

/// Start-level tables that a Realm may have.
const MAX_START_TABLES: usize = 16;

/// Makes a Realm from delegated granules.
pub(crate) fn create<M: Machine>(
    context: &Context<'_, M>,
    rd: u64,
    params: u64,
) -> Result<Outcome, Error> {
    let page = host_page(context, params)?;
    let params =
        RealmParams::ref_from_bytes(page.as_bytes()).map_err(|_| GranuleError::Misaligned)?;
    let parameters = read_parameters(params, context.rmm.features, context.rmm.vmid_bits)
        .ok_or(Error::Reply(ReturnCode::ERROR_INPUT))?;

    // Granules of the same state are locked in ascending order: the descriptor is below the
    // tables or above them.
    let stage2 = &parameters.stage2;
    let tables_end = stage2
        .base
        .get()
        .checked_add(u64::from(stage2.start_tables) * GRANULE_SIZE as u64);
    let Some(tables_end) = tables_end else {
        return Err(GranuleError::NotTracked.into());
    };
    if (stage2.base.get()..tables_end).contains(&rd) {
        return Err(GranuleError::WrongState.into());
    }
    let (descriptor, tables);
    if rd < stage2.base.get() {
        descriptor = context.lock::<Delegated>(rd)?;
        tables = lock_start_tables(context, stage2)?;
    } else {
        tables = lock_start_tables(context, stage2)?;
        descriptor = context.lock::<Delegated>(rd)?;
    }
    if !context.rmm.vmids.take(stage2.vmid) {
        return Err(Error::Reply(ReturnCode::ERROR_INPUT));
    }

    // Nothing can fail from here on.
    for (number, table) in tables.into_iter().flatten().enumerate() {
        let table = table.wipe(context.machine).put_to_use::<Rtt>();
        initialise_start_table(context, stage2, &table, number);
    }
    let rim = initial_measurement(context.machine, params, &parameters);
    let descriptor = descriptor.wipe(context.machine).put_to_use::<Rd>();
    Descriptor::new(&context.machine.map(&descriptor)).initialise(&parameters, &rim);
    context.machine.publish_tables();
    note(context, EventKind::RealmCreated, rd);
    Ok(Outcome::SUCCESS)
}

type StartTables<'t> = [Option<Locked<'t, Delegated>>; MAX_START_TABLES];

fn lock_start_tables<'t, M: Machine>(
    context: &'t Context<'_, M>,
    stage2: &Stage2,
) -> Result<StartTables<'t>, GranuleError> {
    let mut tables: StartTables<'t> = [const { None }; MAX_START_TABLES];
    for (number, table) in (0_u64..stage2.start_tables.into()).zip(&mut tables) {
        *table = Some(context.lock(stage2.base.get() + number * GRANULE_SIZE as u64)?);
    }
    Ok(tables)
}

/// The lower half of what the IPA space reaches is protected and, in a wiped table, unassigned
/// and empty already. The upper half is unprotected.
fn initialise_start_table<M: Machine>(
    context: &Context<'_, M>,
    stage2: &Stage2,
    table: &Locked<'_, Rtt>,
    number: usize,
) {
    let used = stage2.start_entries();
    let unprotected = Entry::UnassignedNonSecure.encode(stage2.start_level, stage2.lpa2);
    let words = context.machine.map(table);
    for (index, word) in words.iter().enumerate() {
        let entry = number * ENTRIES + index;
        if (used / 2..used).contains(&entry) {
            word.store(unprotected, Ordering::Relaxed);
        }
    }
}

/// The first RIM: a parameter structure with nothing but the measured fields (reference, section
/// 9.2).
fn initial_measurement<M: Machine>(
    machine: &M,
    params: &RealmParams,
    parameters: &Parameters,
) -> Measurement {
    let fields = [
        (0, params.flags),
        (1, params.s2sz.into()),
        (2, params.sve_vl.into()),
        (3, params.num_bps.into()),
        (4, params.num_wps.into()),
        (5, params.pmu_num_ctrs.into()),
        (6, params.hash_algo.into()),
    ];
    Measurement::of_parameters(machine, parameters.hash_algorithm, &fields)
}

/// Ends the building of a Realm.
pub(crate) fn activate<M: Machine>(context: &Context<'_, M>, rd: u64) -> Result<Outcome, Error> {
    let rd = context.lock::<Rd>(rd)?;
    let words = context.machine.map(&rd);
    let realm = Descriptor::new(&words);
    if realm.state() != RealmState::New {
        return Err(Error::Reply(ReturnCode::ERROR_REALM));
    }
    // A granule may have held another Realm's code: the first instructions must be the measured
    // ones, not what a CPU remembers of that code.
    context.machine.forget_instructions();
    realm.set_state(RealmState::Active);
    Ok(Outcome::SUCCESS)
}

/// Takes a Realm apart that has no RECs, memory or tables left.
pub(crate) fn destroy<M: Machine>(context: &Context<'_, M>, rd: u64) -> Result<Outcome, Error> {
    let rd = context.lock::<Rd>(rd)?;
    let (stage2, recs) = {
        let words = context.machine.map(&rd);
        let realm = Descriptor::new(&words);
        let broken = Fatal::BrokenRealm {
            granule: rd.address(),
        };
        (realm.stage2().ok_or(broken)?, realm.recs())
    };
    if recs != 0 {
        return Err(Error::Reply(ReturnCode::ERROR_REALM));
    }
    let mut tables: [Option<Locked<'_, Rtt>>; MAX_START_TABLES] =
        [const { None }; MAX_START_TABLES];
    for (number, slot) in (0_u64..stage2.start_tables.into()).zip(&mut tables) {
        let address = GranuleAddress::new(stage2.base.get() + number * GRANULE_SIZE as u64).ok_or(
            Fatal::BrokenRealm {
                granule: rd.address(),
            },
        )?;
        let table = context.lock_known::<Rtt>(address)?;
        if table.live() != 0 {
            return Err(Error::Reply(ReturnCode::ERROR_REALM));
        }
        *slot = Some(table);
    }
    // The host's memory may still be mapped in the start tables, and the VMID is about to be
    // somebody else's.
    context
        .machine
        .invalidate(&Invalidation::Realm { vmid: stage2.vmid });
    // Before the granules can be put to another use: whoever does that finds the VMID free.
    context.rmm.vmids.give_back(stage2.vmid);
    for table in tables.into_iter().flatten() {
        drop(table.release());
    }
    note(context, EventKind::RealmDestroyed, rd.address().get());
    drop(rd.release());
    Ok(Outcome::SUCCESS)
}

#[inline]
fn note<M: Machine>(context: &Context<'_, M>, kind: EventKind, rd: u64) {
    let machine = context.machine;
    machine.statistics().note_realm(kind, machine.time(), rd);
}

/// Auxiliary granules that each REC of a Realm needs.
pub(crate) fn rec_aux_count<M: Machine>(
    context: &Context<'_, M>,
    rd: u64,
) -> Result<Outcome, Error> {
    drop(context.lock::<Rd>(rd)?);
    Ok(Outcome::with_outputs([rec::AUX_GRANULES as u64, 0, 0]))
}
