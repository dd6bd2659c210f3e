//! The Unix socket of a guest, where programs of the host connect.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::run_directory;
use crate::sys::socket;

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

/// A Unix socket, which goes when this is dropped. A lock beside it says that it belongs to a process
/// that is there.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    socket: UnixListener,
    lock_path: PathBuf,
    /// Last, so that nobody else has the path while the files go.
    _lock: File,
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
        let lock_path = with_suffix(path, ".lock");
        let lock = run_directory::lock(&lock_path).map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => ListenerError::Taken,
            _ => ListenerError::System(error),
        })?;
        let socket = match make_room(path).and_then(|()| Ok(socket::listen(path)?)) {
            Ok(socket) => socket,
            Err(error) => {
                // The socket is somebody else's, the lock is not.
                let _ = fs::remove_file(&lock_path);
                return Err(error);
            }
        };
        let listener = Self {
            path: path.to_owned(),
            socket,
            lock_path,
            _lock: lock,
        };
        listener.socket.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Lets somebody in; `WouldBlock` if nobody waits.
    pub(super) fn accept(&self) -> io::Result<UnixStream> {
        self.socket.accept().map(|(stream, _)| stream)
    }

    /// Where a program of the host listens for the guest at this port.
    pub(super) fn path_of(&self, port: u32) -> PathBuf {
        with_suffix(&self.path, &format!("_{port}"))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(suffix);
    path.into()
}

/// Takes away a socket at which nobody listens. Other machines are kept out by the lock; whoever
/// listens here may be another program.
fn make_room(path: &Path) -> Result<(), ListenerError> {
    match UnixStream::connect(path) {
        Ok(_) => Err(ListenerError::Taken),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            // Connecting to a file that is no socket is refused, too.
            let kind = fs::symlink_metadata(path)?.file_type();
            if !kind.is_socket() {
                return Err(ListenerError::NoSocket);
            }
            Ok(fs::remove_file(path)?)
        }
        Err(error) => Err(error.into()),
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Whoever connects sees that nobody listens if it stays.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.lock_path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of it once nobody has the path: a process that another test starts has copies of
    /// what is open, until it is another program.
    fn settled(path: &Path) -> Result<Listener, ListenerError> {
        let begin = std::time::Instant::now();
        loop {
            match Listener::new(path) {
                Err(ListenerError::Taken) if begin.elapsed().as_secs() < 30 => {}
                result => return result,
            }
        }
    }

    #[test]
    fn a_socket_is_one_machines_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guest");
        let listener = Listener::new(&path).unwrap();
        assert_eq!(listener.path_of(80), folder.path().join("guest_80"));
        UnixStream::connect(&path).unwrap();
        let error = Listener::new(&path).unwrap_err();
        assert!(matches!(error, ListenerError::Taken), "{error}");
        drop(listener);
        assert!(!path.exists());
        // One that was left behind, and something else.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(settled(&path).unwrap());
        fs::write(&path, "text").unwrap();
        let error = settled(&path).unwrap_err();
        assert!(matches!(error, ListenerError::NoSocket), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"text");
        let long = folder.path().join("x".repeat(100));
        let error = Listener::new(&long).unwrap_err();
        assert!(matches!(error, ListenerError::TooLong), "{error}");
    }

    #[test]
    fn many_take_and_leave_a_path_and_never_two_have_it() {
        use std::sync::atomic::{AtomicU32, Ordering};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guest");
        let (here, had) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Ok(listener) = Listener::new(&path) {
                            assert_eq!(here.fetch_add(1, Ordering::SeqCst), 0);
                            had.fetch_add(1, Ordering::SeqCst);
                            let stream = UnixStream::connect(&path).unwrap();
                            listener.accept().unwrap();
                            drop(stream);
                            here.fetch_sub(1, Ordering::SeqCst);
                            drop(listener);
                            // Somebody leaves a socket behind.
                            drop(UnixListener::bind(&path));
                        }
                    }
                });
            }
        });
        assert!(had.load(Ordering::SeqCst) > 4);
        drop(settled(&path).unwrap());
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 0, "nothing stays");
    }
}
