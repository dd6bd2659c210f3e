//! The runner against payloads that behave, and payloads that do not.

use super::script::{Act, Payload, Play, Step, say};
use super::*;

/// A log that only counts.
#[derive(Default)]
struct NoLog;

impl TestLog for NoLog {
    fn session_started(&mut self) {}
    fn test_started(&mut self) {}
    fn line(&mut self, _text: &str) {}
    fn keep_excerpt(&mut self, name: &str) -> Option<String> {
        Some(name.to_owned())
    }
}

struct Silent;

impl Observer for Silent {
    fn planned(&mut self, _total: u64) {}
    fn begun(&mut self, _name: &str) {}
    fn ended(&mut self, _outcome: &Outcome) {}
    fn restarted(&mut self, _after: &str) {}
    fn note(&mut self, _text: &str) {}
}

fn request() -> Request {
    Request {
        speaker: "t".to_owned(),
        selection: Selection::default(),
        words: Vec::new(),
        has_command_line: true,
        restarts: 8,
        stops: 0,
        limits: Limits {
            scale: 1.0,
            boot: Duration::from_mins(1),
            pause: Duration::from_secs(5),
        },
    }
}

fn run_payload(payload: &mut Payload, request: &Request) -> Report {
    run(payload, request, &mut NoLog, &mut Silent).unwrap()
}

fn run_steps(steps: Vec<Step>) -> Report {
    try_steps(steps).unwrap()
}

/// Plays one session without a payload that could go on.
fn try_steps(steps: Vec<Step>) -> Result<Report, RunError> {
    try_steps_with_stops(steps, 0)
}

fn try_steps_with_stops(steps: Vec<Step>, expected: usize) -> Result<Report, RunError> {
    struct Once(Option<Vec<Step>>);
    impl Emulator for Once {
        fn start(
            &mut self,
            _command_line: &str,
        ) -> Result<Box<dyn crate::session::Session>, StartError> {
            Ok(Box::new(Play::new(self.0.take().unwrap())))
        }
    }
    let request = Request {
        has_command_line: false,
        stops: expected,
        ..request()
    };
    run(&mut Once(Some(steps)), &request, &mut NoLog, &mut Silent)
}

fn counts(report: &Report) -> (u64, u64, u64) {
    let tally = report.tally();
    (tally.passed, tally.failed, tally.skipped)
}

