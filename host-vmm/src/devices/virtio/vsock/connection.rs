//! One stream between a program of the guest and one of the host.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use vmm_sys_util::epoll::EventSet;
use zerocopy::FromZeros as _;
use zerocopy::little_endian::{U32, U64};

use super::packet::{HOST_CID, Header, Operation, RECEIVES_NO_MORE, SENDS_NO_MORE, STREAM};
use crate::configuration::GuestCid;

/// Bytes of the guest that the host has not taken yet. The guest is told, and sends no more.
pub(super) const ROOM: u32 = 128 << 10;
/// What a program of the host says first is not longer.
const MOST_LINE_BYTES: usize = 32;

/// A stream.
#[derive(Debug)]
// Facts that have nothing to do with each other.
#[allow(clippy::struct_excessive_bools)]
pub(super) struct Connection {
    pub(super) stream: UnixStream,
    pub(super) state: State,
    pub(super) host_port: u32,
    pub(super) guest_port: u32,
    /// When it is over if nothing has come.
    pub(super) until: Option<Instant>,
    /// The host's end is gone.
    pub(super) hung_up: bool,
    /// The guest is to be told that this is over.
    pub(super) reset: bool,
    /// There may be something to read of the host.
    readable: bool,
    /// The host may take something.
    writable: bool,
    /// A request or a response for the guest.
    opening: Option<Operation>,
    /// Of the host nothing more comes.
    ended: bool,
    /// The host takes nothing any more.
    deaf: bool,
    /// What the guest has been told of these two.
    told_shutdown: u32,
    /// What the guest receives and sends no more.
    guest_shutdown: u32,
    /// What the guest has sent, and the host has not taken.
    content: VecDeque<u8>,
    /// How much it has taken, in all and modulo 2³².
    forwarded: u32,
    /// What the guest knows of that.
    told_forwarded: u32,
    /// The guest wants to know.
    asked: bool,
    /// What the guest has been sent, in all and modulo 2³², what it has room for, and how much has
    /// left that again.
    sent: u32,
    guest_room: u32,
    guest_forwarded: u32,
    /// The guest has been asked for room.
    asks: bool,
}

/// How far a stream has come.
#[derive(Debug)]
pub(super) enum State {
    /// A program of the host has not said yet what it wants.
    Greeting(Vec<u8>),
    /// The guest has not answered yet.
    Requested,
    /// It is there.
    Open,
    /// The guest has no part in it any more, the host has not taken everything yet.
    Draining,
}

/// What comes of a packet of the guest.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It goes on.
    Stays,
    /// The guest is done, and wants to hear that.
    Parted,
    /// The guest has ended it.
    Over,
    /// The guest has done what it must not.
    Broken,
}

/// A packet for the guest, with so many bytes behind it.
pub(super) struct Next {
    pub(super) header: Header,
    pub(super) bytes: usize,
}

/// Reads what a program of the host wants, and nothing of what follows: a port, as soon as it is
/// there.
pub(super) fn greet(mut stream: &UnixStream, line: &mut Vec<u8>) -> io::Result<Option<u32>> {
    let wrong = || io::Error::other("it does not say CONNECT and a port");
    loop {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() < MOST_LINE_BYTES => line.extend(byte),
            Ok(_) => return Err(wrong()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let port = std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.strip_prefix("CONNECT "))
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok());
    port.map(Some).ok_or_else(wrong)
}

