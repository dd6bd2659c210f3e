//! What Cloister's RMM counts for whoever operates the machine: counters and recent events of each
//! CPU, and never anything of a Realm.
//!
//! They are read by `RMI_FEATURES` at indices of Cloister's own. To every other RMM such an index is
//! a feature register that does not exist, which reads as zero, so it is safe to ask. The
//! answer is in X1 to X3:
//!
//! | Index | X1 | X2 | X3 |
//! |---|---|---|---|
//! | [`DESCRIPTION`] | [`MAGIC`] and version: [`Description`] | CPUs | events of a list, counters of a CPU |
//! | [`counters`] | the counter of this number | the next | the one after it |
//! | [`event`] | what happened: [`Event`] | when | to what |
//!
//! What does not exist reads as zero: CPUs, counters, events that have not happened.
//!
//! A counter counts from the boot of the machine, on one CPU; a host adds up. Each CPU of the RMM
//! counts for itself, and any CPU may ask for all of them. Three words that come together were
//! not read at one moment, except those of an event.

use crate::Version;
use crate::rmi::{StatusCode, fid};
use crate::smc;

/// The upper half of an index, and of the first word of the [`Description`]: `CLST`.
pub const MAGIC: u32 = u32::from_be_bytes(*b"CLST");

/// Version of what is described here. A minor version adds counters, kinds of events, or areas.
pub const VERSION: Version = Version::new(1, 0);

/// Parts of an index below [`MAGIC`]: bits 31:28 say what is asked for, 27:16 which CPU's, 15:0
/// which of them.
const AREA_SHIFT: u32 = 28;
const CPU_SHIFT: u32 = 16;
const CPU_MASK: u16 = 0xfff;

const DESCRIPTION_AREA: u32 = 0;
const COUNTER_AREA: u32 = 1;
const LIFE_CYCLE_AREA: u32 = 2;
const ERROR_AREA: u32 = 3;

/// What an index asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Query {
    /// The [`Description`].
    Description,
    /// Counters of a CPU from a number on.
    Counters {
        /// The CPU, as EL3 numbers it.
        cpu: u16,
        /// The first counter.
        first: u16,
    },
    /// An event of a CPU.
    Event {
        /// The CPU, as EL3 numbers it.
        cpu: u16,
        /// The list.
        list: EventList,
        /// The place in the list. Places have no order; [`Event::number`] has.
        place: u16,
    },
}

/// Lists of events that a CPU keeps, the latest of each. What happens often does not drive out
/// what happens rarely.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventList {
    /// CPUs that boot, Realms that come and go.
    LifeCycle,
    /// Calls that fail, faults that Realms are given.
    Errors,
}

impl Query {
    /// What `RMI_FEATURES` is asked for; `None` for an index that is not ours, or none.
    pub const fn from_index(index: u64) -> Option<Self> {
        if index >> 32 != MAGIC as u64 {
            return None;
        }
        let cpu = (index >> CPU_SHIFT & 0xffff) as u16 & CPU_MASK;
        let place = (index & 0xffff) as u16;
        Some(match low(index) >> AREA_SHIFT {
            DESCRIPTION_AREA if cpu == 0 && place == 0 => Self::Description,
            COUNTER_AREA => Self::Counters { cpu, first: place },
            LIFE_CYCLE_AREA => Self::Event {
                cpu,
                list: EventList::LifeCycle,
                place,
            },
            ERROR_AREA => Self::Event {
                cpu,
                list: EventList::Errors,
                place,
            },
            _ => return None,
        })
    }

    /// The index for `RMI_FEATURES`. CPUs beyond what an index can hold are cut off.
    pub const fn index(self) -> u64 {
        let (area, cpu, place) = match self {
            Self::Description => (DESCRIPTION_AREA, 0, 0),
            Self::Counters { cpu, first } => (COUNTER_AREA, cpu, first),
            Self::Event { cpu, list, place } => {
                let area = match list {
                    EventList::LifeCycle => LIFE_CYCLE_AREA,
                    EventList::Errors => ERROR_AREA,
                };
                (area, cpu, place)
            }
        };
        let cpu = ((cpu & CPU_MASK) as u32) << CPU_SHIFT;
        (MAGIC as u64) << 32 | (area << AREA_SHIFT | cpu | place as u32) as u64
    }
}

