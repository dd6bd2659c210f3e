//! The boot check against kernels of text.

use std::collections::VecDeque;
use std::io;

use super::*;
use crate::console::PROMPT;
use crate::session::Event;

/// A kernel and shell of text: says something at the start, and answers what is typed.
struct Kernel {
    says: VecDeque<String>,
    answers: fn(&str) -> Option<String>,
    exit: Option<i32>,
    now: Duration,
}

impl Session for Kernel {
    fn elapsed(&self) -> Duration {
        self.now
    }

    fn next(&mut self, deadline: Duration) -> Event {
        if let Some(text) = self.says.pop_front() {
            self.now += Duration::from_millis(1);
            return Event::Output(text.into_bytes());
        }
        if self.exit.is_some() {
            return Event::Ended(self.exit);
        }
        self.now = deadline;
        Event::Deadline
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        self.says.push_back(text.replace('\n', "\r\n"));
        match (self.answers)(text.trim_end()) {
            Some(answer) => self.says.push_back(format!("{answer}\r\n{PROMPT}")),
            None => self.exit = Some(0),
        }
        Ok(())
    }
}

struct NoLog;

impl TestLog for NoLog {
    fn session_started(&mut self) {}
    fn test_started(&mut self) {}
    fn line(&mut self, _text: &str) {}
    fn keep_excerpt(&mut self, _name: &str) -> Option<String> {
        None
    }
}

impl Observer for NoLog {
    fn planned(&mut self, _total: u64) {}
    fn begun(&mut self, _name: &str) {}
    fn ended(&mut self, _outcome: &Outcome) {}
    fn restarted(&mut self, _after: &str) {}
    fn note(&mut self, _text: &str) {}
}

const GOOD_BOOT: &str = "el3: up\r\n\
    [    0.000000] Booting Linux on physical CPU 0x0000000000\r\n\
    [    0.000000] psci: PSCIv1.1 detected in firmware.\r\n\
    [    0.100000] SMP: Total of 2 processors activated.\r\n\
    [    0.200000] CPU: All CPU(s) started at EL2\r\n\
    init: kernel 7.3.4, online CPUs 0-1\r\ncloister# ";

fn answers(command: &str) -> Option<String> {
    match command {
        "poweroff -f" => None,
        text if text.contains("sum=") => Some("sum=42".to_owned()),
        text if text.contains("off=") => Some("off=0".to_owned()),
        text if text.contains("on=") => Some("on=0-1".to_owned()),
        _ => Some("?".to_owned()),
    }
}

fn boot(says: &[&str], answers: fn(&str) -> Option<String>) -> Report {
    let mut kernel = Kernel {
        says: says.iter().map(ToString::to_string).collect(),
        answers,
        exit: None,
        now: Duration::ZERO,
    };
    let expectation = Expectation {
        cpus: 2,
        limit: Duration::from_secs(100),
        scale: 1.0,
    };
    check(&mut kernel, expectation, &mut NoLog, &mut NoLog)
}

fn failed(report: &Report) -> Vec<&str> {
    let failed = report
        .outcomes
        .iter()
        .filter(|outcome| matches!(outcome.verdict, Verdict::Failed(_)));
    failed.map(|outcome| outcome.name.as_str()).collect()
}

#[test]
fn a_good_boot_passes_everything() {
    let report = boot(&[GOOD_BOOT], answers);
    assert_eq!(report.tally().to_string(), "8 passed, 0 failed, 0 skipped");
}

#[test]
fn a_prompt_in_pieces_is_a_prompt() {
    let (start, end) = GOOD_BOOT.split_at(GOOD_BOOT.len() - 4);
    assert_eq!(failed(&boot(&[start, end], answers)), Vec::<&str>::new());
    let asks_the_terminal = "\u{1b}[6n[    5.0] random: crng init done\r\n";
    let report = boot(&[start, end, asks_the_terminal], answers);
    assert_eq!(failed(&report), Vec::<&str>::new());
}

#[test]
fn each_missing_line_fails_its_test() {
    for (text, instead, test) in [
        ("PSCIv1.1", "PSCIv1.0", "linux/psci"),
        ("started at EL2", "started at EL1", "linux/starts-at-el2"),
        (
            "Total of 2 processors",
            "Total of 1 processor",
            "linux/all-cpus",
        ),
        ("init: kernel", "WARNING: CPU: 1", "linux/no-complaints"),
    ] {
        let text = GOOD_BOOT.replace(text, instead);
        assert_eq!(failed(&boot(&[&text], answers)), [test]);
    }
}

#[test]
fn without_a_prompt_the_shell_is_not_tried() {
    let report = boot(&[GOOD_BOOT.trim_end()], answers);
    assert_eq!(failed(&report), ["linux/shell-prompt"]);
    let panicked = GOOD_BOOT.replace("cloister# ", "Kernel panic - not syncing\r\n");
    let report = boot(&[&panicked], answers);
    assert_eq!(
        failed(&report),
        ["linux/shell-prompt", "linux/no-complaints"]
    );
}

#[test]
fn a_shell_that_only_echoes_fails() {
    let report = boot(&[GOOD_BOOT], |command| Some(command.to_owned()));
    assert_eq!(
        failed(&report),
        [
            "linux/shell-runs-commands",
            "linux/cpu-off-and-on",
            "linux/power-off"
        ]
    );
}

#[test]
fn a_cpu_that_does_not_go_fails() {
    let report = boot(&[GOOD_BOOT], |command| {
        if command.contains("echo off=") {
            return Some("off=0-1".to_owned());
        }
        answers(command)
    });
    assert_eq!(failed(&report), ["linux/cpu-off-and-on"]);
}

#[test]
fn a_cpu_that_does_not_come_back_fails() {
    let report = boot(&[GOOD_BOOT], |command| {
        if command.contains("echo on=") {
            return Some("on=0".to_owned());
        }
        answers(command)
    });
    assert_eq!(failed(&report), ["linux/cpu-off-and-on"]);
}
