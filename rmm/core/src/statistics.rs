//! What the RMM counts for the operator (`rmm_abi::statistics`).
//!
//! Each CPU has a page of its own and is the only one that writes there, so counting takes no
//! atomic operation and no cache line of another CPU. Anybody may read at any time.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use rmm_abi::rmi::StatusCode;
use rmm_abi::rmi::run::ExitReason;
use rmm_abi::statistics::{
    COUNTERS, Counter, Description, Event, EventKind, EventList, MAGIC, Query, VERSION,
    call_counter,
};

use crate::Machine;
use crate::context::Outcome;

/// Events that a list keeps.
pub const EVENTS: u16 = 32;

/// What one CPU has counted. All zeroes is the state before anything has happened.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct CpuStatistics {
    counters: [AtomicU64; COUNTERS as usize],
    life_cycle: Events,
    errors: Events,
}

/// The latest events of a kind.
#[derive(Debug)]
struct Events {
    /// Events that there have been.
    written: AtomicU64,
    kept: [KeptEvent; EVENTS as usize],
}

/// An event as it is kept: the words of [`Event`], the first of which is zero while it is written.
#[derive(Debug)]
struct KeptEvent([AtomicU64; 3]);

const _: () = assert!(size_of::<CpuStatistics>() == 4096);

impl Default for CpuStatistics {
    fn default() -> Self {
        Self::new()
    }
}

impl CpuStatistics {
    /// Nothing has happened.
    pub const fn new() -> Self {
        Self {
            counters: [const { AtomicU64::new(0) }; COUNTERS as usize],
            life_cycle: Events::new(),
            errors: Events::new(),
        }
    }

    /// This CPU has come up. For the CPU itself only, as everything that counts.
    pub fn count_boot(&self, time: u64) {
        self.add(Counter::Boot, 1);
        self.life_cycle.add(EventKind::CpuBooted.word(), time, 0);
    }

    /// A command has succeeded.
    #[inline]
    pub(crate) fn count_success(&self, function: u64) {
        self.add(Counter::Command(function, StatusCode::Success), 1);
    }

    /// A REC has exited.
    #[inline]
    pub(crate) fn count_exit(&self, reason: ExitReason) {
        self.add(Counter::Exit(reason as u8), 1);
    }

    /// The RMM has given a Realm faults.
    #[cold]
    pub(crate) fn count_faults(
        &self,
        fault: rmm_abi::statistics::Fault,
        count: u16,
        time: u64,
        rd: u64,
    ) {
        self.add(Counter::Fault(fault), count.into());
        self.errors
            .add(EventKind::Faults(fault, count).word(), time, rd);
    }

    /// A Realm has come or gone.
    #[inline]
    pub(crate) fn note_realm(&self, kind: EventKind, time: u64, rd: u64) {
        self.life_cycle.add(kind.word(), time, rd);
    }

    #[inline]
    fn add(&self, counter: Counter, count: u64) {
        self.add_at(counter.number(), count);
    }

    #[inline]
    fn add_at(&self, number: u16, count: u64) {
        // Whatever the number, it is below the length, and the compiler knows.
        if let Some(counter) = self.counters.get(usize::from(number)) {
            let value = counter.load(Ordering::Relaxed).wrapping_add(count);
            counter.store(value, Ordering::Relaxed);
        }
    }

    fn counters(&self, first: u16) -> [u64; 3] {
        let first = usize::from(first);
        core::array::from_fn(|offset| {
            let counter = self.counters.get(first + offset);
            counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
        })
    }

    fn events(&self, list: EventList) -> &Events {
        match list {
            EventList::LifeCycle => &self.life_cycle,
            EventList::Errors => &self.errors,
        }
    }
}

impl Events {
    const fn new() -> Self {
        Self {
            written: AtomicU64::new(0),
            kept: [const { KeptEvent([const { AtomicU64::new(0) }; 3]) }; EVENTS as usize],
        }
    }

    /// Notes an event of a kind, by its word.
    fn add(&self, kind: u32, time: u64, subject: u64) {
        let before = self.written.load(Ordering::Relaxed);
        let number = before.wrapping_add(1);
        self.written.store(number, Ordering::Relaxed);
        let place = before % u64::from(EVENTS);
        if let Some(KeptEvent(kept)) = usize::try_from(place).ok().and_then(|at| self.kept.get(at))
        {
            kept[0].store(0, Ordering::Relaxed);
            fence(Ordering::Release);
            kept[1].store(time, Ordering::Relaxed);
            kept[2].store(subject, Ordering::Relaxed);
            kept[0].store(Event::first_word(number, kind), Ordering::Release);
        }
    }

