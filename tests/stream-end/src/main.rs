//! One end of a stream between host and guest: standard input goes into it, and what comes out of
//! it goes to standard output, until both have ended.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::thread;

use vsock::{VMADDR_CID_ANY, VMADDR_CID_HOST, VsockListener, VsockStream};

const USAGE: &str = "usage: stream-end END

  vsock:PORT           connects to a port of the host, in a guest
  vsock-listen:PORT    waits for one connection to a port of the guest, in a guest
  unix:PATH            connects to a Unix socket
  unix-listen:PATH     waits for one connection at a Unix socket
  guest:PORT:PATH      connects to a port of the guest, by the socket that its VMM was given

Example: stream-end guest:7000:/run/guest.vsock <question >answer";

/// A stream whose directions end by themselves.
trait Stream: Send + Sized + 'static {
    fn copy(&self) -> io::Result<Self>;
    fn finish(&self) -> io::Result<()>;
}

impl Stream for VsockStream {
    fn copy(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for UnixStream {
    fn copy(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

fn main() -> ExitCode {
    let end = std::env::args().nth(1);
    match run(end.as_deref().unwrap_or_default()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("stream-end: {error}");
            ExitCode::from(1)
        }
    }
}

/// Whether the argument was understood.
fn run(end: &str) -> io::Result<bool> {
    let Some((kind, place)) = end.split_once(':') else {
        return Ok(false);
    };
    let number = place.parse::<u32>().ok();
    match (kind, number) {
        ("vsock", Some(port)) => {
            exchange(&VsockStream::connect_with_cid_port(VMADDR_CID_HOST, port)?)?;
        }
        ("vsock-listen", Some(port)) => {
            let listener = VsockListener::bind_with_cid_port(VMADDR_CID_ANY, port)?;
            exchange(&listener.accept()?.0)?;
        }
        ("unix", _) => exchange(&UnixStream::connect(place)?)?,
        ("unix-listen", _) => exchange(&UnixListener::bind(place)?.accept()?.0)?,
        ("guest", _) => {
            let Some((port, path)) = place.split_once(':') else {
                return Ok(false);
            };
            exchange(&reach(port, path)?)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Connects to a port of the guest.
fn reach(port: &str, path: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    writeln!(stream, "CONNECT {port}")?;
    let mut line = Vec::new();
    // Nothing behind the line is this program's.
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        line.extend(byte);
    }
    if line.starts_with(b"OK ") {
        Ok(stream)
    } else {
        Err(io::Error::other("the guest is not reached"))
    }
}

fn exchange<S: Stream>(stream: &S) -> io::Result<()>
where
    for<'a> &'a S: Read + Write,
{
    let sender = stream.copy()?;
    let sending = thread::spawn(move || {
        io::copy(&mut io::stdin(), &mut &sender)?;
        sender.finish()
    });
    let mut receiver = stream;
    io::copy(&mut receiver, &mut io::stdout())?;
    io::stdout().flush()?;
    let sent = sending.join();
    sent.map_err(|_| io::Error::other("the sender has failed"))?
}
