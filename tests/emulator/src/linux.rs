//! A stock Linux kernel as the normal world: boots it, and talks to its shell.

use std::time::Duration;

use crate::console::{Console, Exit};
use crate::log::TestLog;
use crate::session::Session;
use crate::suite::{Observer, Outcome, Report, Verdict};

/// A command at the shell may take this long.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// The command line of the kernel: the console, and an end instead of a halt when it panics.
pub(crate) const COMMAND_LINE: &str = "console=ttyAMA0 panic=1";

/// What to expect of a boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation {
    /// All of them must come up.
    pub(crate) cpus: u32,
    /// From the start to the prompt.
    pub(crate) limit: Duration,
    /// Factor on the limits of single commands.
    pub(crate) scale: f64,
}

/// Boots, checks what the kernel says, and uses its shell.
pub(crate) fn check(
    session: &mut dyn Session,
    expectation: Expectation,
    log: &mut dyn TestLog,
    observer: &mut dyn Observer,
) -> Report {
    let mut check = Check {
        console: Console::new(session, log),
        expectation,
        observer,
        report: Report::default(),
        since: Duration::ZERO,
    };
    check.observer.planned(check.number_of_tests());
    check.boot();
    check.report
}

struct Check<'a> {
    console: Console<'a>,
    expectation: Expectation,
    observer: &'a mut dyn Observer,
    report: Report,
    /// When the last test ended.
    since: Duration,
}

impl Check<'_> {
    fn number_of_tests(&self) -> u64 {
        if self.expectation.cpus > 1 { 8 } else { 7 }
    }

    fn boot(&mut self) {
        self.observer.begun("linux/shell-prompt");
        let prompt = self
            .console
            .wait(self.expectation.limit, |console| console.at_prompt);
        // What the kernel said tells more than "no prompt", so it comes first.
        let cpus = self.expectation.cpus;
        self.expect_line("linux/psci", "PSCIv1.1 detected in firmware");
        let all_at_el2 = if cpus > 1 {
            "CPU: All CPU(s) started at EL2"
        } else {
            "CPU features: detected: Virtualization Host Extensions"
        };
        self.expect_line("linux/starts-at-el2", all_at_el2);
        let activated = format!(
            "SMP: Total of {cpus} processor{} activated",
            if cpus == 1 { "" } else { "s" }
        );
        self.expect_line("linux/all-cpus", &activated);
        let ready = prompt.is_ok();
        self.end("linux/shell-prompt", prompt);
        if ready {
            self.use_shell();
        }
        let complaints: Vec<_> = self.console.complaints();
        let quiet = match complaints.first() {
            None => Ok(()),
            Some(first) => Err(format!(
                "{} complaints, the first: {first}",
                complaints.len()
            )),
        };
        self.end("linux/no-complaints", quiet);
    }

    fn use_shell(&mut self) {
        let sum = self.command("echo sum=$((6 * 7))", "sum=42");
        self.end("linux/shell-runs-commands", sum);
        if self.expectation.cpus > 1 {
            let off_and_on = self.cpu_off_and_on();
            self.end("linux/cpu-off-and-on", off_and_on);
        }
        self.observer.begun("linux/power-off");
        let limit = ANSWER_LIMIT.mul_f64(self.expectation.scale);
        let limit = self.console.session.elapsed() + limit;
        let off = self.console.type_line("poweroff -f").and_then(|()| {
            let ended = self.console.wait(limit, |console| console.ended.is_some());
            match (ended, self.console.ended) {
                (_, Some(Exit(Some(0)))) => Ok(()),
                (_, Some(Exit(code))) => Err(format!("the emulator ended with exit code {code:?}")),
                (Err(reason), None) => Err(reason),
                (Ok(()), None) => Err("the emulator runs on".to_owned()),
            }
        });
        self.end("linux/power-off", off);
    }

    fn cpu_off_and_on(&mut self) -> Result<(), String> {
        let last = self.expectation.cpus - 1;
        let online = "/sys/devices/system/cpu/online";
        let switch = format!("/sys/devices/system/cpu/cpu{last}/online");
        let without = if last == 1 {
            "0".to_owned()
        } else {
            format!("0-{}", last - 1)
        };
        let off = format!("echo 0 > {switch}; echo off=$(cat {online})");
        self.command(&off, &format!("off={without}"))?;
        let on = format!("echo 1 > {switch}; echo on=$(cat {online})");
        self.command(&on, &format!("on=0-{last}"))
    }

    /// Types a command and waits for its answer, a line of its own, and for the next prompt.
    fn command(&mut self, command: &str, answer: &str) -> Result<(), String> {
        self.observer.begun(command);
        let limit = ANSWER_LIMIT.mul_f64(self.expectation.scale);
        let lines = self.console.command(command, limit)?;
        if lines.iter().any(|line| line.trim_end() == answer) {
            return Ok(());
        }
        Err(format!(
            "{command:?} did not answer {answer:?} but {lines:?}"
        ))
    }

    fn expect_line(&mut self, name: &str, text: &str) {
        let seen = self.console.lines.iter().any(|line| line.contains(text));
        let result = if seen {
            Ok(())
        } else {
            Err(format!("the kernel did not say {text:?}"))
        };
        self.end(name, result);
    }

    fn end(&mut self, name: &str, result: Result<(), String>) {
        let now = self.console.session.elapsed();
        let seconds = now.saturating_sub(self.since).as_secs_f64();
        self.since = now;
        let outcome = Outcome {
            name: name.to_owned(),
            log: result
                .as_ref()
                .err()
                .and_then(|_| self.console.log.keep_excerpt(name)),
            verdict: result.map_or_else(Verdict::Failed, |()| Verdict::Passed),
            seconds,
        };
        self.observer.ended(&outcome);
        self.report.outcomes.push(outcome);
    }
}

#[cfg(test)]
mod tests;
