//! PSCI as a Realm calls it, and `RMI_PSCI_COMPLETE`.

mod complete;
mod reset_state;

pub(crate) use complete::{
    affinity_info, complete_refused, cpu_on, cpu_on_denied, results_and_registers, two_requests,
};
pub(crate) use reset_state::state_after_cpu_on;

use rmm_abi::smc::{SMCCC_ARCH_FEATURES, SMCCC_VERSION, SVE_HINT, psci};

use crate::outcome::{Outcome, ensure, ensure_word};
use crate::realm::{Exit, Options, RunningRealm, Vcpu, command};
use crate::rmi::{ERROR_REC, commands};
use crate::suite::Host;

/// A result as it travels in X0.
const fn result(code: i64) -> u64 {
    code.cast_unsigned()
}

/// A call that ends without the host.
fn returns(vcpu: &mut Vcpu, call: &[u64], code: i64) -> Outcome {
    let results = vcpu.call(call, 0)?;
    ensure_word!(results[0], result(code), "PSCI {call:x?}");
    Ok(())
}

/// Makes a call that must come out with its arguments.
fn comes_out(vcpu: &mut Vcpu, call: &[u64]) -> Outcome<crate::realm::Report> {
    let [_, arguments @ ..] = command::call_registers(call);
    let report = vcpu.begin(&command::smc(call))?;
    let width = match call[0] {
        psci::CPU_ON | psci::AFFINITY_INFO | psci::CPU_SUSPEND => u64::MAX,
        // Arguments of 32 bits.
        psci::CPU_ON_32 | psci::AFFINITY_INFO_32 | psci::CPU_SUSPEND_32 => u32::MAX.into(),
        // No arguments.
        _ => 0,
    };
    let arguments = [0, 1, 2].map(|index: usize| arguments[index] & width);
    ensure!(
        report.exit == Exit::psci(call[0], arguments),
        "exit of PSCI {call:x?}: {:x?}",
        report.exit
    );
    Ok(report)
}

pub(crate) fn version_and_features(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    returns(vcpu, &[psci::VERSION], 0x1_0001)?;
    let implemented = [
        psci::VERSION,
        psci::CPU_SUSPEND_32,
        psci::CPU_SUSPEND,
        psci::CPU_OFF,
        psci::CPU_ON_32,
        psci::CPU_ON,
        psci::AFFINITY_INFO_32,
        psci::AFFINITY_INFO,
        psci::SYSTEM_OFF,
        psci::SYSTEM_RESET,
        psci::FEATURES,
        SMCCC_VERSION,
    ];
    for function in implemented {
        returns(vcpu, &[psci::FEATURES, function], psci::SUCCESS)?;
        returns(vcpu, &[psci::FEATURES | SVE_HINT, function], psci::SUCCESS)?;
    }
    let numbers = (0..0x20).flat_map(|number| [0x8400_0000 | number, 0xc400_0000 | number]);
    let others = [
        SMCCC_ARCH_FEATURES,
        0x8400_0100,
        0xc400_0190,
        0,
        0xffff_ffff,
    ];
    for function in numbers.chain(others) {
        if !implemented.contains(&function) {
            returns(vcpu, &[psci::FEATURES, function], psci::NOT_SUPPORTED)?;
        }
    }
    realm.tear_down()
}

/// Other functions of the interface.
pub(crate) fn not_supported(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    for number in [
        0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf, 0x10, 0x11, 0x12, 0x13, 0x14,
    ] {
        for function in [0x8400_0000 | number, 0xc400_0000 | number] {
            returns(vcpu, &[function, 0, 0, 0], psci::NOT_SUPPORTED)?;
        }
    }
    // Those that have no form with 64 bits.
    for number in [0x0, 0x2, 0x8, 0x9, 0xa] {
        returns(vcpu, &[0xc400_0000 | number, 0, 0, 0], psci::NOT_SUPPORTED)?;
    }
    realm.tear_down()
}

