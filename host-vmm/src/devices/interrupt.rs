//! Edge-triggered interrupts, which the kernel takes from an event descriptor.

use std::io;

use vm_superio::Trigger;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// The end of an interrupt line that a device holds.
#[derive(Debug)]
pub struct InterruptLine(EventFd);

impl InterruptLine {
    /// A line that nobody listens to yet.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        EventFd::new(EFD_NONBLOCK).map(Self)
    }

    /// What the kernel listens to.
    pub fn event(&self) -> &EventFd {
        &self.0
    }

    /// A second end of the same line.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// An edge.
    pub fn raise(&self) {
        // Fails only when 2⁶⁴ − 2 edges have not been looked at; one more says nothing new.
        let _ = self.0.write(1);
    }
}

impl Trigger for InterruptLine {
    type E = std::convert::Infallible;

    fn trigger(&self) -> Result<(), Self::E> {
        self.raise();
        Ok(())
    }
}
