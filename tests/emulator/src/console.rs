//! The console of a Linux system with a shell of ours: reads it, and types at its prompt.

use std::time::Duration;

use crate::log::TestLog;
use crate::protocol::LineSplitter;
use crate::session::{Event, Session};

/// What the first program shows when it waits for a command.
pub(crate) const PROMPT: &str = "cloister# ";
/// A console that says more than this is out of control.
const MOST_OUTPUT: usize = 16 << 20;
/// The shell does not take more in one line.
const LONGEST_LINE: usize = 1000;
/// Lines with which a kernel reports that something went wrong.
pub(crate) const COMPLAINTS: &[&str] = &[
    "Kernel panic",
    "Internal error:",
    "Unable to handle kernel",
    "WARNING: ",
    "BUG: ",
    "INFO: rcu",
    TRACE,
    "failed to come online",
];
const TRACE: &str = "Call trace:";
/// How a kernel begins to tell that it ends a program for want of memory.
pub(crate) const OUT_OF_MEMORY: &str = " invoked oom-killer: ";

/// The exit code of the emulator, or none when a signal ended it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exit(pub(crate) Option<i32>);

/// The console as far as it has been read.
pub(crate) struct Console<'a> {
    pub(crate) session: &'a mut dyn Session,
    pub(crate) log: &'a mut dyn TestLog,
    splitter: LineSplitter,
    pub(crate) lines: Vec<String>,
    /// The last bytes, in which a prompt may have begun.
    tail: Vec<u8>,
    /// A prompt has come since something was typed.
    pub(crate) at_prompt: bool,
    output: usize,
    /// The exit code, when the emulator has ended.
    pub(crate) ended: Option<Exit>,
}

impl<'a> Console<'a> {
    /// The console of a session that has just started.
    pub(crate) fn new(session: &'a mut dyn Session, log: &'a mut dyn TestLog) -> Self {
        Self {
            session,
            log,
            splitter: LineSplitter::default(),
            lines: Vec::new(),
            tail: Vec::new(),
            at_prompt: false,
            output: 0,
            ended: None,
        }
    }

    /// Reads until a condition holds.
    pub(crate) fn wait(
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

    /// Types a command and waits for the next prompt. Returns the lines that came meanwhile, the
    /// first of which is the command itself.
    pub(crate) fn command(&mut self, text: &str, limit: Duration) -> Result<&[String], String> {
        let from = self.lines.len();
        let deadline = self.session.elapsed() + limit;
        self.type_line(text)?;
        self.wait(deadline, |console| {
            console.at_prompt && console.lines.len() > from
        })
        .map_err(|reason| format!("{text:?}: {reason}"))?;
        Ok(&self.lines[from..])
    }

    /// Types a line.
    pub(crate) fn type_line(&mut self, text: &str) -> Result<(), String> {
        if text.len() > LONGEST_LINE {
            return Err(format!("{} characters are too long a line", text.len()));
        }
        self.tail.clear();
        self.at_prompt = false;
        let typed = self.session.send(&format!("{text}\n"));
        typed.map_err(|error| format!("cannot type at the console: {error}"))
    }

    /// What a kernel has complained of.
    pub(crate) fn complaints(&self) -> Vec<&str> {
        complaints_among(self.lines.iter().map(String::as_str))
    }
}

/// The complaints among lines of a kernel. That it has no memory for a program is none, and it says so
/// with a trace.
pub(crate) fn complaints_among<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut out_of_memory = false;
    let mut complaints = Vec::new();
    for line in lines {
        if line.contains(OUT_OF_MEMORY) {
            out_of_memory = true;
        } else if COMPLAINTS.iter().any(|complaint| line.contains(complaint)) {
            if !(out_of_memory && line.contains(TRACE)) {
                complaints.push(line);
            }
            out_of_memory = false;
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::complaints_among;

    #[test]
    fn a_trace_for_want_of_memory_is_no_complaint() {
        let lines = [
            "[1.0] host-vmm invoked oom-killer: gfp_mask=0x140dca",
            "[1.0] CPU: 1 UID: 0 PID: 77 Comm: host-vmm",
            "[1.0] Call trace:",
            "[1.1] Out of memory: Killed process 77 (host-vmm)",
            "[2.0] Call trace:",
            "[3.0] sh invoked oom-killer: gfp_mask=0x140dca",
            "[3.1] BUG: something else",
            "[3.2] Call trace:",
        ];
        let complaints = complaints_among(lines.into_iter());
        assert_eq!(complaints, [lines[4], lines[6], lines[7]]);
    }
}
