//! Runs the tests of a payload to the last one, whatever some of them do to the machine.

mod follow;
#[cfg(test)]
pub(crate) mod script;
mod selection;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use crate::log::TestLog;
use crate::protocol::{Line, Tally};
use crate::session::{Emulator, StartError};
pub(crate) use follow::lines;
use follow::{Ending, Follower};
pub(crate) use selection::Selection;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Factor on every limit, for slow machines.
    pub(crate) scale: f64,
    /// From the start to the plan.
    pub(crate) boot: Duration,
    /// Between two tests, and from the last line to the end of the emulator.
    pub(crate) pause: Duration,
}

impl Limits {
    /// A limit as the clock on the wall sees it.
    pub(crate) fn scaled(&self, limit: Duration) -> Duration {
        Duration::try_from_secs_f64(limit.as_secs_f64() * self.scale).unwrap_or(Duration::MAX / 2)
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Whose report counts.
    pub(crate) speaker: String,
    /// Which tests.
    pub(crate) selection: Selection,
    /// Further words of the command line, in every mode.
    pub(crate) words: Vec<String>,
    /// Whether the payload reads a command line. One that does not cannot go on after a crash.
    pub(crate) has_command_line: bool,
    /// So often the emulator may be started again before the rest counts as not run.
    pub(crate) restarts: u32,
    /// Lines by which the RMM says that it has given up, in a session with tests.
    pub(crate) stops: usize,
    /// How long things may take.
    pub(crate) limits: Limits,
}

/// How a test ended.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It passed.
    Passed,
    /// It failed, crashed or hung.
    Failed(String),
    /// It cannot run on this machine.
    Skipped(String),
}

/// One test and its end.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    pub(crate) seconds: f64,
    /// The excerpt of the console, kept for a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<String>,
}

/// Everything that came of a request.
#[derive(Default, Debug, serde::Serialize)]
pub(crate) struct Report {
    pub(crate) outcomes: Vec<Outcome>,
    /// How often the emulator had to be started again.
    pub(crate) restarts: u32,
}

impl Report {
    /// Counts the outcomes.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for outcome in &self.outcomes {
            match outcome.verdict {
                Verdict::Passed => tally.passed += 1,
                Verdict::Failed(_) => tally.failed += 1,
                Verdict::Skipped(_) => tally.skipped += 1,
            }
        }
        tally
    }
}

/// Watches a run, to show it to a person.
pub(crate) trait Observer {
    /// So many tests are known to this run from now on.
    fn planned(&mut self, total: u64);
    /// A test starts.
    fn begun(&mut self, name: &str);
    /// A test has ended.
    fn ended(&mut self, outcome: &Outcome);
    /// The emulator is started again.
    fn restarted(&mut self, after: &str);
    /// The payload has something to say.
    fn note(&mut self, text: &str);
}

/// Runs the requested tests. After a crash or a hang the emulator starts again with what is left.
pub(crate) fn run(
    emulator: &mut dyn Emulator,
    request: &Request,
    log: &mut dyn TestLog,
    observer: &mut dyn Observer,
) -> Result<Report, RunError> {
    let mut report = Report::default();
    let mut waiting = VecDeque::from([request.selection.clone()]);
    while let Some(selection) = waiting.pop_front() {
        let before = report.outcomes.len();
        let mut session = emulator.start(&command_line(request, "test", &selection))?;
        log.session_started();
        let follower = Follower::new(request, &mut report, log, observer);
        let ending = follower.follow(session.as_mut());
        drop(session);
        let (reason, left) = match ending {
            Ending::Complete => continue,
            Ending::Refused(why) => return Err(RunError::Refused(why)),
            Ending::Broken { reason, left } => (reason, left),
        };
        if left == Some(0) {
            continue;
        }
        let progress = finished_names(&report.outcomes[before..]);
        if !request.has_command_line || progress.is_empty() || report.restarts >= request.restarts {
            let left = left.map_or("the tests".to_owned(), |left| format!("{left} tests"));
            report_not_run(&mut report, observer, log, &left, &reason);
            continue;
        }
        report.restarts += 1;
        observer.restarted(&reason);
        match remaining(emulator, request, &selection, &progress, log) {
            Ok(rest) => rest
                .into_iter()
                .rev()
                .for_each(|part| waiting.push_front(part)),
            Err(why) => report_not_run(&mut report, observer, log, "the rest", &why),
        }
    }
    Ok(report)
}

/// Why tests were not run at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the payload refuses its command line: {0}")]
    Refused(String),
}

/// Asks the payload for the names of its tests.
pub(crate) fn list(
    emulator: &mut dyn Emulator,
    request: &Request,
    selection: &Selection,
    log: &mut dyn TestLog,
) -> Result<Vec<String>, ListError> {
    let mut session = emulator.start(&command_line(request, "list", selection))?;
    log.session_started();
    let lines = lines(session.as_mut(), request, log).map_err(ListError::Broken)?;
    Ok(lines
        .into_iter()
        .filter_map(|line| match line {
            Line::Test { name } if selection.includes(&name) => Some(name),
            _ => None,
        })
        .collect())
}

/// Why there is no list of tests.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the payload did not list its tests: {0}")]
    Broken(String),
}

fn command_line(request: &Request, mode: &str, selection: &Selection) -> String {
    if !request.has_command_line {
        return String::new();
    }
    let mut words = vec![format!("mode={mode}")];
    if mode == "test" {
        words.extend(selection.words());
    }
    words.extend(request.words.iter().cloned());
    words.join(" ")
}

/// What a selection still has to run: by naming what has run, or, when that does not fit a command
/// line, by naming what has not.
fn remaining(
    emulator: &mut dyn Emulator,
    request: &Request,
    selection: &Selection,
    finished: &HashSet<String>,
    log: &mut dyn TestLog,
) -> Result<Vec<Selection>, String> {
    let fits = |part: &Selection| {
        command_line(request, "test", part).len() <= crate::machine::LONGEST_COMMAND_LINE
    };
    let rest = selection.without(finished);
    if fits(&rest) {
        return Ok(vec![rest]);
    }
    let names = list(emulator, request, selection, log).map_err(|error| error.to_string())?;
    let names = names.into_iter().filter(|name| !finished.contains(name));
    Ok(Selection::parts(names, fits))
}

/// The tests that a restart must leave out.
fn finished_names(outcomes: &[Outcome]) -> HashSet<String> {
    outcomes
        .iter()
        .map(|outcome| outcome.name.clone())
        .filter(|name| !name.starts_with(follow::OWN_FINDINGS))
        .collect()
}

fn report_not_run(
    report: &mut Report,
    observer: &mut dyn Observer,
    log: &mut dyn TestLog,
    what: &str,
    reason: &str,
) {
    let name = format!("{}not-run", follow::OWN_FINDINGS);
    let outcome = Outcome {
        log: log.keep_excerpt(&name),
        name,
        verdict: Verdict::Failed(format!("{what} did not run: {reason}")),
        seconds: 0.0,
    };
    observer.ended(&outcome);
    report.outcomes.push(outcome);
}

#[cfg(test)]
mod tests;
