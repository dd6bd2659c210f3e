//! What the RMM has counted and noted, as `host-vmm rmm` shows it (`docs/statistics.md`).
//!
//! The Realm kernel module passes questions on. What comes back is the RMM's word: numbers that no
//! RMM of ours has are not believed, so that reading ends and takes bounded memory.

use std::io;
use std::path::{Path, PathBuf};

use rmm_abi::rmi::run::ExitReason;
use rmm_abi::rmi::{StatusCode, fid};
use rmm_abi::statistics::{COUNTERS, Counter, Description, Event, EventList, Fault, Query};
use thiserror::Error;

mod report;
mod text;

pub use report::{
    Command, CpuReport, EventReport, Exits, Faults, Happened, ListName, Report, Totals,
};

/// CPUs that an index can name.
const MOST_CPUS: u32 = 1 << 12;
/// Events of a list that are asked for.
const MOST_EVENTS: u32 = 1 << 10;

/// The commands of RMI 1.0, by their names.
const COMMANDS: [(u64, &str); 23] = [
    (fid::VERSION, "RMI_VERSION"),
    (fid::FEATURES, "RMI_FEATURES"),
    (fid::GRANULE_DELEGATE, "RMI_GRANULE_DELEGATE"),
    (fid::GRANULE_UNDELEGATE, "RMI_GRANULE_UNDELEGATE"),
    (fid::REALM_CREATE, "RMI_REALM_CREATE"),
    (fid::REALM_ACTIVATE, "RMI_REALM_ACTIVATE"),
    (fid::REALM_DESTROY, "RMI_REALM_DESTROY"),
    (fid::REC_AUX_COUNT, "RMI_REC_AUX_COUNT"),
    (fid::REC_CREATE, "RMI_REC_CREATE"),
    (fid::REC_ENTER, "RMI_REC_ENTER"),
    (fid::REC_DESTROY, "RMI_REC_DESTROY"),
    (fid::PSCI_COMPLETE, "RMI_PSCI_COMPLETE"),
    (fid::DATA_CREATE, "RMI_DATA_CREATE"),
    (fid::DATA_CREATE_UNKNOWN, "RMI_DATA_CREATE_UNKNOWN"),
    (fid::DATA_DESTROY, "RMI_DATA_DESTROY"),
    (fid::RTT_CREATE, "RMI_RTT_CREATE"),
    (fid::RTT_DESTROY, "RMI_RTT_DESTROY"),
    (fid::RTT_FOLD, "RMI_RTT_FOLD"),
    (fid::RTT_INIT_RIPAS, "RMI_RTT_INIT_RIPAS"),
    (fid::RTT_SET_RIPAS, "RMI_RTT_SET_RIPAS"),
    (fid::RTT_READ_ENTRY, "RMI_RTT_READ_ENTRY"),
    (fid::RTT_MAP_UNPROTECTED, "RMI_RTT_MAP_UNPROTECTED"),
    (fid::RTT_UNMAP_UNPROTECTED, "RMI_RTT_UNMAP_UNPROTECTED"),
];

/// Function numbers that the counters of a CPU tell apart.
const FUNCTIONS: u64 = 32;

/// Why there is nothing to show.
#[derive(Error, Debug)]
pub enum RmmError {
    /// The device node.
    #[error("{device}: {error} (is the Realm kernel module loaded? see host-vmm check)", device = device.display())]
    Open {
        /// Its path.
        device: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Not an administrator.
    #[error("what the RMM has counted is for administrators: run as root (CAP_SYS_ADMIN)")]
    NotAllowed,
    /// A module without the call, or another device.
    #[error("{device} does not pass questions on to the RMM: it is another device, or an older Realm kernel module; install that of this release", device = device.display())]
    NoSuchCall {
        /// Its path.
        device: PathBuf,
    },
    /// No RMM.
    #[error("no RMM answers, or one of another version of RMI: see host-vmm check")]
    NoRmm,
    /// It has stopped.
    #[error(
        "the RMM has stopped and answers nothing any more: see its console, and restart the machine"
    )]
    Stopped,
    /// It is another one.
    #[error("the RMM of this machine counts nothing: it is not Cloister's, or an older one")]
    CountsNothing,
    /// It counts in another way.
    #[error(
        "the RMM has statistics of another version ({0:#x}): install the host-vmm of its release"
    )]
    OtherVersion(u64),
    /// Something else.
    #[error("{device}: {error}", device = device.display())]
    Ask {
        /// The device node.
        device: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// An answer of the RMM.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Answer {
    /// X1 to X3.
    pub words: [u64; 3],
    /// The counter of the machine after it.
    pub counter: u64,
    /// Its frequency, in Hz.
    pub frequency: u64,
}

/// Who passes questions on to the RMM; tests have RMMs of their own.
pub trait Questions {
    /// Asks one.
    ///
    /// # Errors
    ///
    /// The kernel's.
    fn ask(&self, query: Query) -> io::Result<Answer>;
}

fn explain(device: &Path, error: io::Error) -> RmmError {
    let device = device.to_owned();
    match error.raw_os_error() {
        Some(libc::EPERM) => RmmError::NotAllowed,
        Some(libc::ENOTTY) => RmmError::NoSuchCall { device },
        Some(libc::ENODEV | libc::EPROTONOSUPPORT) => RmmError::NoRmm,
        Some(libc::EIO) => RmmError::Stopped,
        _ => RmmError::Ask { device, error },
    }
}

