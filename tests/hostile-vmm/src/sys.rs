//! System calls, the only place with `unsafe`.
//!
//! Memory that the kernel may write at an address of the attacker's choice is never seen by Rust as
//! anything but raw bytes: it lies in the [`Arena`] or in pages that a vCPU shares, and is reached by
//! volatile copies.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::unix::thread::JoinHandleExt as _;
use std::thread::JoinHandle;

/// A file descriptor's number. What it stands for may change at any time: that is the point.
pub(crate) type Descriptor = i32;

/// `errno` of a call that failed.
pub(crate) type Errno = i32;

fn errno() -> Errno {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn outcome(result: i32) -> Result<i32, Errno> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

/// Opens a file for reading and writing.
pub(crate) fn open(path: &str) -> Result<Descriptor, Errno> {
    let path = CString::new(path).map_err(|_| libc::EINVAL)?;
    // SAFETY: the path is a string with a zero behind it that lives during the call.
    outcome(unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) })
}

/// Closes a descriptor. Only descriptors that this program made for its attack are closed, so no
/// object of the standard library loses its file.
pub(crate) fn close(descriptor: Descriptor) {
    // SAFETY: closing has no memory effects; see above for whose descriptors these are.
    unsafe { libc::close(descriptor) };
}

/// An event counter.
pub(crate) fn eventfd() -> Result<Descriptor, Errno> {
    // SAFETY: takes and gives integers only.
    outcome(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })
}

/// Adds to an event counter, which makes an irqfd fire.
pub(crate) fn signal_event(descriptor: Descriptor) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: reads the eight bytes of `one`, which lives during the call.
    unsafe { libc::write(descriptor, one.as_ptr().cast(), one.len()) };
}

/// A request number in the type that the C library has for it, signed in some.
#[allow(clippy::cast_possible_wrap)]
const fn number(request: u32) -> libc::Ioctl {
    request as libc::Ioctl
}

/// An `ioctl`. The argument is an integer, an address in the [`Arena`], or an address of nothing:
/// see [`wild_address`].
pub(crate) fn ioctl(descriptor: Descriptor, request: u32, argument: u64) -> Result<i32, Errno> {
    // SAFETY: the kernel reads and writes user memory only at the address in the argument, for as
    // many bytes as the request says (at most 4096). Callers pass addresses inside the arena, with
    // room behind them, or addresses that are not mapped; neither is memory of a Rust object.
    outcome(unsafe { libc::ioctl(descriptor, number(request), argument) })
}

/// An address at which nothing of this process is mapped: page zero, and the kernel's half.
pub(crate) const fn wild_address(random: u64) -> u64 {
    match random % 4 {
        0 => 0,
        1 => random >> 8 & 0xfff,
        2 => 0xffff_0000_0000_0000 | random,
        _ => u64::MAX - (random >> 8 & 0xfff),
    }
}

/// Bytes of the [`Arena`].
pub(crate) const ARENA: u64 = 64 << 20;
/// A system call may write so much behind an address.
const MARGIN: u64 = 4096;

/// Memory that the kernel, all threads and Realms may write at any time.
pub(crate) struct Arena(u64);

impl Arena {
    pub(crate) fn new() -> Result<Self, String> {
        // SAFETY: a new mapping at an address that the kernel chooses overlaps nothing.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                usize::try_from(ARENA + MARGIN).unwrap_or(0),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(format!("no memory: error {}", errno()));
        }
        Ok(Self(address as u64))
    }

    /// Address of a byte; offsets beyond the end wrap.
    pub(crate) const fn address(&self, offset: u64) -> u64 {
        self.0 + offset % ARENA
    }

    /// Writes bytes, at most a page of them.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        copy_out(self.address(offset), &bytes[..bytes.len().min(4096)]);
    }

    /// Reads bytes, at most a page of them.
    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) {
        let address = self.address(offset) as *const u8;
        for (index, byte) in bytes.iter_mut().take(4096).enumerate() {
            // SAFETY: inside the mapping (a page lies behind the last address), which lives as long
            // as `self`; others may write it meanwhile, hence volatile and byte by byte.
            *byte = unsafe { address.add(index).read_volatile() };
        }
    }

    /// Takes the content of pages away, while a Realm may have them pinned.
    pub(crate) fn discard(&self, offset: u64, pages: u64) {
        let start = (offset % ARENA) & !0xfff;
        let length = (pages * 4096).min(ARENA - start);
        let length = usize::try_from(length).unwrap_or(0);
        // SAFETY: pages of the arena, which nobody has a reference into.
        unsafe { libc::madvise((self.0 + start) as *mut _, length, libc::MADV_REMOVE) };
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let length = usize::try_from(ARENA + MARGIN).unwrap_or(0);
        // SAFETY: the mapping of `new`; nobody has a reference into it.
        unsafe { libc::munmap(self.0 as *mut _, length) };
    }
}

fn copy_out(address: u64, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        // SAFETY: callers pass addresses inside a mapping that they hold, with room behind them;
        // others may write there meanwhile, hence volatile and byte by byte.
        unsafe { (address as *mut u8).add(index).write_volatile(*byte) };
    }
}

/// The page that a vCPU shares with user space, mapped.
pub(crate) struct RunPage {
    address: u64,
    size: usize,
}

impl RunPage {
    /// Maps it from a descriptor that may be one of a vCPU.
    pub(crate) fn map(descriptor: Descriptor, size: usize) -> Result<Self, Errno> {
        // SAFETY: a new mapping at an address that the kernel chooses overlaps nothing.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                descriptor,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(errno());
        }
        let address = address as u64;
        Ok(Self { address, size })
    }

    /// Writes bytes somewhere into the first page.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        let offset = offset % 4096;
        let room = usize::try_from(4096 - offset).unwrap_or(0);
        copy_out(self.address + offset, &bytes[..bytes.len().min(room)]);
    }
}

impl Drop for RunPage {
    fn drop(&mut self) {
        // SAFETY: the mapping of `map`; nobody has a reference into it.
        unsafe { libc::munmap(self.address as *mut _, self.size) };
    }
}

extern "C" fn nothing(_signal: i32) {}

/// Makes the signal of [`kick_all`] interrupt system calls and do nothing else.
pub(crate) fn ignore_kicks() -> Result<(), String> {
    // SAFETY: the structure is plain data for which zeroes are valid; the handler does nothing.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut())
    };
    outcome(result)
        .map(|_| ())
        .map_err(|errno| format!("no signal handler: error {errno}"))
}

/// Interrupts whatever call each thread is in.
pub(crate) fn kick_all<T>(threads: &[JoinHandle<T>]) {
    for thread in threads {
        if !thread.is_finished() {
            // SAFETY: the handle is not joined yet, so the thread's identifier is valid even if the
            // thread has just ended.
            unsafe { libc::pthread_kill(thread.as_pthread_t() as _, libc::SIGUSR1) };
        }
    }
}

/// A child with copies of all descriptors makes a call and dies at once, by `exit` or by `SIGKILL`.
pub(crate) fn call_in_a_child(descriptor: Descriptor, request: u32, argument: u64, kill: bool) {
    // SAFETY: the child makes system calls only, which is allowed after a fork of a process with
    // threads, and does not return.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            // Nobody kicks a child, and it may wait in `KVM_RUN`.
            libc::alarm(1);
            libc::ioctl(descriptor, number(request), argument);
            if kill {
                libc::kill(libc::getpid(), libc::SIGKILL);
            }
            libc::_exit(0);
        }
        if child > 0 {
            let mut status = 0;
            while libc::waitpid(child, &raw mut status, 0) < 0 && errno() == libc::EINTR {}
        }
    }
}
