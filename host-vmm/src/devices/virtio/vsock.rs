//! Sockets between guest and host (virtio 1.2, section 5.10): streams, whose ends on the host are
//! Unix sockets.
//!
//! A program of the host connects to the device's socket, writes `CONNECT` with a port of the guest
//! and a line feed, and reads `OK` with a port and a line feed when the guest has accepted; then
//! the stream is the guest's. A connection of the guest to a port of the host goes to the Unix
//! socket whose name has `_` and the port behind it. Other machines do this the same way.
//!
//! Nothing here waits, and everything has a bound: connections, the bytes of each that the host has
//! not taken yet (the guest knows how much it may send), and answers that the guest has not taken:
//! until it does, nothing more of it is looked at. What the host has for the guest stays in its
//! socket until the guest has room for it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;
use virtio_bindings::virtio_ids::VIRTIO_ID_VSOCK;
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::timerfd::TimerFd;
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{Chain, Misuse, Source, VirtioDevice, read_bytes, reader, writer};
use crate::configuration::GuestCid;
use crate::confinement::Kind;
use crate::devices::Complaints;
use crate::sys::socket;

mod connection;
mod listener;
mod packet;

pub use listener::{Listener, ListenerError};

use connection::{Connection, Next, State};
use packet::{HEADER_BYTES, HOST_CID, Header, MOST_PACKET_BYTES, Operation, STREAM};

/// The queue of packets for the guest.
pub const RECEIVE: usize = 0;
/// The queue of packets of the guest.
pub const TRANSMIT: usize = 1;

const QUEUE_SIZE: u16 = 128;
/// Connections at once. Of others the host's wait, and the guest's are refused.
pub const MOST_CONNECTIONS: usize = 256;
/// Refusals that the guest has not taken.
const MOST_REFUSALS: usize = 64;
/// How long a program of the host has to say what it wants, and the guest to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a program of the host may take nothing of what a guest has left behind.
const DRAIN_PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked whose time is over.
const TICK: Duration = Duration::from_secs(1);
/// Ports of the host's ends begin here, behind those that programs choose.
const FIRST_PORT: u32 = 1 << 30;

const LISTENER: u64 = 0;
const TIMER: u64 = 1;
const FIRST_CONNECTION: u64 = 2;
const MOST_EVENTS: usize = 16;

/// Sockets of a guest.
#[derive(Debug)]
pub struct Vsock {
    cid: GuestCid,
    listener: Arc<Listener>,
    /// Somebody may be waiting to be let in.
    knocks: bool,
    epoll: Epoll,
    timer: TimerFd,
    ticks: bool,
    patience: Duration,
    drain_patience: Duration,
    connections: BTreeMap<u64, Connection>,
    /// By the ports of host and guest.
    by_ports: BTreeMap<(u32, u32), u64>,
    next_number: u64,
    next_port: u32,
    /// Whose turn was last.
    last: u64,
    refusals: VecDeque<Header>,
    /// The guest's packets wait until there is room for refusals.
    waits: bool,
    /// A packet for the guest that it has not taken, and where the rest of its content is.
    outgoing: Option<(Header, Range<usize>)>,
    /// The connection that the packet is of.
    outgoing_of: Option<u64>,
    content: Box<[u8]>,
    complaints: Complaints,
}

impl Vsock {
    /// Sockets of the guest with this address.
    ///
    /// # Errors
    ///
    /// If the process has no descriptors left.
    pub fn new(cid: GuestCid, listener: impl Into<Arc<Listener>>) -> io::Result<Self> {
        let listener = listener.into();
        let epoll = Epoll::new()?;
        let timer = TimerFd::new().map_err(io::Error::from)?;
        let add = |descriptor: RawFd, events, number| {
            let event = EpollEvent::new(events, number);
            epoll.ctl(ControlOperation::Add, descriptor, event)
        };
        let edges = EventSet::IN | EventSet::EDGE_TRIGGERED;
        add(listener.as_raw_fd(), edges, LISTENER)?;
        add(timer.as_raw_fd(), EventSet::IN, TIMER)?;
        Ok(Self {
            cid,
            listener,
            knocks: false,
            epoll,
            timer,
            ticks: false,
            patience: PATIENCE,
            drain_patience: DRAIN_PATIENCE,
            connections: BTreeMap::new(),
            by_ports: BTreeMap::new(),
            next_number: FIRST_CONNECTION,
            next_port: FIRST_PORT,
            last: 0,
            refusals: VecDeque::new(),
            waits: false,
            outgoing: None,
            outgoing_of: None,
            content: vec![0; MOST_PACKET_BYTES].into(),
            complaints: Complaints::default(),
        })
    }

