//! Boots of the RMM, each from another boot manifest or with other registers: either it serves, or
//! it says which field is wrong.
//!
//! One boot is a fraction of a second, so there can be dozens. What no emulator can be is tested
//! on the development machine (`rmm/core/tests/manifest`).

mod cases;

use std::time::{Duration, Instant};

use crate::console::Console;
use crate::log::TestLog;
use crate::machine::Machine;
use crate::session::Emulator as _;
use crate::suite::{Limits, Observer, Outcome, Report, Selection, Verdict};
pub(crate) use cases::{Case, Expected, all};

/// What EL3 says when the RMM serves, and when it does not.
const SERVES: &str = "el3: RMM booted, the Realm world is on";
const REFUSED: &str = "el3: the Realm world is off: the RMM did not boot on CPU 0: ";
/// Lines of the RMM.
const RMM: &str = "rmm: ";
const DOES_NOT_BOOT: &str = "rmm: does not boot: ";
/// The last line of the test host, without its figures.
const DONE: &str = "ns-host: done ";
/// Longest time for the tests of one boot.
const TESTS: Duration = Duration::from_mins(1);

/// Runs the boots that are selected.
pub(crate) fn check(
    machine: &Machine,
    limits: Limits,
    selection: &Selection,
    log: &mut dyn TestLog,
    observer: &mut dyn Observer,
) -> Report {
    let mut report = Report::default();
    let cases: Vec<_> = all()
        .into_iter()
        .filter(|case| selection.includes(&case.name))
        .collect();
    observer.planned(cases.len() as u64);
    for case in cases {
        observer.begun(&case.name);
        log.session_started();
        log.line(&format!("---- {}: {} ----", case.name, case.hand_over));
        log.test_started();
        let start = Instant::now();
        let verdict = match boot(machine, &case, limits, log) {
            Ok(()) => Verdict::Passed,
            Err(reason) => Verdict::Failed(reason),
        };
        let excerpt = match verdict {
            Verdict::Failed(_) => log.keep_excerpt(&case.name),
            _ => None,
        };
        let outcome = Outcome {
            name: case.name,
            verdict,
            seconds: start.elapsed().as_secs_f64(),
            log: excerpt,
        };
        observer.ended(&outcome);
        report.outcomes.push(outcome);
    }
    report
}

/// One boot: starts the machine, and holds what comes over the console against the case.
fn boot(
    machine: &Machine,
    case: &Case,
    limits: Limits,
    log: &mut dyn TestLog,
) -> Result<(), String> {
    let mut machine = Machine {
        cpus: case.cpus,
        hand_over: (!case.hand_over.is_empty()).then(|| case.hand_over.clone()),
        far_memory: case.far_memory.clone(),
        // Signing a token at EL3 takes longer than all the rest, and other tests do it.
        attestation_key: None,
        ..machine.clone()
    };
    let session = machine.start(&case.command_line());
    let mut session = session.map_err(|error| error.to_string())?;
    let deadline = limits.scaled(limits.boot);
    let mut console = Console::new(session.as_mut(), log);
    let said =
        |console: &Console<'_>, text: &str| console.lines.iter().any(|line| line.starts_with(text));
    console.wait(deadline, |console| {
        said(console, SERVES) || said(console, REFUSED)
    })?;
    if case.tests() > 0 && said(&console, SERVES) {
        let deadline = deadline + limits.scaled(TESTS);
        console.wait(deadline, |console| said(console, DONE))?;
    }
    judge(&console.lines, case)
}

/// Holds the lines of a console against a case.
fn judge(lines: &[String], case: &Case) -> Result<(), String> {
    let with = |start: &str| lines.iter().find_map(|line| line.strip_prefix(start));
    let failed = |what: &str| Err(what.to_owned());
    match &case.expected {
        Expected::Serves { says } => {
            if let Some(code) = with(REFUSED) {
                return Err(format!("the RMM does not boot: {code}"));
            }
            let done = format!("{} passed, 0 failed, 0 skipped", case.tests());
            match with(DONE) {
                Some(seen) if seen != done => return Err(format!("the tests: {seen}")),
                None if case.tests() > 0 => return failed("the test host did not come to its end"),
                _ => {}
            }
            match says {
                Some(words) => contains_all(lines, RMM, words),
                None => silent(lines),
            }
        }
        Expected::Refuses { code, says } => {
            match with(REFUSED) {
                None => return failed("the RMM boots"),
                Some(seen) if !seen.starts_with(code) => {
                    return Err(format!("the code is {seen}, not {code}"));
                }
                Some(_) => {}
            }
            match says {
                Some(words) => contains_all(lines, DOES_NOT_BOOT, words),
                None => silent(lines),
            }
        }
    }
}

