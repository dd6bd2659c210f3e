//! A driver that does what its input says: accesses to registers, queues of every shape, content of
//! memory, and what comes from the device's other end.

mod input;
mod no_link;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use host_vmm::devices::virtio::{NEEDED_FEATURES, VirtioDevice, VirtioMmio};
use host_vmm::devices::{InterruptLine, MmioDevice as _};
use host_vmm::layout::Range;
use host_vmm::sys::memory::Ram;
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

pub use input::Input;
pub use no_link::{NoLink, nothing};

/// Where the guest has its memory, without the bit that makes it shared.
pub const RAM: Range = Range::new(0x8000_0000, 0x4_0000);
/// That bit, in a Realm.
pub const SHARED: u64 = 1 << 32;
/// Where buffers are that mean no harm, from the beginning of memory on.
const BUFFERS: u64 = 0x1_0000;
/// Where a table of descriptors is that a descriptor leads to.
const TABLES: u64 = 0x8000;
/// Chains in a queue: the driver takes 2 to the power of 0 to this.
const MOST_SIZE: u8 = 5;
/// So much is done with one input.
const MOST_STEPS: usize = 256;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// The driver of a device.
pub struct Driver<D> {
    pub device: Arc<VirtioMmio<D>>,
    memory: GuestMemoryMmap,
    shared: u64,
    size: u16,
    available: Vec<u16>,
}

impl<D: VirtioDevice> Driver<D> {
    /// In a Realm.
    pub fn new(device: D) -> Self {
        Self::with_ram(device, &Ram::new(RAM, SHARED).unwrap(), SHARED)
    }

    /// In an ordinary machine with this RAM.
    pub fn ordinary(device: D, ram: &Ram) -> Self {
        Self::with_ram(device, ram, 0)
    }

    fn with_ram(device: D, ram: &Ram, shared: u64) -> Self {
        let memory = ram.for_devices();
        let line = InterruptLine::new().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        Self {
            device: VirtioMmio::new(device, memory.clone(), line, stop).unwrap(),
            memory,
            shared,
            size: 1,
            available: vec![0; D::QUEUES.len()],
        }
    }

    fn write(&self, register: u64, value: u32) {
        self.device.write(register, &value.to_le_bytes());
    }

    fn read(&self, register: u64) -> u32 {
        let mut data = [0; 4];
        self.device.read(register, &mut data);
        u32::from_le_bytes(data)
    }

    /// Where devices find memory, so many bytes behind its beginning.
    fn at(&self, offset: u64) -> u64 {
        (RAM.base | self.shared) + offset
    }

    fn table(&self, queue: usize) -> u64 {
        self.at(0x1000 * queue as u64)
    }

    /// An address: mostly of memory that is shared, else at its end, private, or anywhere.
    fn address(&self, input: &mut Input<'_>) -> u64 {
        match input.byte() % 8 {
            0 => (RAM.base | self.shared ^ SHARED) + input.number(3) % RAM.size,
            1 => self.at(RAM.size - input.number(1)),
            2 => input.number(8),
            _ => self.at(input.number(3) % RAM.size),
        }
    }

    fn offered(&self) -> u64 {
        let half = |number| {
            self.write(0x14, number);
            u64::from(self.read(0x10))
        };
        half(0) | half(1) << 32
    }

    /// Starts the device as a driver does that means no harm, with some of what is offered.
    fn start_well(&mut self, input: &mut Input<'_>) {
        let chosen = input.number(5) | NEEDED_FEATURES;
        self.start(
            chosen & self.offered(),
            1 << (input.byte() % (MOST_SIZE + 1)),
        );
    }

    fn start(&mut self, features: u64, size: u16) {
        self.size = size;
        self.available.fill(0);
        for status in [0, 1, 3] {
            self.write(0x70, status);
        }
        for half in [0, 1] {
            self.write(0x24, half);
            self.write(0x20, (features >> (32 * half)) as u32);
        }
        self.write(0x70, 11);
        for queue in 0..D::QUEUES.len() {
            self.write(0x30, queue as u32);
            self.write(0x38, size.into());
            let table = self.table(queue);
            for (register, address) in [(0x80, table), (0x90, table + 0x400), (0xa0, table + 0x800)]
            {
                self.write(register, address as u32);
                self.write(register + 4, (address >> 32) as u32);
            }
            self.write(0x44, 1);
            for index in [table + 0x402, table + 0x802] {
                self.memory.write_obj(0_u16, GuestAddress(index)).unwrap();
            }
        }
        self.write(0x70, 15);
    }

    fn put_descriptor(&self, place: u64, address: u64, length: u32, flags: u16, next: u16) {
        let mut descriptor = [0; 16];
        descriptor[..8].copy_from_slice(&address.to_le_bytes());
        descriptor[8..12].copy_from_slice(&length.to_le_bytes());
        descriptor[12..14].copy_from_slice(&flags.to_le_bytes());
        descriptor[14..].copy_from_slice(&next.to_le_bytes());
        // Outside of memory there is nothing to be written.
        let _ = self.memory.write_slice(&descriptor, GuestAddress(place));
    }

    /// A descriptor of any kind.
    fn descriptor(&self, place: u64, input: &mut Input<'_>) {
        let (address, length) = (self.address(input), input.length());
        let bits = u16::from(input.byte());
        self.put_descriptor(place, address, length, bits & 7, bits >> 3 & 15);
    }