    /// How many connections there are, with those that have not come about and those that the guest
    /// has no part in any more.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    fn add(&mut self, stream: UnixStream, state: State) -> io::Result<&mut Connection> {
        stream.set_nonblocking(true)?;
        let number = self.next_number;
        let events =
            EventSet::IN | EventSet::OUT | EventSet::READ_HANG_UP | EventSet::EDGE_TRIGGERED;
        let event = EpollEvent::new(events, number);
        self.epoll
            .ctl(ControlOperation::Add, stream.as_raw_fd(), event)?;
        self.next_number += 1;
        let connection = Connection::new(stream, state);
        Ok(self.connections.entry(number).or_insert(connection))
    }

    fn remove(&mut self, number: u64) {
        let Some(connection) = self.connections.remove(&number) else {
            return;
        };
        let ports = (connection.host_port, connection.guest_port);
        if self.by_ports.get(&ports) == Some(&number) {
            self.by_ports.remove(&ports);
        }
        if self.outgoing_of == Some(number) {
            self.outgoing = None;
            self.outgoing_of = None;
        }
    }

    /// The guest knows nothing of a connection any more. What the host has not taken yet stays for
    /// it.
    fn part(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        if connection.is_drained() {
            self.remove(number);
            return;
        }
        connection.state = State::Draining;
        connection.until = Some(Instant::now() + self.drain_patience);
        let ports = (connection.host_port, connection.guest_port);
        self.by_ports.remove(&ports);
    }

    /// Lets in whoever waits, if there is room.
    fn let_in(&mut self) {
        while self.knocks && self.connections.len() < MOST_CONNECTIONS {
            let until = Instant::now() + self.patience;
            let result = match self.listener.accept() {
                Ok(stream) => {
                    let state = State::Greeting(Vec::new());
                    self.add(stream, state)
                        .map(|connection| connection.until = Some(until))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.knocks = false;
                    return;
                }
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                // For want of descriptors: there may be some when the next one comes.
                debug!("nobody is let in at a guest's socket: {error}");
                return;
            }
        }
    }

    /// A free port for the host's end of a connection to a port of the guest.
    fn port(&mut self, guest_port: u32) -> u32 {
        loop {
            let port = self.next_port;
            let next = port.checked_add(1).filter(|next| *next != u32::MAX);
            self.next_port = next.unwrap_or(FIRST_PORT);
            // There are many more than connections.
            if !self.by_ports.contains_key(&(port, guest_port)) {
                return port;
            }
        }
    }

    /// Has a connection do what it can without the guest, and ends it if nothing is left to do.
    fn advance(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        if let State::Greeting(line) = &mut connection.state {
            match connection::greet(&connection.stream, line) {
                Ok(None) => return,
                Ok(Some(guest_port)) => {
                    let host_port = self.port(guest_port);
                    let Some(connection) = self.connections.get_mut(&number) else {
                        return;
                    };
                    connection.request(host_port, guest_port);
                    self.by_ports.insert((host_port, guest_port), number);
                }
                Err(error) => {
                    debug!("a program at a guest's socket is turned away: {error}");
                    self.remove(number);
                    return;
                }
            }
        }
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let before = connection.waiting();
        connection.flush();
        let is_over = match connection.state {
            State::Draining => {
                if connection.waiting() < before {
                    connection.until = Some(Instant::now() + self.drain_patience);
                }
                connection.is_drained()
            }
            // Nobody is there to be told of the guest's answer.
            State::Requested if connection.hung_up => connection.give_up(),
            State::Greeting(_) | State::Requested | State::Open => false,
        };
        if is_over {
            self.remove(number);
        }
    }

    /// Ends those whose time is over.
    fn tick(&mut self) {
        let now = Instant::now();
        let late = self.connections.iter_mut().filter(|(_, connection)| {
            let until = connection.until;
            until.is_some_and(|until| until <= now)
        });
        let unknown: Vec<u64> = late
            .filter_map(|(number, connection)| {
                debug!("the time of a connection to the guest is over");
                connection.give_up().then_some(*number)
            })
            .collect();
        for number in unknown {
            self.remove(number);
        }
    }

    /// Lets time pass only while somebody waits.
    fn set_timer(&mut self) {
        let wants = self.connections.values().any(|connection| connection.until.is_some())
            // Somebody could not be let in.
            || self.knocks;
        if wants == self.ticks {
            return;
        }
        let result = if wants {
            let tick = TICK.min(self.patience).min(self.drain_patience);
            self.timer.reset(tick, Some(tick))
        } else {
            self.timer.clear()
        };
        match result {
            Ok(()) => self.ticks = wants,
            Err(error) => self.complaints.say("sockets of the guest", error),
        }
    }

    fn handle_events(&mut self) {
        let mut events = [EpollEvent::default(); MOST_EVENTS];
        let count = self.epoll.wait(0, &mut events).unwrap_or(0);
        for event in &events[..count] {
            match event.data() {
                LISTENER => self.knocks = true,
                TIMER => {
                    // It has run off, so this does not wait.
                    let _ = self.timer.wait();
                    self.tick();
                }
                number => {
                    if let Some(connection) = self.connections.get_mut(&number) {
                        connection.hear(event.event_set());
                        self.advance(number);
                    }
                }
            }
        }
        self.let_in();
        self.set_timer();
    }

    /// Answers a packet that belongs to no connection.
    fn refuse(&mut self, header: &Header) {
        if header.operation() == Some(Operation::Reset) || self.refusals.len() >= MOST_REFUSALS {
            return;
        }
        let mut refusal = Header::new_zeroed();
        refusal.source_cid = header.destination_cid;
        refusal.destination_cid = header.source_cid;
        refusal.source_port = header.destination_port;
        refusal.destination_port = header.source_port;
        refusal.kind = header.kind;
        refusal.operation = Operation::Reset.into();
        self.refusals.push_back(refusal);
    }

    /// A packet of the guest.
    fn take(&mut self, header: &Header, content: &[u8]) {
        // One that says it comes from elsewhere could not be answered.
        if header.source_cid.get() != u64::from(self.cid.get()) {
            self.complaints
                .say("sockets of the guest", "a packet with another address");
            return;
        }
        if header.destination_cid != HOST_CID || header.kind != STREAM {
            return self.refuse(header);
        }
        let ports = (header.destination_port.get(), header.source_port.get());
        let number = self.by_ports.get(&ports).copied();
        let Some((number, connection)) = number.and_then(|number| {
            let connection = self.connections.get_mut(&number)?;
            Some((number, connection))
        }) else {
            return match header.operation() {
                Some(Operation::Request) => self.connect(header),
                _ => self.refuse(header),
            };
        };
        match connection.take(header, content) {
            connection::Taken::Stays => self.advance(number),
            connection::Taken::Parted => {
                self.refuse(header);
                self.part(number);
            }
            connection::Taken::Over => self.remove(number),
            connection::Taken::Broken => {
                self.refuse(header);
                self.remove(number);
            }
        }
    }

    /// The guest wants to connect to a program of the host.
    fn connect(&mut self, header: &Header) {
        let (host_port, guest_port) = (header.destination_port.get(), header.source_port.get());
        let stream = if self.connections.len() < MOST_CONNECTIONS {
            socket::connect_at_once(&self.listener.path_of(host_port))
        } else {
            Err(io::Error::other("too many connections"))
        };
        let number = self.next_number;
        let result = stream.and_then(|stream| {
            let connection = self.add(stream, State::Open)?;
            connection.accept(host_port, guest_port, header);
            Ok(())
        });
        match result {
            Ok(()) => {
                self.by_ports.insert((host_port, guest_port), number);
            }
            Err(error) => {
                debug!("the guest does not reach port {host_port} of the host: {error}");
                self.refuse(header);
            }
        }
    }

    /// Finds the next packet for the guest, if there is none that waits.
    fn find_outgoing(&mut self) -> bool {
        if self.outgoing.is_some() {
            return true;
        }
        if let Some(refusal) = self.refusals.pop_front() {
            self.outgoing = Some((refusal, 0..0));
            return true;
        }
        // Each has its turn.
        let behind = self.connections.range(self.last.saturating_add(1)..);
        let order: Vec<u64> = behind
            .chain(self.connections.range(..=self.last))
            .filter(|(_, connection)| connection.has_something())
            .map(|(number, _)| *number)
            .collect();
        for number in order {
            let Some(connection) = self.connections.get_mut(&number) else {
                continue;
            };
            let Some(Next { header, bytes }) = connection.next(self.cid, &mut self.content) else {
                continue;
            };
            self.last = number;
            self.outgoing = Some((header, 0..bytes));
            if header.operation() == Some(Operation::Reset) {
                // The guest may have sent what the host has not taken yet.
                self.part(number);
                self.let_in();
                self.set_timer();
            } else {
                self.outgoing_of = Some(number);
            }
            return true;
        }
        false
    }

    fn receive(&mut self, memory: &GuestMemoryMmap, chain: Chain<'_>) -> Result<u32, Misuse> {
        let mut writer = writer(memory, chain)?;
        let Some((mut header, content)) = self.outgoing.take() else {
            return Ok(0);
        };
        let room = writer.available_bytes().checked_sub(HEADER_BYTES);
        let room = room.ok_or(Misuse::NoAnswer)?;
        // The rest comes as a packet of its own.
        let bytes = content.len().min(room);
        if bytes == 0 && !content.is_empty() {
            return Err(Misuse::NoAnswer);
        }
        let (now, later) = (
            content.start..content.start + bytes,
            content.start + bytes..content.end,
        );
        header.set_length(bytes);
        let content = self.content.get(now).unwrap_or_default();
        let written = writer.write_all(header.as_bytes());
        written
            .and_then(|()| writer.write_all(content))
            .map_err(|_| Misuse::Outside)?;
        if later.is_empty() {
            self.outgoing_of = None;
        } else {
            self.outgoing = Some((header, later));
        }
        Ok(u32::try_from(HEADER_BYTES + bytes).unwrap_or(0))
    }

    fn transmit(&mut self, memory: &GuestMemoryMmap, chain: Chain<'_>) -> Result<u32, Misuse> {
        let mut reader = reader(memory, chain)?;
        let mut header = Header::new_zeroed();
        let read = reader.read_exact(header.as_mut_bytes());
        read.map_err(|_| Misuse::TooShort)?;
        let bytes = header.length.get() as usize;
        if bytes > reader.available_bytes() {
            return Err(Misuse::TooShort);
        }
        // Nobody has been told that he may send so much at once.
        if bytes > MOST_PACKET_BYTES {
            self.take(&header.broken(), &[]);
            return Ok(0);
        }
        let mut content = vec![0; bytes];
        reader
            .read_exact(&mut content)
            .map_err(|_| Misuse::Outside)?;
        self.take(&header, &content);
        self.let_in();
        self.set_timer();
        Ok(0)
    }
}

