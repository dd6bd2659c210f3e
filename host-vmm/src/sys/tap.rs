//! Tap interfaces of the host: what is written comes out of one, and what goes into it is read.
//!
//! Each packet has the header of virtio in front, 12 bytes, little-endian (`<linux/if_tun.h>`).

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use libc::{TUNGETIFF, TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ};
use thiserror::Error;

use crate::configuration::{Descriptor, InterfaceName};

/// Where tap interfaces are opened.
const NODE: &str = "/dev/net/tun";
/// Bytes of the header in front of each packet, with the number of buffers.
const HEADER_BYTES: libc::c_int = 12;

/// Why there is no tap interface.
#[derive(Error, Debug)]
pub enum TapError {
    /// The kernel has no such device.
    #[error("{NODE}: {0}: load the kernel's module tun, or hand the device node to this process")]
    Node(io::Error),
    /// No interface of this name.
    #[error("there is no such interface: make it with ip tuntap add dev NAME mode tap user USER")]
    Absent,
    /// It is something else, or has more than one queue.
    #[error("not a tap interface with one queue")]
    NotTap,
    /// Somebody else has it.
    #[error("another process has it")]
    Busy,
    /// It belongs to somebody else.
    #[error("no permission: it belongs to another user (ip tuntap add … user USER), or has none")]
    Permission,
    /// Not a descriptor that this process got at its start.
    #[error("no such descriptor was handed to this process")]
    NoDescriptor,
    /// A descriptor of something else.
    #[error("the descriptor is not that of a tap interface")]
    OtherDescriptor,
    /// It was not opened as it has to be.
    #[error("the tap interface must be opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR")]
    Flags,
    /// Something else.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl TapError {
    /// Whether it is this host that cannot, and not the name or number that is wrong.
    pub fn is_the_hosts(&self) -> bool {
        match self {
            Self::Node(_) | Self::Permission | Self::System(_) => true,
            Self::Absent
            | Self::NotTap
            | Self::Busy
            | Self::NoDescriptor
            | Self::OtherDescriptor
            | Self::Flags => false,
        }
    }
}

/// A tap interface.
#[derive(Debug)]
pub struct Tap(File);

impl Tap {
    /// The interface of this name, which is there already.
    ///
    /// # Errors
    ///
    /// If it is not, or cannot be had.
    pub fn open(name: &InterfaceName) -> Result<Self, TapError> {
        let text = CString::new(name.as_str()).map_err(|_| TapError::Absent)?;
        // SAFETY: the name ends with a zero, and is only read.
        let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
        // The kernel would make one, which then goes with this process and that nobody has set up.
        if index == 0 {
            return Err(TapError::Absent);
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(Path::new(NODE))
            .map_err(TapError::Node)?;
        let mut request = interface_request();
        for (place, byte) in request.ifr_name.iter_mut().zip(text.as_bytes_with_nul()) {
            // The kernel's `char` has a sign on x86, and none on arm64.
            *place = libc::c_char::from_ne_bytes([*byte]);
        }
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
        // SAFETY: the kernel reads and writes a structure of this type, which outlives the call.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
        if result < 0 {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error() {
                Some(libc::EINVAL) => TapError::NotTap,
                Some(libc::EBUSY) => TapError::Busy,
                Some(libc::EPERM | libc::EACCES) => TapError::Permission,
                _ => TapError::System(error),
            });
        }
        Self::prepare(file)
    }

    /// The interface that somebody else has opened, and whose descriptor this process got at its
    /// start. The descriptor stays open, for a machine that is started again.
    ///
    /// # Errors
    ///
    /// If it is something else, or was opened differently.
    pub fn inherit(descriptor: Descriptor) -> Result<Self, TapError> {
        let descriptor = RawFd::try_from(descriptor.get()).map_err(|_| TapError::NoDescriptor)?;
        // SAFETY: asks for flags, which are a number; what is not open is an error.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } < 0 {
            return Err(TapError::NoDescriptor);
        }
        // SAFETY: it was open just now. This program closes only descriptors that it owns, and it
        // owns none that it was given; should it be closed all the same, a copy of another or
        // nothing comes out of it, which the questions below find out.
        let given = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let file = File::from(given.try_clone_to_owned()?);
        let mut request = interface_request();
        // SAFETY: the kernel writes a structure of this type, which outlives the call.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNGETIFF, &raw mut request) };
        if result < 0 {
            return Err(TapError::OtherDescriptor);
        }
        // SAFETY: the kernel has written flags, or they are as they were: zero.
        let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
        let needed = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        if flags & needed != needed {
            return Err(TapError::Flags);
        }
        // SAFETY: the descriptor is open for as long as `file` lives; flags are numbers.
        let result = unsafe {
            match libc::fcntl(file.as_raw_fd(), libc::F_GETFL) {
                flags if flags < 0 => flags,
                flags => libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK),
            }
        };
        if result < 0 {
            return Err(io::Error::last_os_error().into());
        }
        Self::prepare(file)
    }

    fn prepare(file: File) -> Result<Self, TapError> {
        let bytes = HEADER_BYTES;
        // SAFETY: the kernel reads a number, which outlives the call.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETVNETHDRSZ, &raw const bytes) };
        if result < 0 {
            return Err(io::Error::last_os_error().into());
        }
        let tap = Self(file);
        tap.leave_checksums(false)?;
        Ok(tap)
    }

    /// Its descriptor.
    pub fn into_file(self) -> File {
        self.0
    }

    /// The interface whose descriptor [`Tap::into_file`] gave, as it was when it was opened.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn again(file: File) -> Result<Self, TapError> {
        let tap = Self(file);
        tap.leave_checksums(false)?;
        Ok(tap)
    }

    /// Reads a packet.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none.
    pub fn read(&self, packet: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(packet)
    }

    /// Writes a packet.
    ///
    /// # Errors
    ///
    /// If the kernel does not take it, also because it has too many.
    pub fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.0).write(packet).map(drop)
    }

    /// Whether the kernel may leave checksums of packets to whoever reads them.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn leave_checksums(&self, may: bool) -> io::Result<()> {
        let offload = if may { libc::TUN_F_CSUM } else { 0 };
        // SAFETY: the argument is a number.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), TUNSETOFFLOAD, offload) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn interface_request() -> libc::ifreq {
    // SAFETY: a structure of numbers, all of which may be zero.
    unsafe { mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tap_is_refused() {
        let name = |text: &str| text.parse::<InterfaceName>().unwrap();
        let error = Tap::open(&name("not-there")).unwrap_err();
        assert!(matches!(error, TapError::Absent), "{error}");
        // Every system has one of this name, and nobody else has descriptors like these.
        let error = Tap::open(&name("lo")).unwrap_err();
        let expected = matches!(
            error,
            TapError::NotTap | TapError::Node(_) | TapError::Permission
        );
        assert!(expected, "{error}");
        let inherit = |number: RawFd| {
            let number = number.to_string().parse().unwrap();
            Tap::inherit(number).unwrap_err()
        };
        let error = inherit(RawFd::MAX);
        assert!(matches!(error, TapError::NoDescriptor), "{error}");
        let file = File::open("/dev/null").unwrap();
        let error = inherit(file.as_raw_fd());
        assert!(matches!(error, TapError::OtherDescriptor), "{error}");
        assert!(file.metadata().is_ok(), "the descriptor stays open");
    }
}
