//! `RMI_REC_ENTER`: what is refused, and that a refusal changes nothing.

mod interrupts;
mod run_page;

pub(crate) use interrupts::{control_bits, invalid_list_registers, valid_list_registers};
pub(crate) use run_page::{changes_under_the_call, delegated_under_the_call, reserved_bits};

use rmm_abi::rmi::REC_RUNNABLE;
use rmm_abi::rmi::run::enter_flags::{EMULATED_MMIO, INJECT_SEA, TRAP_WFI};
use rmm_abi::smc::psci;

use crate::outcome::{Outcome, ensure, fail};
use crate::realm::{
    Command, Exit, Kind, Options, Realm, Replied, RunPage, RunningRealm, SPARE, Shape, Specimens,
    command,
};
use crate::rmi::{ERROR_INPUT, ERROR_REALM, ERROR_REC, ERROR_SYSTEM_OFF, commands};
use crate::suite::Host;
use crate::suite::run_races::while_it_runs;

/// The conditions on the two granules come before those on Realm and REC.
pub(crate) fn wants_its_granules(host: &Host) -> Outcome {
    let specimens = Specimens::new(host)?;
    let page = RunPage::new(host)?;
    page.write(&rmm_abi::rmi::run::RecEnter::default())?;
    for active in [false, true] {
        if active {
            specimens.realm.activate()?;
        }
        specimens.only(Kind::Rec, "rec of REC_ENTER", |rec| {
            commands::rec_enter(rec, page.address())
        })?;
        specimens.only(Kind::Undelegated, "run of REC_ENTER", |run| {
            commands::rec_enter(specimens.rec, run)
        })?;
        for (kind, granule) in specimens.granules() {
            commands::rec_enter(*granule, *granule)?.refused(
                ERROR_INPUT,
                format_args!("REC_ENTER with {kind:?} as rec and run"),
            )?;
        }
        page.exit_is_untouched()?;
        specimens.are_unchanged("REC_ENTER")?;
    }
    specimens.tear_down()
}

pub(crate) fn realm_is_new(host: &Host) -> Outcome {
    let mut realm = RunningRealm::inactive(host, Options::with_recs(2))?;
    realm
        .first()
        .refused(ERROR_REALM, "REC_ENTER of a new Realm")?;
    let second = &realm.vcpus[1];
    second.page.write(&second.enter)?;
    let reply = second.page.enter(second.rec)?;
    // Neither runnable nor active: which of the two is told is open.
    if reply.code != ERROR_REC {
        reply.refused(ERROR_REALM, "REC_ENTER of a new Realm, not runnable")?;
    }
    second.page.exit_is_untouched()?;
    realm.realm.activate()?;
    realm.first().greet()?;
    realm.tear_down()
}

pub(crate) fn not_runnable(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    for _ in 0..2 {
        realm.vcpus[1].refused(ERROR_REC, "REC_ENTER of a REC that is not runnable")?;
    }
    realm.switch_on(1)?;
    // Off again.
    let report = realm.vcpus[1].begin(&command::smc(&[psci::CPU_OFF]))?;
    ensure!(
        report.exit == Exit::psci(psci::CPU_OFF, [0; 3]),
        "exit of CPU_OFF: {:x?}",
        report.exit
    );
    realm.vcpus[1].refused(ERROR_REC, "REC_ENTER after CPU_OFF")?;
    // Its host is told the same when it asks for more at once.
    realm.vcpus[1].enter.flags = TRAP_WFI | INJECT_SEA;
    realm.vcpus[1].refused(ERROR_REC, "REC_ENTER with flags after CPU_OFF")?;
    realm.vcpus[1].enter.flags = 0;
    realm.switch_on(1)?;
    realm.tear_down()
}

pub(crate) fn psci_request_is_pending(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    let target = realm.vcpus[1].rec;
    let entry = realm.vcpus[0].hello.secondary_entry;
    for call in [
        [psci::AFFINITY_INFO, 1, 0, 0],
        [psci::CPU_ON, 1, entry, 1],
        [psci::AFFINITY_INFO, 1, 0, 0],
        [psci::CPU_ON, 1, entry, 1],
    ] {
        let vcpu = realm.first();
        vcpu.begin(&command::smc(&call))?;
        for _ in 0..3 {
            vcpu.refused(ERROR_REC, "REC_ENTER while PSCI waits for the host")?;
        }
        commands::psci_complete(vcpu.rec, target, psci::SUCCESS)?.done("PSCI_COMPLETE")?;
        let report = vcpu.run()?;
        vcpu.finish(&report)?.done("PSCI call")?;
    }
    realm.tear_down()
}

/// `PSCI_SYSTEM_OFF` and `PSCI_SYSTEM_RESET` end the whole Realm.
pub(crate) fn realm_is_off(host: &Host) -> Outcome {
    for function in [psci::SYSTEM_OFF, psci::SYSTEM_RESET] {
        let mut realm = RunningRealm::greeted(host, Options::with_recs(3))?;
        realm.switch_on(1)?;
        let report = realm.vcpus[1].begin(&command::smc(&[function]))?;
        ensure!(
            report.exit == Exit::psci(function, [0; 3]),
            "exit of {function:#x}: {:x?}",
            report.exit
        );
        for vcpu in &realm.vcpus[..2] {
            for _ in 0..2 {
                vcpu.refused(ERROR_SYSTEM_OFF, "REC_ENTER of a Realm that is off")?;
            }
        }
        // Neither runnable nor on: which of the two is told is open.
        let third = &realm.vcpus[2];
        third.page.write(&third.enter)?;
        let reply = third.page.enter(third.rec)?;
        if reply.code != ERROR_REC {
            reply.refused(ERROR_SYSTEM_OFF, "REC_ENTER of a Realm that is off")?;
        }
        commands::rec_enter(third.rec, third.rec)?
            .refused(ERROR_INPUT, "REC_ENTER with the REC as its run page")?;
        commands::realm_activate(realm.realm.rd)?
            .refused(ERROR_REALM, "REALM_ACTIVATE of a Realm that is off")?;
        realm.tear_down()?;
    }
    Ok(())
}

