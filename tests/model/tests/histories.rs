//! Histories that have an explanation, histories that have none, and random ones against a checker
//! that tries all orders.

use std::sync::atomic::AtomicU64;

use proptest::prelude::*;
use rmm_model::{
    Call, Command, Event, Granule, GranuleSet, History, MAX_CPUS, Owner, Reason, Violation,
    Workspace,
};

const DELEGATE: Command = Command::Delegate;
const UNDELEGATE: Command = Command::Undelegate;

fn call(cpu: usize, command: Command, granule: u32, word: u64) -> Call {
    Call {
        cpu,
        command,
        granule,
        answer: u16::try_from(word).ok(),
    }
}

fn check(events: &[Event], initial: &[Granule]) -> Result<Vec<GranuleSet>, Violation> {
    let words: Vec<AtomicU64> = events
        .iter()
        .map(|event| AtomicU64::new(event.pack()))
        .collect();
    let mut granules: Vec<GranuleSet> = initial.iter().map(|g| GranuleSet::of(*g)).collect();
    Workspace::new().check(&words, &mut granules)?;
    Ok(granules)
}

/// One call after the other.
fn sequence(calls: &[Call]) -> Vec<Event> {
    calls
        .iter()
        .flat_map(|call| [Event::Begin(*call), Event::End(*call)])
        .collect()
}

#[test]
fn a_sequence_is_explained_by_itself() {
    let events = sequence(&[
        call(0, DELEGATE, 0, 0),
        call(1, DELEGATE, 0, 1),
        call(1, UNDELEGATE, 0, 0),
        call(0, UNDELEGATE, 0, 1),
        call(0, DELEGATE, 1, 0),
    ]);
    let last = check(&events, &[Granule::Undelegated; 2]).unwrap();
    assert_eq!(last[0], GranuleSet::of(Granule::Undelegated));
    assert_eq!(last[1], GranuleSet::of(Granule::Delegated));
}

#[test]
fn of_two_at_a_time_one_may_win() {
    let a = call(0, DELEGATE, 0, 1);
    let b = call(1, DELEGATE, 0, 0);
    // The winner begins last and ends last.
    let events = [
        Event::Begin(a),
        Event::Begin(b),
        Event::End(a),
        Event::End(b),
    ];
    let last = check(&events, &[Granule::Undelegated]).unwrap();
    assert_eq!(last, [GranuleSet::of(Granule::Delegated)]);
}

#[test]
fn both_winning_has_no_explanation() {
    let a = call(0, DELEGATE, 0, 0);
    let b = call(1, DELEGATE, 0, 0);
    let events = [
        Event::Begin(a),
        Event::Begin(b),
        Event::End(a),
        Event::End(b),
    ];
    let violation = check(&events, &[Granule::Undelegated]).unwrap_err();
    assert_eq!(violation.reason, Reason::NotLinearizable);
    assert_eq!(violation.index, 3);
    assert_eq!(violation.granule, Some(0));
    assert_eq!(violation.event, Some(Event::End(b)));
}

#[test]
fn a_lost_granule_is_found() {
    // Delegated, and then no command works on it any more.
    let events = sequence(&[call(0, DELEGATE, 0, 0), call(0, UNDELEGATE, 0, 1)]);
    let violation = check(&events, &[Granule::Undelegated]).unwrap_err();
    assert_eq!((violation.index, violation.granule), (3, Some(0)));
}

#[test]
fn a_failure_needs_a_moment_that_explains_it() {
    // The granule is delegated before the call and nobody else calls.
    let delegate = call(1, UNDELEGATE, 0, 1);
    let other = call(2, DELEGATE, 0, 1);
    let events = [
        Event::Begin(delegate),
        Event::Begin(other),
        Event::End(other),
        Event::End(delegate),
    ];
    assert_eq!(
        check(&events, &[Granule::Delegated]).unwrap_err().reason,
        Reason::NotLinearizable
    );
    // With an undelegate at the same time it has one: after that.
    let third = call(3, UNDELEGATE, 0, 0);
    let events = [
        Event::Begin(delegate),
        Event::Begin(third),
        Event::End(delegate),
        Event::End(third),
    ];
    let last = check(&events, &[Granule::Delegated]).unwrap();
    assert_eq!(last, [GranuleSet::of(Granule::Undelegated)]);
}

