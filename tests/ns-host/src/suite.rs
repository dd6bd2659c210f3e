//! The tests by name, and how they are run.

mod boot;
mod canary;
mod data;
mod dispatch;
mod evidence;
mod exit;
pub(crate) mod expect;
mod features;
mod granule;
mod hostile;
mod isolation;
mod list;
mod parked;
mod psci;
mod realm;
mod realm_cpu;
mod realm_psci;
mod realm_stress;
mod rec;
mod rec_enter;
mod registers;
mod ripas;
mod rsi;
mod rtt;
mod run_races;
mod statistics;
mod stress;
mod unprotected;
mod version;

use arrayvec::ArrayVec;
use ns_host::arguments::Arguments;
use spin::Mutex;

use crate::console::say;
use crate::cpus::Cpus;
use crate::exit::ExitCode;
use crate::machine::Machine;
use crate::memory::{GRANULE, Pool, Range};
use crate::outcome::{Outcome, Stop, fail, skip};
use crate::{paging, rmi};
use list::{TESTS, Test};

/// What a test works with.
pub(crate) struct Host {
    /// The machine.
    pub(crate) machine: &'static Machine,
    /// Its CPUs.
    pub(crate) cpus: Cpus,
    /// The command line.
    pub(crate) arguments: Arguments<'static>,
    /// Memory that nobody used when the tests began.
    pub(crate) free: ArrayVec<Range, 32>,
    pool: Mutex<Pool>,
}

impl Host {
    /// `None` without free memory.
    pub(crate) fn new(
        machine: &'static Machine,
        arguments: Arguments<'static>,
        cpus: Cpus,
    ) -> Option<Self> {
        let free = machine.free_memory(paging::image());
        let largest = free.iter().max_by_key(|range| range.size())?;
        // Its ends have a test of their own.
        let inner = Range::new(
            largest.start() + GRANULE,
            largest.size().saturating_sub(2 * GRANULE),
        );
        let pool = Mutex::new(Pool::new(inner));
        Some(Self {
            machine,
            cpus,
            arguments,
            free,
            pool,
        })
    }

    /// The first of `count` granules in a row that no other test has had.
    pub(crate) fn granules(&self, count: u64) -> Outcome<u64> {
        self.aligned_granules(count, GRANULE)
    }

    /// The same, at a multiple of `alignment` bytes.
    pub(crate) fn aligned_granules(&self, count: u64, alignment: u64) -> Outcome<u64> {
        match self.pool.lock().take(count, alignment) {
            Some(first) => Ok(first),
            None => fail!("no {count} granules of free memory are left"),
        }
    }

    /// A granule that no other test has had.
    pub(crate) fn granule(&self) -> Outcome<u64> {
        self.granules(1)
    }
}

fn try_to_run(host: &Host, test: &Test) -> Outcome {
    if let Some(cpu) = host.cpus.lost() {
        return fail!("CPU {cpu} was lost in a test before");
    }
    let there = host.cpus.count();
    if there < test.cpus {
        return skip!("needs {} CPUs, has {there}", test.cpus);
    }
    if !test.name.starts_with("psci/") && host.arguments.fault.is_none() {
        rmi::must_be_there()?;
    }
    (test.run)(host)
}

/// Names of all tests.
pub(crate) fn names() -> impl Iterator<Item = &'static str> + Clone {
    TESTS.iter().map(|test| test.name)
}

/// Runs the tests that the command line selects, and reports.
pub(crate) fn run(host: &Host) -> ExitCode {
    let selected = || {
        TESTS
            .iter()
            .filter(|test| host.arguments.selects(test.name))
    };
    say!("plan {}", selected().count());
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for test in selected() {
        let name = test.name;
        say!("begin {name} limit {}", (test.limit)(&host.arguments));
        match try_to_run(host, test) {
            Ok(()) => {
                passed += 1;
                say!("pass {name}");
            }
            Err(Stop::Fail(text)) => {
                failed += 1;
                say!("fail {name}: {text}");
            }
            Err(Stop::Skip(text)) => {
                skipped += 1;
                say!("skip {name}: {text}");
            }
        }
    }
    say!("done {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        ExitCode::Passed
    } else {
        ExitCode::Failed
    }
}
