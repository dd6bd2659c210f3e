//! Requests to control sockets of machines.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use crate::configuration::MemorySize;
use crate::control_socket::{Status, Target};
use crate::life::Moving;

/// How long a machine has for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const MOST_BYTES: u64 = 1 << 20;
const MOST_HEADERS: usize = 32;

/// Why there is no answer.
#[derive(Error, Debug)]
pub enum ClientError {
    /// There is no such machine any more.
    #[error("no machine is there")]
    Gone,
    /// The socket is not for this user.
    #[error("no permission: run as the user of the machine, or as root")]
    Permission,
    /// It is there and does not answer.
    #[error("no answer: {0}")]
    Silent(io::Error),
    /// Something else is at the other end.
    #[error("not an answer of host-vmm")]
    Malformed,
    /// The machine says why not.
    #[error("{0}")]
    Told(String),
    /// The machine says no.
    #[error("it says {0}")]
    Refused(u16),
}

/// Asks a machine, and gives the answer's status and content.
///
/// # Errors
///
/// If there is no answer.
pub fn request(
    socket: &Path,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String), ClientError> {
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::Gone,
        io::ErrorKind::PermissionDenied => ClientError::Permission,
        _ => ClientError::Silent(error),
    })?;
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: machine\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut bytes = Vec::new();
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .and_then(|()| stream.write_all(text.as_bytes()))
        .and_then(|()| stream.take(MOST_BYTES).read_to_end(&mut bytes))
        .map_err(|error| match error.kind() {
            // It has ended meanwhile.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ClientError::Gone,
            _ => ClientError::Silent(error),
        })?;
    if bytes.is_empty() {
        return Err(ClientError::Gone);
    }
    parse(&bytes).ok_or(ClientError::Malformed)
}

fn parse(bytes: &[u8]) -> Option<(u16, String)> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).ok()? else {
        return None;
    };
    let body = bytes.get(head..)?;
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))?;
    let length: usize = std::str::from_utf8(length.value).ok()?.parse().ok()?;
    // What has been cut off is no answer.
    let body = (body.len() == length).then(|| body.to_vec())?;
    Some((response.code?, String::from_utf8(body).ok()?))
}

/// What a machine says of itself.
///
/// # Errors
///
/// If there is no answer.
pub fn status(socket: &Path) -> Result<Status, ClientError> {
    match request(socket, "GET", "/status", "")? {
        (200, body) => serde_json::from_str(&body).map_err(|_| ClientError::Malformed),
        (code, _) => Err(ClientError::Refused(code)),
    }
}

/// Tells a machine something.
///
/// # Errors
///
/// If there is no answer, or not the one that it does it.
pub fn tell(socket: &Path, path: &str) -> Result<(), ClientError> {
    match request(socket, "POST", path, "")? {
        (202, _) => Ok(()),
        (code, _) => Err(ClientError::Refused(code)),
    }
}

/// What an answer says of an error.
#[derive(serde::Deserialize)]
struct Complaint {
    error: String,
}

/// Tells a machine how much memory its guest shall have.
///
/// # Errors
///
/// If there is no answer, or not the one that it does it.
pub fn move_memory(socket: &Path, target: MemorySize) -> Result<Moving, ClientError> {
    let target_mib = target.bytes() >> 20;
    // A number can be written as JSON.
    let body = serde_json::to_string(&Target { target_mib }).unwrap_or_default();
    match request(socket, "PUT", "/memory", &body)? {
        (202, body) => serde_json::from_str(&body).map_err(|_| ClientError::Malformed),
        (400 | 409, body) => match serde_json::from_str::<Complaint>(&body) {
            Ok(complaint) => Err(ClientError::Told(complaint.error)),
            Err(_) => Err(ClientError::Malformed),
        },
        (code, _) => Err(ClientError::Refused(code)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let text = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(parse(text.as_bytes()), Some((200, "hi".into())));
        for text in [
            "",
            "HTTP/1.1 200 OK\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nhi",
            "SSH-2.0-something\r\n",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn who_is_not_there_and_who_is_somebody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(matches!(status(&path), Err(ClientError::Gone)));
        let listener = UnixListener::bind(&path).unwrap();
        let other = std::thread::spawn(move || {
            for answer in [
                &b""[..],
                b"HTTP/1.0 500 Oh\r\ncontent-length: 0\r\n\r\n",
                b"no",
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = [0; 1024];
                let _ = stream.read(&mut bytes).unwrap();
                stream.write_all(answer).unwrap();
            }
        });
        assert!(matches!(status(&path), Err(ClientError::Gone)));
        assert!(matches!(status(&path), Err(ClientError::Refused(500))));
        assert!(matches!(tell(&path, "/kill"), Err(ClientError::Malformed)));
        other.join().unwrap();
        assert!(matches!(status(&path), Err(ClientError::Gone)));
    }
}
