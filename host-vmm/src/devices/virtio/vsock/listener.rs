//! The Unix socket of a guest, where programs of the host connect.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What the path of a Unix socket can have.
const MOST_PATH_BYTES: usize = 107;
/// What is put behind it for ports of the host: `_4294967295`.
const MOST_SUFFIX_BYTES: usize = 11;

/// Why a guest has no socket.
#[derive(Error, Debug)]
pub enum ListenerError {
    /// Ports do not fit behind it.
    #[error("the path is too long: {} bytes at most", MOST_PATH_BYTES - MOST_SUFFIX_BYTES)]
    TooLong,
    /// Somebody else listens there.
    #[error("another process listens there")]
    Taken,
    /// Something else is there.
    #[error("there is something else than a socket")]
    NoSocket,
    /// It cannot be made.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A Unix socket, which goes when this is dropped.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    listener: UnixListener,
}

impl Listener {
    /// Makes the socket, for this user alone. One that was left behind is replaced.
    ///
    /// # Errors
    ///
    /// If there is something else, or if it cannot be made.
    pub fn new(path: &Path) -> Result<Self, ListenerError> {
        if path.as_os_str().as_bytes().len() > MOST_PATH_BYTES - MOST_SUFFIX_BYTES {
            return Err(ListenerError::TooLong);
        }
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                make_room(path)?;
                UnixListener::bind(path)?
            }
            result => result?,
        };
        let listener = Self {
            path: path.to_owned(),
            listener,
        };
        listener.listener.set_nonblocking(true)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// Lets somebody in; `WouldBlock` if nobody waits.
    pub(super) fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().map(|(stream, _)| stream)
    }

    /// Where a program of the host listens for the guest at this port.
    pub(super) fn path_of(&self, port: u32) -> PathBuf {
        let mut path = OsString::from(&self.path);
        path.push(format!("_{port}"));
        path.into()
    }
}

/// Takes away a socket at which nobody listens.
fn make_room(path: &Path) -> Result<(), ListenerError> {
    match UnixStream::connect(path) {
        Ok(_) => Err(ListenerError::Taken),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            // Connecting to a file that is no socket is refused, too.
            let kind = fs::symlink_metadata(path)?.file_type();
            if !std::os::unix::fs::FileTypeExt::is_socket(&kind) {
                return Err(ListenerError::NoSocket);
            }
            Ok(fs::remove_file(path)?)
        }
        Err(error) => Err(error.into()),
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.listener.as_raw_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Whoever connects sees that nobody listens if it stays.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_one_machines_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guest");
        let listener = Listener::new(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(listener.path_of(80), folder.path().join("guest_80"));
        UnixStream::connect(&path).unwrap();
        let error = Listener::new(&path).unwrap_err();
        assert!(matches!(error, ListenerError::Taken), "{error}");
        drop(listener);
        assert!(!path.exists());
        // One that was left behind, and something else.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Listener::new(&path).unwrap());
        fs::write(&path, "text").unwrap();
        let error = Listener::new(&path).unwrap_err();
        assert!(matches!(error, ListenerError::NoSocket), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"text");
        let long = folder.path().join("x".repeat(100));
        let error = Listener::new(&long).unwrap_err();
        assert!(matches!(error, ListenerError::TooLong), "{error}");
    }
}
