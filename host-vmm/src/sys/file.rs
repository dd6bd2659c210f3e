//! Files that were opened without waiting.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// Has reads and writes wait again, of a file that was opened with `O_NONBLOCK`.
///
/// # Errors
///
/// If the kernel refuses.
pub fn set_blocking(file: &File) -> io::Result<()> {
    let descriptor = file.as_raw_fd();
    // SAFETY: the descriptor is open for as long as `file` is borrowed; flags are numbers.
    let result = unsafe {
        match libc::fcntl(descriptor, libc::F_GETFL) {
            flags if flags < 0 => flags,
            flags => libc::fcntl(descriptor, libc::F_SETFL, flags & !libc::O_NONBLOCK),
        }
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;

    /// Makes a named pipe.
    pub(crate) fn make_pipe(path: &Path) {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the path ends with a zero.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    }
}
