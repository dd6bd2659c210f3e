// Patterns may be cut.
#![allow(clippy::cast_possible_truncation)]

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;

use tempfile::TempDir;
use zerocopy::FromBytes as _;
use zerocopy::little_endian::{U16, U32, U64};

use super::connection::ROOM;
use super::packet::{RECEIVES_NO_MORE, SENDS_NO_MORE};
use super::*;
use crate::devices::virtio::tests::{Driver, MEMORY, MEMORY_BYTES, WRITE};

mod connections;
mod packets;

const CID: u32 = 7;
/// What is sent, and what is received.
const OUT: u64 = MEMORY + 0x1_0000;
const IN: u64 = MEMORY + 0x4_0000;
/// Room for a packet of the host.
const IN_BYTES: u32 = 0x1_0000 + 44;
/// What the guest says that it has room for.
const GUEST_ROOM: u32 = 0x1_0000;

/// A driver, and the folder with the sockets.
struct Guest {
    driver: Driver<Vsock>,
    folder: TempDir,
}

/// What the guest got.
#[derive(PartialEq, Eq, Debug)]
struct Packet {
    header: Header,
    content: Vec<u8>,
}

impl Packet {
    fn operation(&self) -> Operation {
        self.header.operation().unwrap()
    }

    /// Ports of host and guest.
    fn ports(&self) -> (u32, u32) {
        (
            self.header.source_port.get(),
            self.header.destination_port.get(),
        )
    }
}

fn header(host_port: u32, guest_port: u32, operation: Operation) -> Header {
    let mut header = Header::new_zeroed();
    header.source_cid = U64::new(CID.into());
    header.destination_cid = HOST_CID;
    header.source_port = U32::new(guest_port);
    header.destination_port = U32::new(host_port);
    header.kind = STREAM;
    header.operation = operation.into();
    header.room = U32::new(GUEST_ROOM);
    header
}

impl Guest {
    fn new() -> Self {
        Self::with_patience(PATIENCE)
    }

    fn with_patience(patience: Duration) -> Self {
        let folder = TempDir::new().unwrap();
        let listener = Listener::new(&folder.path().join("guest")).unwrap();
        let mut vsock = Vsock::new(CID.to_string().parse().unwrap(), listener).unwrap();
        vsock.patience = patience;
        Self {
            driver: Driver::new(vsock),
            folder,
        }
    }

    /// A program of the host listens at a port.
    fn listen(&self, port: u32) -> UnixListener {
        UnixListener::bind(self.folder.path().join(format!("guest_{port}"))).unwrap()
    }

    /// A program of the host connects.
    fn knock(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("guest")).unwrap()
    }

    fn send_raw(&mut self, header: &Header, content: &[u8]) {
        self.driver.put(OUT, header.as_bytes());
        self.driver.put(OUT + 44, content);
        let bytes = content.len() as u32;
        let used = self
            .driver
            .request(TRANSMIT, &[(OUT, 44, 0), (OUT + 44, bytes, 0)]);
        assert_eq!(used, 0);
    }

    fn send(&mut self, mut header: Header, content: &[u8]) {
        header.set_length(content.len());
        self.send_raw(&header, content);
    }

    /// The next packet for the guest.
    fn next(&mut self) -> Option<Packet> {
        self.next_of(IN_BYTES)
    }

    fn next_of(&mut self, room: u32) -> Option<Packet> {
        // Each takes notice of so many events.
        for _ in 0..=MOST_CONNECTIONS / MOST_EVENTS {
            self.driver.device.attend();
        }
        if !self.driver.device.with_device(|vsock| vsock.wants(RECEIVE)) {
            return None;
        }
        let used = self.driver.request(RECEIVE, &[(IN, room, WRITE)]) as usize;
        let bytes = self.driver.get(IN, used);
        let (header, content) = Header::read_from_prefix(&bytes).unwrap();
        assert_eq!(header.length.get() as usize, content.len());
        assert_eq!(header.destination_cid.get(), u64::from(CID));
        Some(Packet {
            header,
            content: content.to_vec(),
        })
    }

    fn expect(&mut self, operation: Operation) -> Packet {
        let packet = self
            .next()
            .unwrap_or_else(|| panic!("no {operation:?} comes"));
        assert_eq!(packet.operation(), operation, "{packet:?}");
        packet
    }

    fn connections(&self) -> usize {
        self.driver
            .device
            .with_device(|vsock| vsock.connections.len())
    }

    /// A stream between port 80 of the host and port 1000 of the guest.
    fn connected(&mut self) -> UnixStream {
        let listener = self.listen(80);
        self.send(header(80, 1000, Operation::Request), &[]);
        self.expect(Operation::Response);
        listener.accept().unwrap().0
    }

    fn data(&mut self, content: &[u8]) {
        self.send(header(80, 1000, Operation::Data), content);
    }

    fn shutdown(&mut self, flags: u32) {
        let mut header = header(80, 1000, Operation::Shutdown);
        header.flags = U32::new(flags);
        self.send(header, &[]);
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    // A prime, so that no two packets are alike.
    (0..bytes).map(|place| (place % 251) as u8).collect()
}

fn read_all(mut stream: &UnixStream, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    stream.read_exact(&mut data).unwrap();
    data
}