/// Reads all that the RMM has counted and noted.
///
/// # Errors
///
/// If nobody answers, or another RMM does. `device` is for the message.
pub fn read(questions: &impl Questions, device: &Path) -> Result<Report, RmmError> {
    let ask = |query| questions.ask(query).map_err(|error| explain(device, error));
    let answer = ask(Query::Description)?;
    let Some(description) = Description::from_words(answer.words) else {
        return Err(match answer.words {
            [0, 0, 0] => RmmError::CountsNothing,
            [first, ..] => RmmError::OtherVersion(first),
        });
    };
    let mut report = Report::new(description, &answer);
    let mut sum = Counted::default();
    let mut now = answer;
    for cpu in 0..description.cpus.min(MOST_CPUS) {
        let cpu = u16::try_from(cpu).unwrap_or(u16::MAX);
        let mut counted = Counted::default();
        let boots = counter_of(cpu, Counter::Boot);
        if ask(boots)?.words[0] == 0 {
            continue;
        }
        // A later minor version may have more of them, which nobody here could name.
        let counters = description.counters.min(COUNTERS.into());
        for first in (0..counters).step_by(3) {
            let first = u16::try_from(first).unwrap_or(u16::MAX);
            let words = ask(Query::Counters { cpu, first })?.words;
            counted.take(first, words);
        }
        report.cpus_up.push(counted.cpu(cpu));
        sum.add(&counted);
        for list in [EventList::LifeCycle, EventList::Errors] {
            for place in 0..description.events.min(MOST_EVENTS) {
                let place = u16::try_from(place).unwrap_or(u16::MAX);
                let answer = ask(Query::Event { cpu, list, place })?;
                if let Some(event) = Event::from_words(answer.words) {
                    report.events.push(EventReport::new(cpu, list, event));
                }
                now = answer;
            }
        }
    }
    report.finish(&sum, &now);
    Ok(report)
}

fn counter_of(cpu: u16, counter: Counter) -> Query {
    Query::Counters {
        cpu,
        first: counter.number(),
    }
}

/// The counters of a CPU, or their sums.
#[derive(Clone, Debug)]
struct Counted([u64; COUNTERS as usize]);

impl Default for Counted {
    fn default() -> Self {
        Self([0; _])
    }
}

impl Counted {
    fn take(&mut self, first: u16, words: [u64; 3]) {
        for (counter, word) in self.0.iter_mut().skip(first.into()).zip(words) {
            *counter = word;
        }
    }

    fn add(&mut self, other: &Self) {
        for (sum, counter) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(counter);
        }
    }

    fn of(&self, counter: Counter) -> u64 {
        let place = usize::from(counter.number());
        self.0.get(place).copied().unwrap_or_default()
    }

    fn successes(&self, function: u64) -> u64 {
        self.of(Counter::Command(function, StatusCode::Success))
    }

    /// What is there now of what one command makes and another ends. CPUs are read one after the
    /// other, so an end may have been counted without its beginning.
    fn alive(&self, made: &[u64], ended: &[u64]) -> u64 {
        let sum = |functions: &[u64]| {
            let successes = functions.iter().map(|function| self.successes(*function));
            successes.fold(0, u64::saturating_add)
        };
        sum(made).saturating_sub(sum(ended))
    }

    fn unknown_calls(&self) -> u64 {
        let calls = (0..FUNCTIONS).map(|function| self.of(Counter::UnknownCall(function)));
        calls.fold(0, u64::saturating_add)
    }

    fn calls(&self) -> u64 {
        let commands = COMMANDS
            .iter()
            .map(|(function, name)| self.command(*function, name).calls());
        commands.fold(self.unknown_calls(), u64::saturating_add)
    }

    fn command(&self, function: u64, name: &'static str) -> Command {
        let of = |status| self.of(Counter::Command(function, status));
        Command {
            name,
            success: of(StatusCode::Success),
            input: of(StatusCode::ErrorInput),
            realm: of(StatusCode::ErrorRealm),
            rec: of(StatusCode::ErrorRec),
            rtt: of(StatusCode::ErrorRtt),
        }
    }

    fn cpu(&self, cpu: u16) -> CpuReport {
        CpuReport {
            cpu,
            boots: self.of(Counter::Boot),
            calls: self.calls(),
            exits: self.exits().sum(),
            faults: self.faults().sum(),
        }
    }

    fn exits(&self) -> Exits {
        let of = |reason: ExitReason| self.of(Counter::Exit(reason as u8));
        Exits {
            synchronous: of(ExitReason::Sync),
            irq: of(ExitReason::Irq),
            fiq: of(ExitReason::Fiq),
            psci: of(ExitReason::Psci),
            ripas_change: of(ExitReason::RipasChange),
            host_call: of(ExitReason::HostCall),
            serror: of(ExitReason::SError),
        }
    }

    fn faults(&self) -> Faults {
        let of = |fault| self.of(Counter::Fault(fault));
        Faults {
            external_abort: of(Fault::ExternalAbort),
            undefined_instruction: of(Fault::UndefinedInstruction),
            address_size: of(Fault::AddressSize),
            serror: of(Fault::SError),
        }
    }

    fn totals(&self) -> Totals {
        Totals {
            realms: self.alive(&[fid::REALM_CREATE], &[fid::REALM_DESTROY]),
            recs: self.alive(&[fid::REC_CREATE], &[fid::REC_DESTROY]),
            granules_delegated: self.alive(&[fid::GRANULE_DELEGATE], &[fid::GRANULE_UNDELEGATE]),
            calls: self.calls(),
            unknown_calls: self.unknown_calls(),
        }
    }
}

#[cfg(test)]
mod tests;
