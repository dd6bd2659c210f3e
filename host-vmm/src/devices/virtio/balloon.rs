//! Memory that moves between guest and host while the machine runs (virtio 1.2, section 5.5).
//!
//! The configuration space has two numbers: how many pages the host wants, and how many it has. An
//! ordinary machine's driver names the pages that it gives back in its first queue, and this process
//! lets go of them. A Realm's driver (`realm-guest-kit/memory`) has no use for queues: it makes pages
//! shared, which the host sees by itself, and nothing that it says here is relied on.

use std::io::Read as _;

use virtio_bindings::virtio_ids::VIRTIO_ID_BALLOON;
use vm_memory::GuestMemoryMmap;

use super::{Chain, Misuse, VirtioDevice, read_bytes, reader};
use crate::devices::Complaints;
use crate::layout::{PAGE_BYTES, Range};
use crate::sys::memory::Ram;

/// Pages that the driver gives back.
const INFLATE: usize = 0;
const QUEUE_SIZE: u16 = 128;
/// Numbers of pages that are read at once.
const NUMBERS: usize = 256;
/// Numbers of one request; drivers name 256. A reset waits for one.
const MOST_NUMBERS: usize = 1024;
/// Where the number of pages that the host has is in the configuration space.
const ACTUAL_OFFSET: u64 = 4;

/// The device.
#[derive(Debug)]
pub struct Balloon {
    /// RAM of an ordinary machine, whose pages are named by the driver.
    ram: Option<Ram>,
    wanted: u32,
    actual: u32,
    complaints: Complaints,
}

/// Whole pages, as the driver counts them.
fn pages(bytes: u64) -> u32 {
    u32::try_from(bytes / PAGE_BYTES).unwrap_or(u32::MAX)
}

impl Balloon {
    /// A device with nothing in it: of a machine with this RAM, or of a Realm.
    pub fn new(ram: Option<Ram>) -> Self {
        Self {
            ram,
            wanted: 0,
            actual: 0,
            complaints: Complaints::default(),
        }
    }

    /// The host wants so many bytes, which is told the driver when it looks.
    pub fn want(&mut self, bytes: u64) {
        self.wanted = pages(bytes);
    }

    /// Bytes that the host has, as the driver says.
    pub fn actual(&self) -> u64 {
        u64::from(self.actual) * PAGE_BYTES
    }

    /// Lets go of pages.
    fn discard(&self, ram: &Ram, range: Range) {
        if let Err(error) = ram.discard(range) {
            let what = format_args!("memory that the guest gives back is not its own: {error}");
            self.complaints.say("a balloon", what);
        }
    }
}

impl VirtioDevice for Balloon {
    const ID: u32 = VIRTIO_ID_BALLOON;
    const QUEUES: &'static [u16] = &[QUEUE_SIZE, QUEUE_SIZE];

    fn features(&self) -> u64 {
        0
    }

    fn through_platform(&self) -> bool {
        // The kernel's driver, which is that of an ordinary machine, does not accept it.
        self.ram.is_none()
    }

    fn read_configuration(&self, offset: u64, data: &mut [u8]) {
        let space = u64::from(self.wanted) | u64::from(self.actual) << 32;
        read_bytes(&space.to_le_bytes(), offset, data);
    }

    fn write_configuration(&mut self, offset: u64, data: &[u8]) {
        if let (ACTUAL_OFFSET, Ok(data)) = (offset, data.try_into()) {
            self.actual = u32::from_le_bytes(data);
        }
    }

    fn serve(
        &mut self,
        queue: usize,
        memory: &GuestMemoryMmap,
        chain: Chain<'_>,
    ) -> Result<u32, Misuse> {
        let mut reader = reader(memory, chain)?;
        let Some(ram) = self.ram.as_ref().filter(|_| queue == INFLATE) else {
            // What it takes again is there when it is touched.
            return Ok(0);
        };
        if reader.available_bytes() > 4 * MOST_NUMBERS {
            let what = format_args!("{} bytes at once are left out", reader.available_bytes());
            self.complaints.say("a balloon", what);
            return Ok(0);
        }
        let mut bytes = [0; 4 * NUMBERS];
        // Neighbours go together: pages of a large block come one after the other.
        let mut run = Range::new(0, 0);
        loop {
            let count = bytes.len().min(reader.available_bytes() / 4 * 4);
            if count == 0 {
                break;
            }
            let bytes = &mut bytes[..count];
            reader.read_exact(bytes).map_err(|_| Misuse::Outside)?;
            for number in bytes.as_chunks().0 {
                let page = Range::new(
                    u64::from(u32::from_le_bytes(*number)) * PAGE_BYTES,
                    PAGE_BYTES,
                );
                if page.base == run.end() {
                    run.size += PAGE_BYTES;
                } else if page.end() == run.base {
                    run = Range::new(page.base, run.size + PAGE_BYTES);
                } else {
                    if run.size > 0 {
                        self.discard(ram, run);
                    }
                    run = page;
                }
            }
        }
        if run.size > 0 {
            self.discard(ram, run);
        }
        Ok(0)
    }

