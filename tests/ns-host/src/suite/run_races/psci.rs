//! PSCI calls about a REC that runs on another CPU at that moment.

use rmm_abi::smc::psci;
use spin::Mutex;

use super::while_it_runs;
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::realm::{Exit, Options, RunningRealm, command};
use crate::rmi::{ERROR_INPUT, ERROR_SYSTEM_OFF, commands};
use crate::suite::Host;

/// A REC that runs is on, whatever the host says.
pub(crate) fn target_that_runs(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    realm.switch_on(1)?;
    let entry = realm.vcpus[0].hello.secondary_entry;
    let [calling, target] = realm.vcpus.as_mut_slice() else {
        return fail!("there are not two RECs");
    };
    let (asked, calling) = (target.rec, Mutex::new(calling));
    while_it_runs(host, &realm.realm, target, &|| {
        let mut vcpu = calling.lock();
        for (call, code) in [
            ([psci::AFFINITY_INFO, 1, 0, 0], psci::SUCCESS),
            ([psci::CPU_ON, 1, entry, 1], psci::ALREADY_ON),
        ] {
            let report = vcpu.begin(&command::smc(&call))?;
            ensure!(
                report.exit == Exit::psci(call[0], [call[1], call[2], call[3]]),
                "exit of PSCI {call:x?}: {:x?}",
                report.exit
            );
            commands::psci_complete(vcpu.rec, asked, psci::DENIED)?
                .refused(ERROR_INPUT, "PSCI_COMPLETE, denied, of a REC that runs")?;
            commands::psci_complete(vcpu.rec, asked, psci::SUCCESS)?.done("PSCI_COMPLETE")?;
            let report = vcpu.run()?;
            let results = vcpu.end_call(&report, &call, 0)?;
            ensure_word!(results[0], code.cast_unsigned(), "PSCI {call:x?}");
        }
        Ok(())
    })?;
    realm.tear_down()
}

/// One REC switches the Realm off while another runs: that one comes to its next exit, and then it
/// is over for it too.
pub(crate) fn system_off(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    realm.switch_on(1)?;
    let [first, second] = realm.vcpus.as_mut_slice() else {
        return fail!("there are not two RECs");
    };
    let first = Mutex::new(first);
    let end = || {
        let mut vcpu = first.lock();
        let report = vcpu.begin(&command::smc(&[psci::SYSTEM_OFF]))?;
        ensure!(
            report.exit == Exit::psci(psci::SYSTEM_OFF, [0; 3]),
            "exit of SYSTEM_OFF: {:x?}",
            report.exit
        );
        vcpu.refused(ERROR_SYSTEM_OFF, "REC_ENTER of a Realm that is off")
    };
    while_it_runs(host, &realm.realm, second, &end)?;
    for vcpu in &mut realm.vcpus {
        vcpu.enter = rmm_abi::rmi::run::RecEnter::default();
        vcpu.refused(ERROR_SYSTEM_OFF, "REC_ENTER of a Realm that is off")?;
    }
    realm.tear_down()
}
