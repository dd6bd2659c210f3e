//! What hosts do for a Realm that has come out: memory, RIPAS, other RECs.

use realm_payload::{Reply, immediate, soak};
use rmm_abi::rmi::run::enter_flags;
use rmm_abi::smc::psci;

use super::exit::{Exit, Report, esr};
use super::tear_down::walk_level;
use super::vcpu::Vcpu;
use super::{PAGE_LEVEL, Realm, entry_size};
use crate::memory::GRANULE;
use crate::outcome::{Outcome, ensure, fail};
use crate::rmi::commands;

/// Most exits on the way to the reply to a command.
const MOST_EXITS: usize = 100_000;

impl Realm<'_> {
    /// Gives memory without content to a page, and the tables that it needs.
    pub(crate) fn supply(&self, ipa: u64) -> Outcome<u64> {
        self.tables(ipa, PAGE_LEVEL)?;
        self.data_unknown(ipa & !(GRANULE - 1))
    }

    /// Does what a REC has asked for, from `base` up to `top`, with tables where it needs them.
    pub(crate) fn change_ripas(&self, rec: u64, base: u64, top: u64) -> Outcome {
        let mut next = base;
        while next < top {
            let reply = commands::set_ripas(self.rd, rec, next, top)?;
            if reply.succeeded() {
                let [out_top, ..] = reply.outputs;
                ensure!(
                    out_top > next && out_top <= top,
                    "SET_RIPAS of {next:#x} to {top:#x} got to {out_top:#x}"
                );
                next = out_top;
                continue;
            }
            match walk_level(reply) {
                Some(level) if level < PAGE_LEVEL => {
                    self.table(next & !(entry_size(level) - 1), level + 1)?;
                }
                _ => {
                    return fail!(
                        "SET_RIPAS of {next:#x} to {top:#x} returned {:#x}",
                        reply.code
                    );
                }
            }
        }
        Ok(())
    }

    /// The REC that PSCI knows by this MPIDR, of the few that these Realms have.
    fn rec_by_mpidr(&self, mpidr: u64) -> Outcome<u64> {
        let rec = usize::try_from(mpidr)
            .ok()
            .and_then(|index| self.recs().get(index));
        match rec {
            Some(rec) => Ok(rec.address),
            None => fail!("the Realm asks for the REC with MPIDR {mpidr:#x}"),
        }
    }

    /// Does for a REC what its exit asks for, as a willing host does it.
    pub(crate) fn attend(&self, vcpu: &mut Vcpu, exit: &Exit) -> Outcome {
        match *exit {
            Exit::Wait { .. }
            | Exit::SystemRegister { .. }
            | Exit::HostCall {
                imm: immediate::NOTHING,
                ..
            }
            | Exit::Psci {
                function: psci::CPU_SUSPEND | psci::CPU_SUSPEND_32,
                ..
            } => Ok(()),
            Exit::Data {
                esr, far, hpfar, ..
            } if hpfar >> 4 << 12 >= self.shape.half() => {
                ensure!(
                    esr & esr::ISV != 0,
                    "the payload came out for unprotected {hpfar:#x}, ESR {esr:#x}"
                );
                vcpu.enter.flags |= enter_flags::EMULATED_MMIO;
                vcpu.enter.gprs[0] = soak::device_value(far);
                Ok(())
            }
            Exit::Data { hpfar, .. } | Exit::Fetch { hpfar, .. } => {
                self.supply(hpfar >> 4 << 12).map(|_| ())
            }
            Exit::HostCall {
                imm: immediate::INVERT,
                gprs,
            } => {
                vcpu.enter.gprs = gprs.map(|register| !register);
                Ok(())
            }
            Exit::RipasChange { base, top, .. } => self.change_ripas(vcpu.rec, base, top),
            Exit::Psci {
                function:
                    psci::CPU_ON | psci::CPU_ON_32 | psci::AFFINITY_INFO | psci::AFFINITY_INFO_32,
                arguments: [mpidr, ..],
            } => {
                let target = self.rec_by_mpidr(mpidr)?;
                commands::psci_complete(vcpu.rec, target, psci::SUCCESS)?
                    .done(format_args!("PSCI_COMPLETE for {mpidr:#x}"))?;
                Ok(())
            }
            _ => fail!("the payload came out with {}: {exit:x?}", exit.name()),
        }
    }

    /// Runs a REC on to the reply to its command and does whatever it needs for that.
    pub(crate) fn serve(&self, vcpu: &mut Vcpu, report: &Report) -> Outcome<Reply> {
        let mut report = *report;
        for _ in 0..MOST_EXITS {
            let (reply, last) = vcpu.until_reply(&report)?;
            if let Some(reply) = reply {
                return Ok(reply);
            }
            self.attend(vcpu, &last.exit)?;
            report = vcpu.run()?;
        }
        fail!("the payload had {MOST_EXITS} exits without a reply")
    }
}