/// The answer to [`Query::Description`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Description {
    /// Version of this interface.
    pub version: Version,
    /// CPUs that may have counted something; numbers are below it.
    pub cpus: u32,
    /// Events that a list keeps.
    pub events: u32,
    /// Counters of a CPU.
    pub counters: u32,
}

impl Description {
    /// X1 to X3.
    pub const fn words(self) -> [u64; 3] {
        [
            (MAGIC as u64) << 32 | self.version.word(),
            self.cpus as u64,
            (self.events as u64) << 32 | self.counters as u64,
        ]
    }

    /// What X1 to X3 say; `None` when the RMM is not ours, or of another major version.
    pub const fn from_words([x1, x2, x3]: [u64; 3]) -> Option<Self> {
        let Some(version) = Version::from_word(low(x1) as u64) else {
            return None;
        };
        if high(x1) != MAGIC || version.major() != VERSION.major() {
            return None;
        }
        Some(Self {
            version,
            cpus: low(x2),
            events: high(x3),
            counters: low(x3),
        })
    }
}

/// A counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counter {
    /// Calls of a command that ended with this status. Function numbers are those of RMI 1.0, 0x150
    /// to 0x16f. A successful `RMI_REALM_CREATE` is a Realm created, a successful
    /// `RMI_REC_ENTER` an entry and an exit, and so on; granules that are delegated now are those
    /// of `RMI_GRANULE_DELEGATE` less those of `RMI_GRANULE_UNDELEGATE`, over all CPUs.
    Command(u64, StatusCode),
    /// Exits of RECs to the host for a reason, `RmiExitReason`.
    Exit(u8),
    /// Times that this CPU has come up.
    Boot,
    /// Calls of functions that the RMM does not have, with the same five lowest bits as this one.
    UnknownCall(u64),
    /// Faults that Realms were given by the RMM.
    Fault(Fault),
}

/// A fault that the RMM gives a Realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Fault {
    /// An external abort: no memory there, or the host wanted it.
    ExternalAbort = 0,
    /// An instruction or register that Realms do not have.
    UndefinedInstruction = 1,
    /// An access beyond the Realm's address space.
    AddressSize = 2,
    /// An `SError` that the machine has taken.
    SError = 3,
}

impl Fault {
    /// All of them, by their numbers.
    pub const ALL: [Self; 4] = [
        Self::ExternalAbort,
        Self::UndefinedInstruction,
        Self::AddressSize,
        Self::SError,
    ];
}

/// Counters of a CPU.
pub const COUNTERS: u16 = 272;
const FIRST_EXIT: u16 = 256;
const BOOT: u16 = 264;
const FIRST_FAULT: u16 = 265;

/// Number of the counter of calls of a function that ended with this X0: a status, or −1. The
/// functions of RMI 1.0 differ in their lowest five bits.
#[inline]
pub const fn call_counter(function: u64, x0: u64) -> u16 {
    ((function & 0x1f) as u16) << 3 | (x0 & 7) as u16
}