    /// A chain that begins as a request does and then goes on as it likes: in a circle, into other
    /// tables, or to buffers that are none.
    fn request(&mut self, queue: usize, input: &mut Input<'_>, content: &[u8]) {
        let shape = input.byte();
        let count = 1 + u16::from(input.byte() % 8);
        let indirect = shape & 4 != 0;
        let head = if indirect { 0 } else { u16::from(shape >> 4) };
        let table = if indirect {
            self.at(TABLES)
        } else {
            self.table(queue)
        };
        for number in 0..count {
            let kind = input.byte();
            let mut address = self.at(BUFFERS + 0x2000 * u64::from(number));
            let mut length = match kind >> 4 & 3 {
                0 => 512,
                1 => 1,
                2 => u32::from(input.byte()),
                _ => input.length(),
            };
            if kind & 0xc == 0xc {
                address = self.address(input);
            } else if number == 0 {
                let _ = self.memory.write_slice(content, GuestAddress(address));
                if kind & 0xc == 0 {
                    length = content.len() as u32;
                }
            }
            let mut flags = if kind & 1 == 1 { WRITE } else { 0 };
            let mut next = head + number + 1;
            if number + 1 < count {
                flags |= NEXT;
            } else {
                match shape & 3 {
                    // A circle, to any of the chain.
                    1 => (flags, next) = (flags | NEXT, head + u16::from(kind >> 6)),
                    2 => flags |= INDIRECT,
                    _ => {}
                }
            }
            let place = table + 16 * u64::from(head + number);
            self.put_descriptor(place, address, length, flags, next);
        }
        if indirect {
            let (place, length) = match shape >> 4 {
                0 => (self.address(input), 16 * u32::from(count)),
                1 => (table, input.length()),
                _ => (table, 16 * u32::from(count)),
            };
            self.put_descriptor(self.table(queue), place, length, INDIRECT, 0);
        }
        self.offer(queue, head);
    }

    fn offer(&mut self, queue: usize, head: u16) {
        let ring = self.table(queue) + 0x400;
        let count = &mut self.available[queue];
        let place = ring + 4 + 2 * u64::from(*count % self.size);
        *count = count.wrapping_add(1);
        self.memory.write_obj(head, GuestAddress(place)).unwrap();
        self.memory
            .write_obj(*count, GuestAddress(ring + 2))
            .unwrap();
    }

    /// Does what the input says. Requests begin with what `content` says, and `other` is what the
    /// device's other end does.
    pub fn run(
        &mut self,
        input: &mut Input<'_>,
        mut content: impl FnMut(&mut Input<'_>) -> Vec<u8>,
        mut other: impl FnMut(&Self, &mut Input<'_>),
    ) {
        self.start_well(input);
        for _ in 0..MOST_STEPS {
            if input.is_empty() {
                break;
            }
            let step = input.byte();
            let queue = usize::from(step >> 4) % D::QUEUES.len();
            match step & 15 {
                0 => self.write(input.number(2) % 0x200, input.number(4) as u32),
                1 => {
                    let mut data = [0; 8];
                    let width = 1 + usize::from(input.byte() % 8);
                    self.device
                        .read(input.number(2) % 0x300, &mut data[..width]);
                }
                2 => {
                    let width = 1 + usize::from(input.byte() % 8);
                    let data = input.number(width).to_le_bytes();
                    self.device.write(input.number(2) % 0x300, &data[..width]);
                }
                3 => {
                    let place = self.table(queue) + 16 * u64::from(input.byte() % 32);
                    self.descriptor(place, input);
                }
                4 => {
                    let place = self.address(input);
                    self.descriptor(place, input);
                }
                5 => {
                    let place = self.address(input);
                    let _ = self.memory.write_slice(input.bytes(), GuestAddress(place));
                }
                // When it wants an interrupt, if it has agreed to say so.
                6 => {
                    let place = self.table(queue) + 0x404 + 2 * u64::from(self.size);
                    let event = input.number(2) as u16;
                    self.memory.write_obj(event, GuestAddress(place)).unwrap();
                }
                7 => {
                    self.offer(queue, u16::from(input.byte() % 34));
                    self.serve(queue);
                }
                8 | 9 => {
                    let content = content(input);
                    self.request(queue, input, &content);
                    self.serve(queue);
                }
                // Several at once.
                10 => {
                    let content = content(input);
                    self.request(queue, input, &content);
                }
                11 => {
                    self.device.attend();
                    self.serve_told();
                }
                12 if step & 0x80 == 0 => self.start_well(input),
                12 => self.start(input.number(8), input.number(2) as u16 | 1),
                // What its thread would do.
                13 => self.serve(queue),
                _ => other(self, input),
            }
        }
        self.start(0, 1);
    }

    fn serve(&self, queue: usize) {
        self.device.serve(queue);
        self.serve_told();
    }

    /// Serves queues as long as the device says that it should, within bounds: it may always say so.
    fn serve_told(&self) {
        for _ in 0..8 {
            let mut told = false;
            for (queue, notifier) in self.device.notifiers().iter().enumerate() {
                if notifier.read().is_ok() {
                    told = true;
                    self.device.serve(queue);
                }
            }
            if !told {
                break;
            }
        }
    }
}
