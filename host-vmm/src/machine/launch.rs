//! One launch of a machine: it is made, filled, started, and taken down.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tracing::{debug, info};

use super::control::Control;
use super::devices::Devices;
use super::held::Held;
use super::threads::Threads;
use super::{MachineError, fill};
use crate::backend::kvm::Flavour;
use crate::backend::{Start, Vcpu, VirtualMachine};
use crate::configuration::Configuration;
use crate::confinement::{self, Kind};
use crate::devices::Complaints;
use crate::exit::Ending;
use crate::layout::Layout;
use crate::life::audit::Event;
use crate::life::{Asked, Life, Phase};
use crate::load::Prepared;
use crate::sys::memory::Ram;
use crate::terminal::Input;
use crate::vcpu::{self, Shared};

/// What a launch works with.
pub(super) struct Launch<'a> {
    pub(super) life: &'a Arc<Life>,
    pub(super) control: &'a Arc<Control>,
    pub(super) configuration: &'a Configuration,
    pub(super) layout: Layout,
    pub(super) machine: Arc<dyn VirtualMachine>,
    pub(super) held: &'a Held,
}

/// A machine with everything but content.
struct Made {
    ram: Ram,
    devices: Devices,
    vcpus: Vec<Box<dyn Vcpu>>,
}

/// A machine whose vCPUs run.
struct Running {
    devices: Devices,
    shared: Arc<Shared>,
    threads: Threads,
    input: Option<Input>,
}

impl Launch<'_> {
    /// The whole of it, which has begun at a certain time.
    pub(super) fn run(self, prepared: &Prepared, begin: Instant) -> Result<Ending, MachineError> {
        self.life.attach_machine(&self.machine);
        let made = self.make(prepared, begin)?;
        if !self.fill(prepared, &made.ram)? {
            return Ok(Ending::Ended);
        }
        let begin = Instant::now();
        let running = self.start(made)?;
        self.life.enter(Phase::Running);
        self.life.record(&Event::Started);
        info!(milliseconds = milliseconds(begin), "started");

        let result = self.control.wait();
        let ran = begin.elapsed().as_secs();
        self.life.enter(Phase::Ending);
        self.life.record(&stopped(&result, ran));
        self.end(running, ran);
        result
    }

    fn is_realm(&self) -> bool {
        self.configuration.realm.is_some()
    }

    fn shared_bit(&self) -> u64 {
        if self.is_realm() {
            self.layout.shared_bit()
        } else {
            0
        }
    }

    fn make(&self, prepared: &Prepared, begin: Instant) -> Result<Made, MachineError> {
        let (machine, layout) = (&self.machine, &self.layout);
        let ram = Ram::new(layout.ram, self.shared_bit()).map_err(MachineError::Memory)?;
        machine.set_ram(&ram)?;
        let devices = Devices::new(self.configuration, layout, &ram, self.control, self.held)?;
        if let Some(balloon) = &devices.balloon {
            self.life.attach_balloon(balloon);
        }
        let start = Start {
            entry: prepared.entry,
            registers: prepared.registers(),
        };
        let vcpus = (0..self.configuration.cpus.get())
            .map(|number| machine.create_vcpu(number, (number == 0).then_some(&start)))
            .collect::<Result<Vec<_>, _>>()?;
        machine.create_interrupt_controller(layout)?;
        devices.connect(machine.as_ref())?;
        info!(
            on = %machine.flavour(),
            milliseconds = milliseconds(begin),
            "machine made"
        );
        self.life.record(&Event::Made {
            on: machine.flavour().name(),
            launch: self.life.launches(),
        });
        if self.is_realm() && machine.flavour() == Flavour::KvmCca {
            info!(
                "the initial measurement holds if this kernel's KVM makes Realms with the same parameters"
            );
        }
        Ok(Made {
            ram,
            devices,
            vcpus,
        })
    }

    /// Fills memory; false if the machine is to end.
    fn fill(&self, prepared: &Prepared, ram: &Ram) -> Result<bool, MachineError> {
        let begin = Instant::now();
        self.life.enter(Phase::Filling);
        let filled = if self.is_realm() {
            let machine = self.machine.as_ref();
            fill::populate(self.life, machine, prepared, self.control)?
        } else {
            fill::copy(ram, prepared, self.control)?
        };
        let Some(bytes) = filled else {
            return Ok(false);
        };
        info!(
            mebibytes = bytes >> 20,
            milliseconds = milliseconds(begin),
            "memory filled"
        );
        self.life.record(&Event::Filled { bytes });
        Ok(true)
    }

    fn start(&self, made: Made) -> Result<Running, MachineError> {
        let Made {
            ram,
            mut devices,
            vcpus,
        } = made;
        let shared = Arc::new(Shared {
            bus: std::mem::take(&mut devices.bus),
            machine: Arc::clone(&self.machine),
            ram,
            cpus: self.configuration.cpus.get(),
            shared_bit: self.shared_bit(),
            stop: self.control.stop(),
            exits: Arc::clone(self.life.exits()),
            complaints: Complaints::default(),
        });
        let life = Arc::clone(self.life);
        let input = devices.listen(move || life.ask(Asked::Terminal))?;
        // All that the machine is made of is open, and no guest has run yet.
        confinement::complete()?;
        let mut threads = Threads {
            machine: Arc::clone(&self.machine),
            control: Arc::clone(self.control),
            running: Vec::new(),
            workers: std::mem::take(&mut devices.workers),
        };
        for (number, mut vcpu) in (0..).zip(vcpus) {
            let (shared, control) = (Arc::clone(&shared), Arc::clone(self.control));
            let thread = thread::Builder::new()
                .name(format!("vcpu{number}"))
                .spawn(move || {
                    confinement::enter_or_end(Kind::Vcpu);
                    let ended = vcpu::run(vcpu.as_mut(), &shared);
                    debug!("vCPU {number} has ended: {ended:?}");
                    control.end(number, ended);
                })?;
            threads.running.push(thread);
        }
        Ok(Running {
            devices,
            shared,
            threads,
            input,
        })
    }

    fn end(self, running: Running, ran: u64) {
        let Running {
            devices,
            shared,
            mut threads,
            input,
        } = running;
        threads.end();
        drop(input);
        if let Some(statistics) = self.machine.statistics() {
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
        self.life.detach_machine();
        // With the last of them the kernel takes the machine down.
        drop((devices, shared, threads, self.machine));
        info!(
            seconds = ran,
            taken_down_in_milliseconds = milliseconds(ended),
            "ended"
        );
    }
}

/// That it has stopped, for the audit log.
fn stopped(result: &Result<Ending, MachineError>, seconds: u64) -> Event<'static> {
    let (why, error) = match result {
        Ok(Ending::PoweredOff) => ("powered-off", None),
        Ok(Ending::Reset) => ("reset", None),
        Ok(Ending::Ended) => ("ended", None),
        Err(error) => ("failed", Some(error.to_string())),
    };
    Event::Stopped {
        why,
        error,
        seconds,
    }
}

fn milliseconds(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}