impl Counter {
    /// Its number, below [`COUNTERS`].
    #[inline]
    pub const fn number(self) -> u16 {
        match self {
            Self::Command(function, status) => call_counter(function, status as u64),
            Self::UnknownCall(function) => call_counter(function, smc::NOT_SUPPORTED),
            Self::Exit(reason) => FIRST_EXIT + (reason & 7) as u16,
            Self::Boot => BOOT,
            Self::Fault(fault) => FIRST_FAULT + fault as u16,
        }
    }
}

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Which event of its list it is, from 1 on, modulo 2^32. A gap between two that are there
    /// means that events between them are no longer kept.
    pub number: u32,
    /// What happened.
    pub kind: EventKind,
    /// When: `CNTPCT_EL0`.
    pub time: u64,
    /// To what: the physical address of a Realm descriptor, X1 of a call that failed, or zero.
    pub subject: u64,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// The CPU came up.
    CpuBooted,
    /// A Realm was made.
    RealmCreated,
    /// A Realm was destroyed.
    RealmDestroyed,
    /// While a REC of this Realm ran, it was given so many faults of this kind. The time is that of
    /// the exit.
    Faults(Fault, u16),
    /// A call of the function whose identifier has these twelve lowest bits failed. The lowest 16 bits
    /// of X0: the code of a command, or all ones where there is no such function.
    CallFailed(u16, u16),
}

const CPU_BOOTED: u32 = 1;
const REALM_CREATED: u32 = 2;
const REALM_DESTROYED: u32 = 3;
const FAULTS: u32 = 4;
const CALL_FAILED: u32 = 5;

impl EventKind {
    /// As it stands in an event: what in bits 31:28, details in 27:0.
    pub const fn word(self) -> u32 {
        let (kind, detail, code) = match self {
            Self::CpuBooted => (CPU_BOOTED, 0, 0),
            Self::RealmCreated => (REALM_CREATED, 0, 0),
            Self::RealmDestroyed => (REALM_DESTROYED, 0, 0),
            Self::Faults(fault, count) => (FAULTS, fault as u16, count),
            Self::CallFailed(function, code) => (CALL_FAILED, function, code),
        };
        kind << 28 | (detail as u32 & 0xfff) << 16 | code as u32
    }

    /// A call that failed, with this X0.
    pub const fn call_failed(function: u64, x0: u64) -> Self {
        Self::CallFailed((function & 0xfff) as u16, (x0 & 0xffff) as u16)
    }

    const fn from_word(word: u32) -> Option<Self> {
        let (detail, code) = ((word >> 16 & 0xfff) as u16, (word & 0xffff) as u16);
        Some(match word >> 28 {
            CPU_BOOTED => Self::CpuBooted,
            REALM_CREATED => Self::RealmCreated,
            REALM_DESTROYED => Self::RealmDestroyed,
            FAULTS if (detail as usize) < Fault::ALL.len() => {
                Self::Faults(Fault::ALL[detail as usize], code)
            }
            CALL_FAILED => Self::CallFailed(detail, code),
            _ => return None,
        })
    }
}

impl Event {
    /// X1, of the number, whose upper half is lost, and the word of the kind.
    pub const fn first_word(number: u64, kind: u32) -> u64 {
        number << 32 | kind as u64
    }

    /// X1 to X3.
    pub const fn words(self) -> [u64; 3] {
        [
            Self::first_word(self.number as u64, self.kind.word()),
            self.time,
            self.subject,
        ]
    }

