//! Virtio devices: what each of them does with its queues, and the registers that all have.

pub mod block;
pub mod console;
pub mod mmio;

pub use mmio::VirtioMmio;

use virtio_bindings::bindings::virtio_config::{VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_VERSION_1};
use virtio_bindings::bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::DescriptorChain;
use vm_memory::GuestMemoryMmap;

/// What every device offers. Access through the platform makes the driver use the kernel's DMA
/// interface, which in a Realm hands out shared memory only.
pub const COMMON_FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_F_ACCESS_PLATFORM | 1 << VIRTIO_RING_F_EVENT_IDX;

/// What a driver must accept.
pub const NEEDED_FEATURES: u64 = 1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_F_ACCESS_PLATFORM;

/// Buffers that a driver has made available together.
pub type Chain<'a> = DescriptorChain<&'a GuestMemoryMmap>;

/// A device behind the registers of [`VirtioMmio`].
///
/// What is in a chain is the guest's: every length and address of it is checked when it is used.
pub trait VirtioDevice: Send + 'static {
    /// The device's number in the specification.
    const ID: u32;

    /// How many chains each queue holds at most: powers of two.
    const QUEUES: &'static [u16];

    /// What it offers, besides [`COMMON_FEATURES`].
    fn features(&self) -> u64;

    /// Fills `data` from the configuration space; zeroes where there is none.
    fn read_configuration(&self, offset: u64, data: &mut [u8]);

    /// Whether it can use a chain of this queue now.
    fn wants(&self, _queue: usize) -> bool {
        true
    }

    /// Uses a chain, and says how many bytes of it were written.
    fn serve(&mut self, queue: usize, memory: &GuestMemoryMmap, chain: Chain<'_>) -> u32;

    /// Forgets what the driver has said.
    fn reset(&mut self) {}
}

/// Copies from a configuration space.
fn read_bytes(space: &[u8], offset: u64, data: &mut [u8]) {
    data.fill(0);
    let Some(rest) = usize::try_from(offset)
        .ok()
        .and_then(|offset| space.get(offset..))
    else {
        return;
    };
    let count = rest.len().min(data.len());
    data[..count].copy_from_slice(&rest[..count]);
}

#[cfg(test)]
pub(crate) mod tests;
