//! A driver for tests, which knows virtio devices by their registers and its own memory only.

// Patterns and random values may be cut.
#![allow(clippy::cast_possible_truncation)]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

use super::super::mmio::VirtioMmio;
use super::super::{NEEDED_FEATURES, VirtioDevice};
use crate::devices::{InterruptLine, MmioDevice as _};
use crate::layout::Range;
use crate::sys::memory::Ram;

/// Where the guest has its memory, as it tells devices.
pub(crate) const MEMORY: u64 = 0x1_8000_0000;
/// How much of it there is.
pub(crate) const MEMORY_BYTES: u64 = 0x10_0000;
/// Chains in a queue.
pub(crate) const SIZE: u16 = 8;

/// There is another descriptor.
pub(crate) const NEXT: u16 = 1;
/// The device writes.
pub(crate) const WRITE: u16 = 2;
/// The descriptor is a table of descriptors.
pub(crate) const INDIRECT: u16 = 4;

pub(super) const ACKNOWLEDGE: u32 = 1;
pub(super) const DRIVER: u32 = 2;
pub(super) const DRIVER_OK: u32 = 4;
pub(super) const FEATURES_OK: u32 = 8;
pub(super) const NEEDS_RESET: u32 = 0x40;
pub(super) const FAILED: u32 = 0x80;

pub(super) const EVENT_INDEX: u64 = 1 << 29;

/// RAM as devices see it.
pub(crate) fn memory() -> GuestMemoryMmap {
    let ram = Ram::new(Range::new(MEMORY & 0xffff_ffff, MEMORY_BYTES), 1 << 32).unwrap();
    ram.for_devices()
}

/// A driver of one device.
pub(crate) struct Driver<D> {
    pub(crate) device: Arc<VirtioMmio<D>>,
    pub(crate) memory: GuestMemoryMmap,
    /// The machine is to end.
    pub(super) stop: Arc<AtomicBool>,
    /// Chains that were made available, by queue.
    available: Vec<u16>,
}

impl<D: VirtioDevice> Driver<D> {
    /// A driver that has done nothing yet.
    pub(crate) fn cold(device: D) -> Self {
        let memory = memory();
        let line = InterruptLine::new().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        Self {
            device: VirtioMmio::new(device, memory.clone(), line, Arc::clone(&stop)).unwrap(),
            memory,
            stop,
            available: vec![0; D::QUEUES.len()],
        }
    }

    /// A driver whose device works, with these features besides the needed ones.
    pub(crate) fn with_features(device: D, features: u64) -> Self {
        let mut driver = Self::cold(device);
        driver.start(features);
        driver
    }

    /// A driver whose device works.
    pub(crate) fn new(device: D) -> Self {
        Self::with_features(device, 0)
    }

