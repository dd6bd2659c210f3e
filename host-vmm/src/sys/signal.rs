//! Signals: those that end this process in an orderly way, and the one that calls a thread out of
//! the kernel.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::{LazyLock, Mutex, OnceLock};
use std::thread::{self, JoinHandle, ThreadId};

use libc::{c_int, c_void, pid_t, siginfo_t, sigset_t};
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

use crate::devices::lock;

/// Signals by which somebody wants this process to end.
const ENDING: [c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

extern "C" fn nothing(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}

/// Sees to it that [`interrupt`] works: later this process may set no handlers. False if the kernel
/// refuses.
pub fn prepare() -> bool {
    static HANDLER: OnceLock<bool> = OnceLock::new();
    *HANDLER.get_or_init(|| register_signal_handler(SIGRTMIN(), nothing).is_ok())
}

/// The kernel's numbers of the threads that can be interrupted.
static NUMBERS: LazyLock<Mutex<HashMap<ThreadId, pid_t>>> = LazyLock::new(Mutex::default);

/// Takes a thread's number out when it ends.
struct Announced(ThreadId);

impl Drop for Announced {
    fn drop(&mut self) {
        lock(&NUMBERS).remove(&self.0);
    }
}

thread_local! {
    static HERE: Announced = {
        let id = thread::current().id();
        // SAFETY: takes nothing and gives a number.
        lock(&NUMBERS).insert(id, unsafe { libc::gettid() });
        Announced(id)
    };
}

/// The calling thread can be interrupted from now on.
pub fn announce() {
    HERE.with(|_| {});
}

/// Interrupts the system call that a thread is in, if it is in one and has said that this may be. A
/// thread that has not come that far has to be interrupted again.
pub fn interrupt<T>(thread: &JoinHandle<T>) {
    // Without a handler the signal would end the process.
    if !prepare() {
        return;
    }
    let numbers = lock(&NUMBERS);
    if let Some(&number) = numbers.get(&thread.thread().id()) {
        // With the process's number, without which it could be a thread of any other.
        let process = std::process::id();
        // SAFETY: arguments and result are numbers. The thread is still there, or another one of this
        // process has its number and is interrupted, which does nothing to it. It fails when there is
        // none, and then there is nothing to interrupt.
        let _ = unsafe { libc::syscall(libc::SYS_tgkill, process, number, SIGRTMIN()) };
    }
}

/// Does something, such as to start a thread, while this thread takes no signals at all. A thread
/// that it starts takes none ever.
pub fn held_back<T>(action: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<sigset_t>::uninit();
    let mut before = MaybeUninit::<sigset_t>::uninit();
    // SAFETY: `sigfillset` fills the set that it gets; `pthread_sigmask` reads that one and fills
    // `before`, and it cannot fail with `SIG_SETMASK`.
    let before = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    };
    let result = action();
    // SAFETY: the set is the one that `pthread_sigmask` filled.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    result
}

/// Signals to end, as something that can be read. While this lives they do not end the process;
/// it is made before other threads are, which take over what is blocked.
#[derive(Debug)]
pub struct Endings {
    descriptor: OwnedFd,
    before: sigset_t,
}

impl Endings {
    /// Holds the signals back from now on.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let mut set = MaybeUninit::<sigset_t>::uninit();
        // SAFETY: `sigemptyset` fills the set that it gets, so it is initialised afterwards;
        // `sigaddset` writes to that set and gets valid signal numbers.
        let set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            let mut set = set.assume_init();
            for signal in ENDING {
                libc::sigaddset(&raw mut set, signal);
            }
            set
        };
        // SAFETY: the set is valid, −1 asks for a new descriptor, which is checked and then owned
        // by nobody else.
        let descriptor = unsafe {
            let number = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if number < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(number)
        };
        let mut before = MaybeUninit::<sigset_t>::uninit();
        // SAFETY: both sets are valid for the call, which fills `before` when it succeeds, and it
        // cannot fail with `SIG_BLOCK`.
        let before = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, before.as_mut_ptr());
            before.assume_init()
        };
        Ok(Self { descriptor, before })
    }

    /// The number of the signal that came, if one did.
    pub fn take(&self) -> Option<u32> {
        let mut information = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer has `size` bytes; it is looked at only if the kernel has filled it.
        unsafe {
            let count = libc::read(
                self.descriptor.as_raw_fd(),
                information.as_mut_ptr().cast(),
                size,
            );
            (usize::try_from(count) == Ok(size)).then(|| information.assume_init().ssi_signo)
        }
    }
}

impl AsRawFd for Endings {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

impl Drop for Endings {
    fn drop(&mut self) {
        // SAFETY: the set is the one that `pthread_sigmask` filled.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use vmm_sys_util::signal::Killable as _;

    use super::*;

    #[test]
    fn a_signal_to_end_can_be_read() {
        let endings = Endings::new().unwrap();
        assert_eq!(endings.take(), None);
        // SAFETY: this thread has the signal blocked, so nothing happens but that it is pending.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGTERM) };
        assert_eq!(endings.take(), Some(15));
        assert_eq!(endings.take(), None);
    }

    #[test]
    fn a_thread_that_is_started_behind_the_shield_takes_no_signals() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let thread = held_back(|| thread::spawn(move || receiver.recv()));
        let mut set = MaybeUninit::<sigset_t>::uninit();
        // SAFETY: a null set changes nothing, and the other one is filled.
        let blocked = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), set.as_mut_ptr());
            libc::sigismember(set.as_ptr(), libc::SIGUSR1)
        };
        assert_eq!(blocked, 0, "this thread takes them again");
        // It would end the process.
        thread.kill(libc::SIGUSR1).unwrap();
        sender.send(()).unwrap();
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn a_thread_is_called_out_of_the_kernel() {
        let thread = thread::spawn(|| {
            announce();
            // SAFETY: no descriptors, and a time that is a number.
            let result = unsafe { libc::poll(std::ptr::null_mut(), 0, 60_000) };
            (result, io::Error::last_os_error().kind())
        });
        let start = Instant::now();
        while !thread.is_finished() {
            interrupt(&thread);
            thread::sleep(Duration::from_millis(1));
            assert!(start.elapsed() < Duration::from_secs(30));
        }
        let id = thread.thread().id();
        assert_eq!(thread.join().unwrap(), (-1, io::ErrorKind::Interrupted));
        assert!(!lock(&NUMBERS).contains_key(&id), "it is forgotten");
    }
}