/// Bytes as both ends count them: modulo 2³². There are never so many at once.
fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl Connection {
    pub(super) fn new(stream: UnixStream, state: State) -> Self {
        Self {
            stream,
            state,
            host_port: 0,
            guest_port: 0,
            until: None,
            hung_up: false,
            reset: false,
            readable: true,
            writable: true,
            opening: None,
            ended: false,
            deaf: false,
            told_shutdown: 0,
            guest_shutdown: 0,
            content: VecDeque::new(),
            forwarded: 0,
            told_forwarded: 0,
            asked: false,
            sent: 0,
            guest_room: 0,
            guest_forwarded: 0,
            asks: false,
        }
    }

    /// A program of the host wants to connect to the guest.
    pub(super) fn request(&mut self, host_port: u32, guest_port: u32) {
        (self.host_port, self.guest_port) = (host_port, guest_port);
        self.state = State::Requested;
        self.opening = Some(Operation::Request);
    }

    /// A program of the guest has connected to the host.
    pub(super) fn accept(&mut self, host_port: u32, guest_port: u32, header: &Header) {
        (self.host_port, self.guest_port) = (host_port, guest_port);
        self.opening = Some(Operation::Response);
        self.note_credit(header);
    }

    /// It has not come about, or the host takes nothing of what is left of it. Returns whether the guest
    /// knows nothing of it and need not.
    pub(super) fn give_up(&mut self) -> bool {
        self.until = None;
        self.reset = true;
        // The program of the host sees it, whenever the guest does.
        let _ = self.stream.shutdown(Shutdown::Both);
        match self.state {
            State::Greeting(_) | State::Draining => true,
            State::Requested => self.opening.is_some(),
            State::Open => false,
        }
    }

    /// Something has happened at the host's end.
    pub(super) fn hear(&mut self, events: EventSet) {
        let gone = EventSet::HANG_UP | EventSet::ERROR;
        self.hung_up |= events.intersects(gone);
        self.readable |= events.intersects(gone | EventSet::IN | EventSet::READ_HANG_UP);
        self.writable |= events.intersects(gone | EventSet::OUT);
    }

    /// Bytes of the guest that the host has not taken.
    pub(super) fn waiting(&self) -> usize {
        self.content.len()
    }

    /// Nothing of the guest is left that the host has not taken.
    pub(super) fn is_drained(&self) -> bool {
        self.content.is_empty()
    }

    fn note_credit(&mut self, header: &Header) {
        self.guest_room = header.room.get();
        self.guest_forwarded = header.forwarded.get();
        // Whoever has no room is not asked again: he says so himself when he has some.
        self.asks &= self.credit() == 0;
    }

    /// How much the guest takes now.
    fn credit(&self) -> usize {
        let on_the_way = self.sent.wrapping_sub(self.guest_forwarded);
        self.guest_room.saturating_sub(on_the_way) as usize
    }

    /// A packet of the guest.
    pub(super) fn take(&mut self, header: &Header, content: &[u8]) -> Taken {
        self.note_credit(header);
        let is_open = matches!(self.state, State::Open);
        match header.operation() {
            Some(Operation::Reset) => return Taken::Over,
            Some(Operation::Response) if matches!(self.state, State::Requested) => {
                self.state = State::Open;
                self.until = None;
                self.opening = None;
                let line = format!("OK {}\n", self.host_port);
                // Nothing has been written before, so there is room for all of it.
                match (&self.stream).write(line.as_bytes()) {
                    Ok(count) if count == line.len() => {}
                    _ => return Taken::Broken,
                }
            }
            Some(Operation::Data) if is_open => return self.take_content(content),
            Some(Operation::Shutdown) if is_open => {
                self.guest_shutdown |= header.flags.get() & (RECEIVES_NO_MORE | SENDS_NO_MORE);
                if self.guest_shutdown == RECEIVES_NO_MORE | SENDS_NO_MORE {
                    self.flush();
                    return Taken::Parted;
                }
            }
            Some(Operation::CreditUpdate) if is_open => {}
            Some(Operation::CreditRequest) if is_open => self.asked = true,
            _ => return Taken::Broken,
        }
        Taken::Stays
    }

    fn take_content(&mut self, content: &[u8]) -> Taken {
        if self.guest_shutdown & SENDS_NO_MORE != 0 {
            return Taken::Broken;
        }
        if self.deaf {
            self.forward(content.len());
            return Taken::Stays;
        }
        if self.content.len() + content.len() > ROOM as usize {
            return Taken::Broken;
        }
        self.content.extend(content);
        Taken::Stays
    }

    fn forward(&mut self, bytes: usize) {
        self.forwarded = self.forwarded.wrapping_add(count(bytes));
    }

    /// Hands the host what it takes.
    pub(super) fn flush(&mut self) {
        while self.writable && !self.content.is_empty() {
            match (&self.stream).write(self.content.as_slices().0) {
                Ok(count) => {
                    self.content.drain(..count);
                    self.forward(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(_) => {
                    self.deaf = true;
                    let bytes = self.content.len();
                    self.content.clear();
                    self.forward(bytes);
                }
            }
        }
        if self.content.is_empty() {
            // What was needed once may never be again.
            self.content.shrink_to(0);
            if self.guest_shutdown & SENDS_NO_MORE != 0 {
                // Fails if the host's end is gone.
                let _ = self.stream.shutdown(Shutdown::Write);
            }
        }
    }

    /// Whether the host may have something that the guest takes.
    fn may_read(&self) -> bool {
        self.readable && !self.ended && self.guest_shutdown & RECEIVES_NO_MORE == 0
    }

    /// What the guest has to be told of what the host does no more.
    fn shutdown(&self) -> u32 {
        let deaf = if self.deaf || (self.ended && self.hung_up) {
            RECEIVES_NO_MORE
        } else {
            0
        };
        deaf | if self.ended { SENDS_NO_MORE } else { 0 }
    }

    /// Whether the guest has to be told how much the host has taken: it might wait for it.
    fn owes_credit(&self) -> bool {
        let untold = self.forwarded.wrapping_sub(self.told_forwarded);
        self.asked || untold >= ROOM / 2
    }

    /// Whether there may be a packet for the guest.
    pub(super) fn has_something(&self) -> bool {
        match self.state {
            State::Greeting(_) | State::Draining => false,
            State::Requested => self.reset || self.opening.is_some(),
            State::Open => {
                self.reset
                    || self.opening.is_some()
                    || (self.may_read() && (self.credit() > 0 || !self.asks))
                    || self.shutdown() != self.told_shutdown
                    || self.owes_credit()
            }
        }
    }

    /// The next packet for the guest, if there is one.
    pub(super) fn next(&mut self, cid: GuestCid, content: &mut [u8]) -> Option<Next> {
        if !self.has_something() {
            return None;
        }
        let (operation, bytes) = self.next_operation(content)?;
        let mut header = Header::new_zeroed();
        header.source_cid = HOST_CID;
        header.destination_cid = U64::new(cid.get().into());
        header.source_port = U32::new(self.host_port);
        header.destination_port = U32::new(self.guest_port);
        header.kind = STREAM;
        header.operation = operation.into();
        header.set_length(bytes);
        if operation == Operation::Shutdown {
            header.flags = U32::new(self.told_shutdown);
        }
        header.room = U32::new(ROOM);
        header.forwarded = U32::new(self.forwarded);
        self.told_forwarded = self.forwarded;
        self.asked = false;
        Some(Next { header, bytes })
    }

    fn next_operation(&mut self, content: &mut [u8]) -> Option<(Operation, usize)> {
        if self.reset {
            // A guest that does not know of it yet need not.
            self.opening = None;
            return Some((Operation::Reset, 0));
        }
        if let Some(opening) = self.opening.take() {
            return Some((opening, 0));
        }
        let credit = self.credit().min(content.len());
        while self.may_read() && credit > 0 {
            match (&self.stream).read(&mut content[..credit]) {
                Ok(0) => self.ended = true,
                Ok(bytes) => {
                    self.sent = self.sent.wrapping_add(count(bytes));
                    return Some((Operation::Data, bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                // What was there is lost.
                Err(_) => (self.ended, self.deaf) = (true, true),
            }
        }
        if self.may_read() && !self.asks {
            self.asks = true;
            return Some((Operation::CreditRequest, 0));
        }
        let shutdown = self.shutdown();
        if shutdown != self.told_shutdown {
            self.told_shutdown = shutdown;
            return Some((Operation::Shutdown, 0));
        }
        self.owes_credit().then_some((Operation::CreditUpdate, 0))
    }
}
