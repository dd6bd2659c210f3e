//! Why vCPUs stop, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A device is read.
    Read,
    /// A device is written to.
    Write,
    /// Memory becomes private or shared.
    Convert,
    /// PSCI.
    Psci,
    /// Somebody wants its thread back.
    Interrupted,
    /// Something else: the machine ends.
    Other,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Read,
        Self::Write,
        Self::Convert,
        Self::Psci,
        Self::Interrupted,
        Self::Other,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Convert => "convert",
            Self::Psci => "psci",
            Self::Interrupted => "interrupted",
            Self::Other => "other",
        }
    }
}

/// How often the vCPUs of a machine have stopped.
#[derive(Default, Debug)]
pub struct ExitCounters([AtomicU64; Reason::ALL.len()]);

impl ExitCounters {
    /// Once more.
    pub fn count(&self, reason: Reason) {
        // Stopping takes thousands of times longer than this.
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_by_itself() {
        let counters = ExitCounters::default();
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            for _ in 0..number {
                counters.count(reason);
            }
        }
        assert_eq!(
            Reason::ALL.map(|reason| counters.get(reason)),
            [0, 1, 2, 3, 4, 5]
        );
    }
}
