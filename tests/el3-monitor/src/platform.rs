//! What is fixed on QEMU's `virt` machine with `secure=on`. Everything else comes from its device
//! tree.

use el3_monitor::Region;

/// Flash that the monitor executes from.
pub(crate) const FLASH: Region = Region {
    start: 0,
    end: 0x0400_0000,
};
/// Secure SRAM that the monitor keeps its data in.
pub(crate) const SRAM: Region = Region {
    start: 0x0e00_0000,
    end: 0x0f00_0000,
};
/// Where QEMU leaves the device tree.
pub(crate) const DEVICE_TREE: u64 = 0x4000_0000;
/// The largest device tree that QEMU makes.
pub(crate) const DEVICE_TREE_LIMIT: u64 = 0x10_0000;
/// The UART for what must be said before the device tree is read.
pub(crate) const EARLY_CONSOLE: u64 = 0x0900_0000;
