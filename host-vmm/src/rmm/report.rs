//! What was read, for people (`text`) and for machines.

use rmm_abi::statistics::{Description, Event, EventKind, EventList, Fault};
use serde::{Serialize, Serializer};

use super::{Answer, COMMANDS, Counted};

/// All that the RMM has counted and noted, since the machine has booted.
#[derive(Clone, PartialEq, Serialize, Debug)]
pub struct Report {
    /// Version of the statistics.
    pub version: String,
    /// CPUs that the firmware has announced to the RMM.
    pub cpus: u32,
    /// The counter of the machine when the last answer was there.
    pub counter: u64,
    /// Its frequency, in Hz.
    pub frequency: u64,
    /// What there is now, and how many calls there were.
    pub totals: Totals,
    /// Calls by command and status; those without any are not there.
    pub commands: Vec<Command>,
    /// Exits of RECs to the host.
    pub exits: Exits,
    /// Faults that Realms were given.
    pub faults: Faults,
    /// The CPUs that have come up.
    pub cpus_up: Vec<CpuReport>,
    /// The latest events that CPUs have kept, in the order of their times.
    pub events: Vec<EventReport>,
}

/// What there is now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Debug)]
pub struct Totals {
    /// Realms.
    pub realms: u64,
    /// Their RECs.
    pub recs: u64,
    /// Pages that the host has given away.
    pub granules_delegated: u64,
    /// Calls of the host since the boot, answered or not.
    pub calls: u64,
    /// Calls of functions that there are not.
    pub unknown_calls: u64,
}

/// Calls of a command, by how they ended.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// It did what it was to do.
    pub success: u64,
    /// An argument was wrong (`RMI_ERROR_INPUT`).
    pub input: u64,
    /// A Realm was in the wrong state (`RMI_ERROR_REALM`).
    pub realm: u64,
    /// A REC was (`RMI_ERROR_REC`).
    pub rec: u64,
    /// A translation table was not as it had to be (`RMI_ERROR_RTT`).
    pub rtt: u64,
}

impl Command {
    pub(super) fn calls(&self) -> u64 {
        [self.success, self.input, self.realm, self.rec, self.rtt]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// Exits of RECs, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Debug)]
#[allow(missing_docs)]
pub struct Exits {
    pub synchronous: u64,
    pub irq: u64,
    pub fiq: u64,
    pub psci: u64,
    pub ripas_change: u64,
    pub host_call: u64,
    pub serror: u64,
}

impl Exits {
    /// With the names under which people see them.
    pub(super) const fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("synchronous", self.synchronous),
            ("IRQ", self.irq),
            ("FIQ", self.fiq),
            ("PSCI", self.psci),
            ("RIPAS change", self.ripas_change),
            ("host call", self.host_call),
            ("SError", self.serror),
        ]
    }

