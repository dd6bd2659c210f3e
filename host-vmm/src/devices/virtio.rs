//! Virtio devices: what each of them does with its queues, and the registers that all have.

pub mod balloon;
pub mod block;
pub mod console;
pub mod mmio;
pub mod net;
pub mod rng;
pub mod vsock;

pub use mmio::VirtioMmio;

use std::os::fd::RawFd;

use thiserror::Error;
use virtio_bindings::bindings::virtio_config::{VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_VERSION_1};
use virtio_bindings::bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{DescriptorChain, Reader, Writer};
use vm_memory::GuestMemoryMmap;

use crate::confinement::Kind;

/// What every device offers. Access through the platform makes the driver use the kernel's DMA
/// interface, which in a Realm hands out shared memory only.
pub const COMMON_FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_F_ACCESS_PLATFORM | 1 << VIRTIO_RING_F_EVENT_IDX;

/// What a driver must accept.
pub const NEEDED_FEATURES: u64 = 1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_F_ACCESS_PLATFORM;

/// Buffers that a driver has made available together.
pub type Chain<'a> = DescriptorChain<&'a GuestMemoryMmap>;

/// A descriptor that a device's thread waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// As long as it can be read, the device is called.
    Level(RawFd),
    /// Whenever there is more to read, the device is called.
    Edges(RawFd),
}

/// What a driver must not do with the chains of a queue. Its device stops until it is reset.
#[derive(Clone, Copy, PartialEq, Eq, Error, Debug)]
pub enum Misuse {
    /// Private memory, for instance.
    #[error("a buffer is outside of the memory that the guest shares")]
    Outside,
    /// Virtio 1.2, section 2.7.5.3.1.
    #[error("a chain has more buffers than the queue")]
    TooManyBuffers,
    /// No room for what the device has to say at least.
    #[error("a chain has no room for the answer")]
    NoAnswer,
    /// Not what a request begins with.
    #[error("a chain is shorter than what it must begin with")]
    TooShort,
}

/// A device behind the registers of [`VirtioMmio`].
///
/// What is in a chain is the guest's: every length and address of it is checked when it is used.
pub trait VirtioDevice: Send + 'static {
    /// The device's number in the specification.
    const ID: u32;

    /// What its thread does: works with what is open, or connects to sockets.
    const KIND: Kind = Kind::Device;

    /// How many chains each queue holds at most: powers of two.
    const QUEUES: &'static [u16];

    /// What it offers, besides [`COMMON_FEATURES`].
    fn features(&self) -> u64;

    /// Whether its driver has to reach memory through the platform, as all must in a Realm.
    fn through_platform(&self) -> bool {
        true
    }

    /// Fills `data` from the configuration space; zeroes where there is none.
    fn read_configuration(&self, offset: u64, data: &mut [u8]);

    /// The driver writes to the configuration space, of which most devices have nothing to write.
    fn write_configuration(&mut self, _offset: u64, _data: &[u8]) {}

    /// The driver has accepted these features, and uses the queues from now on.
    fn start(&mut self, _features: u64) {}

    /// Whether it can use a chain of this queue now.
    fn wants(&mut self, _queue: usize) -> bool {
        true
    }

    /// Uses a chain, and says how many bytes of it were written.
    ///
    /// # Errors
    ///
    /// What the driver has done wrong. The chain is not used then.
    fn serve(
        &mut self,
        queue: usize,
        memory: &GuestMemoryMmap,
        chain: Chain<'_>,
    ) -> Result<u32, Misuse>;

    /// What [`VirtioDevice::attend`] is called for. It stays open as long as the device is there.
    fn source(&self) -> Option<Source> {
        None
    }

    /// Takes notice of what has come from its source.
    fn attend(&mut self) {}

    /// Whether this queue has to be served although its driver has not asked for it: what the
    /// device got elsewhere has to go there. Asked after each change.
    fn is_due(&self, _queue: usize) -> bool {
        false
    }

    /// Forgets what the driver has said.
    fn reset(&mut self) {}
}

/// What the device reads of a chain.
fn reader<'a>(memory: &'a GuestMemoryMmap, chain: Chain<'a>) -> Result<Reader<'a>, Misuse> {
    Reader::new(memory, chain).map_err(|_| Misuse::Outside)
}

/// What the device writes of a chain.
fn writer<'a>(memory: &'a GuestMemoryMmap, chain: Chain<'a>) -> Result<Writer<'a>, Misuse> {
    Writer::new(memory, chain).map_err(|_| Misuse::Outside)
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
