//! Giving up what a process may do.

use std::ffi::CStr;
use std::fs;
use std::io::{self, Write as _};
use std::ptr;
use std::sync::OnceLock;

use libc::{c_int, c_long, c_ulong, c_void, siginfo_t};
use vmm_sys_util::signal::register_signal_handler;

use super::terminal;

/// The capability to pin memory without a limit.
pub const CAP_IPC_LOCK: usize = 14;
/// More capabilities than there are.
const CAPABILITIES: c_ulong = 64;
/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// Descriptors that are looked at where there is no `/proc`.
const MOST_DESCRIPTORS: c_int = 1024;
/// Standard input, output and error.
const STANDARD: c_int = 3;
/// Folders on which an empty one can be mounted; one of them is everywhere.
const FOLDERS: [&CStr; 5] = [c"/proc", c"/dev", c"/tmp", c"/run", c"/var"];

fn done(result: c_long) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn prctl(operation: c_int, argument: c_ulong) -> io::Result<()> {
    let nothing: c_ulong = 0;
    // SAFETY: the operations that this file asks for take numbers and no addresses.
    let result = unsafe { libc::prctl(operation, argument, nothing, nothing, nothing) };
    done(result.into())
}

/// Programs that this process might start get no privileges that it has not.
///
/// # Errors
///
/// The kernel's.
pub fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Has this thread give way to all others, of this process and elsewhere, where there are not CPUs enough.
///
/// # Errors
///
/// The kernel's; it goes on as before.
pub fn lowest_priority() -> io::Result<()> {
    const LOWEST: c_int = 19;
    // SAFETY: it is given numbers alone and changes nothing but a number that the scheduler has of this thread, to
    // which Linux takes zero.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LOWEST) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The number by which the kernel knows the calling thread.
pub fn thread_number() -> u64 {
    // SAFETY: takes nothing and gives a number.
    u64::from(unsafe { libc::gettid() }.unsigned_abs())
}

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: c_int,
}

/// `struct __user_cap_data_struct`, of which there are two: capabilities from 0 and from 32 on.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Leaves the calling thread without capabilities, but for one if it has that.
///
/// # Errors
///
/// The kernel's.
pub fn keep_capabilities(kept: Option<usize>) -> io::Result<()> {
    // Refused to who has no CAP_SETPCAP, and of no use then: nothing more can be had by a program that
    // cannot be started. The kernel refuses numbers that it does not know, too.
    for capability in 0..CAPABILITIES {
        let _ = prctl(libc::PR_CAPBSET_DROP, capability);
    }
    // Kernels without it have nothing to clear.
    let clear = c_ulong::from(libc::PR_CAP_AMBIENT_CLEAR_ALL.unsigned_abs());
    let _ = prctl(libc::PR_CAP_AMBIENT, clear);
    let mut header = Header {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let mut sets = [Sets::default(); 2];
    // SAFETY: for this version the kernel reads and writes a header, and writes two structures.
    done(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) })?;
    for (word, sets) in sets.iter_mut().enumerate() {
        let bit = match kept {
            Some(kept) if kept / 32 == word => 1 << (kept % 32),
            _ => 0,
        };
        *sets = Sets {
            effective: sets.effective & bit,
            permitted: sets.permitted & bit,
            inheritable: 0,
        };
    }
    // SAFETY: for this version the kernel reads a header and two structures.
    done(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) })
}

fn is_open(descriptor: c_int) -> bool {
    // SAFETY: no memory is involved, and nothing changes.
    unsafe { libc::fcntl(descriptor, libc::F_GETFD) >= 0 }
}

/// The descriptors that are open, beside standard input, output and error.
pub fn open_descriptors() -> Vec<c_int> {
    let listed = fs::read_dir("/proc/self/fd").map(|entries| {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).collect()
    });
    let listed: Vec<c_int> = listed.unwrap_or_else(|_| (0..MOST_DESCRIPTORS).collect());
    // Among those listed is the one that has listed them.
    let others = listed.into_iter().filter(|&number| number >= STANDARD);
    others.filter(|&number| is_open(number)).collect()
}

/// Closes descriptors that [`open_descriptors`] found when this process had opened none yet.
pub fn close(descriptors: &[c_int]) {
    for descriptor in descriptors {
        // SAFETY: it was open before this process opened anything, so nothing here owns it; and what
        // is opened meanwhile gets other numbers.
        unsafe { libc::close(*descriptor) };
    }
}

/// Namespaces of this process alone: mounts, messages, names, control groups, and with `network` no
/// network. To be called by the only thread. Whoever may not do that as what he is becomes the owner of
/// a namespace of users first.
///
/// # Errors
///
/// The kernel's.
pub fn own_namespaces(network: bool) -> io::Result<()> {
    let mut flags =
        libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;
    if network {
        flags |= libc::CLONE_NEWNET;
    }
    // SAFETY: no memory is involved.
    let unshare = |flags| done(unsafe { libc::unshare(flags) }.into());
    match unshare(flags) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            // SAFETY: no arguments, no errors.
            let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
            unshare(flags | libc::CLONE_NEWUSER)?;
            // Both stay what they are.
            fs::write("/proc/self/setgroups", "deny")?;
            fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
            fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
        }
        result => result?,
    }
    // Nothing that is mounted here shall be seen outside.
    mount(c"/", None, libc::MS_REC | libc::MS_PRIVATE)
}

