//! Calls that the payload makes to the RMM.

use super::command::{self, Replied, call_registers};
use super::exit::Report;
use super::vcpu::Vcpu;
use crate::outcome::{Outcome, ensure};

/// X0 to X17 after a call.
pub(crate) type Results = [u64; 18];

/// What becomes of X1 to X3 where they are no results.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unused {
    /// They are zero.
    Zero,
    /// They are zero or as they were.
    ZeroOrKept,
}

impl Vcpu {
    /// An SMC that ends without the host. X1 to X`outputs` may carry results; what is behind them
    /// must be as the specification has it.
    pub(crate) fn call(&mut self, words: &[u64], outputs: usize) -> Outcome<Results> {
        let report = self.begin(&command::smc(words))?;
        self.end_call(&report, words, outputs)
    }

    /// The same for a call that has come out in between.
    pub(crate) fn end_call(
        &mut self,
        report: &Report,
        words: &[u64],
        outputs: usize,
    ) -> Outcome<Results> {
        self.end_call_with(report, words, outputs, Unused::Zero)
    }

    /// The same for one that may leave X1 to X3 alone.
    pub(crate) fn end_call_with(
        &mut self,
        report: &Report,
        words: &[u64],
        outputs: usize,
        unused: Unused,
    ) -> Outcome<Results> {
        let reply = self.finish(report)?;
        let results = reply.done(format_args!("SMC {words:x?}"))?;
        let before = call_registers(words);
        for (number, (seen, before)) in results.iter().zip(before).enumerate().skip(1) {
            let right = match number {
                number if number <= outputs => true,
                1..4 => *seen == 0 || unused == Unused::ZeroOrKept && *seen == before,
                _ => *seen == before,
            };
            ensure!(
                right,
                "x{number} is {seen:#x} after SMC {:#x} (x0 = {:#x}); it was {before:#x}",
                words[0],
                results[0]
            );
        }
        let mut registers = [0; 18];
        registers.copy_from_slice(&results[..18]);
        Ok(registers)
    }
}