    pub(crate) fn start(&mut self, features: u64) {
        self.write(0x70, 0);
        // Rings begin anew.
        for (queue, available) in self.available.iter_mut().enumerate() {
            *available = 0;
            for ring in [0x400, 0x800] {
                let index = GuestAddress(Self::table(queue) + ring + 2);
                self.memory.write_obj(0_u16, index).unwrap();
            }
        }
        self.write(0x70, ACKNOWLEDGE);
        self.write(0x70, ACKNOWLEDGE | DRIVER);
        let offered = self.device.with_device(|device| device.through_platform());
        let left_out = if offered { 0 } else { 1 << 33 };
        self.accept(NEEDED_FEATURES & !left_out | features);
        self.write(0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        assert_ne!(self.status() & FEATURES_OK, 0);
        for queue in 0..D::QUEUES.len() {
            self.configure(queue, Self::table(queue));
        }
        self.write(0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    }

    pub(super) fn accept(&self, features: u64) {
        for half in [0, 1] {
            self.write(0x24, half);
            self.write(0x20, (features >> (32 * half)) as u32);
        }
    }

    /// Sets a queue up whose descriptor table is at `table`.
    pub(super) fn configure(&self, queue: usize, table: u64) {
        self.write(0x30, u32::try_from(queue).unwrap());
        self.write(0x38, SIZE.into());
        for (register, address) in [(0x80, table), (0x90, table + 0x400), (0xa0, table + 0x800)] {
            self.write(register, address as u32);
            self.write(register + 4, (address >> 32) as u32);
        }
        self.write(0x44, 1);
    }

    pub(super) fn table(queue: usize) -> u64 {
        MEMORY + 0x1000 * queue as u64
    }

    pub(crate) fn read(&self, register: u64) -> u32 {
        let mut data = [0; 4];
        self.device.read(register, &mut data);
        u32::from_le_bytes(data)
    }

    pub(crate) fn write(&self, register: u64, value: u32) {
        self.device.write(register, &value.to_le_bytes());
    }

    pub(crate) fn status(&self) -> u32 {
        self.read(0x70)
    }

    /// Writes a descriptor.
    pub(crate) fn descriptor(
        &self,
        queue: usize,
        index: u16,
        (address, bytes, flags, next): (u64, u32, u16, u16),
    ) {
        self.descriptor_at(Self::table(queue), index, (address, bytes, flags, next));
    }

    pub(crate) fn descriptor_at(
        &self,
        table: u64,
        index: u16,
        (address, bytes, flags, next): (u64, u32, u16, u16),
    ) {
        let place = GuestAddress(table + 16 * u64::from(index));
        let mut descriptor = [0; 16];
        descriptor[..8].copy_from_slice(&address.to_le_bytes());
        descriptor[8..12].copy_from_slice(&bytes.to_le_bytes());
        descriptor[12..14].copy_from_slice(&flags.to_le_bytes());
        descriptor[14..].copy_from_slice(&next.to_le_bytes());
        self.memory.write_slice(&descriptor, place).unwrap();
    }

    /// Writes a chain of descriptors, the first of which is number 0.
    pub(crate) fn chain(&self, queue: usize, buffers: &[(u64, u32, u16)]) {
        for (index, (address, bytes, flags)) in buffers.iter().enumerate() {
            let last = index + 1 == buffers.len();
            let flags = flags | if last { 0 } else { NEXT };
            let index = u16::try_from(index).unwrap();
            self.descriptor(queue, index, (*address, *bytes, flags, index + 1));
        }
    }

    /// Makes a chain available, without a word to the device.
    pub(crate) fn offer(&mut self, queue: usize, head: u16) {
        let ring = Self::table(queue) + 0x400;
        let count = &mut self.available[queue];
        let place = ring + 4 + 2 * u64::from(*count % SIZE);
        *count = count.wrapping_add(1);
        self.memory.write_obj(head, GuestAddress(place)).unwrap();
        self.memory
            .write_obj(*count, GuestAddress(ring + 2))
            .unwrap();
    }

    /// Has the device serve a queue, as its worker does when it is notified.
    pub(crate) fn notify(&self, queue: usize) {
        self.write(0x50, u32::try_from(queue).unwrap());
        self.device.notifiers()[queue].read().unwrap();
        self.device.serve(queue);
    }

    /// What the device has used, in all: the number, and the last element.
    pub(crate) fn used(&self, queue: usize) -> (u16, Option<(u32, u32)>) {
        let ring = Self::table(queue) + 0x800;
        let count: u16 = self.memory.read_obj(GuestAddress(ring + 2)).unwrap();
        let last = count.checked_sub(1).map(|last| {
            let place = ring + 4 + 8 * u64::from(last % SIZE);
            let index = self.memory.read_obj(GuestAddress(place)).unwrap();
            let bytes = self.memory.read_obj(GuestAddress(place + 4)).unwrap();
            (index, bytes)
        });
        (count, last)
    }

    /// Offers chain 0 and has it served.
    pub(crate) fn request(&mut self, queue: usize, buffers: &[(u64, u32, u16)]) -> u32 {
        self.chain(queue, buffers);
        let before = self.used(queue).0;
        self.offer(queue, 0);
        self.notify(queue);
        let (count, last) = self.used(queue);
        assert_eq!(count, before.wrapping_add(1));
        let (head, bytes) = last.unwrap();
        assert_eq!(head, 0);
        bytes
    }

    /// Offers chain 0, which the device must not use: it has to be reset.
    pub(crate) fn misuse(&mut self, queue: usize, buffers: &[(u64, u32, u16)]) {
        self.chain(queue, buffers);
        let before = self.used(queue).0;
        self.offer(queue, 0);
        self.notify(queue);
        assert_eq!(self.used(queue).0, before, "{buffers:x?}");
        assert_ne!(self.status() & NEEDS_RESET, 0, "{buffers:x?}");
        assert_ne!(self.read(0x60) & 2, 0, "a change of the configuration");
    }

    pub(crate) fn put(&self, address: u64, bytes: &[u8]) {
        self.memory
            .write_slice(bytes, GuestAddress(address))
            .unwrap();
    }

    pub(crate) fn get(&self, address: u64, bytes: usize) -> Vec<u8> {
        let mut data = vec![0; bytes];
        self.memory
            .read_slice(&mut data, GuestAddress(address))
            .unwrap();
        data
    }

    /// Whether there was an edge of the interrupt.
    pub(crate) fn interrupted(&self) -> bool {
        self.device.line().event().read().is_ok()
    }
}
