//! What somebody would try who has taken over a thread.

use std::ffi::CString;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

use super::*;

/// The number of a process of somebody else.
pub(super) const VICTIM: &str = "HOST_VMM_TEST_VICTIM";
/// A socket without an other end, made before there are filters.
pub(super) static SOCKET: OnceLock<UnixDatagram> = OnceLock::new();

/// Something that an attacker wants: the name that the message has, and how it is tried.
pub(super) struct Attempt {
    pub(super) name: &'static str,
    /// Kinds of threads that need this call for something else.
    pub(super) but_for: &'static [Kind],
    pub(super) make: fn() -> io::Result<()>,
}

fn path() -> CString {
    CString::new(std::env::var(FILE).unwrap()).unwrap()
}

fn call(number: c_long, arguments: [c_long; 6]) -> io::Result<()> {
    let [one, two, three, four, five, six] = arguments;
    // SAFETY: whoever calls this gives arguments for which the call touches no memory of this process
    // but strings and buffers that live.
    let result = unsafe { libc::syscall(number, one, two, three, four, five, six) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn address<T: ?Sized>(value: *const T) -> c_long {
    value.cast::<u8>().addr().cast_signed() as c_long
}

const fn long(value: c_int) -> c_long {
    value as c_long
}

/// Opens a file that is there.
pub(super) fn open() -> io::Result<()> {
    let path = path();
    call(
        libc::SYS_openat,
        [
            long(libc::AT_FDCWD),
            address(path.as_ptr()),
            long(libc::O_RDONLY),
            0,
            0,
            0,
        ],
    )
}

fn create() -> io::Result<()> {
    let path = CString::new(std::env::var(FILE).unwrap() + "-new").unwrap();
    let flags = long(libc::O_WRONLY | libc::O_CREAT);
    call(
        libc::SYS_openat,
        [
            long(libc::AT_FDCWD),
            address(path.as_ptr()),
            flags,
            0o600,
            0,
            0,
        ],
    )
}

fn run_program() -> io::Result<()> {
    let program = c"/bin/true";
    let arguments = [program.as_ptr(), ptr::null()];
    let environment = [ptr::null::<libc::c_char>()];
    call(
        libc::SYS_execve,
        [
            address(program.as_ptr()),
            address(&raw const arguments),
            address(&raw const environment),
            0,
            0,
            0,
        ],
    )
}

fn fork() -> io::Result<()> {
    // SAFETY: the new process ends at once.
    match unsafe { libc::syscall(libc::SYS_clone, long(libc::SIGCHLD), 0, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: ends this process.
        0 => unsafe { libc::_exit(0) },
        _ => Ok(()),
    }
}

fn fork_by_new_call() -> io::Result<()> {
    // `struct clone_args`: no flags, and the signal of its end in the fifth word.
    let arguments: [u64; 8] = [0, 0, 0, 0, u64::from(libc::SIGCHLD.unsigned_abs()), 0, 0, 0];
    // SAFETY: the structure lives; the new process ends at once.
    match unsafe {
        libc::syscall(
            libc::SYS_clone3,
            arguments.as_ptr(),
            size_of_val(&arguments),
        )
    } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: ends this process.
        0 => unsafe { libc::_exit(0) },
        _ => Ok(()),
    }
}

fn socket(family: c_int) -> io::Result<()> {
    call(
        libc::SYS_socket,
        [long(family), long(libc::SOCK_STREAM), 0, 0, 0, 0],
    )
}

/// The kernel has looked for a process that is not there; one that is would be stopped.
fn trace() -> io::Result<()> {
    let process = c_long::from(c_int::MAX);
    match call(
        libc::SYS_ptrace,
        [libc::PTRACE_ATTACH.into(), process, 0, 0, 0, 0],
    ) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        result => result,
    }
}

fn map_code() -> io::Result<()> {
    let protection = long(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
    let flags = long(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    call(libc::SYS_mmap, [0, 4096, protection, flags, -1, 0])
}

fn make_code() -> io::Result<()> {
    // SAFETY: a new mapping, of which nobody else knows.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(page, libc::MAP_FAILED);
    let protection = long(libc::PROT_READ | libc::PROT_EXEC);
    call(
        libc::SYS_mprotect,
        [address(page), 4096, protection, 0, 0, 0],
    )
}

/// A datagram to whoever has a socket somewhere.
fn send_to_somebody() -> io::Result<()> {
    let mut there = [0_u8; size_of::<libc::sockaddr_un>()];
    let path = std::env::var(FILE).unwrap() + "-socket";
    there[..2].copy_from_slice(&u16::try_from(libc::AF_UNIX).unwrap().to_ne_bytes());
    there[2..2 + path.len()].copy_from_slice(path.as_bytes());
    let socket = SOCKET.get().unwrap().as_raw_fd();
    let (data, size) = (
        address(c"x".as_ptr()),
        c_long::try_from(there.len()).unwrap(),
    );
    let there = address(there.as_ptr());
    call(libc::SYS_sendto, [socket.into(), data, 1, 0, there, size])
}

/// All of them.
pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "tkill",
        but_for: &[],
        make: || {
            let victim: c_long = std::env::var(VICTIM).unwrap().parse().unwrap();
            call(libc::SYS_tkill, [victim, long(libc::SIGABRT), 0, 0, 0, 0])
        },
    },
    Attempt {
        name: "tkill",
        but_for: &[],
        make: || {
            let victim: c_long = std::env::var(VICTIM).unwrap().parse().unwrap();
            // With this one threads of this process are called.
            let signal = long(vmm_sys_util::signal::SIGRTMIN());
            call(libc::SYS_tkill, [victim, signal, 0, 0, 0, 0])
        },
    },
    Attempt {
        name: "sendto",
        but_for: &[],
        make: send_to_somebody,
    },
    Attempt {
        name: "openat",
        but_for: &[],
        make: open,
    },
    Attempt {
        name: "openat",
        but_for: &[],
        make: create,
    },
    Attempt {
        name: "execve",
        but_for: &[],
        make: run_program,
    },
    Attempt {
        name: "clone",
        but_for: &[],
        make: fork,
    },
    Attempt {
        name: "clone3",
        but_for: &[Kind::Main],
        make: fork_by_new_call,
    },
    Attempt {
        name: "socket",
        but_for: &[],
        make: || socket(libc::AF_INET),
    },
    Attempt {
        name: "socket",
        but_for: &[Kind::Sockets],
        make: || socket(libc::AF_UNIX),
    },
    Attempt {
        name: "ptrace",
        but_for: &[],
        make: trace,
    },
    Attempt {
        name: "mmap",
        but_for: &[],
        make: map_code,
    },
    Attempt {
        name: "mprotect",
        but_for: &[],
        make: make_code,
    },
    Attempt {
        name: "memfd_create",
        but_for: &[],
        make: || {
            call(
                libc::SYS_memfd_create,
                [address(c"x".as_ptr()), 0, 0, 0, 0, 0],
            )
        },
    },
    Attempt {
        name: "unlinkat",
        but_for: &[Kind::Control, Kind::Main],
        make: || {
            let path = path();
            call(
                libc::SYS_unlinkat,
                [long(libc::AT_FDCWD), address(path.as_ptr()), 0, 0, 0, 0],
            )
        },
    },
    Attempt {
        name: "kill",
        but_for: &[],
        make: || {
            call(
                libc::SYS_kill,
                [c_long::from(std::process::id()), 0, 0, 0, 0, 0],
            )
        },
    },
    Attempt {
        name: "unshare",
        but_for: &[],
        make: || call(libc::SYS_unshare, [long(libc::CLONE_FILES), 0, 0, 0, 0, 0]),
    },
    Attempt {
        name: "rt_sigaction",
        but_for: &[],
        make: || call(libc::SYS_rt_sigaction, [long(libc::SIGSYS), 0, 0, 8, 0, 0]),
    },
];
