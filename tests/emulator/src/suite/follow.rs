//! Follows one session's report and turns it into outcomes.

use std::time::Duration;

use super::{Limits, Observer, Outcome, Report, Request, Verdict};
use crate::log::TestLog;
use crate::protocol::{self, Line, LineSplitter, Tally};
use crate::session::{Event, Session};

/// Names of findings that are not tests of the payload start with this.
pub(super) const OWN_FINDINGS: &str = "report/";
/// What the RMM says when it ends its service (`docs/development.md`).
const STOPPED: &str = "rmm: STOPPED";
/// A payload that writes more than this in one session is out of control.
const MOST_OUTPUT: usize = 64 << 20;

/// How a session came to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// With the payload's last line, and the emulator ended after it.
    Complete,
    /// Before it began: the payload cannot use its command line, and says why.
    Refused(String),
    /// In any other way. `left` is how many planned tests have not run, when a plan is known.
    Broken { reason: String, left: Option<u64> },
}

/// The test that runs at the moment.
struct Current {
    name: String,
    since: Duration,
    limit: Duration,
}

/// The state of following one session.
pub(super) struct Follower<'a> {
    request: &'a Request,
    report: &'a mut Report,
    log: &'a mut dyn TestLog,
    observer: &'a mut dyn Observer,
    plan: Option<u64>,
    current: Option<Current>,
    counted: Tally,
    stops: usize,
    done: bool,
    last_note: Option<String>,
    deadline: Duration,
    now: Duration,
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        request: &'a Request,
        report: &'a mut Report,
        log: &'a mut dyn TestLog,
        observer: &'a mut dyn Observer,
    ) -> Self {
        Self {
            request,
            report,
            log,
            observer,
            plan: None,
            current: None,
            counted: Tally::default(),
            stops: 0,
            done: false,
            last_note: None,
            deadline: request.limits.scaled(request.limits.boot),
            now: Duration::ZERO,
        }
    }

    /// Follows a session to its end.
    pub(super) fn follow(mut self, session: &mut dyn Session) -> Ending {
        let mut splitter = LineSplitter::default();
        let mut output = 0;
        let reason = loop {
            let event = session.next(self.deadline);
            self.now = session.elapsed();
            match event {
                Event::Output(bytes) => {
                    output += bytes.len();
                    for line in splitter.push(&bytes) {
                        self.console_line(&line);
                    }
                    if output > MOST_OUTPUT {
                        break format!("more than {} MiB of console output", MOST_OUTPUT >> 20);
                    }
                }
                Event::Deadline => break self.overdue(),
                Event::Ended(code) => {
                    if let Some(line) = splitter.finish() {
                        self.console_line(&line);
                    }
                    if code == Some(2) && self.plan.is_none() {
                        let unsaid = || "it did not say why".to_owned();
                        return Ending::Refused(self.last_note.unwrap_or_else(unsaid));
                    }
                    if self.done {
                        self.check_end(code);
                        return Ending::Complete;
                    }
                    break with_note(describe_exit(code), self.last_note.as_deref());
                }
            }
        };
        self.broken(reason)
    }

    fn console_line(&mut self, text: &str) {
        self.log.line(text);
        if text.starts_with(STOPPED) {
            self.stops += 1;
        }
        match protocol::parse(&self.request.speaker, text) {
            None => {}
            Some(Ok(line)) => self.report_line(line, text),
            Some(Err(malformed)) => self.finding("malformed-line", malformed.to_string()),
        }
    }

    fn report_line(&mut self, line: Line, text: &str) {
        if self.done {
            self.finding(
                "after-the-end",
                format!("{text:?} came after the last line"),
            );
            return;
        }
        match line {
            Line::Plan(total) if self.plan.is_none() => {
                self.plan = Some(total);
                let known = self.report.outcomes.len() as u64;
                self.observer.planned(known.saturating_add(total));
                self.pause();
            }
            Line::Begin { name, limit } if self.plan.is_some() => self.begin(name, limit),
            Line::Pass { name } if self.is_current(&name) => self.end(Verdict::Passed),
            Line::Fail { name, reason } if self.is_current(&name) => {
                self.end(Verdict::Failed(reason));
            }
            Line::Skip { name, reason } if self.is_current(&name) => {
                self.end(Verdict::Skipped(reason));
            }
            // A test that cannot run need not begin.
            Line::Skip { name, reason } if self.plan.is_some() && self.current.is_none() => {
                self.begin(name, Duration::ZERO);
                self.end(Verdict::Skipped(reason));
            }
            Line::Note(note) => {
                self.observer.note(&note);
                self.last_note = Some(note);
            }
            // Whoever wants tokens reads the report without following the tests.
            Line::Token(_) => {}
            Line::Done(tally) => self.finish(tally),
            _ => self.finding("out-of-order", format!("{text:?} does not belong here")),
        }
    }

    fn is_current(&self, name: &str) -> bool {
        self.current.as_ref().is_some_and(|test| test.name == name)
    }

    fn begin(&mut self, name: String, limit: Duration) {
        self.end_without_verdict("the next test began");
        let again = self.report.outcomes.iter().any(|test| test.name == name);
        if again {
            self.finding("twice", format!("{name} began a second time"));
        }
        let limit = self.request.limits.scaled(limit);
        self.observer.begun(&name);
        self.log.test_started();
        self.deadline = self.now.saturating_add(limit);
        self.current = Some(Current {
            name,
            since: self.now,
            limit,
        });
    }

    /// Ends the current test; the pause until the next one begins.
    fn end(&mut self, verdict: Verdict) {
        let Some(test) = self.current.take() else {
            return;
        };
        match verdict {
            Verdict::Passed => self.counted.passed += 1,
            Verdict::Failed(_) => self.counted.failed += 1,
            Verdict::Skipped(_) => self.counted.skipped += 1,
        }
        let seconds = self.now.saturating_sub(test.since).as_secs_f64();
        self.record(test.name, verdict, seconds);
        self.pause();
    }

    fn end_without_verdict(&mut self, what_came: &str) {
        self.end(Verdict::Failed(format!("no verdict before {what_came}")));
    }

    fn finish(&mut self, told: Tally) {
        self.end_without_verdict("the last line");
        self.done = true;
        if told != self.counted {
            let seen = self.counted;
            self.finding("count", format!("the payload counts {told}, seen: {seen}"));
        }
        self.pause();
    }

    fn check_end(&mut self, code: Option<i32>) {
        let ended = total(self.counted);
        if self.plan != Some(ended) {
            let plan = self
                .plan
                .map_or("no plan".to_owned(), |plan| format!("{plan} planned"));
            self.finding("plan", format!("{plan}, {ended} ended"));
        }
        let (stops, expected) = (self.stops, self.request.stops);
        if stops != expected && ended > 0 {
            let what = format!("{stops} lines '{STOPPED}' of the RMM instead of {expected}");
            self.finding("stopped", what);
        }
        let expected = i32::from(self.counted.failed > 0);
        if code != Some(expected) {
            let saw = describe_exit(code);
            self.finding("exit-code", format!("expected exit code {expected}: {saw}"));
        }
    }

    fn overdue(&self) -> String {
        let limits = &self.request.limits;
        match &self.current {
            Some(test) => format!("no verdict within {:.0?}", test.limit),
            None if self.done => "the emulator did not end after the last line".to_owned(),
            None if self.plan.is_some() => {
                format!(
                    "silent for {:.0?} between tests",
                    limits.scaled(limits.pause)
                )
            }
            None => format!(
                "no report within {:.0?} from the start",
                limits.scaled(limits.boot)
            ),
        }
    }

    fn broken(mut self, reason: String) -> Ending {
        let in_a_test = self.current.is_some();
        self.end(Verdict::Failed(reason.clone()));
        let left = self
            .plan
            .map(|plan| plan.saturating_sub(total(self.counted)));
        // Tests that did not run are the caller's failure to report; without any, it is one here.
        if self.done {
            self.finding("end", reason.clone());
        } else if left == Some(0) && !in_a_test {
            self.finding("end", format!("no last line: {reason}"));
        }
        Ending::Broken { reason, left }
    }

    fn pause(&mut self) {
        let Limits { pause, .. } = self.request.limits;
        self.deadline = self.now.saturating_add(self.request.limits.scaled(pause));
    }

    /// Something wrong with the report itself: a failure, whatever the tests say.
    fn finding(&mut self, kind: &str, what: String) {
        let name = format!("{OWN_FINDINGS}{kind}");
        // One line of each kind is enough, a broken payload may write thousands.
        if !self.report.outcomes.iter().any(|known| known.name == name) {
            self.record(name, Verdict::Failed(what), 0.0);
        }
    }

    fn record(&mut self, name: String, verdict: Verdict, seconds: f64) {
        let log = match verdict {
            Verdict::Failed(_) => self.log.keep_excerpt(&name),
            _ => None,
        };
        let outcome = Outcome {
            name,
            verdict,
            seconds,
            log,
        };
        self.observer.ended(&outcome);
        self.report.outcomes.push(outcome);
    }
}

