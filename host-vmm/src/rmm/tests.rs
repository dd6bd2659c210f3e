use std::cell::Cell;
use std::collections::BTreeMap;

use rmm_abi::Version;
use rmm_abi::statistics::{EventKind, VERSION};
use serde_json::{Value, json};

use super::*;

/// An RMM that answers by a list; whatever is not there is zero.
struct Scripted {
    answers: BTreeMap<u64, [u64; 3]>,
    error: Option<i32>,
    asked: Cell<u64>,
}

impl Scripted {
    fn new(description: Description) -> Self {
        let answers = [(Query::Description.index(), description.words())];
        Self {
            answers: answers.into(),
            error: None,
            asked: Cell::new(0),
        }
    }

    fn count(&mut self, cpu: u16, counter: Counter, count: u64) {
        for before in 0..3 {
            let Some(first) = counter.number().checked_sub(before) else {
                continue;
            };
            let index = Query::Counters { cpu, first }.index();
            self.answers.entry(index).or_default()[usize::from(before)] = count;
        }
    }

    fn event(&mut self, cpu: u16, list: EventList, place: u16, event: Event) {
        let index = Query::Event { cpu, list, place }.index();
        self.answers.insert(index, event.words());
    }

    fn report(&self) -> Report {
        read(self, Path::new("/dev/realm")).unwrap()
    }
}

impl Questions for Scripted {
    fn ask(&self, query: Query) -> io::Result<Answer> {
        self.asked.set(self.asked.get() + 1);
        if let Some(error) = self.error {
            return Err(io::Error::from_raw_os_error(error));
        }
        let words = self.answers.get(&query.index()).copied();
        Ok(Answer {
            words: words.unwrap_or_default(),
            counter: 5_000_000,
            frequency: 1_000_000,
        })
    }
}

const DESCRIPTION: Description = Description {
    version: VERSION,
    cpus: 3,
    events: 32,
    counters: COUNTERS as u32,
};

const fn ok(function: u64) -> Counter {
    Counter::Command(function, StatusCode::Success)
}

/// Two CPUs of three have come up; a Realm lives, one is gone.
fn busy() -> Scripted {
    let mut rmm = Scripted::new(DESCRIPTION);
    for cpu in [0, 2] {
        rmm.count(cpu, Counter::Boot, 1);
        rmm.count(cpu, ok(fid::REALM_CREATE), 1);
        rmm.count(cpu, ok(fid::GRANULE_DELEGATE), 300);
        rmm.count(cpu, Counter::Exit(ExitReason::Irq as u8), 7);
    }
    rmm.count(2, ok(fid::REALM_DESTROY), 1);
    rmm.count(2, ok(fid::GRANULE_UNDELEGATE), 88);
    let input = Counter::Command(fid::GRANULE_DELEGATE, StatusCode::ErrorInput);
    rmm.count(0, input, 4);
    rmm.count(0, Counter::UnknownCall(fid::VERSION), 2);
    rmm.count(2, Counter::Fault(Fault::AddressSize), 3);
    let event = |number, kind, time, subject| Event {
        number,
        kind,
        time,
        subject,
    };
    let created = event(2, EventKind::RealmCreated, 3_500_000, 0x8000_1000);
    rmm.event(2, EventList::LifeCycle, 1, created);
    let booted = event(1, EventKind::CpuBooted, 1_000_000, 0);
    rmm.event(2, EventList::LifeCycle, 0, booted);
    let failed = EventKind::call_failed(fid::GRANULE_DELEGATE, 0x1);
    let failed = event(4, failed, 2_000_000, 0xffff_ffff_ffff_f000);
    rmm.event(0, EventList::Errors, 31, failed);
    let faults = EventKind::Faults(Fault::AddressSize, 3);
    let faults = event(1, faults, 4_000_000, 0x8000_1000);
    rmm.event(2, EventList::Errors, 0, faults);
    rmm
}

#[test]
fn cpus_are_added_up() {
    let report = busy().report();
    let totals = Totals {
        realms: 1,
        recs: 0,
        granules_delegated: 512,
        calls: 2 * 301 + 1 + 88 + 4 + 2,
        unknown_calls: 2,
    };
    assert_eq!(report.totals, totals);
    assert_eq!(report.exits.irq, 14);
    assert_eq!(report.faults.address_size, 3);
    let names: Vec<_> = report.commands.iter().map(|command| command.name).collect();
    assert_eq!(
        names,
        [
            "RMI_GRANULE_DELEGATE",
            "RMI_GRANULE_UNDELEGATE",
            "RMI_REALM_CREATE",
            "RMI_REALM_DESTROY"
        ]
    );
    let delegate = report.commands[0];
    assert_eq!(
        (delegate.success, delegate.input, delegate.rtt),
        (600, 4, 0)
    );
    let cpus: Vec<_> = report
        .cpus_up
        .iter()
        .map(|cpu| (cpu.cpu, cpu.calls))
        .collect();
    assert_eq!(cpus, [(0, 307), (2, 390)]);
}

