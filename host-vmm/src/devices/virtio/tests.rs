//! What all devices have in common.

// Patterns and random values may be cut.
#![allow(clippy::cast_possible_truncation)]

mod driver;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

use super::{COMMON_FEATURES, Chain, Misuse, NEEDED_FEATURES, VirtioDevice};
use crate::devices::MmioDevice as _;

use driver::{ACKNOWLEDGE, DRIVER, DRIVER_OK, EVENT_INDEX, FAILED, FEATURES_OK, NEEDS_RESET, SIZE};
pub(crate) use driver::{Driver, INDIRECT, MEMORY, MEMORY_BYTES, NEXT, WRITE, memory};

/// A device that says of each chain how many descriptors it has.
struct Counter(Arc<AtomicUsize>);

impl VirtioDevice for Counter {
    const ID: u32 = 42;
    const QUEUES: &'static [u16] = &[16, 16];

    fn features(&self) -> u64 {
        1 << 7
    }

    fn read_configuration(&self, offset: u64, data: &mut [u8]) {
        super::read_bytes(&[1, 2, 3, 4, 5], offset, data);
    }

    fn serve(
        &mut self,
        _queue: usize,
        _memory: &GuestMemoryMmap,
        chain: Chain<'_>,
    ) -> Result<u32, Misuse> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(u32::try_from(chain.count()).unwrap())
    }
}

fn counter() -> (Counter, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    (Counter(Arc::clone(&count)), count)
}

#[test]
fn a_driver_recognises_the_device() {
    let driver = Driver::cold(counter().0);
    assert_eq!(driver.read(0), 0x7472_6976);
    assert_eq!(driver.read(4), 2);
    assert_eq!(driver.read(8), 42);
    let mut offered = 0;
    for half in [0, 1] {
        driver.write(0x14, half);
        offered |= u64::from(driver.read(0x10)) << (32 * half);
    }
    assert_eq!(offered, COMMON_FEATURES | 1 << 7);
    assert_eq!(offered >> 32 & 3, 3, "version 1, access by the platform");
    driver.write(0x14, 2);
    assert_eq!(driver.read(0x10), 0);
    for (queue, size) in [(0, 16), (1, 16), (2, 0), (u32::MAX, 0)] {
        driver.write(0x30, queue);
        assert_eq!(driver.read(0x34), size);
        assert_eq!(driver.read(0x44), 0);
    }
    assert_eq!(
        (driver.read(0xb0), driver.read(0xb4)),
        (u32::MAX, u32::MAX),
        "no shared memory region"
    );
}

#[test]
fn the_configuration_space_is_read_in_any_width() {
    let driver = Driver::cold(counter().0);
    let read = |offset: u64, width: usize| {
        let mut data = vec![0xaa; width];
        driver.device.read(offset, &mut data);
        data
    };
    assert_eq!(read(0x100, 1), [1]);
    assert_eq!(read(0x101, 2), [2, 3]);
    assert_eq!(read(0x103, 4), [4, 5, 0, 0]);
    assert_eq!(read(0x100, 8), [1, 2, 3, 4, 5, 0, 0, 0]);
    assert_eq!(read(0x105, 1), [0]);
    assert_eq!(read(0x1ff, 1), [0]);
    assert_eq!(read(u64::MAX, 1), [0]);
    driver.device.write(0x100, &[9]);
    assert_eq!(read(0x100, 1), [1]);
}

#[test]
fn registers_are_32_bits_wide() {
    let driver = Driver::cold(counter().0);
    for width in [1, 2, 8] {
        let mut data = vec![0xaa; width];
        driver.device.read(0, &mut data);
        assert!(data.iter().all(|byte| *byte == 0));
        driver.device.write(0x70, &vec![1; width]);
    }
    driver.device.write(0x71, &1_u32.to_le_bytes());
    assert_eq!(driver.status(), 0);
}

#[test]
fn the_driver_goes_step_by_step() {
    let driver = Driver::cold(counter().0);
    // Without the steps before, none counts.
    for step in [DRIVER, FEATURES_OK, DRIVER_OK, FEATURES_OK | DRIVER_OK] {
        driver.write(0x70, step);
        assert_eq!(driver.status(), 0);
    }
    driver.write(0x70, ACKNOWLEDGE | DRIVER);
    assert_eq!(driver.status(), ACKNOWLEDGE | DRIVER);
    // Bits are not taken back.
    driver.write(0x70, DRIVER);
    assert_eq!(driver.status(), ACKNOWLEDGE | DRIVER);
    driver.write(0x70, FAILED);
    assert_eq!(driver.status(), ACKNOWLEDGE | DRIVER | FAILED);
    driver.write(0x70, 0);
    assert_eq!(driver.status(), 0);
}

