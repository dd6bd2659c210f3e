//! The control socket: HTTP and JSON on a Unix socket, for those who run many machines.
//!
//! One thread serves all connections, each of which gets one answer and little time, so that a
//! client that is slow or means harm costs nobody else anything. Whoever may open the socket may
//! end the machine; that is for the permissions of its folder to say.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, error};

use crate::confinement::Kind;
use crate::exit::Exit;
use crate::life::{Asked, Life};
use crate::sys::socket::Peer;
use crate::sys::{socket, terminal};
use crate::worker::{Interest, Sources, Worker};

mod answers;
mod http;
mod metrics;

pub use answers::{Memory, Status, Target};

use answers::Then;
use http::Request;

/// How long a client has for its request and for reading the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at once; others wait.
const MOST_CONNECTIONS: usize = 16;
/// How long nobody is let in after that has failed.
const PAUSE: Duration = Duration::from_millis(100);

const LISTENER: u64 = 0;

/// Starts a thread that answers at a socket.
///
/// # Errors
///
/// If there are no descriptors or threads left.
pub fn serve(listener: UnixListener, life: Arc<Life>) -> io::Result<Worker> {
    serve_with(listener, life, PATIENCE)
}

fn serve_with(listener: UnixListener, life: Arc<Life>, patience: Duration) -> io::Result<Worker> {
    listener.set_nonblocking(true)?;
    Worker::start_as(Kind::Control, "control socket", move |sources| {
        Server {
            listener,
            life,
            patience,
            connections: Vec::new(),
            next: LISTENER + 1,
            listens: false,
            paused_until: None,
        }
        .run(sources);
    })
}

struct Server {
    listener: UnixListener,
    life: Arc<Life>,
    patience: Duration,
    connections: Vec<Connection>,
    /// The number of the next connection.
    next: u64,
    /// Whether connections are waited for.
    listens: bool,
    paused_until: Option<Instant>,
}

/// A client.
struct Connection {
    number: u64,
    stream: UnixStream,
    peer: Peer,
    until: Instant,
    input: Vec<u8>,
    answer: Option<Answer>,
}

/// What a client gets, and what comes then.
struct Answer {
    bytes: Vec<u8>,
    sent: usize,
    then: Then,
}

/// What came of a step with a connection.
#[derive(PartialEq, Eq, Debug)]
enum Step {
    Waits(Interest),
    Over,
}

impl Server {
    fn run(&mut self, sources: &mut Sources) {
        loop {
            self.adjust(sources);
            let until = self.connections.iter().map(|connection| connection.until);
            let until = until.chain(self.paused_until).min();
            let Some(ready) = sources.wait_until(until) else {
                return;
            };
            if ready.contains(&LISTENER) {
                self.accept(sources);
            }
            self.step(sources, &ready);
        }
    }

    /// Waits for connections if there is room for them.
    fn adjust(&mut self, sources: &mut Sources) {
        if self
            .paused_until
            .is_some_and(|until| until <= Instant::now())
        {
            self.paused_until = None;
        }
        let wants = self.connections.len() < MOST_CONNECTIONS && self.paused_until.is_none();
        if wants && !self.listens {
            match sources.add(&self.listener, LISTENER) {
                Ok(()) => self.listens = true,
                Err(error) => {
                    error!("the control socket is not heard: {error}");
                    self.paused_until = Some(Instant::now() + PAUSE);
                }
            }
        } else if !wants && self.listens {
            sources.remove(&self.listener);
            self.listens = false;
        }
    }