    /// An event as a whole, or zeroes when its CPU is writing it.
    fn get(&self, place: u16) -> [u64; 3] {
        let Some(KeptEvent(kept)) = self.kept.get(usize::from(place)) else {
            return [0; 3];
        };
        let what = kept[0].load(Ordering::Acquire);
        let rest = [1, 2].map(|word| kept[word].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        if kept[0].load(Ordering::Relaxed) != what {
            return [0; 3];
        }
        [what, rest[0], rest[1]]
    }
}

/// A call has failed: X0 of the reply, X1 of the call.
pub(crate) fn count_failure<M: Machine>(machine: &M, function: u64, word: u64, x1: u64) {
    let statistics = machine.statistics();
    statistics.add_at(call_counter(function, word), 1);
    let kind = EventKind::call_failed(function, word);
    statistics.errors.add(kind.word(), machine.time(), x1);
}

/// Whether an index of `RMI_FEATURES` may be a question for this module: one bit of [`MAGIC`], which
/// takes one instruction. What is none gets zeroes from [`answer`] too.
pub(crate) const fn may_be_asked_for(index: u64) -> bool {
    const BIT: u32 = 62;
    const { assert!((MAGIC as u64) << 32 & 1 << BIT != 0) };
    index & 1 << BIT != 0
}

/// Answers a question of the host; zeroes for what does not exist.
#[cold]
#[inline(never)]
pub(crate) fn answer<M: Machine>(machine: &M, index: u64) -> Outcome {
    let all = machine.all_statistics();
    let of = |cpu: u16| all.get(usize::from(cpu));
    let answer = match Query::from_index(index) {
        None => None,
        Some(Query::Description) => Some(description(all.len()).words()),
        Some(Query::Counters { cpu, first }) => of(cpu).map(|cpu| cpu.counters(first)),
        Some(Query::Event { cpu, list, place }) => of(cpu).map(|cpu| cpu.events(list).get(place)),
    };
    Outcome::with_outputs(answer.unwrap_or_default())
}

fn description(cpus: usize) -> Description {
    Description {
        version: VERSION,
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        events: EVENTS.into(),
        counters: COUNTERS.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_list_keeps_the_latest_events() {
        let events = Events::new();
        assert_eq!(events.get(0), [0; 3]);
        for number in 1..=40 {
            events.add(EventKind::RealmCreated.word(), number, number << 12);
        }
        let mut numbers: Vec<_> = (0..32)
            .map(|place| {
                let event = Event::from_words(events.get(place)).unwrap();
                assert_eq!(event.time, event.number.into());
                assert_eq!(event.subject, event.time << 12);
                event.number
            })
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (9..=40).collect::<Vec<_>>());
        assert_eq!(events.get(32), [0; 3]);
        assert_eq!(events.get(u16::MAX), [0; 3]);
    }

    /// Another CPU reads while this one writes: it gets a whole event or none.
    #[test]
    fn an_event_is_read_as_a_whole() {
        let events = Events::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..200_000 {
                    events.add(EventKind::RealmDestroyed.word(), number, !number);
                }
            });
            let mut seen = 0;
            while seen < 199_000 {
                for place in 0..32 {
                    let words = events.get(place);
                    if let Some(event) = Event::from_words(words) {
                        assert_eq!(event.time, !event.subject, "{words:x?}");
                        assert_eq!(event.time + 1, event.number.into());
                        seen = event.time;
                    }
                }
            }
        });
    }

    #[test]
    fn counters_come_by_threes() {
        let statistics = CpuStatistics::new();
        statistics.count_boot(7);
        statistics.count_exit(ExitReason::SError);
        let boot = Counter::Boot.number();
        assert_eq!(statistics.counters(boot - 2), [1, 0, 1]);
        assert_eq!(statistics.counters(271), [0; 3]);
        assert_eq!(statistics.counters(u16::MAX), [0; 3]);
        let booted = Event::from_words(statistics.life_cycle.get(0)).unwrap();
        assert_eq!((booted.kind, booted.time), (EventKind::CpuBooted, 7));
    }
}
