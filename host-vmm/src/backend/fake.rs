//! A machine whose vCPUs stop for what a test has written down.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use tempfile::TempDir;
use vmm_sys_util::eventfd::EventFd;

use super::kvm::Flavour;
use super::{BackendError, Exit, Start, Vcpu, VirtualMachine, Visibility};
use crate::configuration::{Configuration, CpuCount, MemorySize, RealmOptions};
use crate::devices::lock;
use crate::layout::{Layout, Range, Spi};
use crate::load::Page;
use crate::sys::memory::Ram;
use crate::test_kernel::TestKernel;

/// What a vCPU stops for.
pub(crate) enum Step {
    Read(u64, usize),
    Write(u64, &'static [u8]),
    Convert(Range, Visibility),
    Psci(u64, u64),
    PowerOff,
    Reset,
    Crash,
    Interrupted,
    FailedEntry(u64),
    InternalError,
    Unknown,
    Error,
    /// Not for this program: the test does something.
    Do(Box<dyn FnOnce() + Send>),
}

/// What was done with the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Ram(Range),
    Populate(u64, usize),
    Convert(Range, Visibility),
    Vcpu(u32, Option<Start>),
    InterruptController,
    Interrupt(Spi),
    Notifier(u64, u32),
    /// What a vCPU got for a read.
    Value(Vec<u8>),
    Psci(u64, i32),
}

/// The machine.
pub(crate) struct Machine {
    flavour: Flavour,
    /// By vCPU.
    scripts: Mutex<VecDeque<VecDeque<Step>>>,
    log: Arc<Mutex<Vec<Event>>>,
    interrupted: Arc<(Mutex<bool>, Condvar)>,
    /// The first call of this name fails.
    fails: Option<&'static str>,
    /// Pages that a call populates at most.
    pub(crate) populates: usize,
    /// RAM as devices see it.
    pub(crate) ram: Mutex<Option<Ram>>,
}

impl Machine {
    pub(crate) fn new(flavour: Flavour, scripts: Vec<Vec<Step>>) -> Self {
        Self {
            flavour,
            scripts: Mutex::new(scripts.into_iter().map(VecDeque::from).collect()),
            log: Arc::default(),
            interrupted: Arc::default(),
            fails: None,
            populates: usize::MAX,
            ram: Mutex::new(None),
        }
    }

    pub(crate) fn failing(self, call: &'static str) -> Self {
        Self {
            fails: Some(call),
            ..self
        }
    }

    pub(crate) fn log(&self) -> Vec<Event> {
        lock(&self.log).clone()
    }

    fn call(&self, what: &'static str, event: Event) -> Result<(), BackendError> {
        lock(&self.log).push(event);
        if self.fails == Some(what) {
            return Err(failure(what));
        }
        Ok(())
    }
}

fn failure(what: &'static str) -> BackendError {
    BackendError::Call {
        what,
        error: io::Error::from_raw_os_error(libc::ENOMEM),
    }
}

impl VirtualMachine for Machine {
    fn flavour(&self) -> Flavour {
        self.flavour
    }

    fn set_ram(&self, ram: &Ram) -> Result<(), BackendError> {
        *lock(&self.ram) = Some(ram.clone());
        self.call("ram", Event::Ram(ram.range()))
    }

    fn populate(&self, ipa: u64, pages: &[Page]) -> Result<usize, BackendError> {
        let done = pages.len().min(self.populates);
        self.call("populate", Event::Populate(ipa, done))?;
        Ok(done)
    }

    fn convert(&self, range: Range, to: Visibility) -> Result<(), BackendError> {
        self.call("convert", Event::Convert(range, to))
    }

    fn create_vcpu(
        &self,
        number: u32,
        start: Option<&Start>,
    ) -> Result<Box<dyn Vcpu>, BackendError> {
        self.call("vcpu", Event::Vcpu(number, start.copied()))?;
        Ok(Box::new(FakeVcpu {
            script: lock(&self.scripts).pop_front().unwrap_or_default(),
            log: Arc::clone(&self.log),
            interrupted: Arc::clone(&self.interrupted),
            data: Vec::new(),
        }))
    }

    fn create_interrupt_controller(&self, _layout: &Layout) -> Result<(), BackendError> {
        self.call("controller", Event::InterruptController)
    }

    fn connect_interrupt(&self, _event: &EventFd, interrupt: Spi) -> Result<(), BackendError> {
        self.call("interrupt", Event::Interrupt(interrupt))
    }

    fn connect_notifier(
        &self,
        _event: &EventFd,
        address: u64,
        value: u32,
    ) -> Result<(), BackendError> {
        self.call("notifier", Event::Notifier(address, value))
    }

    fn interrupt(&self, _thread: &JoinHandle<()>) {
        *lock(&self.interrupted.0) = true;
        self.interrupted.1.notify_all();
    }
}

struct FakeVcpu {
    script: VecDeque<Step>,
    log: Arc<Mutex<Vec<Event>>>,
    interrupted: Arc<(Mutex<bool>, Condvar)>,
    /// Of an access.
    data: Vec<u8>,
}

impl Vcpu for FakeVcpu {
    /// At the end of the script it waits to be interrupted, as a vCPU does that is off.
    fn run(&mut self) -> Result<Exit<'_>, BackendError> {
        if !self.data.is_empty() {
            lock(&self.log).push(Event::Value(std::mem::take(&mut self.data)));
        }
        let Some(step) = self.script.pop_front() else {
            let mut interrupted = lock(&self.interrupted.0);
            while !*interrupted {
                interrupted = self.interrupted.1.wait(interrupted).unwrap();
            }
            return Ok(Exit::Interrupted);
        };
        Ok(match step {
            Step::Read(address, bytes) => {
                self.data = vec![0xaa; bytes];
                Exit::Read(address, &mut self.data)
            }
            Step::Write(address, bytes) => Exit::Write(address, bytes),
            Step::Convert(range, to) => Exit::Convert(range, to),
            Step::Psci(function, target) => Exit::Psci(function, [target, 0, 0, 0, 0, 0]),
            Step::PowerOff => Exit::PowerOff,
            Step::Reset => Exit::Reset,
            Step::Crash => Exit::Crash,
            Step::Interrupted => Exit::Interrupted,
            Step::FailedEntry(reason) => Exit::FailedEntry(reason),
            Step::InternalError => Exit::InternalError,
            Step::Unknown => Exit::Unknown("Hlt".into()),
            Step::Error => return Err(failure("run")),
            Step::Do(action) => {
                action();
                Exit::Interrupted
            }
        })
    }

    fn complete_psci(&mut self, target_mpidr: u64, status: i32) -> Result<(), BackendError> {
        lock(&self.log).push(Event::Psci(target_mpidr, status));
        Ok(())
    }

    fn error_data(&mut self) -> Vec<u64> {
        vec![7, 8]
    }
}

/// A machine with a kernel in a folder of its own, and nothing else.
pub(crate) fn configuration(realm: bool) -> (TempDir, Configuration) {
    let folder = TempDir::new().unwrap();
    let kernel = folder.path().join("kernel");
    std::fs::write(&kernel, TestKernel::default().build()).unwrap();
    let configuration = Configuration {
        name: "test".parse().unwrap(),
        realm: realm.then(RealmOptions::default),
        memory: MemorySize::new(16 << 20).unwrap(),
        cpus: CpuCount::new(2).unwrap(),
        ..Configuration::new(kernel)
    };
    (folder, configuration)
}