    fn accept(&mut self, sources: &mut Sources) {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                // For want of descriptors: it would come again at once.
                debug!("nobody is let in at the control socket: {error}");
                self.paused_until = Some(Instant::now() + PAUSE);
                return;
            }
        };
        let number = self.next;
        self.next += 1;
        let result = stream
            .set_nonblocking(true)
            .and_then(|()| sources.add(&stream, number))
            .and_then(|()| socket::peer(&stream));
        match result {
            Ok(peer) => self.connections.push(Connection {
                number,
                stream,
                peer,
                until: Instant::now() + self.patience,
                input: Vec::new(),
                answer: None,
            }),
            Err(error) => debug!("a client is turned away: {error}"),
        }
    }

    fn step(&mut self, sources: &mut Sources, ready: &[u64]) {
        let now = Instant::now();
        let mut over = Vec::new();
        for connection in &mut self.connections {
            let step = if ready.contains(&connection.number) {
                connection.step(&self.life)
            } else if connection.until <= now {
                Step::Over
            } else {
                continue;
            };
            let result = match step {
                Step::Waits(interest) => {
                    sources.change(&connection.stream, connection.number, interest)
                }
                Step::Over => Err(io::ErrorKind::BrokenPipe.into()),
            };
            if result.is_err() {
                over.push(connection.number);
            }
        }
        let (ended, left) = std::mem::take(&mut self.connections)
            .into_iter()
            .partition(|connection| over.contains(&connection.number));
        self.connections = left;
        let ended: Vec<Connection> = ended;
        for connection in ended {
            sources.remove(&connection.stream);
            match connection.end() {
                (Then::Nothing, _) => {}
                (Then::Shutdown, peer) => self.life.ask(Asked::Shutdown(peer)),
                (Then::Kill, peer) => self.kill(peer),
            }
        }
    }
}

impl Server {
    /// Ends this process. With it the kernel takes the machine down, whatever its threads do.
    fn kill(&self, peer: Peer) -> ! {
        self.life.ask(Asked::Kill(peer));
        self.life.end(Exit::Ended, None);
        terminal::put_back();
        if let Ok(address) = self.listener.local_addr()
            && let Some(path) = address.as_pathname()
        {
            // Others see that nobody listens if it stays.
            let _ = std::fs::remove_file(path);
        }
        std::process::exit(Exit::Ended as i32);
    }
}

impl Connection {
    fn step(&mut self, life: &Arc<Life>) -> Step {
        match self.advance(life) {
            Ok(step) => step,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) =>
            {
                Step::Waits(self.interest())
            }
            Err(error) => {
                debug!("a client of the control socket is gone: {error}");
                Step::Over
            }
        }
    }

    fn interest(&self) -> Interest {
        match self.answer {
            Some(_) => Interest::Write,
            None => Interest::Read,
        }
    }

    /// Reads until there is a request, and writes the answer.
    fn advance(&mut self, life: &Arc<Life>) -> io::Result<Step> {
        while self.answer.is_none() {
            let mut bytes = [0; 1024];
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Ok(Step::Over);
            }
            self.input.extend(&bytes[..count]);
            let (bytes, then) = match http::parse(&self.input) {
                Ok(None) => continue,
                Ok(Some(request)) => self.answer_to(life, &request),
                Err(refusal) => (http::refusal(refusal), Then::Nothing),
            };
            self.answer = Some(Answer {
                bytes,
                sent: 0,
                then,
            });
        }
        if let Some(answer) = &mut self.answer {
            while answer.sent < answer.bytes.len() {
                let count = self.stream.write(&answer.bytes[answer.sent..])?;
                if count == 0 {
                    return Ok(Step::Over);
                }
                answer.sent += count;
            }
        }
        Ok(Step::Over)
    }

    fn answer_to(&self, life: &Life, request: &Request) -> (Vec<u8>, Then) {
        debug!(
            "control socket: {} {} of process {}",
            request.method, request.path, self.peer.pid
        );
        let (response, then) = answers::answer(life, request, self.peer);
        (response.to_bytes(request.method == "HEAD"), then)
    }

    /// Closes the connection, and says what is to be done. Whether the client has read the answer
    /// makes no difference.
    fn end(self) -> (Then, Peer) {
        let then = self.answer.map_or(Then::Nothing, |answer| answer.then);
        (then, self.peer)
    }
}

#[cfg(test)]
mod tests;
