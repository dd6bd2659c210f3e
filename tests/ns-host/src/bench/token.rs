//! Making tokens, as the Realm and as the host's interrupts see it.

use realm_payload::Command;
use realm_payload::measure::Operation;
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::RecEnter;

use super::timed::timed_success;
use crate::console::say;
use crate::outcome::{Outcome, ensure};
use crate::realm::{Exit, Replied, Report, RunningRealm, Vcpu};
use crate::suite::Host;
use crate::timer::HostTimer;

/// Instructions for which an interrupt may be held off.
const LONGEST_LATENCY: u64 = 50_000;

/// Tokens that are made without an interrupt.
const TOKENS: u64 = 4;

/// Tokens that are made with as many interrupts as there can be.
const TOKENS_WITH_INTERRUPTS: u64 = 16;

/// Ticks between the host's entry and its interrupt, one value after the other: with the costs of entry
/// and exit they meet the work at places that do not repeat.
const INTERVALS: [u64; 4] = [6007, 7919, 10_007, 13_001];

/// Prints the figures.
pub(super) fn operations(host: &Host) -> Outcome {
    let mut running = RunningRealm::plain(host)?;
    let vcpu = running.first();
    let reply = vcpu.command(&measure(Operation::TokenInit, TOKENS))?;
    say!("bench TOKEN_INIT {}", reply.done("TOKEN_INIT")?[0]);
    let reply = vcpu.command(&measure(Operation::Token, TOKENS))?;
    let [ticks, size, ..] = reply.done("TOKEN")?;
    say!("bench TOKEN {ticks}");
    say!("bench TOKEN_BYTES {size}");
    interrupts_held_off(vcpu)?;
    running.tear_down()
}

const fn measure(operation: Operation, repetitions: u64) -> Command {
    Command::Measure {
        operation,
        repetitions,
        address: 0,
    }
}

/// The host's timer interrupts the work again and again. From the moment that it fires to the moment that
/// the host has its CPU back, the interrupt is held off; that includes the way out of the REC.
fn interrupts_held_off(vcpu: &mut Vcpu) -> Outcome {
    let mut longest = 0;
    let mut interruptions = 0;
    let mut intervals = INTERVALS.into_iter().cycle();
    let mut next = || intervals.next().unwrap_or_default();
    HostTimer::Physical.start_ticks(next());
    let mut report = vcpu.begin(&measure(Operation::Token, TOKENS_WITH_INTERRUPTS))?;
    vcpu.page.write(&RecEnter::default())?;
    while matches!(report.exit, Exit::Irq) {
        let deadline = HostTimer::Physical.start_ticks(next());
        timed_success(fid::REC_ENTER, &[vcpu.rec, vcpu.page.address()])?;
        let back = crate::time::now();
        report = Report::read(&vcpu.page.read()?, vcpu.list_registers())?;
        if matches!(report.exit, Exit::Irq) {
            longest = longest.max(back.saturating_sub(deadline));
            interruptions += 1;
        }
    }
    HostTimer::Physical.stop();
    vcpu.finish(&report)?.done("TOKEN")?;
    say!("bench TOKEN_INTERRUPTIONS {interruptions}");
    say!("bench TOKEN_INTERRUPT_LATENCY {longest}");
    ensure!(
        longest <= LONGEST_LATENCY,
        "an interrupt was held off for {longest} instructions"
    );
    Ok(())
}
