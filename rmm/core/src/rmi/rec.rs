//! `RMI_REC_CREATE` and `RMI_REC_DESTROY` (DEN0137 section B4.3).

use rmm_abi::rmi::{MAX_REC_AUX, REC_RUNNABLE, RecParams, ReturnCode};
use zerocopy::{FromBytes, IntoBytes};

use crate::Machine;
use crate::context::{Context, Outcome};
use crate::error::{Error, Fatal};
use crate::features::MAX_RECS;
use crate::granule::{Delegated, GranuleAddress, GranuleError, Locked, Rd, Rec, RecAux};
use crate::measurement::{Addition, Measurement};
use crate::realm::{self, RealmState};
use crate::rec::{AUX_GRANULES, Descriptor, TokenState, index_of_mpidr};
use crate::rmi::host_page;

/// The REC's own granule and its auxiliary ones.
const GRANULES: usize = 1 + AUX_GRANULES;

/// Makes a REC from delegated granules.
pub(crate) fn create<M: Machine>(
    context: &Context<'_, M>,
    rd: u64,
    rec: u64,
    params: u64,
) -> Result<Outcome, Error> {
    let page = host_page(context, params)?;
    let params =
        RecParams::ref_from_bytes(page.as_bytes()).map_err(|_| GranuleError::Misaligned)?;
    if params.num_aux > MAX_REC_AUX as u64 {
        return Err(Error::Reply(ReturnCode::ERROR_INPUT));
    }
    let wrong_count = params.num_aux != AUX_GRANULES as u64;
    // No granule is in two states, and the second lock would wait for the first.
    if rd == rec || params.aux[..AUX_GRANULES].contains(&rd) {
        return Err(Error::Reply(ReturnCode::ERROR_INPUT));
    }
    let granules = if wrong_count {
        None
    } else {
        Some(lock_granules(context, rec, params)?)
    };

    let rd = context.lock::<Rd>(rd)?;
    let words = context.machine.map(&rd);
    let realm = realm::Descriptor::new(&words);
    if realm.recs() >= MAX_RECS || realm.state() != RealmState::New {
        return Err(Error::Reply(ReturnCode::ERROR_REALM));
    }
    let Some((rec, aux_granules)) = granules else {
        return Err(Error::Reply(ReturnCode::ERROR_INPUT));
    };
    if index_of_mpidr(params.mpidr) != realm.next_rec_index() {
        return Err(Error::Reply(ReturnCode::ERROR_INPUT));
    }

    // Nothing can fail from here on.
    if params.flags & REC_RUNNABLE != 0 {
        let algorithm = realm.hash_algorithm();
        let measured = parameters_measurement(context.machine, algorithm, params);
        let rim = realm.rim().extended(
            context.machine,
            algorithm,
            &Addition::Rec { content: measured },
        );
        realm.set_rim(&rim);
    }
    let mut aux = [0; AUX_GRANULES];
    aux.copy_from_slice(&params.aux[..AUX_GRANULES]);
    for granule in aux_granules.into_iter().flatten() {
        drop(granule.wipe(context.machine).put_to_use::<RecAux>());
    }
    let rec = rec.wipe(context.machine).put_to_use::<Rec>();
    Descriptor::new(&context.machine.map(&rec)).initialise(rd.address(), realm, params, &aux);
    realm.add_rec();
    Ok(Outcome::SUCCESS)
}

type AuxGranules<'t> = [Option<Locked<'t, Delegated>>; GRANULES];

/// Locks the REC's granules in ascending order of their addresses.
fn lock_granules<'t, M: Machine>(
    context: &'t Context<'_, M>,
    rec: u64,
    params: &RecParams,
) -> Result<(Locked<'t, Delegated>, AuxGranules<'t>), GranuleError> {
    let mut addresses = [rec; GRANULES];
    addresses[1..].copy_from_slice(&params.aux[..AUX_GRANULES]);
    addresses.sort_unstable();
    if addresses.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(GranuleError::WrongState);
    }
    let mut own = None;
    let mut aux: AuxGranules<'t> = [const { None }; GRANULES];
    for (address, slot) in addresses.into_iter().zip(&mut aux) {
        let granule = context.lock(address)?;
        if address == rec {
            own = Some(granule);
        } else {
            *slot = Some(granule);
        }
    }
    Ok((own.ok_or(GranuleError::WrongState)?, aux))
}

/// A parameter structure with nothing but the measured fields (reference, section 9.4).
fn parameters_measurement<M: Machine>(
    machine: &M,
    algorithm: rmm_abi::rmi::HashAlgorithm,
    params: &RecParams,
) -> Measurement {
    const PC: usize = 0x200 / 8;
    const GPRS: usize = 0x300 / 8;
    let mut fields = [(0, params.flags); 10];
    fields[1] = (PC, params.pc);
    for (number, value) in params.gprs.into_iter().enumerate() {
        fields[2 + number] = (GPRS + number, value);
    }
    Measurement::of_parameters(machine, algorithm, &fields)
}

/// Takes a REC apart that no CPU runs.
pub(crate) fn destroy<M: Machine>(context: &Context<'_, M>, rec: u64) -> Result<Outcome, Error> {
    let rec = context.lock::<Rec>(rec)?;
    if rec.is_running() {
        return Err(Error::Reply(ReturnCode::ERROR_REC));
    }
    let broken = Fatal::BrokenRec {
        granule: rec.address(),
    };
    let (owner, aux, token) = {
        let words = context.machine.map(&rec);
        let descriptor = Descriptor::new(&words);
        let owner = descriptor.owner().ok_or(broken)?;
        (owner, descriptor.aux(), descriptor.token_state())
    };
    // Before any of its granules can be put to another use: whoever does that finds the REC gone.
    realm::Descriptor::new(&context.machine.map_owner(&rec, owner)).remove_rec();
    for address in aux {
        let address = GranuleAddress::new(address).ok_or(broken)?;
        let granule = context.lock_known::<RecAux>(address)?.release();
        // A signature in the making is not left lying about, even where nobody can read it.
        if token == TokenState::PutAside {
            context.machine.wipe(&granule);
        }
    }
    drop(rec.release());
    Ok(Outcome::SUCCESS)
}