/// An emulated access that nobody asked for is refused, an external abort has no effect.
pub(crate) fn unasked_emulation(host: &Host) -> Outcome {
    let mut realm = RunningRealm::new(host, Options::PLAIN)?;
    // Before the first instruction.
    unasked(&mut realm, "a fresh REC")?;
    realm.first().enter.flags = INJECT_SEA;
    realm.first().greet()?;
    // After a host call.
    unasked(&mut realm, "a host call")?;
    let vcpu = realm.first();
    vcpu.enter.flags = INJECT_SEA;
    vcpu.command(&Command::Time)?
        .done("command after an abort that nobody asked for")?;
    // After a trapped wait.
    vcpu.enter.flags = TRAP_WFI;
    let report = vcpu.begin(&Command::Wfi)?;
    ensure!(
        matches!(report.exit, Exit::Wait { .. }),
        "exit of WFI: {:x?}",
        report.exit
    );
    unasked(&mut realm, "a wait")?;
    let vcpu = realm.first();
    vcpu.enter.flags = INJECT_SEA;
    let report = vcpu.run()?;
    vcpu.finish(&report)?.done("WFI")?;
    // After an access to protected memory that is not there.
    let load = command::load(SPARE, 8);
    let first = vcpu.begin(&load)?;
    unasked(&mut realm, "a protected access")?;
    let vcpu = realm.first();
    for _ in 0..2 {
        vcpu.enter.flags = INJECT_SEA;
        let again = vcpu.run()?;
        ensure!(
            again.exit == first.exit,
            "the access exits with {:x?}, then with {:x?}",
            first.exit,
            again.exit
        );
    }
    realm.realm.supply(SPARE)?;
    let report = realm.first().run()?;
    realm.first().finish(&report)?.done("load")?;
    // A pair of registers cannot be emulated.
    let pair = command::load_pair(realm.unprotected(0));
    let report = realm.first().begin(&pair)?;
    ensure!(
        matches!(report.exit, Exit::Data { .. }),
        "exit of a pair: {:x?}",
        report.exit
    );
    unasked(&mut realm, "an access without syndrome")?;
    let vcpu = realm.first();
    vcpu.enter.flags = INJECT_SEA;
    let report = vcpu.run()?;
    vcpu.finish(&report)?
        .exception("a pair that the host refuses")?;
    realm.tear_down()
}

fn unasked(realm: &mut RunningRealm, after: &str) -> Outcome {
    let vcpu = realm.first();
    vcpu.enter.flags = EMULATED_MMIO;
    vcpu.enter.gprs[0] = 0xbad;
    for _ in 0..2 {
        vcpu.refused(ERROR_REC, format_args!("emulated access after {after}"))?;
    }
    vcpu.enter = rmm_abi::rmi::run::RecEnter::default();
    Ok(())
}

/// A REC that runs on another CPU, and what else that keeps the host from.
pub(crate) fn running_elsewhere(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let (rd, rec) = (realm.realm.rd, realm.vcpus[0].rec);
    let other_page = RunPage::new(host)?;
    other_page.write(&rmm_abi::rmi::run::RecEnter::default())?;
    while_it_runs(host, &realm.realm, &mut realm.vcpus[0], &|| {
        let reply = commands::rec_enter(rec, other_page.address())?;
        if reply.succeeded() {
            return fail!("REC_ENTER of a REC that runs elsewhere succeeded");
        }
        reply.refused(ERROR_REC, "REC_ENTER of a REC that runs elsewhere")?;
        other_page.exit_is_untouched()?;
        commands::rec_destroy(rec)?
            .refused(ERROR_REC, "REC_DESTROY of a REC that runs elsewhere")?;
        commands::set_ripas(rd, rec, 0, 0x1000)?
            .refused(ERROR_REC, "SET_RIPAS for a REC that runs elsewhere")?;
        commands::realm_destroy(rd)?.refused(ERROR_REALM, "REALM_DESTROY while a REC runs")
    })?;
    realm.tear_down()
}

/// RECs of several Realms, one after the other on one CPU.
pub(crate) fn by_turns(host: &Host) -> Outcome {
    let mut realms = arrayvec::ArrayVec::<RunningRealm, 3>::new();
    for _ in 0..3 {
        realms.push(RunningRealm::plain(host)?);
    }
    for round in 0..10 {
        for (number, realm) in (0..).zip(&mut realms) {
            let address = realm.vcpus[0].hello.scratch;
            let value = round << 32 | number;
            if round > 0 {
                let loaded = realm.first().command(&command::load(address, 8))?;
                let [found, ..] = loaded.done("load")?;
                ensure!(
                    found == (round - 1) << 32 | number,
                    "Realm {number} finds {found:#x} in its memory in round {round}"
                );
            }
            let store = command::store(address, 8, value);
            realm.first().command(&store)?.done("store")?;
        }
    }
    realms.into_iter().try_for_each(RunningRealm::tear_down)
}

/// A runnable REC that has never run goes like any other.
pub(crate) fn never_entered(host: &Host) -> Outcome {
    let mut realm = Realm::new(host, Shape::USUAL)?;
    for flags in [REC_RUNNABLE, 0] {
        realm.rec_with(|params| params.flags = flags)?;
    }
    realm.activate()?;
    realm.tear_down()?;
    RunningRealm::new(host, Options::with_recs(8))?.tear_down()
}
