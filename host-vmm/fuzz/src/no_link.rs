//! A network in which nothing arrives.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::OnceLock;

use host_vmm::devices::virtio::net::Link;

/// Takes packets, and has none.
pub struct NoLink;

impl Link for NoLink {
    fn read(&self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn write(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn leave_checksums(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        nothing()
    }
}

/// A file that a link without a network can be waited at.
#[must_use]
pub fn nothing() -> BorrowedFd<'static> {
    static NOTHING: OnceLock<File> = OnceLock::new();
    NOTHING
        .get_or_init(|| File::open("/dev/null").unwrap())
        .as_fd()
}
