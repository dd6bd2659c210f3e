//! A terminal that hands over each key as it is, and is put back afterwards.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::{Mutex, Once, PoisonError, TryLockError};

use libc::termios;

static PANICS: Once = Once::new();

/// The terminal that is to be put back when this process panics: nothing is dropped then.
static CHANGED: Mutex<Option<(OwnedFd, termios)>> = Mutex::new(None);

/// While it lives, standard input hands over each key; there is one at most.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Changes a terminal. Output goes on to be processed, so that lines of this program stay
    /// lines.
    ///
    /// # Errors
    ///
    /// If it is no terminal, or if another one has been changed.
    pub fn enter(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        let terminal = terminal.try_clone_to_owned()?;
        let mut attributes = MaybeUninit::<termios>::uninit();
        // SAFETY: the structure has room for what `tcgetattr` writes, and is looked at only if it
        // has succeeded.
        let before = unsafe {
            if libc::tcgetattr(terminal.as_raw_fd(), attributes.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            attributes.assume_init()
        };
        let mut raw = before;
        raw.c_iflag &= !(libc::BRKINT
            | libc::ICRNL
            | libc::IGNCR
            | libc::INLCR
            | libc::INPCK
            | libc::ISTRIP
            | libc::IXON);
        raw.c_lflag &= !(libc::ECHO | libc::ECHONL | libc::ICANON | libc::IEXTEN | libc::ISIG);
        raw.c_cflag = raw.c_cflag & !(libc::CSIZE | libc::PARENB) | libc::CS8;
        raw.c_cc[libc::VMIN] = 1;
        raw.c_cc[libc::VTIME] = 0;

        PANICS.call_once(|| {
            let others = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |information| {
                restore();
                others(information);
            }));
        });
        let mut changed = CHANGED.lock().unwrap_or_else(PoisonError::into_inner);
        if changed.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        set(&terminal, &raw)?;
        *changed = Some((terminal, before));
        Ok(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back that has been changed, if one has: for a process that ends without
/// dropping anything.
pub fn put_back() {
    restore();
}

fn restore() {
    let mut changed = match CHANGED.try_lock() {
        Ok(changed) => changed,
        Err(TryLockError::Poisoned(error)) => error.into_inner(),
        // This very thread panics while it has the lock, and has changed nothing yet.
        Err(TryLockError::WouldBlock) => return,
    };
    if let Some((terminal, before)) = changed.take() {
        // Keys that were meant for the guest must not become commands of the operator's shell.
        // SAFETY: the descriptor is open; no memory is involved.
        unsafe { libc::tcflush(terminal.as_raw_fd(), libc::TCIFLUSH) };
        // Nothing can be done if the terminal has gone.
        let _ = set(&terminal, &before);
    }
}

fn set(terminal: &OwnedFd, attributes: &termios) -> io::Result<()> {
    // SAFETY: the structure is valid and only read.
    let result = unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, attributes) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::fd::{AsFd as _, FromRawFd as _};

    use super::*;

    fn attributes(terminal: &OwnedFd) -> termios {
        let mut attributes = MaybeUninit::<termios>::uninit();
        // SAFETY: as above.
        unsafe {
            assert_eq!(
                libc::tcgetattr(terminal.as_raw_fd(), attributes.as_mut_ptr()),
                0
            );
            attributes.assume_init()
        }
    }

    #[test]
    fn a_terminal_is_put_back() {
        let (mut master, mut slave) = (-1, -1);
        // SAFETY: the two numbers are written, the other arguments may be null.
        let (master, slave) = unsafe {
            let result = libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            );
            assert_eq!(result, 0);
            (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
        };
        let before = attributes(&slave);
        assert_ne!(before.c_lflag & libc::ICANON, 0);
        let raw = RawMode::enter(slave.as_fd()).unwrap();
        let during = attributes(&slave);
        assert_eq!(during.c_lflag & (libc::ICANON | libc::ECHO | libc::ISIG), 0);
        assert_eq!(during.c_oflag, before.c_oflag);
        assert!(RawMode::enter(slave.as_fd()).is_err());
        // Keys that nobody has read yet.
        File::from(master.try_clone().unwrap())
            .write_all(b"rm\n")
            .unwrap();
        let mut poll = libc::pollfd {
            fd: slave.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: the one structure is valid.
        assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 30_000) }, 1);
        drop(raw);
        let mut waiting: libc::c_int = -1;
        // SAFETY: the number is written to.
        let result = unsafe { libc::ioctl(slave.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
        assert_eq!((result, waiting), (0, 0), "keys for the guest are left");
        assert_eq!(attributes(&slave).c_lflag, before.c_lflag);
        assert_eq!(attributes(&slave).c_iflag, before.c_iflag);
    }

    #[test]
    fn a_file_is_no_terminal() {
        let file = File::open("/dev/null").unwrap();
        assert!(RawMode::enter(file.as_fd()).is_err());
    }
}