impl VirtioDevice for Vsock {
    const ID: u32 = VIRTIO_ID_VSOCK;
    const KIND: Kind = Kind::Sockets;
    /// The third is for events, of which there are none.
    const QUEUES: &'static [u16] = &[QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE];

    fn features(&self) -> u64 {
        0
    }

    fn read_configuration(&self, offset: u64, data: &mut [u8]) {
        read_bytes(&u64::from(self.cid.get()).to_le_bytes(), offset, data);
    }

    fn wants(&mut self, queue: usize) -> bool {
        match queue {
            RECEIVE => self.find_outgoing(),
            TRANSMIT => {
                self.waits = self.refusals.len() >= MOST_REFUSALS;
                !self.waits
            }
            _ => false,
        }
    }

    fn serve(
        &mut self,
        queue: usize,
        memory: &GuestMemoryMmap,
        chain: Chain<'_>,
    ) -> Result<u32, Misuse> {
        match queue {
            RECEIVE => self.receive(memory, chain),
            _ => self.transmit(memory, chain),
        }
    }

    fn source(&self) -> Option<Source> {
        Some(Source::Level(self.epoll.as_raw_fd()))
    }

    fn attend(&mut self) {
        self.handle_events();
    }

    fn is_due(&self, queue: usize) -> bool {
        match queue {
            RECEIVE => {
                self.outgoing.is_some()
                    || !self.refusals.is_empty()
                    || self.connections.values().any(Connection::has_something)
            }
            TRANSMIT => self.waits && self.refusals.len() < MOST_REFUSALS,
            _ => false,
        }
    }

    fn reset(&mut self) {
        // Those in front of the guest's door stay there; what it has had is gone.
        let known = |connection: &Connection| {
            !matches!(connection.state, State::Greeting(_) | State::Draining)
        };
        let gone: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| known(connection))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            self.remove(number);
        }
        self.refusals.clear();
        self.outgoing = None;
        self.outgoing_of = None;
        self.waits = false;
        // Who waits at the socket is let in by the device's own thread, when the timer comes: this one may be
        // a vCPU's, which may not accept connections.
        self.set_timer();
    }
}

#[cfg(test)]
mod tests;