/// Reads a report without tests: a listing or a bench. `Err` says why it is not complete.
pub(crate) fn lines(
    session: &mut dyn Session,
    request: &Request,
    log: &mut dyn TestLog,
) -> Result<Vec<Line>, String> {
    let deadline = request.limits.scaled(request.limits.boot);
    let mut splitter = LineSplitter::default();
    let mut lines = Vec::new();
    let mut output = 0;
    let mut take = |text: &str, lines: &mut Vec<Line>| {
        log.line(text);
        match protocol::parse(&request.speaker, text) {
            None => Ok(()),
            Some(Ok(line)) => {
                lines.push(line);
                Ok(())
            }
            Some(Err(malformed)) => Err(malformed.to_string()),
        }
    };
    loop {
        match session.next(deadline) {
            Event::Output(bytes) => {
                output += bytes.len();
                if output > MOST_OUTPUT {
                    return Err("too much console output".to_owned());
                }
                for text in splitter.push(&bytes) {
                    take(&text, &mut lines)?;
                }
            }
            Event::Deadline => return Err(format!("not finished within {deadline:.0?}")),
            Event::Ended(code) => {
                if let Some(text) = splitter.finish() {
                    take(&text, &mut lines)?;
                }
                return match lines.last() {
                    Some(Line::Done(_)) if code == Some(0) => Ok(lines),
                    _ => Err(last_words(&lines, code)),
                };
            }
        }
    }
}

/// The exit, with the payload's last note: it says which word was wrong or what is missing.
fn last_words(lines: &[Line], code: Option<i32>) -> String {
    let note = lines.iter().rev().find_map(|line| match line {
        Line::Note(text) => Some(text.as_str()),
        _ => None,
    });
    with_note(describe_exit(code), note)
}

fn with_note(exit: String, note: Option<&str>) -> String {
    match note {
        Some(note) => format!("{exit}, its last note: {note}"),
        None => exit,
    }
}

fn total(tally: Tally) -> u64 {
    tally.passed + tally.failed + tally.skipped
}

/// The exit codes of the payloads, in words.
fn describe_exit(code: Option<i32>) -> String {
    match code {
        None => "the emulator was ended by a signal".to_owned(),
        Some(2) => "the payload cannot use its command line, or the emulator its own (exit code 2)"
            .to_owned(),
        Some(3) => "an exception that no test expected (exit code 3)".to_owned(),
        Some(code) => format!("the emulator ended with exit code {code}"),
    }
}
