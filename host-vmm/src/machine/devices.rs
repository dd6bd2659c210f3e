//! The devices of a configuration, and the threads that serve them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use virtio_bindings::bindings::virtio_mmio::VIRTIO_MMIO_QUEUE_NOTIFY;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::MachineError;
use super::control::Control;
use super::held::Held;
use crate::backend::{BackendError, VirtualMachine};
use crate::configuration::{self, Configuration, ConsoleEnd, Disk, TapSource, VirtioDevice};
use crate::devices::serial::{ConsoleOutput, InputSink, SerialPort};
use crate::devices::virtio::balloon::Balloon;
use crate::devices::virtio::block::Block;
use crate::devices::virtio::console::Console;
use crate::devices::virtio::net::Net;
use crate::devices::virtio::rng::Rng;
use crate::devices::virtio::vsock::Vsock;
use crate::devices::virtio::{self, VirtioMmio};
use crate::devices::{Bus, InterruptLine};
use crate::layout::{Device, Layout, SERIAL, Spi};
use crate::sys::memory::Ram;
use crate::sys::tap::Tap;
use crate::terminal::{Input, Output};
use crate::worker::Worker;

/// A machine's devices, and the threads that serve them.
pub(super) struct Devices {
    pub(super) bus: Bus,
    interrupts: Vec<(InterruptLine, Spi)>,
    notifiers: Vec<(EventFd, u64, u32)>,
    /// The console that the terminal is for.
    terminal: Option<(Arc<dyn InputSink>, EventFd)>,
    /// By what memory moves.
    pub(super) balloon: Option<Arc<VirtioMmio<Balloon>>>,
    pub(super) workers: Vec<Worker>,
}

impl Devices {
    pub(super) fn new(
        configuration: &Configuration,
        layout: &Layout,
        ram: &Ram,
        control: &Control,
        held: &Held,
    ) -> Result<Self, MachineError> {
        let mut devices = Self {
            bus: Bus::new(),
            interrupts: Vec::new(),
            notifiers: Vec::new(),
            terminal: None,
            balloon: None,
            workers: Vec::new(),
        };
        devices.add_serial(&configuration.serial, control, held)?;
        for (slot, device) in configuration.virtio_devices().enumerate() {
            let place = layout
                .virtio_slot(slot)
                .ok_or_else(|| io::Error::other("more virtio devices than slots"))?;
            match device {
                VirtioDevice::Console(end) => {
                    devices.add_console(end, place, ram, control, held)?;
                }
                VirtioDevice::Disk(disk) => {
                    let name = format!("disk {slot}");
                    let block = open_disk(configuration, disk, held)?;
                    devices.add_virtio(&name, block, place, ram, control)?;
                }
                VirtioDevice::Net(net) => {
                    let name = format!("net {slot}");
                    let net = open_net(configuration, net, held)?;
                    devices.add_virtio(&name, net, place, ram, control)?;
                }
                VirtioDevice::Vsock(vsock) => {
                    let name = format!("vsock {slot}");
                    let listener = held.listener(&vsock.socket);
                    let listener = listener.map_err(|error| MachineError::Vsock {
                        path: vsock.socket.clone(),
                        error,
                    })?;
                    let vsock = Vsock::new(vsock.cid, listener)?;
                    devices.add_virtio(&name, vsock, place, ram, control)?;
                }
                VirtioDevice::Rng(_) => {
                    let name = format!("random numbers {slot}");
                    devices.add_virtio(&name, Rng::default(), place, ram, control)?;
                }
                VirtioDevice::Balloon(_) => {
                    // A Realm's private memory is not here.
                    let own = configuration.realm.is_none().then(|| ram.clone());
                    let balloon = Balloon::new(own);
                    let device = devices.add_virtio("balloon", balloon, place, ram, control)?;
                    devices.balloon = Some(device);
                }
            }
        }
        Ok(devices)
    }

    fn add_serial(
        &mut self,
        end: &ConsoleEnd,
        control: &Control,
        held: &Held,
    ) -> Result<(), MachineError> {
        let line = InterruptLine::new()?;
        self.interrupts.push((line.try_clone()?, SERIAL.interrupt));
        let room = EventFd::new(EFD_NONBLOCK)?;
        let port = SerialPort::new(line, output(end, control, held)?, teller(&room)?);
        if *end == ConsoleEnd::Terminal {
            self.terminal = Some((port.clone(), room));
        }
        self.bus.add(SERIAL.range, port)?;
        Ok(())
    }

