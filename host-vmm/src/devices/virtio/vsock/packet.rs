//! Packets (virtio 1.2, section 5.10.6).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The host's address.
pub(super) const HOST_CID: U64 = U64::new(2);
/// Packets of streams; there are no others.
pub(super) const STREAM: U16 = U16::new(1);
/// Most bytes behind a header; Linux sends no more.
pub(super) const MOST_PACKET_BYTES: usize = 64 << 10;
pub(super) const HEADER_BYTES: usize = size_of::<Header>();

/// The sender receives nothing any more.
pub(super) const RECEIVES_NO_MORE: u32 = 1;
/// The sender sends nothing any more.
pub(super) const SENDS_NO_MORE: u32 = 2;

/// What each packet begins with.
#[derive(
    FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, PartialEq, Eq, Debug,
)]
#[repr(C)]
pub(super) struct Header {
    pub(super) source_cid: U64,
    pub(super) destination_cid: U64,
    pub(super) source_port: U32,
    pub(super) destination_port: U32,
    pub(super) length: U32,
    pub(super) kind: U16,
    pub(super) operation: U16,
    pub(super) flags: U32,
    /// Bytes of this stream that the sender has room for.
    pub(super) room: U32,
    /// Bytes of this stream that have left this room again, in all and modulo 2³².
    pub(super) forwarded: U32,
}

/// What a packet is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    /// A connection is wanted.
    Request,
    /// It is accepted.
    Response,
    /// There is none, or none any more.
    Reset,
    /// The sender sends or receives nothing any more: see the flags.
    Shutdown,
    /// Content.
    Data,
    /// How much the sender has room for.
    CreditUpdate,
    /// That is asked for.
    CreditRequest,
}

impl Operation {
    /// All of them, from 1 on.
    const ALL: [Self; 7] = [
        Self::Request,
        Self::Response,
        Self::Reset,
        Self::Shutdown,
        Self::Data,
        Self::CreditUpdate,
        Self::CreditRequest,
    ];
}

impl From<Operation> for U16 {
    fn from(operation: Operation) -> Self {
        Self::new(operation as u16 + 1)
    }
}

impl Header {
    /// What it is for, if that is known.
    pub(super) fn operation(&self) -> Option<Operation> {
        let number = usize::from(self.operation.get());
        Operation::ALL.get(number.checked_sub(1)?).copied()
    }

    /// Says how many bytes follow: at most [`MOST_PACKET_BYTES`].
    pub(super) fn set_length(&mut self, bytes: usize) {
        self.length = U32::new(u32::try_from(bytes).unwrap_or(0));
    }

    /// The same packet as one for nothing that is known, to which the answer is a reset.
    pub(super) fn broken(&self) -> Self {
        Self {
            operation: U16::new(0),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_specification() {
        assert_eq!(HEADER_BYTES, 44);
        let mut bytes = [0; 44];
        for (place, byte) in (0..).zip(&mut bytes) {
            *byte = place;
        }
        let header = Header::read_from_bytes(&bytes).unwrap();
        assert_eq!(header.destination_cid.get(), 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(header.source_port.get(), 0x1312_1110);
        assert_eq!(header.length.get(), 0x1b1a_1918);
        assert_eq!(header.operation.get(), 0x1f1e);
        assert_eq!(header.forwarded.get(), 0x2b2a_2928);
        assert_eq!(header.operation(), None);
        assert_eq!(U16::from(Operation::Request).get(), 1);
        assert_eq!(U16::from(Operation::Data).get(), 5);
        assert_eq!(U16::from(Operation::CreditRequest).get(), 7);
    }
}
