//! A driver that does what its input says: accesses to registers, queues of every shape, content of
//! memory, and what comes from the device's other end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use host_vmm::devices::virtio::{NEEDED_FEATURES, VirtioDevice, VirtioMmio};
use host_vmm::devices::{InterruptLine, MmioDevice as _};
use host_vmm::layout::Range;
use host_vmm::sys::memory::Ram;
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

/// Where the guest has its memory, without the bit that makes it shared.
const PRIVATE: u64 = 0x8000_0000;
const SHARED: u64 = 1 << 32;
const BYTES: u64 = 0x4_0000;
/// Chains in a queue.
const SIZE: u16 = 8;
/// So much is done with one input.
const MOST_STEPS: usize = 256;

/// An input, from its beginning to its end.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.number(1) as u8
    }

    /// A number of so many bytes; what is missing is zero.
    pub fn number(&mut self, bytes: usize) -> u64 {
        let count = bytes.min(self.0.len());
        let (now, later) = self.0.split_at(count);
        self.0 = later;
        now.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Up to 255 bytes.
    pub fn bytes(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte()).min(self.0.len());
        let (now, later) = self.0.split_at(count);
        self.0 = later;
        now
    }

    /// An address: mostly of memory that is shared, else at its end, private, or anywhere.
    fn address(&mut self) -> u64 {
        match self.byte() % 8 {
            0 => PRIVATE + self.number(3) % BYTES,
            1 => (PRIVATE | SHARED) + BYTES - self.number(1),
            2 => self.number(8),
            _ => (PRIVATE | SHARED) + self.number(3) % BYTES,
        }
    }

    fn length(&mut self) -> u32 {
        match self.byte() % 8 {
            0 => self.number(4) as u32,
            1 => 16 * (self.number(2) as u32),
            2 => (self.number(2) as u32) << 4,
            _ => self.number(2) as u32 % 4096,
        }
    }
}

/// The driver of a device.
pub struct Driver<D> {
    pub device: Arc<VirtioMmio<D>>,
    memory: GuestMemoryMmap,
    available: Vec<u16>,
}

impl<D: VirtioDevice> Driver<D> {
    pub fn new(device: D) -> Self {
        let ram = Ram::new(Range::new(PRIVATE, BYTES), SHARED).unwrap();
        let memory = ram.for_devices();
        let line = InterruptLine::new().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        Self {
            device: VirtioMmio::new(device, memory.clone(), line, stop).unwrap(),
            memory,
            available: vec![0; D::QUEUES.len()],
        }
    }

    fn write(&self, register: u64, value: u32) {
        self.device.write(register, &value.to_le_bytes());
    }

    fn table(queue: usize) -> u64 {
        (PRIVATE | SHARED) + 0x1000 * queue as u64
    }

    /// Starts the device as a driver does that means no harm.
    fn start(&mut self, features: u64) {
        self.available.fill(0);
        for status in [0, 1, 3] {
            self.write(0x70, status);
        }
        for (half, features) in [(0, features as u32), (1, (NEEDED_FEATURES >> 32) as u32)] {
            self.write(0x24, half);
            self.write(0x20, features);
        }
        self.write(0x70, 11);
        for queue in 0..D::QUEUES.len() {
            self.write(0x30, queue as u32);
            self.write(0x38, SIZE.into());
            let table = Self::table(queue);
            for (register, address) in [(0x80, table), (0x90, table + 0x400), (0xa0, table + 0x800)] {
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

    fn descriptor(&self, place: u64, input: &mut Input<'_>) {
        let mut descriptor = [0; 16];
        descriptor[..8].copy_from_slice(&input.address().to_le_bytes());
        descriptor[8..12].copy_from_slice(&input.length().to_le_bytes());
        let bits = input.byte();
        descriptor[12] = bits & 7;
        descriptor[14] = bits >> 3 & 15;
        // Outside of memory there is nothing to be written.
        let _ = self.memory.write_slice(&descriptor, GuestAddress(place));
    }

    fn offer(&mut self, queue: usize, head: u16) {
        let ring = Self::table(queue) + 0x400;
        let count = &mut self.available[queue];
        let place = ring + 4 + 2 * u64::from(*count % SIZE);
        *count = count.wrapping_add(1);
        self.memory.write_obj(head, GuestAddress(place)).unwrap();
        self.memory.write_obj(*count, GuestAddress(ring + 2)).unwrap();
    }

    /// Does what the input says; `other` is what the device's other end does.
    pub fn run(&mut self, input: &mut Input<'_>, mut other: impl FnMut(&Self, &mut Input<'_>)) {
        let features = input.number(4);
        self.device.with_device(|device| device.features());
        self.start(features & self.device.with_device(|device| device.features()));
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
                    self.device.read(input.number(2) % 0x300, &mut data[..width]);
                }
                2 => {
                    let width = 1 + usize::from(input.byte() % 8);
                    let data = input.number(width).to_le_bytes();
                    self.device.write(input.number(2) % 0x300, &data[..width]);
                }
                3 | 4 => {
                    let place = Self::table(queue) + 16 * u64::from(input.byte() % 16);
                    self.descriptor(place, input);
                }
                5 => {
                    let place = input.address();
                    self.descriptor(place, input);
                }
                6 | 7 => {
                    let place = input.address();
                    let _ = self.memory.write_slice(input.bytes(), GuestAddress(place));
                }
                8 | 9 => {
                    self.offer(queue, u16::from(input.byte() % 10));
                    self.serve(queue);
                }
                10 => self.serve(queue),
                11 => {
                    self.device.attend();
                    self.serve_told();
                }
                12 => self.start(input.number(4)),
                // What its thread would do.
                13 => self.serve_told(),
                _ => other(self, input),
            }
        }
        self.start(0);
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
