//! Network interfaces (virtio 1.2, section 5.1), whose other end is a tap interface of the host.
//!
//! The guest may leave checksums and the cutting of TCP segments to the host: each header that asks
//! for it is checked before the kernel sees it, against a copy that the guest cannot change any
//! more. The other way there are checksums only. Segments that were not cut would need buffers of
//! 64 KiB, of which a Realm would have to share millions of bytes that it may never use.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4,
    VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_MAC, VIRTIO_NET_HDR_F_DATA_VALID,
    VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_ECN, VIRTIO_NET_HDR_GSO_NONE,
    VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6,
};
use vm_memory::GuestMemoryMmap;
use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Chain, Misuse, Source, VirtioDevice, read_bytes, reader, writer};
use crate::configuration::MacAddress;
use crate::devices::Complaints;
use crate::sys::tap::Tap;

/// The queue of packets for the guest.
pub const RECEIVE: usize = 0;
/// The queue of packets of the guest.
pub const TRANSMIT: usize = 1;

const QUEUE_SIZE: u16 = 256;
const HEADER_BYTES: usize = size_of::<Header>();
/// The largest packet: addresses and type of Ethernet, a tag, and as much as IP can have.
const MOST_BYTES: usize = HEADER_BYTES + 18 + 0xffff;
/// The smallest: what Ethernet begins with.
const LEAST_BYTES: usize = HEADER_BYTES + 14;

/// What is in front of each packet (section 5.1.6).
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
struct Header {
    flags: u8,
    gso_type: u8,
    leading_bytes: U16,
    gso_size: U16,
    checksum_start: U16,
    checksum_offset: U16,
    buffers: U16,
}

/// The host's side of a network interface.
pub trait Link: Send + 'static {
    /// Reads a packet with its header; `WouldBlock` if there is none.
    ///
    /// # Errors
    ///
    /// The host's.
    fn read(&self, packet: &mut [u8]) -> io::Result<usize>;

    /// Writes a packet with its header.
    ///
    /// # Errors
    ///
    /// The host's.
    fn write(&self, packet: &[u8]) -> io::Result<()>;

    /// Whether packets may come without their checksums.
    ///
    /// # Errors
    ///
    /// The host's.
    fn leave_checksums(&self, may: bool) -> io::Result<()>;

    /// What can be read when there are packets.
    fn descriptor(&self) -> BorrowedFd<'_>;
}

impl Link for Tap {
    fn read(&self, packet: &mut [u8]) -> io::Result<usize> {
        self.read(packet)
    }

    fn write(&self, packet: &[u8]) -> io::Result<()> {
        self.write(packet)
    }

    fn leave_checksums(&self, may: bool) -> io::Result<()> {
        self.leave_checksums(may)
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

/// A network interface.
#[derive(Debug)]
pub struct Net<L> {
    link: L,
    address: MacAddress,
    /// What the driver has accepted.
    features: u64,
    /// A packet for the guest, of so many bytes; none if that is zero.
    incoming: Box<[u8]>,
    incoming_bytes: usize,
    /// There may be more of them.
    arrived: bool,
    outgoing: Box<[u8]>,
    complaints: Complaints,
}

impl<L: Link> Net<L> {
    /// An interface with this address.
    pub fn new(link: L, address: MacAddress) -> Self {
        Self {
            link,
            address,
            features: 0,
            incoming: vec![0; MOST_BYTES].into(),
            incoming_bytes: 0,
            arrived: false,
            outgoing: vec![0; MOST_BYTES].into(),
            complaints: Complaints::default(),
        }
    }

    /// The host's side.
    pub fn link(&self) -> &L {
        &self.link
    }

    fn has(&self, feature: u32) -> bool {
        self.features >> feature & 1 == 1
    }

    /// Takes the next packet of the host that can be handed over, if there is one.
    fn fetch(&mut self) -> bool {
        self.arrived = false;
        // As many as there may be of those that cannot; then somebody else has a turn.
        for _ in 0..QUEUE_SIZE {
            if self.incoming_bytes > 0 {
                break;
            }
            match self.link.read(&mut self.incoming) {
                Ok(bytes) if bytes >= LEAST_BYTES => {
                    self.incoming_bytes = bytes;
                    self.describe_incoming();
                }
                // No packet of Ethernet.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // An interface that is down says so with each try.
                    let silent = error.kind() == io::ErrorKind::WouldBlock
                        || error.raw_os_error() == Some(libc::EIO);
                    if !silent {
                        self.complaints.say("a network interface", error);
                    }
                    break;
                }
            }
        }
        self.incoming_bytes > 0
    }

    /// Says of the packet what the driver has agreed to hear.
    fn describe_incoming(&mut self) {
        let Ok((header, _)) = Header::mut_from_prefix(&mut self.incoming) else {
            return;
        };
        let knows = if self.features >> VIRTIO_NET_F_GUEST_CSUM & 1 == 1 {
            VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID
        } else {
            0
        };
        header.flags &= (knows & 0xff) as u8;
        header.buffers = U16::new(1);
    }

    fn receive(&mut self, memory: &GuestMemoryMmap, chain: Chain<'_>) -> Result<u32, Misuse> {
        let mut writer = writer(memory, chain)?;
        if writer.available_bytes() < HEADER_BYTES {
            return Err(Misuse::NoAnswer);
        }
        let bytes = std::mem::take(&mut self.incoming_bytes);
        if writer.available_bytes() < bytes {
            // A driver has to have room for 1514 bytes, but the host's interface may let more in.
            let what = format_args!("a packet of {bytes} bytes is too long for the guest");
            self.complaints.say("a network interface", what);
            return Ok(0);
        }
        let packet = self.incoming.get(..bytes).unwrap_or_default();
        writer.write_all(packet).map_err(|_| Misuse::Outside)?;
        Ok(u32::try_from(bytes).unwrap_or(0))
    }

    fn transmit(&mut self, memory: &GuestMemoryMmap, chain: Chain<'_>) -> Result<u32, Misuse> {
        let mut reader = reader(memory, chain)?;
        let bytes = reader.available_bytes();
        if bytes < HEADER_BYTES {
            return Err(Misuse::TooShort);
        }
        let Some(packet) = self.outgoing.get_mut(..bytes) else {
            let what = format_args!("a packet of {bytes} bytes is left out");
            self.complaints.say("a network interface", what);
            return Ok(0);
        };
        reader.read_exact(packet).map_err(|_| Misuse::Outside)?;
        let packet = &self.outgoing[..bytes];
        if let Err(why) = self.check_outgoing(packet) {
            self.complaints.say("a network interface", why);
            return Ok(0);
        }
        match self.link.write(packet) {
            // As everywhere in a network, what finds no room is lost.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                self.complaints.say("a network interface", error);
            }
            _ => {}
        }
        Ok(0)
    }

