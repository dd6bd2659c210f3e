//! The report that a payload writes to the console, line by line (`docs/development.md`).

use std::time::Duration;

use crate::token::Piece;

/// Console lines are cut here: a payload gone wild must not fill the memory of this machine.
const LONGEST_LINE: usize = 8192;
/// No single test may ask for more than this.
const LONGEST_LIMIT: Duration = Duration::from_hours(2);

/// One line of the report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// So many tests will run.
    Plan(u64),
    /// A test starts and may take this long.
    Begin { name: String, limit: Duration },
    /// A test passed.
    Pass { name: String },
    /// A test failed, and why.
    Fail { name: String, reason: String },
    /// A test cannot run here, and why.
    Skip { name: String, reason: String },
    /// The name of a test, in a listing.
    Test { name: String },
    /// Instructions of one operation.
    Bench { name: String, instructions: u64 },
    /// A piece of a token.
    Token(Piece),
    /// For people.
    Note(String),
    /// The end, with the payload's own count.
    Done(Tally),
}

/// How many tests ended in which way.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// A line that begins like a report and is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a line of the report: {0:?}")]
pub(crate) struct Malformed(pub(crate) String);

/// Reads one console line. `None` when somebody else speaks.
pub(crate) fn parse(speaker: &str, line: &str) -> Option<Result<Line, Malformed>> {
    let text = line.strip_prefix(speaker)?.strip_prefix(": ")?;
    Some(parse_text(text).ok_or_else(|| Malformed(line.to_owned())))
}

fn parse_text(words: &str) -> Option<Line> {
    let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
    match word {
        "plan" => Some(Line::Plan(rest.parse().ok()?)),
        "begin" => {
            let (title, limit) = rest.split_once(" limit ")?;
            let limit = Duration::from_secs(limit.parse().ok()?);
            Some(Line::Begin {
                name: name(title)?,
                limit: limit.min(LONGEST_LIMIT),
            })
        }
        "pass" => Some(Line::Pass { name: name(rest)? }),
        "fail" => {
            let (title, reason) = rest.split_once(": ")?;
            Some(Line::Fail {
                name: name(title)?,
                reason: reason.to_owned(),
            })
        }
        "skip" => {
            let (title, reason) = rest.split_once(": ")?;
            Some(Line::Skip {
                name: name(title)?,
                reason: reason.to_owned(),
            })
        }
        "test" => Some(Line::Test { name: name(rest)? }),
        "bench" => {
            let (operation, instructions) = rest.split_once(' ')?;
            Some(Line::Bench {
                name: name(operation)?,
                instructions: instructions.parse().ok()?,
            })
        }
        "token" => Some(Line::Token(Piece::parse(rest)?)),
        "note" => Some(Line::Note(rest.to_owned())),
        "done" => Some(Line::Done(tally(rest)?)),
        _ => None,
    }
}

/// A test's or operation's name: one word of printable ASCII that can stand on a command line.
fn name(text: &str) -> Option<String> {
    let fits = !text.is_empty()
        && text.len() <= 200
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !text.contains([',', '*', '=']);
    fits.then(|| text.to_owned())
}

/// Reads `N passed, N failed, N skipped`.
pub(crate) fn tally(text: &str) -> Option<Tally> {
    let mut parts = text.trim_end().split(", ");
    let mut count = |unit: &str| -> Option<u64> {
        parts
            .next()?
            .strip_suffix(unit)?
            .strip_suffix(' ')?
            .parse()
            .ok()
    };
    let tally = Tally {
        passed: count("passed")?,
        failed: count("failed")?,
        skipped: count("skipped")?,
    };
    parts.next().is_none().then_some(tally)
}

/// Makes lines of whatever pieces the console delivers.
#[derive(Default)]
pub(crate) struct LineSplitter {
    unfinished: Vec<u8>,
}

