//! PSCI for the normal world, which EL3 answers.

use core::time::Duration;

use rmm_abi::rmi::{VERSION_1_0, fid};
use rmm_abi::smc::{SMCCC_ARCH_FEATURES, SMCCC_VERSION, psci};

use crate::cpus;
use crate::machine::CarveOut;
use crate::outcome::{Outcome, ensure, ensure_word};
use crate::rmi::{self, must_delegate, must_undelegate};
use crate::smc::{self, Registers};
use crate::suite::{Host, expect};

/// Makes a call; X1 and above must survive it.
fn call(function: u64, arguments: &[u64]) -> Outcome<i64> {
    let before = Registers::new(function, arguments);
    let after = before.call();
    after.expect_kept(&before, 4)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "PSCI results are 32 bits wide"
    )]
    Ok(i64::from(after.0[0] as i32))
}

fn returns(function: u64, arguments: &[u64], expected: i64) -> Outcome {
    let result = call(function, arguments)?;
    ensure!(
        result == expected,
        "call {function:#x} with {arguments:x?} returned {result} instead of {expected}"
    );
    Ok(())
}

pub(crate) fn version(_: &Host) -> Outcome {
    returns(psci::VERSION, &[], 0x1_0001)?;
    let smccc = call(SMCCC_VERSION, &[])?;
    ensure!(
        smccc >= 0x1_0002,
        "SMCCC_VERSION returned {smccc:#x}; RMI needs 1.2"
    );
    Ok(())
}

pub(crate) fn features(_: &Host) -> Outcome {
    for function in [
        psci::VERSION,
        psci::CPU_OFF,
        psci::CPU_ON,
        psci::CPU_ON_32,
        psci::AFFINITY_INFO,
        psci::AFFINITY_INFO_32,
        psci::SYSTEM_OFF,
        psci::SYSTEM_RESET,
        psci::FEATURES,
        SMCCC_VERSION,
    ] {
        returns(psci::FEATURES, &[function], 0)?;
    }
    for function in [
        0x8400_001f,
        0xc400_0000,
        fid::VERSION,
        SMCCC_ARCH_FEATURES + 0x100,
        0,
        0xffff_ffff,
    ] {
        returns(psci::FEATURES, &[function], psci::NOT_SUPPORTED)?;
    }
    Ok(())
}

pub(crate) fn all_cpus_start(host: &Host) -> Outcome {
    let (running, there) = (host.cpus.count(), host.machine.cpus.len());
    ensure!(running == there, "{running} of {there} CPUs run");
    host.cpus.check(running, &|cpu| {
        let affinity = crate::register::read!("mpidr_el1") & 0xff_00ff_ffff;
        ensure_word!(affinity, host.machine.cpus[cpu], "affinity of CPU {cpu}");
        Ok(())
    })
}

/// Affinities that no CPU of the machine has.
fn strangers(host: &Host) -> impl Iterator<Item = u64> {
    [0xff_00ff_ffff, 0xff_0000_0000, 0xff_0000, 0xff00, 0xff]
        .into_iter()
        .filter(|affinity| !host.machine.cpus.contains(affinity))
}

pub(crate) fn affinity_info(host: &Host) -> Outcome {
    for cpu in 0..host.cpus.count() {
        let affinity = host.cpus.affinity(cpu);
        returns(psci::AFFINITY_INFO, &[affinity, 0], psci::SUCCESS)?;
        if affinity >> 32 == 0 {
            returns(psci::AFFINITY_INFO_32, &[affinity, 0], psci::SUCCESS)?;
        }
    }
    for affinity in strangers(host) {
        returns(
            psci::AFFINITY_INFO,
            &[affinity, 0],
            psci::INVALID_PARAMETERS,
        )?;
    }
    Ok(())
}

pub(crate) fn cpu_on_refused(host: &Host) -> Outcome {
    let entry = cpus::entry();
    for cpu in 0..host.cpus.count() {
        let affinity = host.cpus.affinity(cpu);
        returns(psci::CPU_ON, &[affinity, entry, 0], psci::ALREADY_ON)?;
    }
    for affinity in strangers(host) {
        returns(
            psci::CPU_ON,
            &[affinity, entry, 0],
            psci::INVALID_PARAMETERS,
        )?;
    }
    // Entry points that the normal world does not own.
    let last = host.cpus.count() - 1;
    let affinity = host.cpus.affinity(last);
    host.cpus.power_off(last)?;
    let mut outcome = returns(psci::CPU_ON, &[affinity, 1 << 52, 0], psci::INVALID_ADDRESS);
    for carve_out in CarveOut::ALL {
        outcome = outcome.and_then(|()| {
            let address = expect::carve_out(host, carve_out)?.start();
            returns(psci::CPU_ON, &[affinity, address, 0], psci::INVALID_ADDRESS)
        });
    }
    outcome =
        outcome.and_then(|()| returns(psci::AFFINITY_INFO, &[affinity, 0], psci::AFFINITY_OFF));
    host.cpus.power_on(last)?;
    outcome
}

pub(crate) fn off_and_on_again(host: &Host) -> Outcome {
    let count = host.cpus.count();
    let granule = host.granule()?;
    for _ in 0..3 {
        for cpu in 1..count {
            let affinity = host.cpus.affinity(cpu);
            host.cpus.power_off(cpu)?;
            // The others go on meanwhile.
            must_delegate(granule)?;
            must_undelegate(granule)?;
            returns(psci::AFFINITY_INFO, &[affinity, 0], psci::AFFINITY_OFF)?;
            host.cpus.power_on(cpu)?;
            returns(psci::AFFINITY_INFO, &[affinity, 0], psci::SUCCESS)?;
        }
        // The RMM serves the CPUs that came back.
        for one in 1..count {
            host.cpus.check(count, &|cpu| {
                if cpu != one {
                    return Ok(());
                }
                let [x0, ..] = rmi::command(fid::VERSION, &[VERSION_1_0.word()])?;
                ensure_word!(x0, rmi::SUCCESS, "RMI_VERSION on CPU {cpu}");
                must_delegate(granule)?;
                must_undelegate(granule)
            })?;
        }
    }
    let idle = crate::time::wait_until(Duration::from_millis(1), || {
        smc::psci(psci::AFFINITY_INFO, &[host.cpus.affinity(0), 0]) == psci::SUCCESS
    });
    ensure!(idle, "CPU 0 is not on");
    Ok(())
}
