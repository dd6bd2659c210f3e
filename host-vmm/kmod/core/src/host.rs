//! What is wanted of the kernel.

use crate::pool::{Page, Pool};
use crate::vmid::Vmids;

/// Memory that all Realms share; behind the pool mutex.
#[derive(Debug, Default)]
pub struct Shared {
    /// The pages that the module owns.
    pub pool: Pool,
    /// The identifiers of Realms that are in use.
    pub vmids: Vmids,
}

impl Shared {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            pool: Pool::new(),
            vmids: Vmids::new(),
        }
    }
}

/// What the kernel said no to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostError {
    /// There is no memory, or the caller may not have more of it.
    OutOfMemory,
    /// The caller's memory is not there.
    BadAddress,
}

/// How bad the news is that goes to the kernel's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// Memory was lost.
    Error,
    /// Something unexpected that goes on.
    Warning,
}

/// The kernel, as one VM sees it.
pub trait Host {
    /// Calls the RMM with X0 to X7; gives X0 to X4.
    fn rmi(&self, registers: [u64; 8]) -> [u64; 5];

    /// Takes 2^`order` contiguous pages, aligned to their size, from the kernel.
    fn take_pages(&self, order: u32) -> Option<Page>;

    /// Gives back what [`Self::take_pages`] gave.
    fn give_pages(&self, first: Page, order: u32);

    /// Makes single pages of what [`Self::take_pages`] gave with an order that is not 0.
    fn split_pages(&self, first: Page, order: u32);

    /// Gives back so many in a row of what [`Self::split_pages`] has made single.
    fn give_single_pages(&self, first: Page, count: usize);

    /// Writes at the beginning of a page that was taken and is the kernel's to write.
    fn write_page(&self, page: Page, bytes: &[u8]);

    /// Copies a page of the caller's memory into such a page.
    ///
    /// # Errors
    ///
    /// [`HostError::BadAddress`] when it is not there.
    fn copy_from_user(&self, page: Page, address: u64) -> Result<(), HostError>;

    /// Pins the page at a page-aligned address of the VM's process.
    ///
    /// # Errors
    ///
    /// When there is none, or the process may not pin more.
    fn pin(&self, address: u64) -> Result<Page, HostError>;

    /// Ends a pin.
    fn unpin(&self, page: Page);

    /// Takes the pool mutex for an action.
    fn with_shared<R>(&self, action: impl FnOnce(&mut Shared) -> R) -> R;

    /// Lets others run. Called at least once per command of the RMM, and per block of a Realm in what
    /// goes through all of its memory.
    fn rest(&self);

    /// Whether the calling thread is being killed.
    fn interrupted(&self) -> bool;

    /// A clock that only goes forward.
    fn nanoseconds(&self) -> u64;

    /// A line for the kernel's log.
    fn log(&self, severity: Severity, text: core::fmt::Arguments<'_>);
}
