//! What a person sees of a host that runs a Realm: the lines that matter, each with the time since the
//! start, and at the end where the time went.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, Instant};

use super::{GUEST, STATUS, TOKEN};
use crate::console::PROMPT;
use crate::log::{LogFolder, TestLog};
use crate::protocol::{self, Line};

/// Whose lines are shown; what is typed at the prompt is among them.
const SPEAKERS: &[&str] = &["el3: ", "rmm: ", "host: ", PROMPT, "host-vmm: ", "guest: "];

/// A step, and the line with which it ends: how that begins.
const STEPS: &[(&str, &str)] = &[
    ("EL3 monitor and RMM", "rmm: "),
    ("host kernel", "host: "),
    ("Realm kernel module", "status=0"),
    ("VMM and its files", "host-vmm: files opened"),
    ("Realm made", "host-vmm: machine made"),
    ("memory filled", "host-vmm: memory filled"),
    ("Realm active", "host-vmm: started"),
    ("guest kernel", "guest: up"),
    ("disk", "guest: disk"),
    ("evidence", "guest: done"),
    ("Realm taken down", "host-vmm: ended"),
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

/// What a person would see of a line: not what programs have drawn over, nor the shell's question to the
/// terminal, nor what this program adds to a command.
fn visible(line: &str) -> String {
    const ERASE_LINE: &str = "\u{1b}[2K";
    const WHERE_IS_THE_CURSOR: &str = "\u{1b}[6n";
    let line = line.rsplit(ERASE_LINE).next().unwrap_or(line);
    let line = line.replace(WHERE_IS_THE_CURSOR, "");
    let suffix = format!("; echo {STATUS}$?");
    line.strip_suffix(&suffix).unwrap_or(&line).to_owned()
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
        if Self::shows(&text) {
            self.say(&text);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_drawn_over_and_what_was_added_is_not_seen() {
        let drawn = "filling 1 of 2\u{1b}[2Kfilling 2 of 2\u{1b}[2Khost-vmm: memory filled";
        assert_eq!(visible(drawn), "host-vmm: memory filled");
        let typed = "cloister# \u{1b}[6ninsmod /lib/realm.ko; echo status=$?";
        assert_eq!(visible(typed), "cloister# insmod /lib/realm.ko");
    }

    #[test]
    fn a_person_follows_the_speakers_and_the_ends_of_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = Vec::new();
        let mut screen = Screen::new(LogFolder::create(folder.path()).unwrap(), &mut out);
        for line in [
            "el3: up",
            "[    1.0] a message of the kernel",
            "guest: token realm 0/6 0102",
            "guest: token realm 2/6 0304",
            "guest: token realm 4/6 0506",
            "status=0",
        ] {
            screen.line(line);
        }
        let text = String::from_utf8(out).unwrap();
        let shown: Vec<_> = text.lines().map(|line| &line[10..]).collect();
        assert_eq!(
            shown,
            [
                "el3: up",
                "guest: token realm 0/6 0102",
                "guest: token realm 4/6 0506"
            ]
        );
    }

    #[test]
    fn steps_end_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = Vec::new();
        let mut screen = Screen::new(LogFolder::create(folder.path()).unwrap(), &mut out);
        // A status before the host is up ends nothing.
        for line in ["status=0", "rmm: up", "host: kernel", "status=0", "other"] {
            screen.line(line);
        }
        screen.end("verdict");
        let table = screen.table();
        let steps: Vec<_> = table.lines().skip(1).map(|line| &line[..19]).collect();
        assert_eq!(
            steps,
            [
                "EL3 monitor and RMM",
                "host kernel        ",
                "Realm kernel module",
                "verdict            "
            ]
        );
    }
}
