use core::cell::Cell;

use super::*;
use crate::REGISTERS;
use crate::fake::Script;

#[test]
fn a_range_is_asked_for_until_it_has_changed() {
    let script = Script::new([&[0, 0x2000], &[0, 0x2000], &[0, 0x5000], &[0, 0x6000]]);
    set_ripas(&script, 0x1000, 0x6000, Ripas::Empty, Destroyed::Change).unwrap();
    script.expect_calls([
        &[0xc400_0197, 0x1000, 0x6000, 0, 1],
        &[0xc400_0197, 0x2000, 0x6000, 0, 1],
        &[0xc400_0197, 0x2000, 0x6000, 0, 1],
        &[0xc400_0197, 0x5000, 0x6000, 0, 1],
    ]);
}

#[test]
fn a_host_that_rejects_is_not_asked_again() {
    let script = Script::new([&[0, 0x2000], &[0, 0x3000, 1]]);
    let set = set_ripas(&script, 0x1000, 0x6000, Ripas::Ram, Destroyed::Keep);
    assert_eq!(set, Err(Error::Rejected(0x3000)));
    assert_eq!(script.calls.borrow().len(), 2);
}

#[test]
fn a_change_that_is_complete_cannot_be_rejected() {
    let script = Script::new([&[0, 0x6000, 1]]);
    let set = set_ripas(&script, 0x1000, 0x6000, Ripas::Ram, Destroyed::Keep);
    assert_eq!(set, Ok(()));
}

/// A host that does nothing, and after some calls a little.
struct Idle {
    calls: Cell<u32>,
    works_every: u32,
}

impl Conduit for Idle {
    fn call(&self, mut registers: [u64; REGISTERS]) -> [u64; REGISTERS] {
        self.calls.set(self.calls.get() + 1);
        registers[0] = 0;
        registers[2] = 0;
        if self.calls.get().is_multiple_of(self.works_every) {
            registers[1] += 0x1000;
        }
        registers
    }
}

#[test]
fn patience_ends_only_without_any_progress() {
    let host = Idle {
        calls: Cell::new(0),
        works_every: PATIENCE,
    };
    let set = set_ripas(&host, 0x1000, 0x4000, Ripas::Ram, Destroyed::Keep);
    assert_eq!(set, Ok(()));
    assert_eq!(host.calls.get(), 3 * PATIENCE);

    let host = Idle {
        calls: Cell::new(0),
        works_every: PATIENCE + 1,
    };
    let set = set_ripas(&host, 0x1000, 0x4000, Ripas::Ram, Destroyed::Keep);
    assert_eq!(set, Err(Error::NoProgress(0x1000)));
    assert_eq!(host.calls.get(), PATIENCE);
}

#[test]
fn refusals_of_the_rmm_come_through() {
    let script = Script::new([&[1]]);
    let set = set_ripas(&script, 0x1001, 0x2000, Ripas::Ram, Destroyed::Keep);
    assert_eq!(set, Err(Error::Rsi(rsi::Error::Input)));
}

#[test]
fn ranges_follow_each_other_to_the_top() {
    let script = Script::new([&[0, 0x3000, 1], &[0, 0x4000, 1], &[0, 0x8000, 0]]);
    let ranges: Vec<_> = ripas_ranges(&script, 0x1000, 0x8000)
        .map(Result::unwrap)
        .map(|range| (range.base, range.top, range.ripas))
        .collect();
    assert_eq!(
        ranges,
        [
            (0x1000, 0x3000, Ripas::Ram),
            (0x3000, 0x4000, Ripas::Ram),
            (0x4000, 0x8000, Ripas::Empty)
        ]
    );
    script.expect_calls([
        &[0xc400_0198, 0x1000, 0x8000],
        &[0xc400_0198, 0x3000, 0x8000],
        &[0xc400_0198, 0x4000, 0x8000],
    ]);
}

#[test]
fn an_error_ends_the_ranges() {
    let script = Script::new([&[0, 0x3000, 1], &[1]]);
    let mut ranges = ripas_ranges(&script, 0x1000, 0x8000);
    assert!(ranges.next().unwrap().is_ok());
    assert_eq!(ranges.next(), Some(Err(rsi::Error::Input)));
    assert_eq!(ranges.next(), None);
}

#[test]
fn one_ripas_or_several() {
    let script = Script::new([&[0, 0x3000, 1], &[0, 0x8000, 1]]);
    assert_eq!(uniform_ripas(&script, 0x1000, 0x8000), Ok(Some(Ripas::Ram)));
    let script = Script::new([&[0, 0x3000, 1], &[0, 0x4000, 2]]);
    assert_eq!(uniform_ripas(&script, 0x1000, 0x8000), Ok(None));
    let script = Script::new([&[1]]);
    let outcome = uniform_ripas(&script, 0x1000, 0x1000);
    assert_eq!(outcome, Err(rsi::Error::Input));
}
