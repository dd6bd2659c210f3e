//! Random numbers (virtio 1.2, section 5.4): those of the host's kernel.

use std::io::Write as _;

use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;
use vm_memory::GuestMemoryMmap;

use super::{Chain, Misuse, VirtioDevice, read_bytes, writer};
use crate::devices::Complaints;

const QUEUE_SIZE: u16 = 16;
/// What one chain gets at most. Linux asks for a cache line or a little more.
const MOST_BYTES: usize = 4096;
const CHUNK_BYTES: usize = 256;

/// A source of random numbers.
#[derive(Default, Debug)]
pub struct Rng {
    complaints: Complaints,
}

impl VirtioDevice for Rng {
    const ID: u32 = VIRTIO_ID_RNG;
    const QUEUES: &'static [u16] = &[QUEUE_SIZE];

    fn features(&self) -> u64 {
        0
    }

    fn read_configuration(&self, offset: u64, data: &mut [u8]) {
        read_bytes(&[], offset, data);
    }

    fn serve(
        &mut self,
        _queue: usize,
        memory: &GuestMemoryMmap,
        chain: Chain<'_>,
    ) -> Result<u32, Misuse> {
        let mut writer = writer(memory, chain)?;
        let wanted = writer.available_bytes().min(MOST_BYTES);
        if wanted == 0 {
            return Err(Misuse::NoAnswer);
        }
        let mut chunk = [0; CHUNK_BYTES];
        let mut written = 0;
        while written < wanted {
            let chunk = &mut chunk[..CHUNK_BYTES.min(wanted - written)];
            if let Err(error) = getrandom::fill(chunk) {
                // The driver asks again for what is missing.
                self.complaints.say("random numbers", error);
                break;
            }
            writer.write_all(chunk).map_err(|_| Misuse::Outside)?;
            written += chunk.len();
        }
        Ok(u32::try_from(written).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::virtio::tests::{Driver, INDIRECT, MEMORY, MEMORY_BYTES, NEXT, WRITE};

    const DATA: u64 = MEMORY + 0x1_0000;

    #[test]
    fn buffers_are_filled_to_their_end_and_no_further() {
        let mut driver = Driver::new(Rng::default());
        let used = driver.request(
            0,
            &[
                (DATA, 100, WRITE),
                (DATA + 200, 1, WRITE),
                (DATA + 300, 900, WRITE),
            ],
        );
        assert_eq!(used, 1001);
        let data = driver.get(DATA, 1300);
        // A hundred random bytes have a few dozen different values.
        let distinct = |bytes: &[u8]| bytes.iter().collect::<std::collections::HashSet<_>>().len();
        assert!(distinct(&data[..100]) > 40);
        assert!(distinct(&data[300..1200]) > 150);
        assert_eq!(data[100..200], [0; 100]);
        assert_eq!(data[201..300], [0; 99]);
        assert_eq!(data[1200..], [0; 100]);
        // No two chunks are alike.
        assert_ne!(data[300..556], data[556..812]);
        // What the device reads is none of its business.
        assert_eq!(driver.request(0, &[(DATA, 8, 0), (DATA, 8, WRITE)]), 8);
    }

    #[test]
    fn one_chain_does_not_get_everything() {
        let mut driver = Driver::new(Rng::default());
        let used = driver.request(0, &[(DATA, 0x8000, WRITE)]);
        assert_eq!(used, 4096);
        assert_eq!(driver.get(DATA + 4096, 4096), [0; 4096]);
    }

    #[test]
    fn what_a_driver_must_not_ask_for_stops_the_device() {
        let table = MEMORY + 0xa000;
        for buffers in [
            &[(DATA, 8, 0)][..],
            &[(DATA, 0, WRITE)],
            &[(DATA & 0xffff_ffff, 8, WRITE)],
            &[(MEMORY + MEMORY_BYTES - 4, 8, WRITE)],
            &[(u64::MAX - 3, 8, WRITE)],
            &[(DATA, u32::MAX, WRITE)],
            // A table that leads to itself.
            &[(table, 16, INDIRECT)],
        ] {
            let mut driver = Driver::new(Rng::default());
            driver.descriptor_at(table, 0, (table, 16, INDIRECT | NEXT, 0));
            driver.misuse(0, buffers);
            driver.start(0);
            assert_eq!(driver.request(0, &[(DATA, 8, WRITE)]), 8, "{buffers:x?}");
        }
    }
}