#[test]
fn a_call_that_had_ended_comes_first() {
    // CPU 1 begins after CPU 0 has its answer and still sees the granule as it was before.
    let events = sequence(&[call(0, DELEGATE, 0, 0), call(1, UNDELEGATE, 0, 1)]);
    assert!(check(&events, &[Granule::Undelegated]).is_err());
    // The same answers at the same time are fine.
    let a = call(0, DELEGATE, 0, 0);
    let b = call(1, UNDELEGATE, 0, 1);
    let events = [
        Event::Begin(a),
        Event::Begin(b),
        Event::End(a),
        Event::End(b),
    ];
    assert!(check(&events, &[Granule::Undelegated]).is_ok());
}

#[test]
fn no_moment_after_the_end() {
    // The only success that could come first begins after the failing call has ended.
    let long = call(2, DELEGATE, 0, 0);
    let events = [
        Event::Begin(long),
        Event::Begin(call(0, UNDELEGATE, 0, 0)),
        Event::End(call(0, UNDELEGATE, 0, 0)),
        Event::Begin(call(1, UNDELEGATE, 0, 0)),
        Event::End(call(1, UNDELEGATE, 0, 0)),
        Event::End(long),
    ];
    // One delegate cannot explain two undelegates.
    assert_eq!(
        check(&events, &[Granule::Undelegated]).unwrap_err().index,
        4
    );
}

#[test]
fn fixed_and_used_granules_refuse_everything() {
    for granule in [
        Granule::Fixed(Owner::Root),
        Granule::Fixed(Owner::Secure),
        Granule::Rd,
        Granule::Rtt,
    ] {
        for command in [DELEGATE, UNDELEGATE] {
            let refused = sequence(&[call(0, command, 0, 1)]);
            assert_eq!(
                check(&refused, &[granule]).unwrap(),
                [GranuleSet::of(granule)]
            );
            let done = sequence(&[call(0, command, 0, 0)]);
            assert!(check(&done, &[granule]).is_err());
        }
    }
}

#[test]
fn words_that_no_command_returns_have_no_explanation() {
    for word in [2, 0x101, 0xffff, 0x1_0000, 0x1_0001, u64::MAX] {
        for initial in [Granule::Undelegated, Granule::Delegated] {
            let events = sequence(&[call(0, DELEGATE, 0, word)]);
            let violation = check(&events, &[initial]).unwrap_err();
            assert_eq!(violation.reason, Reason::NotLinearizable, "{word:#x}");
        }
    }
}

#[test]
fn malformed_histories_are_refused() {
    let a = call(0, DELEGATE, 0, 0);
    let other = call(0, UNDELEGATE, 0, 1);
    let initial = [Granule::Undelegated];
    let reason = |events: &[Event]| check(events, &initial).unwrap_err().reason;
    assert_eq!(reason(&[Event::End(a)]), Reason::OutOfStep);
    assert_eq!(
        reason(&[Event::Begin(a), Event::Begin(a)]),
        Reason::OutOfStep
    );
    assert_eq!(
        reason(&[Event::Begin(a), Event::End(other)]),
        Reason::OutOfStep
    );
    assert_eq!(reason(&[Event::Begin(a)]), Reason::Unfinished);
    let far = call(0, DELEGATE, 1, 0);
    assert_eq!(
        reason(&[Event::Begin(far), Event::End(far)]),
        Reason::NoSuchGranule
    );
    let words = [AtomicU64::new(Event::Begin(a).pack()), AtomicU64::new(0)];
    let violation = Workspace::new()
        .check(&words, &mut [GranuleSet::of(Granule::Undelegated)])
        .unwrap_err();
    assert_eq!((violation.reason, violation.index), (Reason::NotAnEvent, 1));
}

#[test]
fn sixteen_cpus_at_once() {
    // Eight pairs; the only explanation alternates between delegate and undelegate.
    let calls: Vec<Call> = (0..MAX_CPUS)
        .map(|cpu| call(cpu, if cpu < 8 { DELEGATE } else { UNDELEGATE }, 0, 0))
        .collect();
    let begins = calls.iter().map(|call| Event::Begin(*call));
    let ends = calls.iter().map(|call| Event::End(*call));
    let mut events: Vec<Event> = begins.chain(ends).collect();
    let last = check(&events, &[Granule::Undelegated]).unwrap();
    assert_eq!(last, [GranuleSet::of(Granule::Undelegated)]);
    // What was found out about the first sixteen says nothing about the next.
    let next = (0..MAX_CPUS).map(|cpu| call(cpu, DELEGATE, 0, 0));
    let twice: Vec<Event> = events
        .iter()
        .copied()
        .chain(next.clone().map(Event::Begin))
        .chain(next.map(Event::End))
        .collect();
    assert!(check(&twice, &[Granule::Undelegated]).is_err());
    // One more delegate than undelegates can follow.
    let bad = call(8, DELEGATE, 0, 0);
    events[8] = Event::Begin(bad);
    events[MAX_CPUS + 8] = Event::End(bad);
    assert!(check(&events, &[Granule::Undelegated]).is_err());
}

