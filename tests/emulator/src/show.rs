//! What a person sees of a test run: progress, failures, the table at the end.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::log::TestLog;
use crate::protocol::Tally;
use crate::suite::{Observer, Outcome, Report, Verdict};

/// Progress on the terminal (none where there is no terminal), and one line per failed or skipped
/// test.
pub(crate) struct Terminal {
    bar: ProgressBar,
    verbose: bool,
    /// Standard output belongs to JSON.
    lines_to_stderr: bool,
}

impl Terminal {
    pub(crate) fn new(label: &str, verbose: bool, lines_to_stderr: bool) -> Self {
        let bar = ProgressBar::new(0);
        // The template is constant; a default style is no reason to stop.
        if let Ok(style) =
            ProgressStyle::with_template("{prefix} [{elapsed_precise}] {pos}/{len} {wide_msg}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_owned());
        bar.set_message("starting");
        bar.enable_steady_tick(Duration::from_millis(250));
        Self {
            bar,
            verbose,
            lines_to_stderr,
        }
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| {
            if self.lines_to_stderr {
                eprintln!("{text}");
            } else {
                println!("{text}");
            }
        });
    }

    /// Takes the progress off the screen.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The log of a run, those of whose lines that say how far it is are shown as well.
pub(crate) struct Followed<L> {
    log: L,
    bar: ProgressBar,
    /// What such lines begin with.
    speaker: &'static str,
}

impl<L: TestLog> Followed<L> {
    /// Shows lines that begin like this.
    pub(crate) fn new(log: L, terminal: &Terminal, speaker: &'static str) -> Self {
        Self {
            log,
            bar: terminal.bar.clone(),
            speaker,
        }
    }

    /// Shows lines that begin like this instead.
    pub(crate) const fn follow(&mut self, speaker: &'static str) {
        self.speaker = speaker;
    }
}

impl<L: TestLog> TestLog for Followed<L> {
    fn session_started(&mut self) {
        self.log.session_started();
    }

    fn test_started(&mut self) {
        self.log.test_started();
    }

    fn line(&mut self, text: &str) {
        self.log.line(text);
        if text.starts_with(self.speaker) {
            self.bar.suspend(|| println!("         {text}"));
        }
    }

    fn keep_excerpt(&mut self, name: &str) -> Option<String> {
        self.log.keep_excerpt(name)
    }
}

impl Observer for Terminal {
    fn planned(&mut self, total: u64) {
        self.bar.set_length(total);
    }

    fn begun(&mut self, name: &str) {
        self.bar.set_message(name.to_owned());
    }

    fn ended(&mut self, outcome: &Outcome) {
        self.bar.inc(1);
        let name = &outcome.name;
        match &outcome.verdict {
            Verdict::Passed if self.verbose => {
                self.line(&format!("  ok     {name} ({:.1} s)", outcome.seconds));
            }
            Verdict::Passed => {}
            Verdict::Skipped(reason) => self.line(&format!("  skip   {name}: {reason}")),
            Verdict::Failed(reason) => {
                let log = outcome.log.as_deref().unwrap_or("no log");
                self.line(&format!("  FAILED {name}: {reason} [{log}]"));
            }
        }
    }

    fn restarted(&mut self, after: &str) {
        self.line(&format!("  starting the emulator again: {after}"));
    }

    fn note(&mut self, text: &str) {
        if self.verbose {
            self.line(&format!("  note   {text}"));
        }
    }
}

/// The results by test family, for the end of a run.
pub(crate) fn table(report: &Report) -> String {
    let mut families: Vec<(&str, Tally, f64)> = Vec::new();
    for outcome in &report.outcomes {
        let family = outcome.name.split('/').next().unwrap_or_default();
        if !families.iter().any(|(name, ..)| *name == family) {
            families.push((family, Tally::default(), 0.0));
        }
        for (name, tally, seconds) in &mut families {
            if *name == family {
                *seconds += outcome.seconds;
                match outcome.verdict {
                    Verdict::Passed => tally.passed += 1,
                    Verdict::Failed(_) => tally.failed += 1,
                    Verdict::Skipped(_) => tally.skipped += 1,
                }
            }
        }
    }
    rows("family", families.into_iter())
}

/// A table of counts and seconds.
pub(crate) fn rows<'a>(
    heading: &str,
    rows: impl Iterator<Item = (&'a str, Tally, f64)> + Clone,
) -> String {
    let widest = rows.clone().map(|(name, ..)| name.len()).max();
    let width = widest.unwrap_or(0).max(heading.len());
    let mut text = format!(
        "{heading:width$}  {:>6} {:>6} {:>7} {:>8}\n",
        "passed", "failed", "skipped", "seconds"
    );
    for (name, tally, seconds) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{name:width$}  {:>6} {:>6} {:>7} {seconds:>8.1}",
            tally.passed, tally.failed, tally.skipped
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_added_up_in_the_order_of_their_first_test() {
        let outcome = |name: &str, verdict| Outcome {
            name: name.to_owned(),
            verdict,
            seconds: 1.5,
            log: None,
        };
        let report = Report {
            outcomes: vec![
                outcome("psci/on", Verdict::Passed),
                outcome("granule/a", Verdict::Failed("x".to_owned())),
                outcome("psci/off", Verdict::Skipped("y".to_owned())),
            ],
            restarts: 0,
        };
        let table = table(&report);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[1], "psci          1      0       1      3.0");
        assert_eq!(lines[2], "granule       0      1       0      1.5");
    }
}