    fn reset(&mut self) {
        // Whoever comes next begins with all of its memory.
        self.actual = 0;
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::{Bytes as _, GuestAddress};

    use super::*;
    use crate::devices::MmioDevice as _;
    use crate::devices::virtio::VirtioMmio;
    use crate::devices::virtio::tests::{Driver, MEMORY};

    const CONFIGURATION: u64 = 0x100;

    fn configuration(device: &VirtioMmio<Balloon>, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        device.read(CONFIGURATION + offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    #[test]
    fn two_numbers_are_all_that_a_realm_sees() {
        let driver = Driver::new(Balloon::new(None));
        assert_eq!(configuration(&driver.device, 0), 0);
        driver.device.with_device(|balloon| balloon.want(64 << 20));
        driver.device.configuration_changed();
        assert!(driver.interrupted());
        assert_eq!(configuration(&driver.device, 0), 64 << 8);
        driver
            .device
            .write(CONFIGURATION + 4, &(512_u32).to_le_bytes());
        assert_eq!(
            driver.device.with_device(|balloon| balloon.actual()),
            2 << 20
        );
        assert_eq!(configuration(&driver.device, 4), 512);
        // Nothing else can be written, nor in another width.
        driver.device.write(CONFIGURATION, &[0xff; 4]);
        driver.device.write(CONFIGURATION + 4, &[0xff; 8]);
        driver.device.write(CONFIGURATION + 5, &[0xff; 4]);
        assert_eq!(configuration(&driver.device, 0), 64 << 8);
        assert_eq!(configuration(&driver.device, 4), 512);
    }

    /// An ordinary machine whose RAM is where the driver of these tests has its own.
    fn ordinary() -> (Driver<Balloon>, Ram) {
        let ram = Ram::new(Range::new(0x8000_0000, 0x10_0000), 0).unwrap();
        let driver = Driver::cold(Balloon::new(Some(ram.clone())));
        (driver, ram)
    }

    #[test]
    fn pages_that_are_given_back_are_gone() {
        let (mut driver, ram) = ordinary();
        driver.start(0);
        let memory = ram.for_devices();
        let page = |number: u64| GuestAddress(0x8000_0000 + number * 0x1000);
        for number in 0..8 {
            memory.write_obj(7_u8, page(number)).unwrap();
        }
        // In both directions, alone, twice, and some that are nowhere.
        let numbers: [u32; 8] = [
            0x8_0001,
            0x8_0002,
            0x8_0005,
            0x8_0004,
            0x8_0004,
            0,
            u32::MAX,
            0x8_0007,
        ];
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        driver.put(MEMORY + 0x1_0000, &bytes);
        // And half a number at the end.
        driver.request(0, &[(MEMORY + 0x1_0000, 34, 0)]);
        let left: Vec<u8> = (0..8)
            .map(|number| memory.read_obj(page(number)).unwrap())
            .collect();
        assert_eq!(left, [7, 0, 0, 7, 0, 0, 7, 0]);
        // So many at once that a reset would wait for them: none of them.
        driver.put(MEMORY + 0x1_0000, &0x8_0000_u32.to_le_bytes());
        let more = u32::try_from(4 * MOST_NUMBERS).unwrap();
        driver.request(
            0,
            &[(MEMORY + 0x1_0000, 4, 0), (MEMORY + 0x1_0000, more, 0)],
        );
        assert_eq!(memory.read_obj::<u8>(page(0)).unwrap(), 7);
        // What is taken again is not touched.
        driver.put(MEMORY + 0x1_0000, &0x8_0000_u32.to_le_bytes());
        driver.request(1, &[(MEMORY + 0x1_0000, 4, 0)]);
        assert_eq!(memory.read_obj::<u8>(page(0)).unwrap(), 7);
    }

    #[test]
    fn a_reset_forgets_what_the_driver_said() {
        let driver = Driver::new(Balloon::new(None));
        driver.device.write(CONFIGURATION + 4, &[1; 4]);
        driver.write(0x70, 0);
        assert_eq!(configuration(&driver.device, 4), 0);
    }
}