#[test]
fn threads_on_a_locked_model_make_a_good_history() {
    const CALLS: usize = 4000;
    let words: Vec<AtomicU64> = (0..2 * CALLS).map(|_| AtomicU64::new(0)).collect();
    let history = History::new(&words);
    let granules = std::sync::Mutex::new([Granule::Undelegated; 3]);
    std::thread::scope(|scope| {
        for cpu in 0..4 {
            let (history, granules) = (&history, &granules);
            scope.spawn(move || {
                let mut random = cpu as u64 + 1;
                while let Some(ticket) = history.begin() {
                    random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    let number = (random >> 40) as usize % 3;
                    let command = if random >> 63 == 0 {
                        DELEGATE
                    } else {
                        UNDELEGATE
                    };
                    let word = {
                        let mut granules = granules.lock().unwrap();
                        let (word, after) = granules[number].apply(command);
                        granules[number] = after;
                        word
                    };
                    history.end(ticket, cpu, command, u32::try_from(number).unwrap(), word);
                }
            });
        }
    });
    assert_eq!(history.events().len(), 2 * CALLS);
    let mut sets = [GranuleSet::of(Granule::Undelegated); 3];
    Workspace::new().check(history.events(), &mut sets).unwrap();
    for (set, granule) in sets.iter().zip(*granules.lock().unwrap()) {
        assert_eq!(*set, GranuleSet::of(granule));
    }
}

/// A call with its moments in a small random history.
#[derive(Clone, Copy, Debug)]
struct Timed {
    call: Call,
    begin: usize,
    end: usize,
}

/// Tries every order of the calls that agrees with time; the states after the last call.
fn all_orders(left: &[Timed], granules: [Granule; 2], found: &mut [GranuleSet; 2]) -> bool {
    if left.is_empty() {
        for (found, granule) in found.iter_mut().zip(granules) {
            *found = found.with(granule);
        }
        return true;
    }
    let mut explained = false;
    for (index, next) in left.iter().enumerate() {
        if left.iter().any(|other| other.end < next.begin) {
            continue;
        }
        let number = next.call.granule as usize;
        let (word, after) = granules[number].apply(next.call.command);
        if next.call.answer.map(u64::from) != Some(word) {
            continue;
        }
        let mut granules = granules;
        granules[number] = after;
        let mut rest = left.to_vec();
        rest.remove(index);
        explained |= all_orders(&rest, granules, found);
    }
    explained
}

/// Random steps `(cpu, command, granule, answer)`: each lets its CPU begin or end a call.
fn history(steps: &[(usize, bool, u32, u8)]) -> (Vec<Event>, Vec<Timed>) {
    let mut events = Vec::new();
    let mut calls: Vec<Timed> = Vec::new();
    let mut under_way: [Option<usize>; 4] = [None; 4];
    let end = |index: usize, events: &mut Vec<Event>, calls: &mut Vec<Timed>| {
        calls[index].end = events.len();
        events.push(Event::End(calls[index].call));
    };
    for (cpu, delegate, granule, answer) in steps {
        if let Some(index) = under_way[*cpu].take() {
            end(index, &mut events, &mut calls);
        } else {
            let command = if *delegate { DELEGATE } else { UNDELEGATE };
            under_way[*cpu] = Some(calls.len());
            let call = call(*cpu, command, *granule, u64::from(*answer));
            calls.push(Timed {
                call,
                begin: events.len(),
                end: 0,
            });
            events.push(Event::Begin(call));
        }
    }
    for index in under_way.into_iter().flatten() {
        end(index, &mut events, &mut calls);
    }
    (events, calls)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_trying_all_orders(
        steps in prop::collection::vec((0usize..4, any::<bool>(), 0u32..2, 0u8..2), 0..14),
        delegated in any::<[bool; 2]>(),
    ) {
        let (events, calls) = history(&steps);
        let initial = delegated.map(|d| if d { Granule::Delegated } else { Granule::Undelegated });
        let mut found = [GranuleSet::EMPTY; 2];
        let explained = all_orders(&calls, initial, &mut found);
        match check(&events, &initial) {
            Ok(last) => {
                prop_assert!(explained);
                prop_assert_eq!(&last[..], &found[..]);
            }
            Err(violation) => {
                prop_assert!(!explained, "{}", violation);
                prop_assert_eq!(violation.reason, Reason::NotLinearizable);
            }
        }
    }
}