fn failure<'a>(report: &'a Report, name: &str) -> &'a str {
    let outcome = report.outcomes.iter().find(|test| test.name == name);
    match &outcome
        .unwrap_or_else(|| panic!("no {name} in {report:#?}"))
        .verdict
    {
        Verdict::Failed(reason) => reason,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn verdicts_are_counted_and_failures_keep_reason_and_log() {
    let mut payload = Payload::new(&[("a/1", Act::Pass), ("a/2", Act::Fail), ("b/1", Act::Skip)]);
    let report = run_payload(&mut payload, &request());
    assert_eq!(counts(&report), (1, 1, 1));
    assert_eq!(failure(&report, "a/2"), "expected 1, saw 2");
    assert_eq!(report.outcomes[1].log.as_deref(), Some("a/2"));
    assert_eq!(report.outcomes[0].log, None);
    assert_eq!(payload.starts, ["mode=test"]);
}

#[test]
fn after_a_hang_and_a_crash_the_rest_still_runs() {
    let mut payload = Payload::new(&[
        ("a", Act::Pass),
        ("b", Act::Hang),
        ("c", Act::Pass),
        ("d", Act::Crash(3)),
        ("e", Act::Fail),
        ("f", Act::Pass),
    ]);
    let report = run_payload(&mut payload, &request());
    assert_eq!(counts(&report), (3, 3, 0));
    assert!(failure(&report, "b").contains("within 10s"));
    assert!(failure(&report, "d").contains("exception"));
    assert_eq!(report.restarts, 2);
    assert_eq!(
        payload.starts,
        ["mode=test", "mode=test skip=a,b", "mode=test skip=a,b,c,d"]
    );
}

#[test]
fn a_crash_of_the_last_test_needs_no_restart() {
    let mut payload = Payload::new(&[("a", Act::Pass), ("b", Act::Crash(0))]);
    let report = run_payload(&mut payload, &request());
    assert_eq!(counts(&report), (1, 1, 0));
    assert_eq!(payload.starts.len(), 1);
}

#[test]
fn words_and_selection_survive_a_restart() {
    let mut payload = Payload::new(&[("a/1", Act::Crash(1)), ("a/2", Act::Pass), ("b", Act::Pass)]);
    let request = Request {
        selection: Selection {
            only: vec!["a/*".to_owned()],
            skip: Vec::new(),
        },
        words: vec!["calls=5".to_owned()],
        ..request()
    };
    let report = run_payload(&mut payload, &request);
    assert_eq!(counts(&report), (1, 1, 0));
    assert_eq!(
        payload.starts,
        [
            "mode=test only=a/* calls=5",
            "mode=test only=a/* skip=a/1 calls=5"
        ]
    );
}

#[test]
fn when_the_names_to_skip_do_not_fit_the_rest_is_asked_for_by_name() {
    let names: Vec<String> = (0..100)
        .map(|n| format!("family/a-long-test-name-{n:03}"))
        .collect();
    let mut tests: Vec<(&str, Act)> = names
        .iter()
        .map(|name| (name.as_str(), Act::Pass))
        .collect();
    tests[90].1 = Act::Hang;
    let mut payload = Payload::new(&tests);
    let report = run_payload(&mut payload, &request());
    assert_eq!(counts(&report), (99, 1, 0));
    assert_eq!(payload.starts.len(), 3, "test, list, rest");
    assert!(payload.starts[2].contains(&format!("only={},", names[91])));

    // A rest that needs several command lines runs in several starts.
    tests[90].1 = Act::Pass;
    tests[0].1 = Act::Hang;
    let mut payload = Payload::new(&tests);
    let request = Request {
        selection: Selection {
            only: Vec::new(),
            skip: vec!["x".repeat(crate::machine::LONGEST_COMMAND_LINE - 20)],
        },
        ..request()
    };
    let report = run_payload(&mut payload, &request);
    assert_eq!(counts(&report), (99, 1, 0));
    assert!(
        payload
            .starts
            .iter()
            .all(|line| line.len() <= crate::machine::LONGEST_COMMAND_LINE)
    );
}

#[test]
fn a_machine_that_does_not_boot_is_a_failure_and_is_not_tried_again() {
    let mut payload = Payload::new(&[("a", Act::Pass)]);
    payload.boots = false;
    let report = run_payload(&mut payload, &request());
    assert_eq!(counts(&report), (0, 1, 0));
    assert!(failure(&report, "report/not-run").contains("no report within 60s"));
    assert_eq!(payload.starts.len(), 1);
}

#[test]
fn restarts_are_limited_and_what_is_left_is_a_failure() {
    let mut payload = Payload::new(&[
        ("a", Act::Hang),
        ("b", Act::Hang),
        ("c", Act::Hang),
        ("d", Act::Pass),
    ]);
    let request = Request {
        restarts: 1,
        ..request()
    };
    let report = run_payload(&mut payload, &request);
    assert_eq!(counts(&report), (0, 3, 0));
    assert!(failure(&report, "report/not-run").starts_with("2 tests did not run"));
}

#[test]
fn without_a_command_line_the_rest_cannot_run() {
    let mut payload = Payload::new(&[("a", Act::Crash(3)), ("b", Act::Pass)]);
    let request = Request {
        has_command_line: false,
        ..request()
    };
    let report = run_payload(&mut payload, &request);
    assert_eq!(counts(&report), (0, 2, 0));
    assert_eq!(payload.starts, [""]);
    assert!(failure(&report, "report/not-run").starts_with("1 tests did not run"));
}

#[test]
fn limits_are_per_test_scaled_and_met_by_talkers_too() {
    let late = Act::PassAfter(Duration::from_secs(15));
    let mut payload = Payload::new(&[("late", late), ("talker", Act::Babble)]);
    let report = run_payload(&mut payload, &request());
    assert_eq!(counts(&report), (0, 2, 0));
    let request = Request {
        limits: Limits {
            scale: 2.0,
            ..request().limits
        },
        ..request()
    };
    let report = run_payload(&mut payload, &request);
    assert_eq!(counts(&report), (1, 1, 0));
    assert!(failure(&report, "talker").contains("within 20s"));
}

#[test]
fn a_missing_or_mangled_verdict_is_a_failure() {
    let mut payload = Payload::new(&[("a", Act::NoVerdict), ("b", Act::Garbage), ("c", Act::Pass)]);
    let report = run_payload(&mut payload, &request());
    assert!(failure(&report, "a").contains("no verdict before the next test"));
    assert!(failure(&report, "b").contains("no verdict before the next test"));
    assert!(failure(&report, "report/malformed-line").contains("t: passed b"));
    assert!(failure(&report, "report/count").contains("3 passed"));
    assert_eq!(report.tally().passed, 1);
}

#[test]
fn the_end_must_fit_what_was_seen() {
    let session = |plan: u64, done: &str, code: Option<i32>| {
        run_steps(vec![
            say(&format!("t: plan {plan}")),
            say("t: begin a limit 1"),
            say("t: pass a"),
            say(&format!("t: done {done}")),
            Step::Exit(code),
        ])
    };
    assert_eq!(
        counts(&session(1, "1 passed, 0 failed, 0 skipped", Some(0))),
        (1, 0, 0)
    );
    let report = session(1, "2 passed, 0 failed, 0 skipped", Some(0));
    assert!(failure(&report, "report/count").contains("2 passed"));
    let report = session(2, "1 passed, 0 failed, 0 skipped", Some(0));
    assert!(failure(&report, "report/plan").contains("2 planned, 1 ended"));
    let report = session(1, "1 passed, 0 failed, 0 skipped", Some(1));
    assert!(failure(&report, "report/exit-code").contains("expected exit code 0"));
    let report = session(1, "1 passed, 0 failed, 0 skipped", None);
    assert!(failure(&report, "report/exit-code").contains("signal"));
}

#[test]
fn an_rmm_that_gives_up_is_a_failure_unless_it_has_to_and_then_it_does_so_once() {
    let session = |stops: usize, expected: usize| {
        let mut steps = vec![say("t: plan 1"), say("t: begin a limit 1")];
        steps.extend((0..stops).map(|cpu| say(&format!("rmm: STOPPED on CPU {cpu}: why"))));
        steps.extend([
            say("t: note rmm: STOPPED is what it says"),
            say("t: pass a"),
            say("t: done 1 passed, 0 failed, 0 skipped"),
            Step::Exit(Some(0)),
        ]);
        try_steps_with_stops(steps, expected).unwrap()
    };
    for (stops, expected) in [(0, 0), (1, 1)] {
        assert_eq!(counts(&session(stops, expected)), (1, 0, 0));
    }
    for (stops, expected) in [(1, 0), (0, 1), (2, 1)] {
        let report = session(stops, expected);
        let reason = failure(&report, "report/stopped");
        let start = format!("{stops} lines 'rmm: STOPPED'");
        assert!(reason.starts_with(&start), "{reason}");
    }
}

#[test]
fn an_emulator_that_stays_or_goes_early_is_a_failure() {
    let begun = || {
        vec![
            say("t: plan 1"),
            say("t: begin a limit 1"),
            say("t: pass a"),
        ]
    };
    let mut stays = begun();
    stays.extend([say("t: done 1 passed, 0 failed, 0 skipped"), Step::Hang]);
    assert!(failure(&run_steps(stays), "report/end").contains("did not end"));
    let mut goes = begun();
    goes.push(Step::Exit(Some(0)));
    assert!(failure(&run_steps(goes), "report/end").contains("no last line"));
    let mut silent = begun();
    silent.push(Step::Hang);
    assert!(failure(&run_steps(silent), "report/end").contains("silent for 5s"));
}

#[test]
fn lines_that_do_not_belong_are_findings() {
    let report = run_steps(vec![
        say("t: begin early limit 3"),
        say("t: plan 2"),
        say("t: plan 2"),
        say("t: begin a limit 3"),
        say("t: pass b"),
        say("t: pass a"),
        say("t: skip b: no such device"),
        say("t: done 1 passed, 0 failed, 1 skipped"),
        say("t: pass a"),
        Step::Exit(Some(0)),
    ]);
    assert_eq!(counts(&report), (1, 2, 1));
    assert!(failure(&report, "report/out-of-order").contains("begin early"));
    assert!(failure(&report, "report/after-the-end").contains("pass a"));
}

#[test]
fn the_last_note_explains_an_exit() {
    let note = || say("t: note the timer stands still");
    let report = run_steps(vec![note(), Step::Exit(Some(3))]);
    assert!(failure(&report, "report/not-run").contains("timer stands still"));
}

#[test]
fn a_refused_command_line_is_wrong_use_and_not_a_failed_test() {
    let refusal = [
        say("t: note unknown word: colour=red"),
        say("t: done 0 passed, 0 failed, 0 skipped"),
        Step::Exit(Some(2)),
    ];
    for said in [0, 1, 2] {
        let error = try_steps(refusal[said..].to_vec()).unwrap_err().to_string();
        assert_eq!(error.contains("colour=red"), said == 0, "{error}");
    }
}

#[test]
fn a_list_comes_whole_or_not_at_all() {
    let mut payload = Payload::new(&[("a/1", Act::Pass), ("b/1", Act::Pass)]);
    let selection = Selection {
        only: vec!["b/*".to_owned()],
        skip: Vec::new(),
    };
    let names = list(&mut payload, &request(), &selection, &mut NoLog).unwrap();
    assert_eq!(names, ["b/1"]);
    let request_with_words = Request {
        words: vec!["fault=x".to_owned()],
        ..request()
    };
    list(&mut payload, &request_with_words, &selection, &mut NoLog).unwrap();
    assert_eq!(payload.starts, ["mode=list", "mode=list fault=x"]);
    payload.boots = false;
    assert!(list(&mut payload, &request(), &selection, &mut NoLog).is_err());
}
