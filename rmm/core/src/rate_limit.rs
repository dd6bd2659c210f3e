//! How often something may be said.

/// Admits a few events in a row, and then one for each interval.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    burst: u64,
    interval: u64,
    /// Events that may come at once; not more than `burst`.
    left: u64,
    /// Time up to which `left` has been topped up.
    topped_up: u64,
    /// Events not admitted since the last one that was.
    dropped: u64,
}

impl RateLimit {
    /// Admits `burst` events at once and one more for each `interval` of time that passes; an
    /// interval of zero counts as one.
    pub const fn new(burst: u64, interval: u64) -> Self {
        let interval = if interval == 0 { 1 } else { interval };
        Self {
            burst,
            interval,
            left: burst,
            topped_up: 0,
            dropped: 0,
        }
    }

    /// Whether an event at time `now` is admitted: how many were not, since the last one that was.
    pub const fn admit(&mut self, now: u64) -> Option<u64> {
        let intervals = now.saturating_sub(self.topped_up) / self.interval;
        let left = self.left.saturating_add(intervals);
        if left >= self.burst {
            self.left = self.burst;
            self.topped_up = now;
        } else {
            self.left = left;
            self.topped_up += intervals * self.interval;
        }
        if self.left == 0 {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        self.left -= 1;
        let dropped = self.dropped;
        self.dropped = 0;
        Some(dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_for_each_interval() {
        let mut limit = RateLimit::new(3, 100);
        for _ in 0..3 {
            assert_eq!(limit.admit(1000), Some(0));
        }
        assert_eq!(limit.admit(1000), None);
        assert_eq!(limit.admit(1099), None);
        assert_eq!(limit.admit(1100), Some(2));
        assert_eq!(limit.admit(1101), None);
        assert_eq!(limit.admit(1200), Some(1));
    }

    #[test]
    fn silence_saves_up_no_more_than_a_burst() {
        let mut limit = RateLimit::new(2, 10);
        limit.admit(0);
        assert_eq!(limit.admit(u64::MAX), Some(0));
        assert_eq!(limit.admit(u64::MAX), Some(0));
        assert_eq!(limit.admit(u64::MAX), None);
    }

    #[test]
    fn time_that_stands_still_or_runs_back_admits_nothing_more() {
        let mut limit = RateLimit::new(1, 0);
        assert_eq!(limit.admit(50), Some(0));
        assert_eq!(limit.admit(50), None);
        assert_eq!(limit.admit(10), None);
        assert_eq!(limit.admit(51), Some(2));
    }
}