#[test]
fn features_must_be_offered_and_the_needed_ones_accepted() {
    let driver = Driver::cold(counter().0);
    let agreed = |features| {
        driver.write(0x70, 0);
        driver.write(0x70, ACKNOWLEDGE | DRIVER);
        driver.accept(features);
        driver.write(0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        driver.status() & FEATURES_OK != 0
    };
    assert!(agreed(NEEDED_FEATURES));
    assert!(agreed(NEEDED_FEATURES | 1 << 7 | EVENT_INDEX));
    assert!(!agreed(0));
    assert!(!agreed(1 << 32), "a driver from before Realms");
    assert!(!agreed(1 << 33));
    assert!(!agreed(NEEDED_FEATURES | 1 << 8));
    assert!(!agreed(NEEDED_FEATURES | 1 << 63));
    // Settled features stay.
    assert!(agreed(NEEDED_FEATURES));
    driver.accept(0);
    driver.write(0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    assert_eq!(
        driver.status(),
        ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK
    );
}

#[test]
fn a_queue_outside_of_shared_memory_is_refused() {
    // In private memory, at the end, at the end of all, and nowhere.
    for table in [
        MEMORY & 0xffff_ffff,
        MEMORY + MEMORY_BYTES - 0x800,
        u64::MAX - 0xfff,
        0,
    ] {
        let mut driver = Driver::cold(counter().0);
        driver.write(0x70, ACKNOWLEDGE | DRIVER);
        driver.accept(NEEDED_FEATURES);
        driver.write(0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        driver.configure(0, table);
        driver.write(0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        assert_eq!(driver.status() & DRIVER_OK, 0, "{table:#x}");
        assert_ne!(driver.status() & NEEDS_RESET, 0, "{table:#x}");
        assert!(driver.interrupted());
        assert_eq!(driver.read(0x60), 2, "a change of the configuration");
        driver.notify(0);
        driver.write(0x70, 0);
        assert_eq!(driver.status(), 0);
        driver.start(0);
        assert_ne!(driver.status() & DRIVER_OK, 0);
    }
}

#[test]
fn a_queue_is_configured_before_it_is_ready() {
    let (device, count) = counter();
    let mut driver = Driver::cold(device);
    driver.configure(0, MEMORY);
    assert_eq!(driver.read(0x44), 0, "features are not settled");
    driver.start(0);
    driver.write(0x30, 0);
    assert_eq!(driver.read(0x44), 1);
    // Too late.
    driver.write(0x80, 0);
    driver.write(0x84, 0);
    driver.write(0x38, 4);
    driver.write(0x44, 0);
    assert_eq!(driver.read(0x44), 1);
    driver.chain(0, &[(MEMORY + 0x8000, 1, 0)]);
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // Of a queue that is not there nothing can be set.
    driver.write(0x30, 9);
    driver.write(0x44, 1);
    driver.write(0x50, 9);
    driver.device.serve(9);
}

#[test]
fn a_queue_that_is_ready_stays_as_it_is() {
    let (device, count) = counter();
    let mut driver = Driver::cold(device);
    driver.write(0x70, ACKNOWLEDGE | DRIVER);
    driver.accept(NEEDED_FEATURES);
    driver.write(0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    driver.configure(0, MEMORY);
    for register in [0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4] {
        driver.write(register, 0);
    }
    driver.write(0x70, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    driver.chain(0, &[(MEMORY + 0x8000, 1, 0)]);
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn chains_are_used_and_interrupts_acknowledged() {
    let (device, count) = counter();
    let mut driver = Driver::new(device);
    let buffers = [(MEMORY + 0x8000, 16, 0), (MEMORY + 0x9000, 16, WRITE)];
    assert_eq!(driver.request(1, &buffers), 2);
    assert!(driver.interrupted());
    assert_eq!(driver.read(0x60), 1);
    driver.write(0x64, 2);
    assert_eq!(driver.read(0x60), 1);
    driver.write(0x64, 1);
    assert_eq!(driver.read(0x60), 0);
    // Nothing is available, so nothing happens.
    driver.notify(1);
    assert!(!driver.interrupted());
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // Several at once make one interrupt.
    for _ in 0..3 {
        driver.offer(1, 0);
    }
    driver.notify(1);
    assert_eq!(driver.used(1).0, 4);
    assert_eq!(driver.device.line().event().read().unwrap(), 1);
}

#[test]
fn without_a_driver_nothing_is_served() {
    let (device, count) = counter();
    let mut driver = Driver::cold(device);
    driver.offer(0, 0);
    driver.notify(0);
    driver.start(0);
    driver.write(0x70, 0);
    driver.notify(0);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    assert_eq!(driver.used(0).0, 0);
}

#[test]
fn a_driver_that_wants_few_interrupts_gets_few() {
    let mut driver = Driver::with_features(counter().0, EVENT_INDEX);
    driver.chain(0, &[(MEMORY + 0x8000, 16, 0)]);
    // Used event: interrupt when the third has been used.
    let used_event = GuestAddress(MEMORY + 0x400 + 4 + 2 * u64::from(SIZE));
    driver.memory.write_obj(2_u16, used_event).unwrap();
    for (number, expected) in [(1, false), (2, false), (3, true), (4, false)] {
        driver.offer(0, 0);
        driver.notify(0);
        assert_eq!(driver.used(0).0, number);
        assert_eq!(driver.interrupted(), expected, "{number}");
    }
    // And says itself when it wants to be notified: with the next chain.
    let avail_event = GuestAddress(MEMORY + 0x800 + 4 + 8 * u64::from(SIZE));
    assert_eq!(driver.memory.read_obj::<u16>(avail_event).unwrap(), 4);
}

#[test]
fn a_ring_that_claims_too_much_stops_the_device() {
    let (device, count) = counter();
    let mut driver = Driver::new(device);
    driver
        .memory
        .write_obj(SIZE + 1, GuestAddress(MEMORY + 0x402))
        .unwrap();
    driver.notify(0);
    assert_ne!(driver.status() & NEEDS_RESET, 0);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    // It stays so until a reset.
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    driver.start(0);
    assert_eq!(driver.status() & NEEDS_RESET, 0);
}

#[test]
fn a_head_outside_of_the_table_stops_the_device() {
    let mut driver = Driver::new(counter().0);
    driver.offer(0, SIZE);
    driver.notify(0);
    assert_ne!(driver.status() & NEEDS_RESET, 0);
    assert_eq!(driver.used(0).0, 0);
}

#[test]
fn chains_in_circles_and_nested_tables_end() {
    let mut driver = Driver::new(counter().0);
    // A circle is cut after as many descriptors as the queue holds.
    driver.descriptor(0, 0, (MEMORY, 1, NEXT, 1));
    driver.descriptor(0, 1, (MEMORY, 1, NEXT, 0));
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(driver.used(0), (1, Some((0, SIZE.into()))));
    // A chain that leaves the table ends there.
    driver.descriptor(0, 0, (MEMORY, 1, NEXT, SIZE));
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(driver.used(0), (2, Some((0, 1))));
    // A table in a table, of its own, and one that is longer than all memory.
    let table = MEMORY + 0x8000;
    driver.descriptor_at(table, 0, (table, 16, INDIRECT, 0));
    for bytes in [16, 15, 0, !15] {
        driver.descriptor(0, 0, (table, bytes, INDIRECT, 0));
        driver.offer(0, 0);
        driver.notify(0);
        assert_eq!(driver.used(0).1, Some((0, 0)), "{bytes}");
    }
    assert_eq!(driver.status() & NEEDS_RESET, 0);
    // A table of its own has no more buffers than the queue holds, or it could be very long.
    for index in 0..=SIZE {
        let next = if index == SIZE { 0 } else { NEXT };
        driver.descriptor_at(table, index, (MEMORY, 1, next, index + 1));
    }
    driver.chain(0, &[(table, 16 * u32::from(SIZE), INDIRECT)]);
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(driver.used(0).1, Some((0, SIZE.into())));
    driver.misuse(0, &[(table, 16 * (u32::from(SIZE) + 1), INDIRECT)]);
}

#[test]
fn a_driver_that_never_stops_does_not_keep_out_a_reset() {
    /// Makes the chain that it has just got available again.
    struct Endless;

    impl VirtioDevice for Endless {
        const ID: u32 = 42;
        const QUEUES: &'static [u16] = &[16];

        fn features(&self) -> u64 {
            0
        }

        fn read_configuration(&self, _offset: u64, _data: &mut [u8]) {}

        fn serve(
            &mut self,
            _queue: usize,
            memory: &GuestMemoryMmap,
            _chain: Chain<'_>,
        ) -> Result<u32, Misuse> {
            let index = GuestAddress(MEMORY + 0x402);
            let count: u16 = memory.read_obj(index).unwrap();
            memory.write_obj(count.wrapping_add(1), index).unwrap();
            Ok(0)
        }
    }

    let mut driver = Driver::new(Endless);
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(driver.used(0).0, SIZE);
    assert!(driver.interrupted());
    // It has told itself that there is more.
    assert!(driver.device.notifiers()[0].read().is_ok());
    driver.write(0x70, 0);
    driver.device.serve(0);
    assert_eq!(driver.used(0).0, SIZE);
}

#[test]
fn many_bytes_are_moved_in_several_turns() {
    let (device, count) = counter();
    let mut driver = Driver::new(device);
    // Two of these are as much as is moved at once.
    driver.chain(0, &[(MEMORY, 8 << 20, 0), (MEMORY, 8 << 20, WRITE)]);
    for _ in 0..5 {
        driver.offer(0, 0);
    }
    driver.notify(0);
    for expected in [2, 4] {
        assert_eq!(driver.used(0).0, expected);
        assert!(driver.interrupted());
        // It has told itself that there is more.
        assert!(driver.device.notifiers()[0].read().is_ok());
        driver.device.serve(0);
    }
    assert_eq!(driver.used(0).0, 5);
    assert!(driver.device.notifiers()[0].read().is_err());
    // One that is too long is a turn of its own.
    driver.chain(0, &[(MEMORY, u32::MAX, 0), (MEMORY, u32::MAX, 0)]);
    driver.offer(0, 0);
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(count.load(Ordering::SeqCst), 6);
}

#[test]
fn a_machine_that_ends_begins_nothing_more() {
    /// Is told to stop while it has a chain.
    struct Last(Arc<AtomicBool>);

    impl VirtioDevice for Last {
        const ID: u32 = 42;
        const QUEUES: &'static [u16] = &[16];

        fn features(&self) -> u64 {
            0
        }

        fn read_configuration(&self, _offset: u64, _data: &mut [u8]) {}

        fn serve(
            &mut self,
            _queue: usize,
            _memory: &GuestMemoryMmap,
            _chain: Chain<'_>,
        ) -> Result<u32, Misuse> {
            self.0.store(true, Ordering::SeqCst);
            Ok(0)
        }
    }

    let mut driver = Driver::new(Last(Arc::default()));
    let stop = Arc::clone(&driver.stop);
    driver.device.with_device(|device| device.0 = stop);
    driver.chain(0, &[(MEMORY, 1, 0)]);
    driver.offer(0, 0);
    driver.offer(0, 0);
    driver.notify(0);
    assert_eq!(driver.used(0).0, 1);
    assert!(driver.interrupted());
    driver.device.serve(0);
    assert_eq!(driver.used(0).0, 1);
}

/// Any access by any driver: no panic, no loop without end.
#[test]
fn random_accesses_do_no_harm() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (device, count) = counter();
    let mut driver = Driver::new(device);
    for round in 0..20_000 {
        match random() % 8 {
            0..=3 => driver.write(random() % 0x110, random() as u32),
            4 => {
                driver.read(random() % 0x110);
            }
            5 => {
                let index = (random() % u64::from(SIZE)) as u16;
                let address = MEMORY.wrapping_add(random() % (2 * MEMORY_BYTES));
                let descriptor = (address, random() as u32, random() as u16, random() as u16);
                driver.descriptor((random() % 2) as usize, index, descriptor);
            }
            6 => {
                let queue = (random() % 2) as usize;
                driver.offer(queue, (random() % 9) as u16);
                driver.device.serve(queue);
            }
            _ if round % 16 == 0 => driver.start(random() & (EVENT_INDEX | 1 << 7)),
            _ => driver.device.serve((random() % 3) as usize),
        }
    }
    assert!(count.load(Ordering::SeqCst) > 0);
}
