//! The CPUs: all wait for work from CPU 0, which runs the tests.

#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;

use rmm_abi::smc::psci;
use spin::Mutex;

use crate::console::note;
use crate::machine::{MAX_CPUS, Machine};
use crate::outcome::{Outcome, Stop, ensure, fail};
use crate::time::{relax, wait_until};
use crate::{gic, paging, register, smc};

const OFF: u8 = 0;
const IDLE: u8 = 1;
const WORKING: u8 = 2;

/// What a CPU is told to do.
#[derive(Clone, Copy)]
enum Job {
    /// To call a function with its own number.
    Run(Work),
    /// To switch itself off.
    PowerOff,
}

/// A function on the stack of CPU 0.
#[derive(Clone, Copy)]
struct Work(*const (dyn Fn(usize) + Sync));

// SAFETY: the function may be called from any CPU, and `Cpus::run` keeps it alive.
unsafe impl Send for Work {}

struct Mailbox {
    state: AtomicU8,
    job: Mutex<Option<Job>>,
}

static MAILBOXES: [Mailbox; MAX_CPUS] = [const {
    Mailbox {
        state: AtomicU8::new(OFF),
        job: Mutex::new(None),
    }
}; MAX_CPUS];

/// How long a CPU may take to come or to go.
const POWER_TIME: Duration = Duration::from_secs(20);

unsafe extern "C" {
    static secondary_entry: u8;
}

/// Number of the CPU that runs this.
pub(crate) fn current() -> usize {
    let number = usize::try_from(register::read!("tpidr_el2")).unwrap_or(usize::MAX);
    number.min(MAX_CPUS - 1)
}

/// Physical address that PSCI lets a CPU start at.
pub(crate) fn entry() -> u64 {
    paging::physical(&raw const secondary_entry)
}

/// The CPUs of the machine.
pub(crate) struct Cpus {
    machine: &'static Machine,
    count: usize,
}

impl Cpus {
    /// Switches on all CPUs, in order, up to the first that does not come up.
    pub(crate) fn start(machine: &'static Machine) -> Self {
        let mut cpus = Self { machine, count: 1 };
        for cpu in 1..machine.cpus.len() {
            if let Err(Stop::Fail(text) | Stop::Skip(text)) = cpus.power_on(cpu) {
                note!("{text}; going on with {} CPUs", cpus.count);
                break;
            }
            cpus.count += 1;
        }
        cpus
    }

    /// How many run.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// The first CPU that does not wait for work although it should.
    pub(crate) fn lost(&self) -> Option<usize> {
        (1..self.count).find(|cpu| MAILBOXES[*cpu].state.load(Ordering::Acquire) != IDLE)
    }

    /// Affinity of a CPU, as PSCI names it.
    pub(crate) fn affinity(&self, cpu: usize) -> u64 {
        self.machine.cpus[cpu]
    }

    /// Switches a CPU on and waits until it is there.
    pub(crate) fn power_on(&self, cpu: usize) -> Outcome {
        let result = smc::psci(psci::CPU_ON, &[self.affinity(cpu), entry(), cpu as u64]);
        ensure!(
            result == psci::SUCCESS,
            "CPU_ON of CPU {cpu} returned {result}"
        );
        let state = &MAILBOXES[cpu].state;
        if wait_until(POWER_TIME, || state.load(Ordering::Acquire) == IDLE) {
            Ok(())
        } else {
            fail!("CPU {cpu} did not come up")
        }
    }

    /// Lets a CPU switch itself off and waits until PSCI says that it is off.
    pub(crate) fn power_off(&self, cpu: usize) -> Outcome {
        assert!(cpu != 0, "CPU 0 runs the tests");
        post(cpu, Job::PowerOff);
        let off = wait_until(POWER_TIME, || {
            smc::psci(psci::AFFINITY_INFO, &[self.affinity(cpu), 0]) == psci::AFFINITY_OFF
        });
        ensure!(off, "CPU {cpu} did not go off");
        Ok(())
    }

    /// Runs `work` on CPUs 0 to `count` − 1 at the same time, each with its number, and returns
    /// when all have finished.
    pub(crate) fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        assert!(current() == 0, "work is given out by CPU 0");
        let count = count.clamp(1, self.count());
        // SAFETY: only the lifetime changes. No CPU keeps the reference beyond this function,
        // which waits for all of them.
        let work_for_all: &'static (dyn Fn(usize) + Sync) = unsafe { core::mem::transmute(work) };
        for cpu in 1..count {
            post(cpu, Job::Run(Work(work_for_all)));
        }
        work(0);
        for mailbox in &MAILBOXES[1..count] {
            while mailbox.state.load(Ordering::Acquire) == WORKING {
                relax();
            }
        }
    }

    /// The same for checks; the failure of the CPU with the lowest number counts.
    pub(crate) fn check(&self, count: usize, work: &(dyn Fn(usize) -> Outcome + Sync)) -> Outcome {
        let outcomes = [const { Mutex::new(Ok(())) }; MAX_CPUS];
        self.run(count, &|cpu| *outcomes[cpu].lock() = work(cpu));
        outcomes.into_iter().try_for_each(Mutex::into_inner)
    }
}

fn post(cpu: usize, job: Job) {
    let mailbox = &MAILBOXES[cpu];
    assert!(
        mailbox.state.load(Ordering::Acquire) == IDLE,
        "CPU {cpu} is not ready"
    );
    *mailbox.job.lock() = Some(job);
    mailbox.state.store(WORKING, Ordering::Release);
}

/// What every other CPU does.
#[unsafe(no_mangle)]
extern "C" fn secondary_main(cpu: u64) -> ! {
    paging::use_identity_map();
    gic::start_cpu();
    let cpu = usize::try_from(cpu).unwrap_or(0);
    let mailbox = &MAILBOXES[cpu];
    mailbox.state.store(IDLE, Ordering::Release);
    loop {
        while mailbox.state.load(Ordering::Acquire) != WORKING {
            relax();
        }
        let job = mailbox.job.lock().take();
        match job {
            // SAFETY: CPU 0 waits in `Cpus::run` until the state changes below.
            Some(Job::Run(work)) => unsafe { (*work.0)(cpu) },
            Some(Job::PowerOff) => {
                mailbox.state.store(OFF, Ordering::Release);
                let result = smc::cpu_off();
                panic!("CPU_OFF returned {result}");
            }
            None => {}
        }
        mailbox.state.store(IDLE, Ordering::Release);
    }
}
