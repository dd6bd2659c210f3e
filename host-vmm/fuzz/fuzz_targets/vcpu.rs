//! What the kernel says that a guest does: accesses to any address in any width, PSCI calls, memory
//! that becomes private or shared, and all other reasons for which a vCPU stops. What the machine is
//! asked for stays within the guest's RAM.
#![no_main]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use host_vmm::backend::kvm::Flavour;
use host_vmm::backend::{BackendError, Exit, Start, Vcpu, VirtualMachine, Visibility};
use host_vmm::configuration::MacAddress;
use host_vmm::devices::serial::{InputSink as _, SerialPort};
use host_vmm::devices::virtio::balloon::Balloon;
use host_vmm::devices::virtio::block::Block;
use host_vmm::devices::virtio::console::Console;
use host_vmm::devices::virtio::net::Net;
use host_vmm::devices::virtio::rng::Rng;
use host_vmm::devices::virtio::{VirtioDevice, VirtioMmio};
use host_vmm::devices::{Bus, Complaints, InterruptLine, MmioDevice};
use host_vmm::layout::{self, Layout, PAGE_BYTES, Range, Spi};
use host_vmm::load::Page;
use host_vmm::sys::memory::Ram;
use host_vmm::vcpu::{Shared, run};
use host_vmm_fuzz::{Input, NoLink, RAM, SHARED};
use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::EventFd;

/// A machine that knows what it may be asked for.
#[derive(Default)]
struct Machine {
    /// The kernel refuses the next request.
    refuses: AtomicBool,
}

fn refused() -> BackendError {
    BackendError::Call {
        what: "a call",
        error: io::ErrorKind::OutOfMemory.into(),
    }
}

impl VirtualMachine for Machine {
    fn flavour(&self) -> Flavour {
        Flavour::Module
    }

    fn set_ram(&self, _: &Ram) -> Result<(), BackendError> {
        unreachable!("made already")
    }

    fn populate(&self, _: u64, _: &[Page]) -> Result<usize, BackendError> {
        unreachable!("made already")
    }

    fn convert(&self, range: Range, _: Visibility) -> Result<(), BackendError> {
        assert!(range.size > 0 && range.base >= RAM.base);
        assert!(range.base.checked_add(range.size).unwrap() <= RAM.end());
        assert!((range.base | range.size).is_multiple_of(PAGE_BYTES));
        if self.refuses.swap(false, Ordering::Relaxed) {
            return Err(refused());
        }
        Ok(())
    }

    fn create_vcpu(&self, _: u32, _: Option<&Start>) -> Result<Box<dyn Vcpu>, BackendError> {
        unreachable!("made already")
    }

    fn create_interrupt_controller(&self, _: &Layout) -> Result<(), BackendError> {
        unreachable!("made already")
    }

    fn connect_interrupt(&self, _: &EventFd, _: Spi) -> Result<(), BackendError> {
        unreachable!("made already")
    }

    fn connect_notifier(&self, _: &EventFd, _: u64, _: u32) -> Result<(), BackendError> {
        unreachable!("made already")
    }

    fn interrupt(&self, _: &JoinHandle<()>) {}
}

/// What a device's thread would do.
type Serve = Box<dyn Fn() + Send>;

/// A vCPU that stops for what its input says.
struct Script<'a> {
    input: Input<'a>,
    data: [u8; 8],
    asked: Option<u64>,
    machine: Arc<Machine>,
    memory: GuestMemoryMmap,
    serve: Vec<Serve>,
}

/// An address: mostly of a device, in one of the halves.
fn address(input: &mut Input<'_>) -> u64 {
    let kind = input.byte();
    let shared = if kind & 0x80 == 0 { 0 } else { SHARED };
    shared
        | match kind % 8 {
            0 => input.number(8),
            1 => layout::SERIAL.range.base + input.number(2) % 0x120,
            _ => {
                let slot = layout::VIRTIO_STRIDE * (input.number(1) % 8);
                layout::VIRTIO_BASE + slot + input.number(2) % 0x240
            }
        }
}

/// Pages: mostly of RAM.
fn range(input: &mut Input<'_>) -> Range {
    let kind = input.byte();
    let (base, size) = (input.number(8), input.number(8));
    if kind & 3 == 0 {
        return Range::new(base, size);
    }
    let shared = if kind & 4 == 0 { 0 } else { SHARED };
    let page = |number: u64| number % 80 * PAGE_BYTES;
    Range::new((RAM.base | shared) + page(base), page(size))
}

