//! Whether a concurrent history can be explained.
//!
//! A history is linearizable when every call can be given one moment between its begin and its end
//! such that the calls, one after the other in the order of these moments, return what was
//! recorded. Granules do not depend on each other, and then it is enough to explain each granule's
//! calls alone.
//!
//! For one granule the check walks over the events and keeps every explanation so far: a state of
//! the granule, and which of the calls under way have had their moment. A call may have its moment
//! at any time, so the set is closed under that after each begin; an end keeps the explanations
//! in which the call has had its moment. The history has no explanation when none is left.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{Call, Event, Granule, GranuleSet, MAX_CPUS};

/// What is wrong with a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// No order of the calls explains the answers up to here.
    NotLinearizable,
    /// The word is no event: somebody else wrote on it, or a call has not ended yet.
    NotAnEvent,
    /// The event does not fit its CPU: a second call during a call, an end without a begin, or
    /// an end that contradicts its begin.
    OutOfStep,
    /// The granule's number is too high.
    NoSuchGranule,
    /// The history is over and a call has not ended.
    Unfinished,
}

/// The first event that cannot be, of the granule with the lowest number that has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Violation {
    /// What is wrong.
    pub reason: Reason,
    /// Index of the event; the number of events for [`Reason::Unfinished`].
    pub index: usize,
    /// Number of the granule, when there is one.
    pub granule: Option<u32>,
    /// The event, when there is one.
    pub event: Option<Event>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.reason {
            Reason::NotLinearizable => "no order of the calls explains the answers",
            Reason::NotAnEvent => "this is not an event",
            Reason::OutOfStep => "this event does not fit its CPU",
            Reason::NoSuchGranule => "there is no such granule",
            Reason::Unfinished => "a call has not ended",
        };
        write!(f, "event {}", self.index)?;
        if let Some(granule) = self.granule {
            write!(f, ", granule {granule}")?;
        }
        write!(f, ": {text}")?;
        if let Some(event) = self.event {
            write!(f, " ({event:?})")?;
        }
        Ok(())
    }
}

/// Words of a set of subsets of the calls under way.
const WORDS: usize = (1 << MAX_CPUS) / 64;

/// Memory for the check: 64 KiB, to be kept off small stacks.
#[derive(Debug)]
pub struct Workspace {
    /// For each state of the granule: the sets of calls that can have had their moment. Bit `s`
    /// stands for the set whose members are the one-bits of `s`.
    explanations: [[u64; WORDS]; Granule::COUNT],
    /// Calls under way on the granule. Element `i` is bit `i` in the sets above.
    under_way: [Option<Call>; MAX_CPUS],
    count: usize,
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

impl Workspace {
    /// A workspace, for any number of checks.
    #[expect(clippy::large_stack_arrays, reason = "usable for a static")]
    pub const fn new() -> Self {
        Self {
            explanations: [[0; WORDS]; Granule::COUNT],
            under_way: [None; MAX_CPUS],
            count: 0,
        }
    }

    /// Checks a history. `granules` holds the states that each granule may be in before the first
    /// event, and after a check without violation those after the last one.
    ///
    /// # Errors
    ///
    /// The first violation. `granules` then has lost its meaning.
    pub fn check(
        &mut self,
        events: &[AtomicU64],
        granules: &mut [GranuleSet],
    ) -> Result<(), Violation> {
        check_steps(events, granules.len())?;
        for (granule, states) in (0u32..).zip(granules.iter_mut()) {
            *states = self.check_granule(events, granule, *states)?;
        }
        Ok(())
    }

    fn check_granule(
        &mut self,
        events: &[AtomicU64],
        granule: u32,
        initial: GranuleSet,
    ) -> Result<GranuleSet, Violation> {
        self.count = 0;
        for (state, sets) in self.explanations.iter_mut().enumerate() {
            let possible = Granule::from_index(state).is_some_and(|state| initial.contains(state));
            sets[0] = u64::from(possible);
        }
        for (index, word) in events.iter().enumerate() {
            let word = word.load(Ordering::Relaxed);
            if Event::granule(word) != granule {
                continue;
            }
            let Some(event) = Event::unpack(word) else {
                continue;
            };
            let explained = match event {
                Event::Begin(call) => self.begin(call),
                Event::End(call) => self.end(call.cpu),
            };
            if !explained {
                return Err(Violation {
                    reason: Reason::NotLinearizable,
                    index,
                    granule: Some(granule),
                    event: Some(event),
                });
            }
        }
        let mut last = GranuleSet::EMPTY;
        for (state, sets) in self.explanations.iter().enumerate() {
            if let Some(state) = Granule::from_index(state)
                && sets[0] & 1 != 0
            {
                last = last.with(state);
            }
        }
        Ok(last)
    }