#[test]
fn people_see_tables() {
    let text = busy().report().to_text(3);
    let expected = "\
statistics 1.0; 2 of 3 CPUs have come up
now: 1 Realms, 0 RECs, 512 granules delegated (2 MiB)

CALL                     OK  INPUT  REALM  REC  RTT
RMI_GRANULE_DELEGATE    600      4      0    0    0
RMI_GRANULE_UNDELEGATE   88      0      0    0    0
RMI_REALM_CREATE          2      0      0    0    0
RMI_REALM_DESTROY         1      0      0    0    0
and 2 calls of no command

exits of RECs: 14 IRQ

faults given to Realms: 3 address size fault

CPU  BOOTS  CALLS  EXITS  FAULTS
  0      1    307      7       0
  2      1    390      7       3

SECONDS AGO  CPU  EVENT
      3.000    0  RMI_GRANULE_DELEGATE failed with RMI_ERROR_INPUT 0; X1 = 0xfffffffffffff000
      1.500    2  Realm 0x80001000 created
      1.000    2  Realm 0x80001000 was given faults: 3 address size fault
1 older ones with --json or more --events
";
    assert_eq!(text, expected);
}

#[test]
fn machines_get_json() {
    let report = busy().report().to_json().unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["version"], "1.0");
    assert_eq!(report["totals"]["realms"], 1);
    assert_eq!(
        report["events"],
        json!([
            {"cpu": 2, "list": "life-cycle", "number": 1, "time": 1_000_000, "seconds_ago": 4.0,
             "event": "cpu-booted"},
            {"cpu": 0, "list": "errors", "number": 4, "time": 2_000_000, "seconds_ago": 3.0,
             "event": "call-failed", "command": "RMI_GRANULE_DELEGATE", "function": 0x151, "code": 1,
             "argument": "0xfffffffffffff000"},
            {"cpu": 2, "list": "life-cycle", "number": 2, "time": 3_500_000, "seconds_ago": 1.5,
             "event": "realm-created", "descriptor": "0x80001000"},
            {"cpu": 2, "list": "errors", "number": 1, "time": 4_000_000, "seconds_ago": 1.0,
             "event": "faults", "fault": "address size fault", "count": 3, "descriptor": "0x80001000"},
        ])
    );
}

/// Every counter of an RMM of this version ends up in exactly one place.
#[test]
fn every_command_has_a_name_and_a_place() {
    let mut rmm = Scripted::new(DESCRIPTION);
    rmm.count(0, Counter::Boot, 1);
    for (number, (function, _)) in (1..).zip(COMMANDS) {
        rmm.count(0, ok(function), number);
    }
    let report = rmm.report();
    let seen: Vec<_> = report
        .commands
        .iter()
        .map(|command| (command.success, command.name))
        .collect();
    let expected: Vec<_> = (1..).zip(COMMANDS.map(|(_, name)| name)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn who_cannot_answer_is_told_apart() {
    let mut rmm = busy();
    let device = Path::new("/dev/realm");
    let mut after = |error| {
        rmm.error = Some(error);
        read(&rmm, device).unwrap_err()
    };
    assert!(matches!(after(libc::EPERM), RmmError::NotAllowed));
    assert!(matches!(after(libc::ENOTTY), RmmError::NoSuchCall { .. }));
    assert!(matches!(after(libc::ENODEV), RmmError::NoRmm));
    assert!(matches!(after(libc::EPROTONOSUPPORT), RmmError::NoRmm));
    assert!(matches!(after(libc::EIO), RmmError::Stopped));
    assert!(matches!(after(libc::EBADF), RmmError::Ask { .. }));

    rmm.error = None;
    rmm.answers.clear();
    let error = read(&rmm, device).unwrap_err();
    assert!(matches!(error, RmmError::CountsNothing));
    let other = Description {
        version: Version::new(2, 0),
        ..DESCRIPTION
    };
    let error = read(&Scripted::new(other), device).unwrap_err();
    assert!(matches!(error, RmmError::OtherVersion(_)));
}

/// An RMM that says absurd things of itself is read in bounded time.
#[test]
fn absurd_descriptions_are_not_believed() {
    let mut rmm = Scripted::new(Description {
        version: Version::new(1, 9),
        cpus: u32::MAX,
        events: u32::MAX,
        counters: u32::MAX,
    });
    rmm.count(1, Counter::Boot, u64::MAX);
    rmm.count(1, ok(fid::REALM_CREATE), u64::MAX);
    rmm.count(1, ok(fid::REALM_DESTROY), u64::MAX);
    rmm.count(1, Counter::Exit(0), u64::MAX);
    rmm.count(1, Counter::Exit(1), u64::MAX);
    let report = rmm.report();
    assert!(rmm.asked.get() < 8000, "{}", rmm.asked.get());
    assert_eq!(report.totals.realms, 0);
    assert_eq!(report.cpus_up[0].exits, u64::MAX);
    assert!(report.to_text(0).contains("1 of 4294967295 CPUs"));
}
