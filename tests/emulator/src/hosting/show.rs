//! What a person sees of a host that runs a Realm: the lines that matter, each with the time since the
//! start, and at the end where the time went.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, Instant};

use super::{GUEST, TOKEN};
use crate::log::{LogFolder, TestLog};
use crate::protocol::{self, Line};

/// Whose lines are shown.
const SPEAKERS: &[&str] = &["el3: ", "rmm: ", "host: ", "host-vmm: ", "guest: "];

/// A step, and the line with which it ends: how that begins.
const STEPS: &[(&str, &str)] = &[
    ("EL3 monitor and RMM", "rmm: "),
    ("host kernel", "host: "),
    ("Realm kernel module", "status=0"),
    ("VMM and its files", "host-vmm: files read"),
    ("Realm made", "host-vmm: machine made"),
    ("memory filled", "host-vmm: memory filled"),
    ("Realm active", "host-vmm: started"),
    ("guest kernel", "guest: up"),
    ("disk", "guest: disk"),
    ("evidence", "guest: done"),
];

/// The console for a person, and in a log.
pub(crate) struct Screen<'a> {
    log: LogFolder,
    out: &'a mut dyn Write,
    start: Instant,
    /// Ends of steps, in the order of [`STEPS`].
    ends: Vec<(&'static str, Duration)>,
}

impl<'a> Screen<'a> {
    /// A screen on which time begins now.
    pub(crate) fn new(log: LogFolder, out: &'a mut dyn Write) -> Self {
        Self {
            log,
            out,
            start: Instant::now(),
            ends: Vec::new(),
        }
    }

    /// Shows a line of this program's own.
    pub(crate) fn say(&mut self, text: &str) {
        let seconds = self.start.elapsed().as_secs_f64();
        // Somebody who closes the pipe does not want to see the rest.
        let _ = writeln!(self.out, "{seconds:6.1} s  {text}");
    }

    /// Ends a step.
    pub(crate) fn end(&mut self, step: &'static str) {
        self.ends.push((step, self.start.elapsed()));
    }

    /// Where the time went.
    pub(crate) fn table(&self) -> String {
        let width = self.ends.iter().map(|(step, _)| step.len()).max();
        let width = width.unwrap_or(0);
        let mut text = format!("{:width$}  seconds  at\n", "step");
        let mut before = Duration::ZERO;
        for (step, end) in &self.ends {
            let took = end.saturating_sub(before).as_secs_f64();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{step:width$}  {took:7.1}  {:.1}", end.as_secs_f64());
            before = *end;
        }
        text
    }

    /// Whether a person wants to see a line. Of a token the first and the last one are enough.
    fn shows(line: &str) -> bool {
        match protocol::parse(GUEST, line) {
            Some(Ok(Line::Token(piece))) if piece.name == TOKEN => {
                piece.offset == 0 || piece.offset + piece.bytes.len() == piece.size
            }
            _ => SPEAKERS.iter().any(|speaker| line.starts_with(speaker)),
        }
    }
}

/// What is left of a line on a terminal after programs have drawn their progress into it.
fn visible(text: &str) -> &str {
    const ERASE_LINE: &str = "\u{1b}[2K";
    text.rsplit(ERASE_LINE).next().unwrap_or(text)
}

impl TestLog for Screen<'_> {
    fn session_started(&mut self) {
        self.start = Instant::now();
        self.log.session_started();
    }

    fn test_started(&mut self) {
        self.log.test_started();
    }

    fn line(&mut self, text: &str) {
        self.log.line(text);
        let text = visible(text);
        if Self::shows(text) {
            self.say(text);
        }
        if let Some((step, line)) = STEPS.get(self.ends.len())
            && text.starts_with(line)
        {
            self.end(step);
        }
    }

    fn keep_excerpt(&mut self, name: &str) -> Option<String> {
        self.log.keep_excerpt(name)
    }
}