    /// What X1 to X3 say; `None` when nothing has happened, the place is being written to at the
    /// moment, or this is of a kind that a later version has.
    pub const fn from_words([x1, time, subject]: [u64; 3]) -> Option<Self> {
        match EventKind::from_word(low(x1)) {
            Some(kind) => Some(Self {
                number: high(x1),
                kind,
                time,
                subject,
            }),
            None => None,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of the word is meant")]
const fn low(word: u64) -> u32 {
    word as u32
}

const fn high(word: u64) -> u32 {
    low(word >> 32)
}

/// The function that is asked: `RMI_FEATURES`.
pub const FUNCTION: u64 = fid::FEATURES;

const _: () = {
    // Every command of RMI 1.0 has counters of its own.
    assert!(FUNCTION == smc::standard_service(0x165));
    assert!(FIRST_FAULT as usize + Fault::ALL.len() <= COUNTERS as usize);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rmi::ReturnCode;

    #[test]
    fn an_index_says_what_is_asked_for() {
        for query in [
            Query::Description,
            Query::Counters { cpu: 0, first: 0 },
            Query::Counters {
                cpu: 511,
                first: 271,
            },
            Query::Event {
                cpu: 4095,
                list: EventList::LifeCycle,
                place: 0xffff,
            },
            Query::Event {
                cpu: 1,
                list: EventList::Errors,
                place: 31,
            },
        ] {
            assert_eq!(Query::from_index(query.index()), Some(query));
        }
        assert_eq!(Query::Description.index(), 0x434c_5354_0000_0000);
        let last = Query::Event {
            cpu: 1,
            list: EventList::Errors,
            place: 31,
        };
        assert_eq!(last.index(), 0x434c_5354_3001_001f);
        for index in [
            0,
            1,
            u64::MAX,
            0x434c_5354,
            0x434c_5355_0000_0000,
            // A description of what, areas that there are not.
            0x434c_5354_0000_0001,
            0x434c_5354_0001_0000,
            0x434c_5354_4000_0000,
            0x434c_5354_f000_0000,
        ] {
            assert_eq!(Query::from_index(index), None, "{index:#x}");
        }
    }

    #[test]
    fn the_description_is_ours_or_none() {
        let description = Description {
            version: VERSION,
            cpus: 512,
            events: 32,
            counters: 272,
        };
        let words = description.words();
        assert_eq!(words[0], 0x434c_5354_0001_0000);
        assert_eq!(Description::from_words(words), Some(description));
        let newer = [words[0] + 7, words[1], words[2]];
        assert!(Description::from_words(newer).is_some());
        for x1 in [
            0,
            words[0] + 0x1_0000,
            words[0] ^ 1 << 40,
            words[0] | 1 << 31,
        ] {
            assert_eq!(Description::from_words([x1, words[1], words[2]]), None);
        }
    }

    #[test]
    fn every_counter_has_a_number_of_its_own() {
        let statuses = [
            StatusCode::Success,
            StatusCode::ErrorInput,
            StatusCode::ErrorRealm,
            StatusCode::ErrorRec,
            StatusCode::ErrorRtt,
        ];
        let mut seen = [false; COUNTERS as usize];
        let commands = (0x150..0x170)
            .flat_map(|number| statuses.map(|status| (smc::standard_service(number), status)))
            .map(|(function, status)| Counter::Command(function, status));
        let unknown =
            (0x150..0x170).map(|number| Counter::UnknownCall(smc::standard_service(number)));
        let others = (0..7).map(Counter::Exit).chain([Counter::Boot]);
        let faults = Fault::ALL.map(Counter::Fault);
        for counter in commands.chain(unknown).chain(others).chain(faults) {
            let number = usize::from(counter.number());
            assert!(!seen[number], "{counter:?}");
            seen[number] = true;
        }
        let create = Counter::Command(fid::REALM_CREATE, StatusCode::Success);
        assert_eq!(create.number(), 0x18 << 3);
    }

    #[test]
    fn events_come_back_as_they_went() {
        for kind in [
            EventKind::CpuBooted,
            EventKind::RealmCreated,
            EventKind::RealmDestroyed,
            EventKind::Faults(Fault::SError, 0xffff),
            EventKind::call_failed(fid::RTT_CREATE, ReturnCode::error_rtt(-1).word()),
        ] {
            let event = Event {
                number: u32::MAX,
                kind,
                time: u64::MAX,
                subject: 0x8000_0000,
            };
            assert_eq!(Event::from_words(event.words()), Some(event));
        }
        let failed = EventKind::call_failed(fid::RTT_CREATE, ReturnCode::error_rtt(2).word());
        assert_eq!(failed, EventKind::CallFailed(0x15d, 0x204));
        for word in [0, 0x4004_0001, 0x6000_0000, 0xffff_ffff] {
            assert_eq!(Event::from_words([word, 1, 2]), None, "{word:#x}");
        }
    }
}