    fn add_console(
        &mut self,
        end: &ConsoleEnd,
        place: Device,
        ram: &Ram,
        control: &Control,
        held: &Held,
    ) -> Result<(), MachineError> {
        let room = EventFd::new(EFD_NONBLOCK)?;
        let console = Console::new(output(end, control, held)?, teller(&room)?);
        let device = self.add_virtio("virtio console", console, place, ram, control)?;
        if *end == ConsoleEnd::Terminal {
            self.terminal = Some((device, room));
        }
        Ok(())
    }

    fn add_virtio<D: virtio::VirtioDevice>(
        &mut self,
        name: &str,
        device: D,
        place: Device,
        ram: &Ram,
        control: &Control,
    ) -> Result<Arc<VirtioMmio<D>>, MachineError> {
        let line = InterruptLine::new()?;
        let device = VirtioMmio::new(device, ram.for_devices(), line.try_clone()?, control.stop())?;
        self.interrupts.push((line, place.interrupt));
        for (number, notifier) in (0..).zip(device.notifiers()) {
            let address = place.range.base + u64::from(VIRTIO_MMIO_QUEUE_NOTIFY);
            self.notifiers
                .push((notifier.try_clone()?, address, number));
        }
        self.workers.push(Worker::serve(name, Arc::clone(&device))?);
        self.bus.add(place.range, device.clone())?;
        Ok(device)
    }

    /// Connects interrupts and queues with the kernel.
    pub(super) fn connect(&self, machine: &dyn VirtualMachine) -> Result<(), BackendError> {
        for (line, interrupt) in &self.interrupts {
            machine.connect_interrupt(line.event(), *interrupt)?;
        }
        for (event, address, number) in &self.notifiers {
            machine.connect_notifier(event, *address, *number)?;
        }
        Ok(())
    }

    /// Hands standard input to the console that is on the terminal, and calls `leave` for Ctrl-A X.
    pub(super) fn listen(
        &mut self,
        leave: impl Fn() + Send + 'static,
    ) -> Result<Option<Input>, MachineError> {
        let Some((sink, room)) = self.terminal.take() else {
            return Ok(None);
        };
        let input = Input::standard(sink, room, leave).map_err(MachineError::Terminal)?;
        Ok(Some(input))
    }
}

fn open_disk(
    configuration: &Configuration,
    disk: &Disk,
    held: &Held,
) -> Result<Block, MachineError> {
    let block = held
        .file(&disk.path, || Block::open_file(&disk.path, disk.read_only))
        .and_then(|file| Block::new(file, disk.read_only, disk.direct));
    let mut block = block.map_err(|error| MachineError::Disk {
        path: disk.path.clone(),
        error,
    })?;
    if configuration.realm.is_some() {
        block.limit_requests(configuration.bounce_buffers());
    }
    Ok(block)
}

/// A network interface of a configuration.
fn open_net(
    configuration: &Configuration,
    net: &configuration::Net,
    held: &Held,
) -> Result<Net<Tap>, MachineError> {
    let name = net.tap.to_string();
    let file = held.file(Path::new(&name), || {
        let tap = match &net.tap {
            TapSource::Name(name) => Tap::open(name),
            TapSource::Descriptor(number) => Tap::inherit(*number),
        };
        tap.map(Tap::into_file)
    });
    let tap = file
        .and_then(Tap::again)
        .map_err(|error| MachineError::Net {
            tap: net.tap.clone(),
            error,
        })?;
    let number = configuration.nets.iter().position(|other| other == net);
    let address = net.address(&configuration.name, number.unwrap_or(0));
    Ok(Net::new(tap, address))
}

/// Writes to an event.
fn teller(event: &EventFd) -> io::Result<Box<dyn Fn() + Send>> {
    let event = event.try_clone()?;
    Ok(Box::new(move || {
        // Fails only if it has been told 2⁶⁴ − 2 times already.
        let _ = event.write(1);
    }))
}

fn output(end: &ConsoleEnd, control: &Control, held: &Held) -> Result<ConsoleOutput, MachineError> {
    Ok(match end {
        ConsoleEnd::Terminal => {
            Box::new(Output::standard(control.stop()).map_err(MachineError::Terminal)?)
        }
        ConsoleEnd::File(path) => {
            let file = held.file(path, || Output::open_file(path));
            let output = file.map(|file| Output::new(file, control.stop()));
            Box::new(output.map_err(|error| MachineError::Console {
                path: path.clone(),
                error,
            })?)
        }
        ConsoleEnd::Nowhere => Box::new(io::sink()),
    })
}