    pub(super) fn sum(&self) -> u64 {
        self.named()
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

/// Faults that the RMM has given Realms, by kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Debug)]
#[allow(missing_docs)]
pub struct Faults {
    pub external_abort: u64,
    pub undefined_instruction: u64,
    pub address_size: u64,
    pub serror: u64,
}

impl Faults {
    pub(super) const fn named(&self) -> [(&'static str, u64); 4] {
        [
            (fault_name(Fault::ExternalAbort), self.external_abort),
            (
                fault_name(Fault::UndefinedInstruction),
                self.undefined_instruction,
            ),
            (fault_name(Fault::AddressSize), self.address_size),
            (fault_name(Fault::SError), self.serror),
        ]
    }

    pub(super) fn sum(&self) -> u64 {
        self.named()
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

pub(super) const fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::ExternalAbort => "external abort",
        Fault::UndefinedInstruction => "undefined instruction",
        Fault::AddressSize => "address size fault",
        Fault::SError => "SError",
    }
}

/// What one CPU has counted.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
pub struct CpuReport {
    /// Its number, as firmware has it.
    pub cpu: u16,
    /// Times that it has come up.
    pub boots: u64,
    /// Calls of the host.
    pub calls: u64,
    /// Exits of RECs.
    pub exits: u64,
    /// Faults given to Realms.
    pub faults: u64,
}

/// An event.
#[derive(Clone, Copy, PartialEq, Serialize, Debug)]
pub struct EventReport {
    /// The CPU that has noted it.
    pub cpu: u16,
    /// Where it is kept.
    pub list: ListName,
    /// Its number in that list, from 1 on; what is missing between two is no longer kept.
    pub number: u32,
    /// The counter of the machine when it happened.
    pub time: u64,
    /// How long ago that was; nothing if the counter has no frequency.
    pub seconds_ago: Option<f64>,
    /// What happened.
    #[serde(flatten)]
    pub what: Happened,
}

/// Lists of events.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum ListName {
    /// CPUs and Realms that come and go.
    LifeCycle,
    /// Calls that fail, and faults.
    Errors,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happened {
    /// The CPU came up.
    CpuBooted,
    /// A Realm was made.
    RealmCreated {
        /// Physical address of its descriptor.
        #[serde(serialize_with = "hexadecimal")]
        descriptor: u64,
    },
    /// A Realm was destroyed.
    RealmDestroyed {
        /// Physical address of its descriptor.
        #[serde(serialize_with = "hexadecimal")]
        descriptor: u64,
    },
    /// A Realm was given faults, between an entry and an exit of one of its RECs.
    Faults {
        /// Which.
        fault: &'static str,
        /// How many; 65535 stands for more, too.
        count: u16,
        /// Physical address of its descriptor.
        #[serde(serialize_with = "hexadecimal")]
        descriptor: u64,
    },
    /// A call failed.
    CallFailed {
        /// The command, if there is such a one.
        command: Option<&'static str>,
        /// The twelve lowest bits of the function identifier.
        function: u16,
        /// Bits 15:0 of X0: status and index; all ones where there is no such function.
        code: u16,
        /// X1 of the call.
        #[serde(serialize_with = "hexadecimal")]
        argument: u64,
    },
}

/// JSON readers keep 53 bits of a number.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn hexadecimal<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:#x}"))
}

impl EventReport {
    pub(super) fn new(cpu: u16, list: EventList, event: Event) -> Self {
        let subject = event.subject;
        Self {
            cpu,
            list: match list {
                EventList::LifeCycle => ListName::LifeCycle,
                EventList::Errors => ListName::Errors,
            },
            number: event.number,
            time: event.time,
            seconds_ago: None,
            what: match event.kind {
                EventKind::CpuBooted => Happened::CpuBooted,
                EventKind::RealmCreated => Happened::RealmCreated {
                    descriptor: subject,
                },
                EventKind::RealmDestroyed => Happened::RealmDestroyed {
                    descriptor: subject,
                },
                EventKind::Faults(fault, count) => Happened::Faults {
                    fault: fault_name(fault),
                    count,
                    descriptor: subject,
                },
                EventKind::CallFailed(function, code) => Happened::CallFailed {
                    command: command_name(function, code),
                    function,
                    code,
                    argument: subject,
                },
            },
        }
    }
}

/// The command with these twelve lowest bits of its identifier, unless the RMM did not have it.
fn command_name(function: u16, code: u16) -> Option<&'static str> {
    let named = COMMANDS
        .iter()
        .find(|(id, _)| id & 0xfff == u64::from(function));
    named.filter(|_| code != u16::MAX).map(|(_, name)| *name)
}

impl Report {
    pub(super) fn new(description: Description, answer: &Answer) -> Self {
        let version = description.version;
        Self {
            version: format!("{}.{}", version.major(), version.minor()),
            cpus: description.cpus,
            counter: answer.counter,
            frequency: answer.frequency,
            totals: Totals::default(),
            commands: Vec::new(),
            exits: Exits::default(),
            faults: Faults::default(),
            cpus_up: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn finish(&mut self, sum: &Counted, now: &Answer) {
        self.counter = now.counter;
        self.totals = sum.totals();
        self.exits = sum.exits();
        self.faults = sum.faults();
        self.commands = COMMANDS
            .iter()
            .map(|(function, name)| sum.command(*function, name))
            .filter(|command| command.calls() != 0)
            .collect();
        self.events
            .sort_by_key(|event| (event.time, event.cpu, event.number));
        for event in &mut self.events {
            event.seconds_ago = seconds(self.counter.saturating_sub(event.time), self.frequency);
        }
    }

    /// As JSON.
    ///
    /// # Errors
    ///
    /// None in fact: they are those of writing.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is for people")]
fn seconds(ticks: u64, frequency: u64) -> Option<f64> {
    (frequency != 0).then(|| ticks as f64 / frequency as f64)
}