    fn begin(&mut self, call: Call) -> bool {
        let Some(slot) = self.under_way.get_mut(self.count) else {
            return false;
        };
        *slot = Some(call);
        let old = 1usize << self.count;
        self.count += 1;
        // Sets with the new call in them: none so far.
        for sets in &mut self.explanations {
            if old >= 64 {
                sets[old / 64..old / 32].fill(0);
            } else {
                sets[0] &= (1 << old) - 1;
            }
        }
        self.close();
        true
    }

    /// Lets calls that have not had their moment have it now, in all orders.
    fn close(&mut self) {
        // A moment only adds to a set, so that one pass over the sets in rising order does it.
        for set in 0..1usize << self.count {
            for state in 0..Granule::COUNT {
                if !contains(&self.explanations[state], set) {
                    continue;
                }
                let Some(granule) = Granule::from_index(state) else {
                    continue;
                };
                for (position, call) in self.under_way[..self.count].iter().flatten().enumerate() {
                    let with_call = set | 1 << position;
                    if with_call == set {
                        continue;
                    }
                    let (word, after) = granule.apply(call.command);
                    if call.answer.is_some_and(|answer| u64::from(answer) == word) {
                        self.explanations[after.index()][with_call / 64] |= 1 << (with_call % 64);
                    }
                }
            }
        }
    }

    fn end(&mut self, cpu: usize) -> bool {
        let Some(position) = self.under_way[..self.count]
            .iter()
            .position(|call| call.is_some_and(|call| call.cpu == cpu))
        else {
            return false;
        };
        // The last call takes the place of the one that ends.
        let last = self.count - 1;
        self.under_way.swap(position, last);
        self.count = last;
        let mut explained = false;
        for sets in &mut self.explanations {
            for set in 0..1usize << last {
                // Where the set was before. Never below `set`, so nothing is overwritten early.
                let moved = set >> position & 1;
                let before = if position == last {
                    set | 1 << last
                } else {
                    set | 1 << position | moved << last
                };
                let possible = contains(sets, before);
                explained |= possible;
                sets[set / 64] =
                    sets[set / 64] & !(1 << (set % 64)) | u64::from(possible) << (set % 64);
            }
        }
        explained
    }
}

fn contains(sets: &[u64; WORDS], set: usize) -> bool {
    sets[set / 64] >> (set % 64) & 1 != 0
}

/// Checks what does not depend on the model: that each CPU makes one call after the other.
fn check_steps(events: &[AtomicU64], granules: usize) -> Result<(), Violation> {
    let mut current: [Option<Call>; MAX_CPUS] = [None; MAX_CPUS];
    for (index, word) in events.iter().enumerate() {
        let event = Event::unpack(word.load(Ordering::Acquire));
        let violation = |reason, granule| {
            Err(Violation {
                reason,
                index,
                granule,
                event,
            })
        };
        let Some(known) = event else {
            return violation(Reason::NotAnEvent, None);
        };
        let (Event::Begin(call) | Event::End(call)) = known;
        if usize::try_from(call.granule).map_or(true, |granule| granule >= granules) {
            return violation(Reason::NoSuchGranule, Some(call.granule));
        }
        let before = match known {
            Event::Begin(_) => current[call.cpu].replace(call).is_none(),
            Event::End(_) => current[call.cpu].take() == Some(call),
        };
        if !before {
            return violation(Reason::OutOfStep, Some(call.granule));
        }
    }
    match current.iter().flatten().next() {
        Some(call) => Err(Violation {
            reason: Reason::Unfinished,
            index: events.len(),
            granule: Some(call.granule),
            event: Some(Event::Begin(*call)),
        }),
        None => Ok(()),
    }
}
