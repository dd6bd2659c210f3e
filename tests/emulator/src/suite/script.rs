//! A payload made of text, with a clock of its own: crashes, hangs and garbage without an emulator.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use super::Selection;
use crate::session::{Emulator, Event, Session, StartError};

/// One thing that a scripted session does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Writes to the console, this long after the step before.
    Say(Duration, String),
    /// Is silent for ever.
    Hang,
    /// Ends with an exit code.
    Exit(Option<i32>),
}

/// A line after a millisecond.
pub(crate) fn say(line: &str) -> Step {
    Step::Say(Duration::from_millis(1), format!("{line}\n"))
}

/// A session that plays its steps.
pub(crate) struct Play {
    steps: VecDeque<Step>,
    now: Duration,
}

impl Play {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            now: Duration::ZERO,
        }
    }
}

impl Session for Play {
    fn elapsed(&self) -> Duration {
        self.now
    }

    fn next(&mut self, deadline: Duration) -> Event {
        match self.steps.front().cloned() {
            Some(Step::Say(delay, text)) if self.now + delay <= deadline => {
                self.now += delay;
                self.steps.pop_front();
                Event::Output(text.into_bytes())
            }
            Some(Step::Exit(code)) => Event::Ended(code),
            _ => {
                self.now = deadline;
                Event::Deadline
            }
        }
    }

    fn send(&mut self, _text: &str) -> io::Result<()> {
        Ok(())
    }
}

/// What a scripted test does after its `begin` line.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Pass,
    Fail,
    Skip,
    /// Nothing more comes, the emulator runs on.
    Hang,
    /// The emulator ends with an exit code.
    Crash(i32),
    /// A verdict after so long.
    PassAfter(Duration),
    /// The next test begins without a verdict.
    NoVerdict,
    /// Passes, but the line is not one of the report.
    Garbage,
    /// Never stops talking.
    Babble,
}

/// A payload that keeps the contract of the command line; its tests do what they are told to.
pub(crate) struct Payload {
    pub(crate) tests: Vec<(String, Act)>,
    /// Whether even the start goes wrong.
    pub(crate) boots: bool,
    /// The command lines of all starts.
    pub(crate) starts: Vec<String>,
}

impl Payload {
    pub(crate) fn new(tests: &[(&str, Act)]) -> Self {
        Self {
            tests: tests
                .iter()
                .map(|(name, act)| ((*name).to_owned(), act.clone()))
                .collect(),
            boots: true,
            starts: Vec::new(),
        }
    }
}

impl Emulator for Payload {
    fn start(&mut self, command_line: &str) -> Result<Box<dyn Session>, StartError> {
        self.starts.push(command_line.to_owned());
        if !self.boots {
            return Ok(Box::new(Play::new([say("el3: no memory"), Step::Hang])));
        }
        if command_line.contains("mode=list") {
            let names = self.tests.iter();
            let mut steps: Vec<_> = names
                .map(|(name, _)| say(&format!("t: test {name}")))
                .collect();
            steps.push(say("t: done 0 passed, 0 failed, 0 skipped"));
            steps.push(Step::Exit(Some(0)));
            return Ok(Box::new(Play::new(steps)));
        }
        let names = |key: &str| {
            let value = command_line
                .split(' ')
                .find_map(|word| word.strip_prefix(key));
            value.map_or(Vec::new(), |value| {
                value.split(',').map(str::to_owned).collect()
            })
        };
        let selection = Selection {
            only: names("only="),
            skip: names("skip="),
        };
        let chosen: Vec<_> = self
            .tests
            .iter()
            .filter(|(name, _)| selection.includes(name))
            .collect();
        let mut steps = vec![say("el3: up"), say(&format!("t: plan {}", chosen.len()))];
        let mut counts = [0; 3];
        for (name, act) in chosen {
            steps.push(say(&format!("t: begin {name} limit 10")));
            if !perform(name, act, &mut steps, &mut counts) {
                return Ok(Box::new(Play::new(steps)));
            }
        }
        let [passed, failed, skipped] = counts;
        steps.push(say(&format!(
            "t: done {passed} passed, {failed} failed, {skipped} skipped"
        )));
        steps.push(Step::Exit(Some(i32::from(failed > 0))));
        Ok(Box::new(Play::new(steps)))
    }
}

/// Adds the steps of one test. `false` when nothing can come after it.
fn perform(name: &str, act: &Act, steps: &mut Vec<Step>, counts: &mut [u32; 3]) -> bool {
    let pass = format!("t: pass {name}");
    match act {
        Act::Pass => {
            steps.push(say(&pass));
            counts[0] += 1;
        }
        Act::PassAfter(delay) => {
            steps.push(Step::Say(*delay, format!("{pass}\n")));
            counts[0] += 1;
        }
        Act::Fail => {
            steps.push(say(&format!("t: fail {name}: expected 1, saw 2")));
            counts[1] += 1;
        }
        Act::Skip => {
            steps.push(say(&format!("t: skip {name}: needs 4 CPUs")));
            counts[2] += 1;
        }
        Act::NoVerdict => counts[0] += 1,
        Act::Garbage => {
            steps.push(say(&format!("t: passed {name}")));
            counts[0] += 1;
        }
        Act::Hang => {
            steps.push(Step::Hang);
            return false;
        }
        Act::Crash(code) => {
            steps.push(Step::Exit(Some(*code)));
            return false;
        }
        Act::Babble => {
            let line = Step::Say(Duration::from_millis(500), "rmm: again\n".to_owned());
            steps.extend(std::iter::repeat_n(line, 100));
            return false;
        }
    }
    true
}
