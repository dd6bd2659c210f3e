//! Unix sockets: what they know of their other end, making them for one user, and connecting without
//! waiting.

use std::fs::{File, Permissions};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use libc::c_int;
use serde::Serialize;

/// The process at the other end of a Unix socket.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
pub struct Peer {
    /// Its number.
    #[serde(rename = "peer-pid")]
    pub pid: i32,
    /// Its user.
    #[serde(rename = "peer-uid")]
    pub uid: u32,
}

/// Clients that wait to be let in.
const WAITING: c_int = 128;

/// The process that has connected.
///
/// # Errors
///
/// The kernel's.
pub fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let mut credentials = MaybeUninit::<libc::ucred>::zeroed();
    let mut size = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(io::Error::other)?;
    // SAFETY: the buffer has `size` bytes, to which the kernel writes; it is a structure of numbers
    // that was zeroed, so it is initialised however many of them the kernel has written.
    let credentials = unsafe {
        let result = libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            credentials.as_mut_ptr().cast(),
            &raw mut size,
        );
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        credentials.assume_init()
    };
    Ok(Peer {
        pid: credentials.pid,
        uid: credentials.uid,
    })
}

/// The address that a path is.
fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    // SAFETY: a structure of numbers, all of which may be zero.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).map_err(io::Error::other)?;
    let path = path.as_os_str().as_bytes();
    // A zero ends it.
    if path.len() >= address.sun_path.len() || path.contains(&0) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    for (place, byte) in address.sun_path.iter_mut().zip(path) {
        *place = libc::c_char::from_ne_bytes([*byte]);
    }
    Ok(address)
}

fn make(flags: c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags;
    // SAFETY: arguments and result are numbers.
    let descriptor = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Connects if nobody has to wait for that. Reads and writes do not wait either.
///
/// # Errors
///
/// `WouldBlock` if the other end has not looked at others before, and the kernel's.
pub fn connect_at_once(path: &Path) -> io::Result<UnixStream> {
    let (socket, address) = (make(libc::SOCK_NONBLOCK)?, address(path)?);
    let size = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `size` bytes of a structure that outlives the call.
    let result = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), size) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket.into())
}

/// Makes a socket at a path, for this user alone from the beginning, and listens there.
///
/// # Errors
///
/// `AddrInUse` if there is something at that path, and the kernel's.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = bind(path)?;
    // SAFETY: no memory is involved.
    if unsafe { libc::listen(socket.as_raw_fd(), WAITING) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket.into())
}

/// A socket at a path at which nobody listens yet.
fn bind(path: &Path) -> io::Result<OwnedFd> {
    let (socket, address) = (File::from(make(0)?), address(path)?);
    // A file that is made for a socket has the mode that the socket has, less the process's mask.
    socket.set_permissions(Permissions::from_mode(0o600))?;
    let size = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `size` bytes of a structure that outlives the call.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn connecting_does_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut stream = connect_at_once(&path).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        listener.accept().unwrap().0.write_all(b"x").unwrap();
        assert_eq!(stream.read(&mut [0; 2]).unwrap(), 1);
        // Nobody looks at these.
        let mut waiting = Vec::new();
        let error = loop {
            match connect_at_once(&path) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(listener);
        let kind = |path: &Path| connect_at_once(path).unwrap_err().kind();
        // A process that another test starts has a copy of the listener, until it is another program.
        let begin = std::time::Instant::now();
        while kind(&path) == io::ErrorKind::WouldBlock && begin.elapsed().as_secs() < 30 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(kind(&path), io::ErrorKind::ConnectionRefused);
        assert_eq!(kind(&folder.path().join("absent")), io::ErrorKind::NotFound);
        let long = folder.path().join("x".repeat(108));
        assert_eq!(kind(&long), io::ErrorKind::InvalidFilename);
    }

    #[test]
    fn a_socket_is_its_users_before_anybody_can_connect() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let bound = bind(&path).unwrap();
        assert_eq!(mode(), 0o600);
        drop(bound);
        let error = listen(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        std::fs::remove_file(&path).unwrap();
        let listener = listen(&path).unwrap();
        assert_eq!(mode(), 0o600);
        let mut stream = UnixStream::connect(&path).unwrap();
        listener.accept().unwrap().0.write_all(b"x").unwrap();
        assert_eq!(stream.read(&mut [0; 2]).unwrap(), 1);
    }

    #[test]
    fn the_other_end_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = peer(&one).unwrap();
        assert_eq!(u32::try_from(peer.pid).unwrap(), std::process::id());
        // SAFETY: no arguments, no errors.
        assert_eq!(peer.uid, unsafe { libc::getuid() });
    }
}
