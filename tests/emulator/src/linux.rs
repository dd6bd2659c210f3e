//! A stock Linux kernel as the normal world: boots it, and talks to its shell.

mod initramfs;

use std::time::Duration;

use crate::log::TestLog;
use crate::protocol::LineSplitter;
use crate::session::{Event, Session};
use crate::suite::{Observer, Outcome, Report, Verdict};
pub(crate) use initramfs::build as initramfs;

/// What the first program shows when it waits for a command.
const PROMPT: &str = "cloister# ";
/// A command at the shell may take this long.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// A console that says more than this is out of control.
const MOST_OUTPUT: usize = 16 << 20;
/// Lines with which a kernel reports that something went wrong.
const COMPLAINTS: &[&str] = &[
    "Kernel panic",
    "Internal error:",
    "Unable to handle kernel",
    "WARNING: ",
    "BUG: ",
    "INFO: rcu",
    "Call trace:",
    "failed to come online",
];

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
    let console = Console {
        session,
        log,
        splitter: LineSplitter::default(),
        lines: Vec::new(),
        tail: Vec::new(),
        at_prompt: false,
        output: 0,
        ended: None,
    };
    let mut check = Check {
        console,
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
        let limit = self.limit();
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
        let limit = self.limit();
        let from = self.console.lines.len();
        self.console.type_line(command)?;
        self.console.wait(limit, |console| {
            console.at_prompt && console.lines.len() > from
        })?;
        let lines = &self.console.lines[from..];
        if lines.iter().any(|line| line.trim_end() == answer) {
            return Ok(());
        }
        Err(format!(
            "{command:?} did not answer {answer:?} but {lines:?}"
        ))
    }

    fn limit(&self) -> Duration {
        let limit = ANSWER_LIMIT.mul_f64(self.expectation.scale);
        self.console.session.elapsed() + limit
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

/// The exit code of the emulator, or none when a signal ended it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Exit(Option<i32>);

/// The console as far as it has been read.
struct Console<'a> {
    session: &'a mut dyn Session,
    log: &'a mut dyn TestLog,
    splitter: LineSplitter,
    lines: Vec<String>,
    /// The last bytes, in which a prompt may have begun.
    tail: Vec<u8>,
    /// A prompt has come since something was typed.
    at_prompt: bool,
    output: usize,
    /// The exit code, when the emulator has ended.
    ended: Option<Exit>,
}

impl Console<'_> {
    /// Reads until a condition holds.
    fn wait(
        &mut self,
        deadline: Duration,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        loop {
            if condition(self) {
                return Ok(());
            }
            if let Some(Exit(code)) = self.ended {
                return Err(format!("the emulator ended early with exit code {code:?}"));
            }
            match self.session.next(deadline) {
                Event::Output(bytes) => self.take(&bytes)?,
                Event::Deadline => return Err(format!("not within {deadline:.0?} from the start")),
                Event::Ended(code) => {
                    if let Some(line) = self.splitter.finish() {
                        self.line(line);
                    }
                    self.ended = Some(Exit(code));
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.output += bytes.len();
        if self.output > MOST_OUTPUT {
            return Err(format!(
                "more than {} MiB of console output",
                MOST_OUTPUT >> 20
            ));
        }
        // A prompt is no line, may come in pieces, and kernel messages may follow it.
        self.tail.extend_from_slice(bytes);
        let mut windows = self.tail.windows(PROMPT.len());
        self.at_prompt |= windows.any(|window| window == PROMPT.as_bytes());
        let seen = self.tail.len().saturating_sub(PROMPT.len() - 1);
        self.tail.drain(..seen);
        for line in self.splitter.push(bytes) {
            self.line(line);
        }
        Ok(())
    }

    fn line(&mut self, line: String) {
        self.log.line(&line);
        self.lines.push(line);
    }

    fn type_line(&mut self, text: &str) -> Result<(), String> {
        self.tail.clear();
        self.at_prompt = false;
        let typed = self.session.send(&format!("{text}\n"));
        typed.map_err(|error| format!("cannot type at the console: {error}"))
    }

    fn complaints(&self) -> Vec<&str> {
        let lines = self.lines.iter().map(String::as_str);
        lines
            .filter(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
