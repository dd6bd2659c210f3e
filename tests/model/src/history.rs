//! What several CPUs called and were answered, in an order that all of them agree on.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::Command;

/// Most CPUs that a history can tell apart.
pub const MAX_CPUS: usize = 16;

/// A call with its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Who called; below [`MAX_CPUS`].
    pub cpu: usize,
    /// What was called.
    pub command: Command,
    /// Number of the granule.
    pub granule: u32,
    /// The answer. `None`: a word that no command may return.
    pub answer: Option<u16>,
}

/// What happened at one ticket.
///
/// Both events of a call hold all of it, so that neither has to be searched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The call was about to be made.
    Begin(Call),
    /// The answer had been received.
    End(Call),
}

impl Event {
    const BEGIN: u64 = 1;
    const END: u64 = 2;
    const BAD_ANSWER: u64 = 1 << 2;

    /// The event in eight bytes, never zero: kind 1:0, unrepresentable answer 2, CPU 7:4,
    /// command 15:8, answer 31:16, granule 63:32.
    pub const fn pack(self) -> u64 {
        let (kind, call) = match self {
            Self::Begin(call) => (Self::BEGIN, call),
            Self::End(call) => (Self::END, call),
        };
        let command = match call.command {
            Command::Delegate => 0,
            Command::Undelegate => 1,
        };
        let answer = match call.answer {
            Some(answer) => (answer as u64) << 16,
            None => Self::BAD_ANSWER,
        };
        kind | answer | (call.cpu as u64 & 0xf) << 4 | command << 8 | (call.granule as u64) << 32
    }

    /// The granule of the event in a word.
    pub(crate) const fn granule(word: u64) -> u32 {
        (word >> 32) as u32
    }

    /// The event in a word; `None` when [`Self::pack`] cannot have made it.
    pub fn unpack(word: u64) -> Option<Self> {
        let bytes = word.to_le_bytes();
        let command = match bytes[1] {
            0 => Command::Delegate,
            1 => Command::Undelegate,
            _ => return None,
        };
        let call = Call {
            cpu: usize::from(bytes[0] >> 4),
            command,
            granule: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            answer: (word & Self::BAD_ANSWER == 0)
                .then_some(u16::from_le_bytes([bytes[2], bytes[3]])),
        };
        let event = match word & 3 {
            Self::BEGIN => Self::Begin(call),
            Self::END => Self::End(call),
            _ => return None,
        };
        (event.pack() == word).then_some(event)
    }
}

/// Proof that a call has begun, and when.
#[derive(Debug)]
#[must_use = "a call that begins has to end"]
pub struct Ticket(usize);

/// Recorder of a history, shared by all CPUs.
///
/// A call draws one number before it is made and one after it has returned. If a call had returned
/// before another one was made then all its numbers are lower.
#[derive(Debug)]
pub struct History<'a> {
    events: &'a [AtomicU64],
    begun: AtomicU64,
    next: AtomicU64,
}

impl<'a> History<'a> {
    /// An empty history with room for `events.len() / 2` calls. All elements must be zero.
    pub const fn new(events: &'a [AtomicU64]) -> Self {
        Self {
            events,
            begun: AtomicU64::new(0),
            next: AtomicU64::new(0),
        }
    }

    /// To be called right before the call is made; `None` when the history is full.
    pub fn begin(&self) -> Option<Ticket> {
        let room = (self.events.len() / 2) as u64;
        // A separate count of calls keeps two numbers for each call that may begin.
        self.begun
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |begun| {
                (begun < room).then_some(begun + 1)
            })
            .ok()?;
        Some(Ticket(self.draw()))
    }

    /// To be called right after the call has returned `word`, by the CPU that began it.
    #[expect(clippy::needless_pass_by_value, reason = "a call ends once")]
    pub fn end(&self, begin: Ticket, cpu: usize, command: Command, granule: u32, word: u64) {
        let end = self.draw();
        let call = Call {
            cpu,
            command,
            granule,
            answer: u16::try_from(word).ok(),
        };
        self.write(begin.0, Event::Begin(call));
        self.write(end, Event::End(call));
    }

    /// Words of the events so far, in order. Complete when no call is under way.
    pub fn events(&self) -> &'a [AtomicU64] {
        let drawn = usize::try_from(self.next.load(Ordering::Acquire)).unwrap_or(usize::MAX);
        &self.events[..drawn.min(self.events.len())]
    }

    // Acquire and release: effects of a call stay between its two numbers, on every CPU.
    fn draw(&self) -> usize {
        usize::try_from(self.next.fetch_add(1, Ordering::AcqRel)).unwrap_or(usize::MAX)
    }

    fn write(&self, index: usize, event: Event) {
        if let Some(slot) = self.events.get(index) {
            slot.store(event.pack(), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            cpu: 15,
            command: Command::Undelegate,
            granule: 0xdead_beef,
            answer: Some(0xff04),
        }
    }

    #[test]
    fn events_survive_packing() {
        let bad = Call {
            answer: None,
            ..call()
        };
        let delegate = Call {
            command: Command::Delegate,
            cpu: 0,
            granule: 0,
            answer: Some(0),
        };
        for call in [call(), bad, delegate] {
            for event in [Event::Begin(call), Event::End(call)] {
                assert_ne!(event.pack(), 0);
                assert_eq!(Event::unpack(event.pack()), Some(event));
            }
        }
    }

    #[test]
    fn other_words_are_no_events() {
        let word = Event::Begin(call()).pack();
        for bad in [0, word | 3, word & !3, word | 8, word | 2 << 8, word | 4, 3] {
            assert_eq!(Event::unpack(bad), None, "{bad:#x}");
        }
    }

    #[test]
    fn a_history_takes_as_many_calls_as_it_has_room_for() {
        let words = [const { AtomicU64::new(0) }; 5];
        let history = History::new(&words);
        assert!(history.events().is_empty());
        let first = history.begin().unwrap();
        let second = history.begin().unwrap();
        assert!(history.begin().is_none());
        history.end(second, 1, Command::Delegate, 7, u64::MAX);
        assert!(history.begin().is_none());
        history.end(first, 0, Command::Undelegate, 8, 1);
        let second = Call {
            cpu: 1,
            command: Command::Delegate,
            granule: 7,
            answer: None,
        };
        let first = Call {
            cpu: 0,
            command: Command::Undelegate,
            granule: 8,
            answer: Some(1),
        };
        let events = history.events();
        assert_eq!(events.len(), 4);
        for (word, event) in events.iter().zip([
            Event::Begin(first),
            Event::Begin(second),
            Event::End(second),
            Event::End(first),
        ]) {
            assert_eq!(Event::unpack(word.load(Ordering::Relaxed)), Some(event));
        }
    }
}