impl LineSplitter {
    /// Takes the next bytes and returns the lines that they complete. Bytes that are no UTF-8
    /// become replacement characters; carriage returns are dropped.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte == b'\n' || self.unfinished.len() >= LONGEST_LINE {
                lines.push(self.take());
            }
            if byte != b'\n' && byte != b'\r' {
                self.unfinished.push(byte);
            }
        }
        lines
    }

    /// What stands after the last line end, when the console has closed.
    pub(crate) fn finish(&mut self) -> Option<String> {
        (!self.unfinished.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.unfinished).into_owned();
        self.unfinished.clear();
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        parse("ns-host", text).unwrap().unwrap()
    }

    #[test]
    fn every_kind_of_line_is_read() {
        let name = || "granule/unaligned".to_owned();
        assert_eq!(line("ns-host: plan 37"), Line::Plan(37));
        assert_eq!(
            line("ns-host: begin granule/unaligned limit 10"),
            Line::Begin {
                name: name(),
                limit: Duration::from_secs(10)
            }
        );
        assert_eq!(
            line("ns-host: pass granule/unaligned"),
            Line::Pass { name: name() }
        );
        assert_eq!(
            line("ns-host: fail granule/unaligned: expected 1: saw 2"),
            Line::Fail {
                name: name(),
                reason: "expected 1: saw 2".to_owned()
            }
        );
        assert_eq!(
            line("ns-host: skip granule/unaligned: one CPU"),
            Line::Skip {
                name: name(),
                reason: "one CPU".to_owned()
            }
        );
        assert_eq!(
            line("ns-host: test granule/unaligned"),
            Line::Test { name: name() }
        );
        assert_eq!(
            line("ns-host: token realm 32/34 d901"),
            Line::Token(Piece {
                name: "realm".to_owned(),
                offset: 32,
                size: 34,
                bytes: vec![0xd9, 0x01]
            })
        );
        assert_eq!(
            line("ns-host: bench RMI_VERSION 540"),
            Line::Bench {
                name: "RMI_VERSION".to_owned(),
                instructions: 540
            }
        );
        assert_eq!(line("ns-host: note a b"), Line::Note("a b".to_owned()));
        assert_eq!(
            line("ns-host: done 36 passed, 1 failed, 2 skipped"),
            Line::Done(Tally {
                passed: 36,
                failed: 1,
                skipped: 2
            })
        );
    }

    #[test]
    fn other_speakers_are_not_the_report() {
        for other in [
            "rmm: plan 3",
            "el3: x",
            "",
            "ns-host",
            "ns-hostess: plan 3",
            " ns-host: plan 3",
        ] {
            assert_eq!(parse("ns-host", other), None, "{other}");
        }
    }

    #[test]
    fn garbage_from_the_speaker_is_reported_and_never_taken_for_a_verdict() {
        for garbage in [
            "plan",
            "plan -1",
            "plan 99999999999999999999",
            "begin a",
            "begin a limit",
            "begin a limit x",
            "begin  limit 3",
            "pass",
            "pass two words",
            "pass a,b",
            "fail a",
            "skip a",
            "bench A",
            "bench A -3",
            "done",
            "done 1 passed",
            "done 1 passed, 2 failed, 3 skipped, 4 lost",
            "done 1 failed, 1 passed, 1 skipped",
            "passed a",
            "",
        ] {
            let text = format!("ns-host: {garbage}");
            assert_eq!(
                parse("ns-host", &text),
                Some(Err(Malformed(text.clone()))),
                "{garbage}"
            );
        }
    }

    #[test]
    fn a_limit_is_bounded() {
        let text = format!("ns-host: begin a limit {}", u64::MAX);
        assert_eq!(
            line(&text),
            Line::Begin {
                name: "a".to_owned(),
                limit: LONGEST_LIMIT
            }
        );
    }

    #[test]
    fn lines_come_out_of_pieces_whatever_their_bytes() {
        let mut splitter = LineSplitter::default();
        assert!(splitter.push(b"ns-host: pl").is_empty());
        assert_eq!(splitter.push(b"an 3\r\n\nx"), ["ns-host: plan 3", ""]);
        assert_eq!(splitter.push(b"\xff\n"), ["x\u{fffd}"]);
        assert_eq!(splitter.finish(), None);
        splitter.push(b"tail");
        assert_eq!(splitter.finish().as_deref(), Some("tail"));
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut splitter = LineSplitter::default();
        let lines = splitter.push(&vec![b'a'; 3 * LONGEST_LINE + 1]);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() == LONGEST_LINE));
    }
}
