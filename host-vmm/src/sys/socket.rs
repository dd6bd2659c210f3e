//! What Unix sockets know of their other end.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;

use crate::life::Peer;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = peer(&one).unwrap();
        assert_eq!(u32::try_from(peer.pid).unwrap(), std::process::id());
        // SAFETY: no arguments, no errors.
        assert_eq!(peer.uid, unsafe { libc::getuid() });
    }
}
