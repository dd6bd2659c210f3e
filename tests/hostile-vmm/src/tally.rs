//! What came back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::sys::Errno;

/// How often each call has ended how; 0 stands for success.
#[derive(Default)]
pub(crate) struct Tally(Mutex<BTreeMap<&'static str, BTreeMap<Errno, u64>>>);

impl Tally {
    pub(crate) fn count(&self, call: &'static str, outcome: Result<i32, Errno>) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let errno = outcome.err().unwrap_or(0);
        *calls.entry(call).or_default().entry(errno).or_default() += 1;
    }

    /// All of it in one line.
    pub(crate) fn line(&self) -> String {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |wanted: fn(Errno) -> bool| -> u64 {
            let outcomes = calls.values().flatten();
            outcomes.filter(|(e, _)| wanted(**e)).map(|(_, n)| n).sum()
        };
        let succeeded = of(|errno| errno == 0);
        let refused = of(|errno| errno != 0);
        format!(
            "{} calls, {succeeded} succeeded, {refused} refused",
            succeeded + refused
        )
    }

    /// A line for each call: how often it succeeded, and how often it failed with which error.
    pub(crate) fn table(&self) -> String {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (call, outcomes) in calls.iter() {
            let _ = write!(text, "hostile-vmm: {call:28}");
            for (errno, count) in outcomes {
                let _ = if *errno == 0 {
                    write!(text, " ok {count}")
                } else {
                    write!(text, " {errno}:{count}")
                };
            }
            text.push('\n');
        }
        text
    }
}