/// The host is told, and the Realm goes on when it comes back.
pub(crate) fn cpu_suspend(host: &Host) -> Outcome {
    let mut realm = RunningRealm::plain(host)?;
    let vcpu = realm.first();
    for call in [
        [psci::CPU_SUSPEND, 0, 0, 0],
        [psci::CPU_SUSPEND, 0x1_0000, 0x4000_0000, 0x77],
        [psci::CPU_SUSPEND_32, 1, 2, 3],
    ] {
        let report = comes_out(vcpu, &call)?;
        ensure!(matches!(report.exit, Exit::Psci { .. }), "no PSCI exit");
        vcpu.enter.gprs = [0xbad; 31];
        let report = vcpu.run()?;
        let results = vcpu.end_call(&report, &call, 0)?;
        ensure_word!(results[0], result(psci::SUCCESS), "CPU_SUSPEND");
    }
    realm.tear_down()
}

/// What a Realm is refused without its host.
pub(crate) fn refused_in_the_realm(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    let (half, end) = (realm.realm.shape.half(), realm.realm.shape.end());
    let vcpu = realm.first();
    let entry = vcpu.hello.secondary_entry;
    for start in [half, half + entry, end, end | entry, 1 << 63, u64::MAX] {
        returns(vcpu, &[psci::CPU_ON, 1, start, 0], psci::INVALID_ADDRESS)?;
    }
    let strangers = [
        2,
        3,
        15,
        16,
        0x10,
        0xff,
        0x100,
        0x1_0000,
        1 << 32,
        1 << 32 | 1,
        u64::MAX,
    ];
    for mpidr in strangers {
        returns(
            vcpu,
            &[psci::CPU_ON, mpidr, entry, 0],
            psci::INVALID_PARAMETERS,
        )?;
        returns(
            vcpu,
            &[psci::AFFINITY_INFO, mpidr, 0],
            psci::INVALID_PARAMETERS,
        )?;
    }
    for level in [1, 2, 3, 4, u64::MAX] {
        for mpidr in [0, 1] {
            returns(
                vcpu,
                &[psci::AFFINITY_INFO, mpidr, level],
                psci::INVALID_PARAMETERS,
            )?;
        }
    }
    // Itself.
    returns(vcpu, &[psci::CPU_ON, 0, entry, 0], psci::ALREADY_ON)?;
    returns(vcpu, &[psci::CPU_ON_32, 0, entry, 0], psci::ALREADY_ON)?;
    returns(vcpu, &[psci::AFFINITY_INFO, 0, 0], psci::SUCCESS)?;
    // Nothing of that waits for the host.
    let (calling, target) = (vcpu.rec, realm.vcpus[1].rec);
    commands::psci_complete(calling, target, psci::SUCCESS)?
        .refused(crate::rmi::ERROR_INPUT, "PSCI_COMPLETE without a request")?;
    realm.switch_on(1)?;
    realm.tear_down()
}

/// A REC switches itself off. The others go on, and may switch it on again.
pub(crate) fn cpu_off(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(2))?;
    for _ in 0..3 {
        realm.switch_on(1)?;
        comes_out(&mut realm.vcpus[1], &[psci::CPU_OFF])?;
        realm.vcpus[1].refused(ERROR_REC, "REC_ENTER after CPU_OFF")?;
        let seen = ask(&mut realm, 1)?;
        ensure_word!(
            seen,
            result(psci::AFFINITY_OFF),
            "AFFINITY_INFO after CPU_OFF"
        );
    }
    realm.tear_down()
}

/// What the first REC hears of another.
fn ask(realm: &mut RunningRealm, index: usize) -> Outcome<u64> {
    let call = [psci::AFFINITY_INFO, index as u64, 0];
    let target = realm.vcpus[index].rec;
    let vcpu = realm.first();
    comes_out(vcpu, &call)?;
    commands::psci_complete(vcpu.rec, target, psci::SUCCESS)?.done("PSCI_COMPLETE")?;
    let report = vcpu.run()?;
    Ok(vcpu.end_call(&report, &call, 0)?[0])
}

/// Bit 31 of its MPIDR is one, the rest is the number of the REC.
pub(crate) fn mpidr(host: &Host) -> Outcome {
    let mut realm = RunningRealm::greeted(host, Options::with_recs(4))?;
    for index in 1..4 {
        realm.switch_on(index)?;
    }
    for (index, vcpu) in (0..).zip(&mut realm.vcpus) {
        let reply = vcpu.command(&command::read_register(3, 0, 0, 0, 5))?;
        let [seen, ..] = crate::realm::Replied::done(reply, "MPIDR_EL1")?;
        ensure_word!(seen, 1 << 31 | index, "MPIDR_EL1 of REC {index}");
    }
    realm.tear_down()
}
