//! The demonstration: the console of all speakers, as it comes.

use crate::protocol::{self, Line, LineSplitter, Tally};
use crate::session::{Event, Session};
use crate::suite::Limits;

/// From the start to the end of the demonstration.
const LIMIT: std::time::Duration = std::time::Duration::from_mins(2);

/// Passes the console on. `Err` says what was missing at the end.
pub(crate) fn show(
    session: &mut dyn Session,
    speaker: &str,
    limits: Limits,
    out: &mut dyn std::io::Write,
) -> Result<(), String> {
    let deadline = limits.scaled(LIMIT);
    let mut splitter = LineSplitter::default();
    let mut done = None;
    let mut take = |line: &str, done: &mut Option<Tally>| {
        // Somebody who closes the pipe does not want to see the rest.
        let _ = writeln!(out, "{line}");
        if let Some(Ok(Line::Done(tally))) = protocol::parse(speaker, line) {
            *done = Some(tally);
        }
    };
    loop {
        match session.next(deadline) {
            Event::Output(bytes) => {
                for line in splitter.push(&bytes) {
                    take(&line, &mut done);
                }
            }
            Event::Deadline => return Err(format!("not at its end within {deadline:.0?}")),
            Event::Ended(code) => {
                if let Some(line) = splitter.finish() {
                    take(&line, &mut done);
                }
                return match (done, code) {
                    (Some(tally), Some(0)) if tally.failed == 0 => Ok(()),
                    (Some(tally), code) => Err(format!("{tally}, exit code {code:?}")),
                    (None, code) => Err(format!("it stopped before its end, exit code {code:?}")),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::script::{Play, Step, say};

    fn play(steps: Vec<Step>) -> (Result<(), String>, String) {
        let limits = Limits {
            scale: 1.0,
            boot: LIMIT,
            pause: LIMIT,
        };
        let mut out = Vec::new();
        let result = show(&mut Play::new(steps), "t", limits, &mut out);
        (result, String::from_utf8(out).unwrap())
    }

    #[test]
    fn everything_is_shown_and_the_end_counts() {
        let done = || say("t: done 3 passed, 0 failed, 0 skipped");
        let (result, text) = play(vec![say("el3: up"), done(), Step::Exit(Some(0))]);
        assert_eq!(result, Ok(()));
        assert!(text.starts_with("el3: up\n"));
        assert!(play(vec![done(), Step::Exit(Some(3))]).0.is_err());
        assert!(play(vec![say("t: note x"), Step::Exit(Some(0))]).0.is_err());
        assert!(play(vec![done(), Step::Hang]).0.is_err());
        let failed = say("t: done 3 passed, 1 failed, 0 skipped");
        assert!(play(vec![failed, Step::Exit(Some(0))]).0.is_err());
    }
}
