//! A machine's life: made, started, ended, and nothing of it left behind.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{debug, error, info, warn};
use vm_memory::{Bytes as _, GuestAddress};

use crate::backend::kvm::Flavour;
use crate::backend::{self, BackendError, Start, VirtualMachine};
use crate::configuration::Configuration;
use crate::devices::Complaints;
use crate::devices::bus::Overlap;
use crate::error::Ending;
use crate::load::Prepared;
use crate::progress::Progress;
use crate::sys::memory::Ram;
use crate::sys::signal::Endings;
use crate::vcpu::{self, Shared, VcpuError};
use crate::worker::{PATIENCE, Worker};

mod control;
mod devices;

use control::Control;
use devices::Devices;

/// How long vCPUs may take to end before the log says that they do.
const LONG: Duration = Duration::from_secs(10);

/// Why a machine was not started, or did not go on.
#[derive(Error, Debug)]
pub enum MachineError {
    /// The back-end.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// There is no room for the machine's memory in this process.
    #[error("no room for the machine's memory: {0}")]
    Memory(io::Error),
    /// A disk cannot be opened.
    #[error("disk {path}: {error}", path = path.display())]
    Disk {
        /// Its file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A console's file cannot be opened.
    #[error("console {path}: {error}", path = path.display())]
    Console {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Standard input or output cannot be used.
    #[error("the terminal: {0}")]
    Terminal(io::Error),
    /// Two devices want the same address.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// Descriptors or threads.
    #[error("the system gives no more descriptors or threads: {0}")]
    System(#[from] io::Error),
    /// A vCPU could not go on.
    #[error("vCPU {number}: {error}")]
    Vcpu {
        /// Which.
        number: u32,
        /// Why.
        error: VcpuError,
    },
}

/// Signals by which an operator ends this process. Made before any other thread, it keeps them
/// from doing that at once.
#[derive(Debug)]
pub struct Operator(Arc<Endings>);

impl Operator {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn new() -> Result<Self, MachineError> {
        Ok(Self(Arc::new(Endings::new()?)))
    }
}

/// Makes a machine, runs it until it ends, and takes it down again.
///
/// # Errors
///
/// If it cannot be started, or cannot go on.
pub fn launch(
    operator: &Operator,
    configuration: &Configuration,
    prepared: &Prepared,
) -> Result<Ending, MachineError> {
    let begin = Instant::now();
    let control = Control::new();
    let signals = listen(operator, &control)?;
    let machine = backend::create(configuration, &prepared.layout)?;
    let result = run(&control, configuration, prepared, machine, begin);
    // What comes from now on is for the next launch.
    drop(signals);
    control.settle(result)
}

/// Fills a new machine, runs it until it ends, and takes it down again.
fn run(
    control: &Arc<Control>,
    configuration: &Configuration,
    prepared: &Prepared,
    machine: Arc<dyn VirtualMachine>,
    begin: Instant,
) -> Result<Ending, MachineError> {
    let layout = &prepared.layout;
    let realm = configuration.realm.is_some();
    let shared_bit = if realm { layout.shared_bit() } else { 0 };
    let ram = Ram::new(layout.ram, shared_bit).map_err(MachineError::Memory)?;
    machine.set_ram(&ram)?;
    let mut devices = Devices::new(configuration, layout, &ram, control)?;
    let start = Start {
        entry: prepared.entry,
        registers: prepared.registers(),
    };
    let cpus = configuration.cpus.get();
    let vcpus = (0..cpus)
        .map(|number| machine.create_vcpu(number, (number == 0).then_some(&start)))
        .collect::<Result<Vec<_>, _>>()?;
    machine.create_interrupt_controller(layout)?;
    devices.connect(machine.as_ref())?;
    info!(
        on = %machine.flavour(),
        milliseconds = milliseconds(begin),
        "machine made"
    );
    if realm && machine.flavour() == Flavour::KvmCca {
        info!(
            "the initial measurement holds if this kernel's KVM makes Realms with the same parameters"
        );
    }

    let begin = Instant::now();
    let filled = if realm {
        populate(machine.as_ref(), prepared, control)?
    } else {
        copy(&ram, prepared)?
    };
    let Some(bytes) = filled else {
        return Ok(Ending::Ended);
    };
    info!(
        mebibytes = bytes >> 20,
        milliseconds = milliseconds(begin),
        "memory filled"
    );

    let begin = Instant::now();
    let shared = Arc::new(Shared {
        bus: std::mem::take(&mut devices.bus),
        machine: Arc::clone(&machine),
        ram,
        cpus,
        shared_bit,
        stop: control.stop(),
        complaints: Complaints::default(),
    });
    let input = devices.listen(control)?;
    let mut threads = Threads {
        machine: Arc::clone(&machine),
        control: Arc::clone(control),
        running: Vec::new(),
        workers: std::mem::take(&mut devices.workers),
    };
    for (number, mut vcpu) in (0..).zip(vcpus) {
        let (shared, control) = (Arc::clone(&shared), Arc::clone(control));
        let thread = thread::Builder::new()
            .name(format!("vcpu{number}"))
            .spawn(move || {
                let ended = vcpu::run(vcpu.as_mut(), &shared);
                debug!("vCPU {number} has ended: {ended:?}");
                control.end(number, ended);
            })?;
        threads.running.push(thread);
    }
    info!(milliseconds = milliseconds(begin), "started");

    let result = control.wait();
    let ran = begin.elapsed().as_secs();
    threads.end();
    drop(input);
    if let Some(statistics) = machine.statistics() {
        info!(
            private_pages = statistics.pages_private,
            blocks = statistics.blocks_private,
            shared_pages = statistics.pages_shared,
            tables = statistics.tables,
            faults = statistics.faults,
            "the Realm's memory"
        );
    }
    let ended = Instant::now();
    // With the last of them the kernel takes the machine down.
    drop((devices, shared, threads, machine));
    info!(
        seconds = ran,
        taken_down_in_milliseconds = milliseconds(ended),
        "ended"
    );
    result
}

/// Waits for signals to end.
fn listen(operator: &Operator, control: &Arc<Control>) -> Result<Worker, MachineError> {
    let (endings, control) = (Arc::clone(&operator.0), Arc::clone(control));
    let worker = Worker::start("signals", move |sources| {
        if let Err(error) = sources.add(endings.as_ref(), 0) {
            error!("signals are not heard: {error}");
        }
        while sources.wait().is_some() {
            while let Some(signal) = endings.take() {
                info!(signal, "told to end");
                control.leave();
            }
        }
    });
    Ok(worker?)
}

/// Fills a Realm's memory, and says with how much; `None` if it is to end.
fn populate(
    machine: &dyn VirtualMachine,
    prepared: &Prepared,
    control: &Control,
) -> Result<Option<u64>, BackendError> {
    let total = prepared
        .segments()
        .map(|segment| segment.range().size)
        .sum();
    let progress = Progress::new("filling memory", total);
    for segment in prepared.segments() {
        let mut ipa = segment.range().base;
        let mut pages = segment.pages();
        while !pages.is_empty() {
            if control.is_ending() {
                return Ok(None);
            }
            let done = machine.populate(ipa, pages)?.min(pages.len());
            pages = &pages[done..];
            ipa += done as u64;
            progress.advance(done as u64);
        }
    }
    Ok(Some(total))
}

/// Fills an ordinary machine's memory, and says with how much.
fn copy(ram: &Ram, prepared: &Prepared) -> Result<Option<u64>, MachineError> {
    let memory = ram.for_devices();
    let mut total = 0;
    for segment in prepared.segments() {
        let address = GuestAddress(segment.range().base);
        memory
            .write_slice(segment.content(), address)
            .map_err(|error| MachineError::Memory(io::Error::other(error)))?;
        total += segment.range().size;
    }
    Ok(Some(total))
}

fn milliseconds(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The threads of vCPUs and devices, which have ended when this is dropped.
struct Threads {
    machine: Arc<dyn VirtualMachine>,
    control: Arc<Control>,
    running: Vec<JoinHandle<()>>,
    workers: Vec<Worker>,
}

impl Threads {
    /// Ends them. A signal may come just before a thread goes into the kernel, so it is sent until
    /// the thread has ended.
    fn end(&mut self) {
        self.control.finish();
        // First: one that waits for somebody to read its output has the lock of its device, which
        // a vCPU or the terminal's input may wait for, and no signal ends that.
        self.workers.clear();
        let begin = Instant::now();
        let mut said = false;
        loop {
            let running = self.running.iter().filter(|thread| !thread.is_finished());
            let count = running.map(|thread| self.machine.interrupt(thread)).count();
            if count == 0 {
                break;
            }
            if !said && begin.elapsed() > LONG {
                said = true;
                warn!("{count} vCPUs do not end");
            }
            thread::sleep(PATIENCE);
        }
        for thread in self.running.drain(..) {
            // A panic has ended the process.
            let _ = thread.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
