//! `RMI_REC_ENTER` (DEN0137 section B4.3).

use core::cell::Cell;

use rmm_abi::rmi::run::enter_flags;
use rmm_abi::rmi::{ReturnCode, StatusCode};

use super::host_granule;
use crate::Machine;
use crate::context::{Context, Outcome};
use crate::error::{Error, Fatal};
use crate::exit::{self, Exit};
use crate::granule::{GranuleAddress, Rec, Running};
use crate::machine::{Configuration, DebugRegisters, Departure};
use crate::realm::{self, RealmState};
use crate::rec::{self, Flag, index_of_mpidr, layout, mpidr_el1};
use crate::run::entry::Entry;
use crate::session::Session;
use crate::syndrome::SYNDROME_VALID;

/// Index of the code for a Realm that is being built.
const REALM_IS_NEW: u8 = 0;
/// Index of the code for a Realm that has switched itself off.
const REALM_IS_OFF: u8 = 1;

/// Runs a REC on this CPU until it exits. Not inlined: its large frame would cost every command.
#[inline(never)]
pub(crate) fn enter<M: Machine>(
    context: &Context<'_, M>,
    rec: u64,
    run: u64,
) -> Result<Outcome, Error> {
    let run = host_granule(context, run)?;
    let mut entry = Entry::EMPTY;
    entry
        .read(context.machine, run)
        .map_err(|_| Error::Reply(ReturnCode::ERROR_INPUT))?;
    let locked = context.lock::<Rec>(rec)?;
    if locked.is_running() {
        return Err(Error::Reply(ReturnCode::ERROR_REC));
    }
    let (owner, configuration) = {
        let words = context.machine.map(&locked);
        let rec = rec::Descriptor::new(&words);
        let broken = Fatal::BrokenRec {
            granule: locked.address(),
        };
        let owner = rec.owner().ok_or(broken)?;
        let owner_words = context.machine.map_owner(&locked, owner);
        let realm = realm::Descriptor::new(&owner_words);
        check(context, realm.state(), rec, &entry)?;
        (
            owner,
            configuration(context, realm, rec, &entry).ok_or(broken)?,
        )
    };

    let running = locked.begin_running();
    let result = run_and_publish(context, &running, owner, run, &entry, &configuration);
    running.end(context)?;
    result
}

/// Whether the REC may be entered as the host says. Nothing has changed when it may not.
fn check<M: Machine>(
    context: &Context<'_, M>,
    realm: RealmState,
    rec: rec::Descriptor<'_>,
    entry: &Entry,
) -> Result<(), Error> {
    let realm_error = |index| Err(Error::Reply(ReturnCode::new(StatusCode::ErrorRealm, index)));
    match realm {
        RealmState::New => return realm_error(REALM_IS_NEW),
        RealmState::SystemOff => return realm_error(REALM_IS_OFF),
        RealmState::Active => {}
    }
    let gic = &context.rmm.gic;
    let completes_access =
        entry.has(enter_flags::EMULATED_MMIO) && !entry.has(enter_flags::INJECT_SEA);
    let last_access_is_emulatable = rec.get(layout::LAST_SYNDROME) & SYNDROME_VALID != 0;
    if !rec.flag(Flag::Runnable)
        || rec.flag(Flag::PsciPending)
        || !gic.accept(entry.gic_control(), entry.list_registers())
        || completes_access && !last_access_is_emulatable
    {
        return Err(Error::Reply(ReturnCode::ERROR_REC));
    }
    Ok(())
}

fn configuration<M: Machine>(
    context: &Context<'_, M>,
    realm: realm::Descriptor<'_>,
    rec: rec::Descriptor<'_>,
    entry: &Entry,
) -> Option<Configuration> {
    let index = index_of_mpidr(rec.mpidr());
    Some(Configuration {
        stage2: rec.stage2()?,
        features: rec.features(),
        mpidr: mpidr_el1(rec.mpidr()),
        trap_wfi: entry.has(enter_flags::TRAP_WFI),
        trap_wfe: entry.has(enter_flags::TRAP_WFE),
        debug: if rec.uses_debug() {
            DebugRegisters::Loaded
        } else {
            DebugRegisters::Trapped
        },
        serror: rec
            .flag(Flag::SErrorPending)
            .then(|| rec.get(layout::SERROR_SYNDROME)),
        forget_translations: realm.run_on(context.machine.number(), index),
        gic_control: context.rmm.gic.control(entry.gic_control()),
        list_registers: *entry.list_registers(),
    })
}

fn run_and_publish<M: Machine>(
    context: &Context<'_, M>,
    running: &Running<'_>,
    owner: GranuleAddress,
    run: GranuleAddress,
    entry: &Entry,
    configuration: &Configuration,
) -> Result<Outcome, Error> {
    let words = context.machine.map_running(running);
    let owner_words = context.machine.map_owner(running, owner);
    let session = Session {
        context,
        running,
        rec: rec::Descriptor::new(&words),
        realm: realm::Descriptor::new(&owner_words),
        owner,
        stage2: configuration.stage2,
        configuration,
        has_vectors: false.into(),
        timer_lines: [false; 2].into(),
        host_call: [0; _].into(),
        has_debug: (configuration.debug != DebugRegisters::Trapped).into(),
        faults: Cell::default(),
    };
    let (exit, departure) = run_rec(&session, entry)?;
    session.count_faults();
    let values = session.host_call.into_inner();
    let reason = exit::publish(context.machine, run, exit, &values, &words, &departure)
        .map_err(|_| Error::Reply(ReturnCode::ERROR_INPUT))?;
    context.machine.statistics().count_exit(reason);
    Ok(Outcome::SUCCESS)
}

/// The REC is in the CPU from the beginning to the end of this, even when something is fatal.
fn run_rec<M: Machine>(
    session: &Session<'_, M>,
    entry: &Entry,
) -> Result<(Exit, Departure), Fatal> {
    let rec = session.rec;
    let known_lines = crate::run::known_timer_lines(rec);
    let machine = session.machine();
    machine.load(rec.words(), session.configuration);
    let exit = match session.complete(entry) {
        // The host has to know of a timer before the REC goes on.
        Ok(None) if session.update_timers(known_lines) => Ok(Exit::Irq),
        Ok(None) => session.run(),
        Ok(Some(exit)) => Ok(exit),
        Err(fatal) => Err(fatal),
    };
    let put_away = session.put_vectors_away();
    let departure = machine.unload(rec.words(), session.configuration);
    put_away?;
    let exit = exit?;
    if let Some(enabled) = departure.debug_enabled {
        rec.set_flag(Flag::DebugEnabled, enabled);
    }
    rec.set_flag(Flag::SErrorPending, departure.serror_pending);
    Ok((exit, departure))
}