/// Mounts something that needs no source: nothing new, or an empty file system.
fn mount(target: &CStr, kind: Option<&CStr>, flags: c_ulong) -> io::Result<()> {
    let kind = kind.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: the strings end with a zero; kind and data may be null.
    let result =
        unsafe { libc::mount(c"none".as_ptr(), target.as_ptr(), kind, flags, ptr::null()) };
    done(result.into())
}

/// An empty folder that cannot be written to becomes the root of the file system; there is no way back.
/// Wants [`own_namespaces`].
///
/// # Errors
///
/// The kernel's.
pub fn empty_root() -> io::Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RDONLY;
    let mut result = Err(io::ErrorKind::NotFound.into());
    for folder in FOLDERS {
        result = mount(folder, Some(c"tmpfs"), flags).and_then(|()| {
            // SAFETY: the string ends with a zero.
            done(unsafe { libc::chdir(folder.as_ptr()) }.into())
        });
        if result.is_ok() {
            break;
        }
    }
    result?;
    // SAFETY: the strings end with a zero.
    let moved = done(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) });
    match moved {
        Ok(()) => {
            // The old root lies on the new one now.
            // SAFETY: the string ends with a zero.
            done(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }.into())?;
        }
        // What the kernel has started with cannot be put away, only covered.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            // SAFETY: the strings end with a zero; kind and data are not looked at.
            let result = unsafe {
                libc::mount(
                    c".".as_ptr(),
                    c"/".as_ptr(),
                    ptr::null(),
                    libc::MS_MOVE,
                    ptr::null(),
                )
            };
            done(result.into())?;
            // SAFETY: the string ends with a zero.
            done(unsafe { libc::chroot(c".".as_ptr()) }.into())?;
        }
        Err(error) => return Err(error),
    }
    // SAFETY: the string ends with a zero.
    done(unsafe { libc::chdir(c"/".as_ptr()) }.into())
}

/// What the handler of refused calls knows.
struct Ending {
    name: fn(c_int) -> Option<&'static str>,
    json: bool,
    exit: c_int,
}

static ENDING: OnceLock<Ending> = OnceLock::new();

/// Has a thread that makes a refused system call say which, and end the process.
///
/// # Errors
///
/// The kernel's.
pub fn end_at_refused_call(
    name: fn(c_int) -> Option<&'static str>,
    json: bool,
    exit: c_int,
) -> io::Result<()> {
    let _ = ENDING.set(Ending { name, json, exit });
    register_signal_handler(libc::SIGSYS, refused)
        .map_err(|error| io::Error::from_raw_os_error(error.errno()))
}

/// Where the number of the call is in a `siginfo_t` of `SIGSYS`: behind three numbers, padding, and the
/// address of the instruction; in words.
const CALL_WORD: usize = 6;
/// Bytes of a message.
const MESSAGE: usize = 256;

/// The call was not made. This runs in the thread that made it, and takes no locks and no memory.
extern "C" fn refused(_: c_int, information: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel hands over a `siginfo_t`, which has 128 bytes, and fills this word of it for
    // `SIGSYS`; without a filter nobody sends that signal, and then the word is some number.
    let number = unsafe { information.cast::<c_int>().add(CALL_WORD).read() };
    let mut thread = [0_u8; 16];
    // SAFETY: the kernel writes at most 16 bytes there, of which the last one is zero.
    unsafe { libc::prctl(libc::PR_GET_NAME, thread.as_mut_ptr()) };
    let thread = CStr::from_bytes_until_nul(&thread).ok();
    let thread = thread.and_then(|name| name.to_str().ok()).unwrap_or("?");
    let ending = ENDING.get();
    let name = ending
        .and_then(|ending| (ending.name)(number))
        .unwrap_or("no name");
    let (before, after) = match ending {
        Some(ending) if ending.json => ("{\"level\":\"ERROR\",\"message\":\"", "\",\"exit\":8}\n"),
        _ => ("host-vmm: ", "\n"),
    };
    let mut buffer = [0_u8; MESSAGE];
    let mut rest = &mut buffer[..];
    // What does not fit is left out.
    let _ = write!(
        rest,
        "{before}thread {thread} made a system call that it does not need, {name} ({number}): an error in \
         host-vmm, or an attack on it; all of it ends{after}"
    );
    let left = rest.len();
    let text = &buffer[..MESSAGE - left];
    // SAFETY: the buffer has so many bytes. Nobody can be told that standard error fails.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    terminal::put_back();
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(ending.map_or(1, |ending| ending.exit)) }
}

#[cfg(test)]
mod tests;