    /// Whether the driver may ask for what the packet's header asks for.
    fn check_outgoing(&self, packet: &[u8]) -> Result<(), &'static str> {
        if packet.len() < LEAST_BYTES {
            return Err("a packet without addresses is left out");
        }
        let (header, packet) = Header::ref_from_prefix(packet).map_err(|_| "no header")?;
        let needs_checksum = match u32::from(header.flags) {
            0 => false,
            VIRTIO_NET_HDR_F_NEEDS_CSUM if self.has(VIRTIO_NET_F_CSUM) => true,
            _ => return Err("a packet with flags that were not agreed on is left out"),
        };
        if needs_checksum {
            let start = usize::from(header.checksum_start.get());
            let end = start + usize::from(header.checksum_offset.get()) + 2;
            if end > packet.len() {
                return Err("a packet whose checksum is behind its end is left out");
            }
        }
        let kind = u32::from(header.gso_type);
        if kind == VIRTIO_NET_HDR_GSO_NONE {
            return Ok(());
        }
        let feature = match kind & !VIRTIO_NET_HDR_GSO_ECN {
            VIRTIO_NET_HDR_GSO_TCPV4 => VIRTIO_NET_F_HOST_TSO4,
            VIRTIO_NET_HDR_GSO_TCPV6 => VIRTIO_NET_F_HOST_TSO6,
            _ => return Err("a packet to be cut in an unknown way is left out"),
        };
        let congestion = kind & VIRTIO_NET_HDR_GSO_ECN == 0 || self.has(VIRTIO_NET_F_HOST_ECN);
        if !self.has(feature) || !congestion {
            return Err("a packet to be cut as was not agreed on is left out");
        }
        // The length of what is in front of the segments is a hint, and the kernel looks itself.
        if !needs_checksum || header.gso_size == 0 {
            return Err("a packet to be cut without checksum or size is left out");
        }
        Ok(())
    }

    fn agree(&mut self, features: u64) {
        self.features = features;
        let may = self.has(VIRTIO_NET_F_GUEST_CSUM);
        if let Err(error) = self.link.leave_checksums(may) {
            self.complaints.say("a network interface", error);
        }
    }
}

impl<L: Link> VirtioDevice for Net<L> {
    const ID: u32 = VIRTIO_ID_NET;
    const QUEUES: &'static [u16] = &[QUEUE_SIZE, QUEUE_SIZE];

    fn features(&self) -> u64 {
        1 << VIRTIO_NET_F_CSUM
            | 1 << VIRTIO_NET_F_GUEST_CSUM
            | 1 << VIRTIO_NET_F_MAC
            | 1 << VIRTIO_NET_F_HOST_TSO4
            | 1 << VIRTIO_NET_F_HOST_TSO6
            | 1 << VIRTIO_NET_F_HOST_ECN
    }

    fn read_configuration(&self, offset: u64, data: &mut [u8]) {
        read_bytes(&self.address.bytes(), offset, data);
    }

    fn start(&mut self, features: u64) {
        self.agree(features);
        // What came before is not for this driver.
        self.incoming_bytes = 0;
    }

    fn wants(&mut self, queue: usize) -> bool {
        queue == TRANSMIT || self.fetch()
    }

    fn serve(
        &mut self,
        queue: usize,
        memory: &GuestMemoryMmap,
        chain: Chain<'_>,
    ) -> Result<u32, Misuse> {
        if queue == RECEIVE {
            self.receive(memory, chain)
        } else {
            self.transmit(memory, chain)
        }
    }

    fn source(&self) -> Option<Source> {
        Some(Source::Edges(self.link.descriptor().as_raw_fd()))
    }

    fn attend(&mut self) {
        self.arrived = true;
    }

    fn is_due(&self, queue: usize) -> bool {
        queue == RECEIVE && self.arrived
    }

    fn reset(&mut self) {
        self.agree(0);
    }
}

#[cfg(test)]
mod tests;
