//! Running RECs, as the host and as the Realm see it.

use realm_payload::measure::{Operation, RANGE};
use realm_payload::{Command, immediate};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::{RecEnter, enter_flags};

use super::timed::timed_success;
use super::{REPETITIONS, minimum};
use crate::console::say;
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::realm::{Exit, Replied, Report, RunningRealm, SPARE, Vcpu};
use crate::suite::Host;
use crate::timer::HostTimer;

/// Prints the figures of all of them.
pub(super) fn operations(host: &Host) -> Outcome {
    let mut running = RunningRealm::plain(host)?;
    calls_of_the_realm(running.first())?;
    host_calls(running.first())?;
    interrupts(running.first())?;
    emulated_reads(&mut running)?;
    ripas_changes(&mut running)?;
    running.tear_down()
}

fn measure(operation: Operation, repetitions: usize, address: u64) -> Command {
    Command::Measure {
        operation,
        repetitions: repetitions as u64,
        address,
    }
}

/// What the RMM does without the host.
fn calls_of_the_realm(vcpu: &mut Vcpu) -> Outcome {
    for (name, operation) in [
        ("REALM_FLOOR", Operation::Nothing),
        ("RSI_VERSION", Operation::Version),
        ("PSCI_VERSION", Operation::PsciVersion),
        ("ID_REGISTER_TRAP", Operation::IdRegister),
        ("REALM_CONFIG", Operation::RealmConfig),
        ("IPA_STATE_GET", Operation::IpaStateGet),
        ("MEASUREMENT_READ", Operation::MeasurementRead),
        ("MEASUREMENT_EXTEND", Operation::MeasurementExtend),
    ] {
        let reply = vcpu.command(&measure(operation, REPETITIONS, SPARE))?;
        say!("bench {name} {}", reply.done(name)?[0]);
    }
    Ok(())
}

/// Lets the REC run to its reply, which has the figure of the Realm.
fn figure(vcpu: &mut Vcpu, name: &str) -> Outcome<[u64; 30]> {
    let report = vcpu.run()?;
    vcpu.finish(&report)?.done(name)
}

fn enter(vcpu: &Vcpu) -> Outcome<u64> {
    timed_success(fid::REC_ENTER, &[vcpu.rec, vcpu.page.address()])
}

/// The host enters again at once, without a look at the run page.
fn host_calls(vcpu: &mut Vcpu) -> Outcome {
    let report = vcpu.begin(&measure(Operation::HostCall, REPETITIONS + 1, 0))?;
    ensure!(
        matches!(
            report.exit,
            Exit::HostCall {
                imm: immediate::NOTHING,
                ..
            }
        ),
        "exit of a host call: {:x?}",
        report.exit
    );
    minimum("REC_ENTER_EXIT", || enter(vcpu))?;
    let [realm, ..] = figure(vcpu, "HOST_CALL_ROUND_TRIP")?;
    say!("bench HOST_CALL_ROUND_TRIP {realm}");
    Ok(())
}

/// A REC that an interrupt keeps from running: in, and out again.
fn interrupts(vcpu: &mut Vcpu) -> Outcome {
    HostTimer::Physical.start_ticks(0);
    let report = vcpu.begin(&Command::Yield { count: 1 })?;
    ensure!(
        matches!(report.exit, Exit::Irq),
        "exit for an interrupt of the host: {:x?}",
        report.exit
    );
    let result = minimum("IRQ_EXIT_REENTRY", || enter(vcpu));
    HostTimer::Physical.stop();
    result?;
    figure(vcpu, "Yield").map(|_| ())
}

fn emulated_reads(running: &mut RunningRealm) -> Outcome {
    let address = running.unprotected(0x10_0000);
    let vcpu = running.first();
    let report = vcpu.begin(&measure(Operation::EmulatedRead, REPETITIONS + 1, address))?;
    expect_read(&report)?;
    let mut emulated = RecEnter::default();
    emulated.flags = enter_flags::EMULATED_MMIO;
    vcpu.page.write(&emulated)?;
    minimum("MMIO_ENTER_EXIT", || enter(vcpu))?;
    vcpu.enter = emulated;
    let [realm, ..] = figure(vcpu, "MMIO_ROUND_TRIP")?;
    say!("bench MMIO_ROUND_TRIP {realm}");
    Ok(())
}

fn expect_read(report: &Report) -> Outcome {
    match report.exit {
        Exit::Data { .. } => Ok(()),
        ref other => fail!("exit of an emulated read: {other:x?}"),
    }
}

/// From the Realm's call to its next instruction: exit, `RMI_RTT_SET_RIPAS` of one entry of 2 MiB,
/// entry.
fn ripas_changes(running: &mut RunningRealm) -> Outcome {
    let rd = running.realm.rd;
    let vcpu = running.first();
    let repetitions = REPETITIONS + REPETITIONS % 2;
    let report = vcpu.begin(&measure(Operation::RipasChange, repetitions, SPARE))?;
    let Exit::RipasChange { base, top, .. } = report.exit else {
        return fail!("exit of a RIPAS change: {:x?}", report.exit);
    };
    ensure_word!(base, SPARE, "base of the change");
    ensure_word!(top, SPARE + RANGE, "top of the change");
    // The run page says the same at each entry, and all changes are of this range.
    vcpu.page.write(&RecEnter::default())?;
    let mut least = u64::MAX;
    for repetition in 1..=repetitions {
        least = least.min(timed_success(
            fid::RTT_SET_RIPAS,
            &[rd, vcpu.rec, base, top],
        )?);
        if repetition < repetitions {
            enter(vcpu)?;
        }
    }
    say!("bench RTT_SET_RIPAS {least}");
    let [empty, ram, ..] = figure(vcpu, "RIPAS_CHANGE")?;
    say!("bench RIPAS_CHANGE_TO_EMPTY {empty}");
    say!("bench RIPAS_CHANGE_TO_RAM {ram}");
    Ok(())
}