impl Vcpu for Script<'_> {
    fn run(&mut self) -> Result<Exit<'_>, BackendError> {
        assert_eq!(self.asked, None, "a PSCI call without answer");
        loop {
            if self.input.is_empty() {
                return Ok(Exit::PowerOff);
            }
            let input = &mut self.input;
            let kind = input.byte();
            let width = 1 + usize::from(kind >> 5);
            return Ok(match kind & 31 {
                0..8 => {
                    self.data = [0xa5; 8];
                    Exit::Read(address(input), &mut self.data[..width])
                }
                8..20 => {
                    let address = address(input);
                    self.data = input.number(width).to_le_bytes();
                    Exit::Write(address, &self.data[..width])
                }
                20 | 21 => {
                    let to = if kind & 0x20 == 0 {
                        Visibility::Private
                    } else {
                        Visibility::Shared
                    };
                    Exit::Convert(range(input), to)
                }
                22 => {
                    let numbers = [3, 4, 0x4000_0003, 0x4000_0004, 1, 8];
                    let function = match input.byte() {
                        0xff => input.number(8),
                        byte => 0x8400_0000 + numbers[usize::from(byte) % numbers.len()],
                    };
                    let arguments =
                        std::array::from_fn(|_| input.number(1 + 7 * usize::from(kind >> 7)));
                    self.asked = Some(arguments[0]);
                    Exit::Psci(function, arguments)
                }
                23 => Exit::Interrupted,
                24 => match input.byte() % 16 {
                    0 => Exit::Reset,
                    1 => Exit::Crash,
                    2 => Exit::FailedEntry(input.number(8)),
                    3 => Exit::InternalError,
                    4 => Exit::Unknown(String::from("?")),
                    5 => return Err(refused()),
                    _ => Exit::Interrupted,
                },
                25 => {
                    self.machine.refuses.store(true, Ordering::Relaxed);
                    continue;
                }
                26..28 => {
                    let place = (RAM.base | SHARED) + input.number(3) % RAM.size;
                    let _ = self.memory.write_slice(input.bytes(), GuestAddress(place));
                    continue;
                }
                _ => {
                    let device = usize::from(input.byte()) % self.serve.len();
                    (self.serve[device])();
                    continue;
                }
            });
        }
    }

    fn complete_psci(&mut self, target: u64, status: i32) -> Result<(), BackendError> {
        assert_eq!(self.asked.take(), Some(target));
        assert!(matches!(status, 0 | -3));
        Ok(())
    }

    fn error_data(&mut self) -> Vec<u64> {
        let count = self.input.byte() % 17;
        (0..count).map(|_| self.input.number(8)).collect()
    }
}

/// A virtio device at the next slot, and its thread.
fn plug<D: VirtioDevice>(
    bus: &mut Bus,
    serve: &mut Vec<Serve>,
    memory: &GuestMemoryMmap,
    device: D,
) {
    let line = InterruptLine::new().unwrap();
    let device = VirtioMmio::new(device, memory.clone(), line, Arc::default()).unwrap();
    let base = layout::VIRTIO_BASE + layout::VIRTIO_STRIDE * serve.len() as u64;
    let there: Arc<dyn MmioDevice> = device.clone();
    bus.add(Range::new(base, layout::VIRTIO_BYTES), there)
        .unwrap();
    serve.push(Box::new(move || {
        device.attend();
        for (queue, notifier) in device.notifiers().iter().enumerate() {
            if notifier.read().is_ok() {
                device.serve(queue);
            }
        }
    }));
}

fuzz_target!(|bytes: &[u8]| {
    let ram = Ram::new(RAM, SHARED).unwrap();
    let memory = ram.for_devices();
    let mut bus = Bus::new();
    let mut serve = Vec::new();
    let memory_disk = Path::new("/dev/shm");
    let disk = if memory_disk.is_dir() {
        tempfile::tempfile_in(memory_disk).unwrap()
    } else {
        tempfile::tempfile().unwrap()
    };
    disk.set_len(0x4000).unwrap();
    let sink = || Box::new(io::sink());
    plug(
        &mut bus,
        &mut serve,
        &memory,
        Console::new(sink(), Box::new(|| {})),
    );
    plug(
        &mut bus,
        &mut serve,
        &memory,
        Block::new(disk, false, false).unwrap(),
    );
    let mac: MacAddress = "02:00:00:00:00:01".parse().unwrap();
    plug(&mut bus, &mut serve, &memory, Net::new(NoLink, mac));
    plug(&mut bus, &mut serve, &memory, Rng::default());
    plug(&mut bus, &mut serve, &memory, Balloon::new(None));
    let port = SerialPort::new(InterruptLine::new().unwrap(), sink(), Box::new(|| {}));
    let there: Arc<dyn MmioDevice> = port.clone();
    bus.add(layout::SERIAL.range, there).unwrap();
    serve.push(Box::new(move || {
        port.push(b"typed");
    }));
    let machine = Arc::new(Machine::default());
    let mut script = Script {
        input: Input::new(bytes),
        data: [0; 8],
        asked: None,
        machine: Arc::clone(&machine),
        memory,
        serve,
    };
    let cpus = u32::from(script.input.byte()) + 1;
    let shared = Shared {
        bus,
        machine,
        ram,
        cpus,
        shared_bit: SHARED,
        stop: Arc::default(),
        exits: Arc::default(),
        complaints: Complaints::default(),
    };
    run(&mut script, &shared);
});
