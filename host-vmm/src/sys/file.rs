//! How files are accessed: with or without waiting, through the page cache or past it.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;

/// Has reads and writes wait again, of a file that was opened with `O_NONBLOCK`.
///
/// # Errors
///
/// If the kernel refuses.
pub fn set_blocking(file: &File) -> io::Result<()> {
    change_flags(file, |flags| flags & !libc::O_NONBLOCK)
}

/// Has reads and writes wait, and go past the page cache. Returns in which units they have to be, if
/// the kernel knows: where they begin in the file, and how long they are. In memory they have to
/// begin at no larger ones.
///
/// # Errors
///
/// If the file's storage cannot be accessed like that, or if the kernel refuses.
pub fn set_direct(file: &File) -> io::Result<Option<u32>> {
    const NONE: &str = "no direct access: the file system has none";
    change_flags(file, |flags| flags & !libc::O_NONBLOCK | libc::O_DIRECT).map_err(|error| {
        match error.raw_os_error() {
            Some(libc::EINVAL) => io::Error::other(NONE),
            _ => error,
        }
    })?;
    let mut about = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the kernel writes a structure of this type, which outlives the call; it is made of
    // numbers and was zeroed, so it is initialised whatever the kernel writes. The path is empty and
    // ends with a zero.
    let about = unsafe {
        let result = libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_DIOALIGN,
            about.as_mut_ptr(),
        );
        if result != 0 {
            return Ok(None);
        }
        about.assume_init()
    };
    if about.stx_mask & libc::STATX_DIOALIGN == 0 {
        return Ok(None);
    }
    match about.stx_dio_offset_align.max(about.stx_dio_mem_align) {
        0 => Err(io::Error::other(NONE)),
        unit => Ok(Some(unit.max(512))),
    }
}

fn change_flags(file: &File, change: impl FnOnce(i32) -> i32) -> io::Result<()> {
    let descriptor = file.as_raw_fd();
    // SAFETY: the descriptor is open for as long as `file` is borrowed; flags are numbers.
    let result = unsafe {
        match libc::fcntl(descriptor, libc::F_GETFL) {
            flags if flags < 0 => flags,
            flags => libc::fcntl(descriptor, libc::F_SETFL, change(flags)),
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
