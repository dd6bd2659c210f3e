//! The tests by name, and how they are run.

mod dispatch;
mod expect;
mod features;
mod granule;
mod isolation;
mod parked;
mod psci;
mod registers;
mod stress;
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
        match self.pool.lock().take(count) {
            Some(first) => Ok(first),
            None => fail!("no {count} granules of free memory are left"),
        }
    }

    /// A granule that no other test has had.
    pub(crate) fn granule(&self) -> Outcome<u64> {
        self.granules(1)
    }
}

/// A test.
struct Test {
    name: &'static str,
    /// Seconds that it may take.
    limit: fn(&Arguments) -> u64,
    /// CPUs that it needs.
    cpus: usize,
    run: fn(&Host) -> Outcome,
}

/// One line a test: name, time limit in seconds, CPUs needed, function.
macro_rules! tests {
    ($($name:literal, limit $limit:expr, cpus $cpus:literal, $run:path;)*) => {
        const TESTS: &[Test] = &[$(Test {
            name: $name,
            limit: { const LIMIT: fn(&Arguments) -> u64 = $limit; LIMIT },
            cpus: $cpus,
            run: $run,
        },)*];
    };
}

/// A limit that does not depend on the command line.
macro_rules! seconds {
    ($seconds:literal) => {
        |_| $seconds
    };
}

/// For tests whose length the command line gives.
const fn by_calls(arguments: &Arguments) -> u64 {
    60 + arguments.calls / 1000
}

tests! {
    "version/negotiation", limit seconds!(10), cpus 1, version::negotiation;
    "version/every-cpu", limit seconds!(10), cpus 2, version::every_cpu;
    "features/register-0", limit seconds!(10), cpus 1, features::register_0;
    "features/other-registers", limit seconds!(10), cpus 1, features::other_registers;
    "features/every-cpu", limit seconds!(10), cpus 2, features::every_cpu;
    "granule/there-and-back", limit seconds!(10), cpus 1, granule::there_and_back;
    "granule/like-the-model", limit seconds!(30), cpus 1, granule::like_the_model;
    "granule/unaligned", limit seconds!(10), cpus 1, granule::unaligned;
    "granule/out-of-range", limit seconds!(10), cpus 1, granule::out_of_range;
    "granule/address-bits-above-the-range", limit seconds!(10), cpus 1, granule::high_bits;
    "granule/other-worlds", limit seconds!(10), cpus 1, granule::other_worlds;
    "granule/devices", limit seconds!(10), cpus 1, granule::devices;
    "granule/ends-of-memory", limit seconds!(10), cpus 1, granule::ends_of_memory;
    "granule/failure-changes-nothing", limit seconds!(10), cpus 1, granule::failure_changes_nothing;
    "granule/vector-hint", limit seconds!(10), cpus 1, granule::vector_hint;
    "granule/from-cpu-to-cpu", limit seconds!(10), cpus 2, granule::from_cpu_to_cpu;
    "dispatch/unknown-commands", limit seconds!(20), cpus 1, dispatch::unknown_commands;
    "dispatch/services-for-the-rmm", limit seconds!(10), cpus 1, dispatch::services_for_the_rmm;
    "dispatch/realm-services", limit seconds!(10), cpus 1, dispatch::realm_services;
    "dispatch/32-bit-calls", limit seconds!(20), cpus 1, dispatch::calls_of_32_bits;
    "dispatch/malformed-identifiers", limit seconds!(10), cpus 1, dispatch::malformed_identifiers;
    "dispatch/upper-half-of-x0", limit seconds!(10), cpus 1, dispatch::upper_half;
    "isolation/delegated-granule", limit seconds!(10), cpus 1, isolation::delegated_granule;
    "isolation/every-cpu", limit seconds!(10), cpus 2, isolation::every_cpu;
    "isolation/dirty-granule-comes-back-zero", limit seconds!(10), cpus 1, isolation::dirty_granule;
    "isolation/carve-outs", limit seconds!(10), cpus 1, isolation::carve_outs;
    "isolation/granule-under-writes", limit seconds!(30), cpus 2, isolation::under_writes;
    "isolation/granule-under-reads", limit seconds!(30), cpus 2, isolation::under_reads;
    "registers/general-purpose", limit seconds!(10), cpus 1, registers::general_purpose;
    "registers/system", limit seconds!(10), cpus 1, registers::system;
    "registers/simd", limit seconds!(10), cpus 1, registers::simd;
    "registers/sve", limit seconds!(10), cpus 1, registers::sve;
    "registers/every-cpu", limit seconds!(20), cpus 2, registers::every_cpu;
    "psci/version", limit seconds!(10), cpus 1, psci::version;
    "psci/features", limit seconds!(10), cpus 1, psci::features;
    "psci/all-cpus-start", limit seconds!(10), cpus 1, psci::all_cpus_start;
    "psci/affinity-info", limit seconds!(10), cpus 1, psci::affinity_info;
    "psci/cpu-on-refused", limit seconds!(60), cpus 2, psci::cpu_on_refused;
    "psci/off-and-on-again", limit seconds!(60), cpus 2, psci::off_and_on_again;
    "stress/two-cpus", limit by_calls, cpus 2, stress::two_cpus;
    "stress/four-cpus", limit by_calls, cpus 4, stress::four_cpus;
    "stress/every-cpu-its-own-granule", limit seconds!(30), cpus 2, stress::own_granules;
    "parked/cpus-that-wait-for-a-lock", limit seconds!(10), cpus 2, parked::waiting_cpus;
    "parked/refused-undelegate", limit seconds!(10), cpus 1, parked::refused_undelegate;
    "parked/every-command", limit seconds!(20), cpus 1, parked::every_command;
    "parked/every-cpu", limit seconds!(20), cpus 2, parked::every_cpu;
    "parked/el3-goes-on", limit seconds!(10), cpus 1, parked::el3_goes_on;
    "parked/off-and-on-again", limit seconds!(60), cpus 2, parked::off_and_on_again;
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
