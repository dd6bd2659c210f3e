//! The demonstration: the console of all speakers, as it comes.

use crate::protocol::{self, Line, LineSplitter, Tally};
use crate::session::{Event, Session};
use crate::suite::Limits;
use crate::token::Piece;

/// From the start to the end of the demonstration.
const LIMIT: std::time::Duration = std::time::Duration::from_mins(2);
/// Most pieces of tokens that are kept.
const MOST_PIECES: usize = 10_000;

/// What the demonstration has brought so far.
#[derive(Default)]
struct Seen {
    done: Option<Tally>,
    pieces: Vec<Piece>,
}

impl Seen {
    /// Takes a line of the console and shows it. Of a token the first and the last line are shown.
    fn line(&mut self, speaker: &str, line: &str, out: &mut dyn std::io::Write) {
        let mut is_shown = true;
        match protocol::parse(speaker, line) {
            Some(Ok(Line::Done(tally))) => self.done = Some(tally),
            Some(Ok(Line::Token(piece))) if self.pieces.len() < MOST_PIECES => {
                let is_last = piece.offset + piece.bytes.len() == piece.size;
                is_shown = piece.offset == 0 || is_last;
                if is_last && piece.offset > 0 {
                    let _ = writeln!(out, "  ...");
                }
                self.pieces.push(piece);
            }
            _ => {}
        }
        if is_shown {
            // Somebody who closes the pipe does not want to see the rest.
            let _ = writeln!(out, "{line}");
        }
    }
}

/// Passes the console on, up to the end, and returns what came of tokens. `Err` says what was
/// missing at the end.
pub(crate) fn show(
    session: &mut dyn Session,
    speaker: &str,
    limits: Limits,
    out: &mut dyn std::io::Write,
) -> Result<Vec<Piece>, String> {
    let deadline = limits.scaled(LIMIT);
    let mut splitter = LineSplitter::default();
    let mut seen = Seen::default();
    loop {
        match session.next(deadline) {
            Event::Output(bytes) => {
                for line in splitter.push(&bytes) {
                    seen.line(speaker, &line, out);
                }
            }
            Event::Deadline => return Err(format!("not at its end within {deadline:.0?}")),
            Event::Ended(code) => {
                if let Some(line) = splitter.finish() {
                    seen.line(speaker, &line, out);
                }
                return match (seen.done, code) {
                    (Some(tally), Some(0)) if tally.failed == 0 => Ok(seen.pieces),
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

    fn play(steps: Vec<Step>) -> (Result<Vec<Piece>, String>, String) {
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
        assert_eq!(result, Ok(Vec::new()));
        assert!(text.starts_with("el3: up\n"));
        assert!(play(vec![done(), Step::Exit(Some(3))]).0.is_err());
        assert!(play(vec![say("t: note x"), Step::Exit(Some(0))]).0.is_err());
        assert!(play(vec![done(), Step::Hang]).0.is_err());
        let failed = say("t: done 3 passed, 1 failed, 0 skipped");
        assert!(play(vec![failed, Step::Exit(Some(0))]).0.is_err());
    }

    #[test]
    fn tokens_are_kept_whole_and_shown_in_part() {
        let lines = [0, 2, 4].map(|offset| say(&format!("t: token realm {offset}/6 0102")));
        let mut steps = lines.to_vec();
        steps.push(say("t: done 1 passed, 0 failed, 0 skipped"));
        steps.push(Step::Exit(Some(0)));
        let (result, text) = play(steps);
        let offsets: Vec<_> = result.unwrap().iter().map(|piece| piece.offset).collect();
        assert_eq!(offsets, [0, 2, 4]);
        let shown: Vec<_> = text.lines().collect();
        assert_eq!(
            shown[..3],
            [
                "t: token realm 0/6 0102",
                "  ...",
                "t: token realm 4/6 0102"
            ]
        );
    }
}