/// Each word must be in a line that starts so.
fn contains_all(lines: &[String], start: &str, words: &[&str]) -> Result<(), String> {
    let mut lines = lines.iter().filter(|line| line.starts_with(start));
    if lines.clone().next().is_none() {
        return Err(format!("no line starts with '{start}'"));
    }
    match words
        .iter()
        .find(|word| !lines.clone().any(|line| line.contains(**word)))
    {
        None => Ok(()),
        Some(word) => Err(format!(
            "no line of the RMM has '{word}': {}",
            lines.next_back().map_or("", String::as_str)
        )),
    }
}

/// Without a console the RMM must not write anywhere.
fn silent(lines: &[String]) -> Result<(), String> {
    match lines.iter().find(|line| line.starts_with(RMM)) {
        None => Ok(()),
        Some(line) => Err(format!("the RMM has no console and says '{line}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(expected: Expected) -> Case {
        Case {
            name: "a/case".to_owned(),
            cpus: 1,
            hand_over: String::new(),
            far_memory: Vec::new(),
            only: vec!["boot/tracked-memory"],
            banks: None,
            expected,
        }
    }

    fn judged(lines: &[&str], expected: Expected) -> Result<(), String> {
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        judge(&lines, &case(expected))
    }

    const REFUSAL: &str = "el3: the Realm world is off: the RMM did not boot on CPU 0: E_RMM_BOOT_MANIFEST_DATA_ERROR (-7)";

    #[test]
    fn a_boot_counts_when_the_rmm_says_so_and_the_tests_pass() {
        let serves = |words: &'static [&'static str]| Expected::Serves { says: Some(words) };
        let good = [
            "rmm: Cloister RMM, boot manifest 0.3",
            "el3: RMM booted, the Realm world is on",
            "ns-host: done 1 passed, 0 failed, 0 skipped",
        ];
        assert_eq!(judged(&good, serves(&["boot manifest 0.3"])), Ok(()));
        assert!(judged(&good, serves(&["boot manifest 0.4"])).is_err());
        assert!(judged(&good, Expected::Serves { says: None }).is_err());
        assert!(judged(&good[1..], serves(&[])).is_err());
        assert_eq!(judged(&good[1..], Expected::Serves { says: None }), Ok(()));
        assert!(judged(&good[..2], serves(&[])).is_err());
        let skipped = "ns-host: done 0 passed, 0 failed, 1 skipped";
        assert!(judged(&[good[0], good[1], skipped], serves(&[])).is_err());
        assert!(judged(&[good[0], REFUSAL], serves(&[])).is_err());
    }

    #[test]
    fn a_refusal_counts_when_code_and_line_are_the_right_ones() {
        let refuses = |code, says| Expected::Refuses { code, says };
        let line = "rmm: does not boot: boot manifest: checksum of the DRAM list is wrong";
        let lines = [line, REFUSAL];
        let code = "E_RMM_BOOT_MANIFEST_DATA_ERROR";
        let words: &[&str] = &["DRAM", "checksum"];
        assert_eq!(judged(&lines, refuses(code, Some(words))), Ok(()));
        assert!(judged(&lines, refuses("E_RMM_BOOT_UNKNOWN", Some(words))).is_err());
        assert!(judged(&lines, refuses(code, Some(&["console"]))).is_err());
        assert!(judged(&lines, refuses(code, None)).is_err());
        assert_eq!(judged(&lines[1..], refuses(code, None)), Ok(()));
        assert!(judged(&lines[1..], refuses(code, Some(words))).is_err());
        assert!(
            judged(
                &["el3: RMM booted, the Realm world is on"],
                refuses(code, None)
            )
            .is_err()
        );
    }
}
