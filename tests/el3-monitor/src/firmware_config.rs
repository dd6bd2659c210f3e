//! QEMU's firmware-configuration device: files that come with the machine.
#![allow(unsafe_code)]

use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

use el3_monitor::{Region, index};

/// A file of the device.
#[derive(Clone, Copy)]
pub(crate) struct File {
    key: u16,
    pub(crate) size: u64,
}

/// Why a transfer did not happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransferFailed;

/// The device, driven through a page of DRAM that it can reach too.
pub(crate) struct FirmwareConfig {
    registers: u64,
    page: u64,
}

const DMA_ADDRESS: u64 = 16;
const DIRECTORY: u16 = 0x19;
const ERROR: u32 = 1 << 0;
const READ: u32 = 1 << 1;
const SKIP: u32 = 1 << 2;
const SELECT: u32 = 1 << 3;
/// Size of a directory entry: size u32, key u16, reserved u16, name.
const ENTRY_SIZE: u64 = 64;
const NAME_OFFSET: usize = 8;
const MAX_FILES: u32 = 256;
/// Polls of a transfer; QEMU is done before the first.
const PATIENCE: usize = 10_000_000;
/// Where in the page small things are read to, after the control structure.
const BUFFER_OFFSET: u64 = 64;
/// Most bytes that [`FirmwareConfig::read_small`] reads.
pub(crate) const MAX_SMALL: u64 = 4096 - BUFFER_OFFSET;

impl FirmwareConfig {
    /// The device with these registers. The page and the registers are mapped.
    pub(crate) fn new(registers: u64, page: u64) -> Self {
        Self { registers, page }
    }

    /// One transfer, big-endian as all of the device.
    fn transfer(&self, control: u32, length: u32, address: u64) -> Result<(), TransferFailed> {
        let at =
            |offset: u64| core::ptr::with_exposed_provenance_mut::<u32>(index(self.page + offset));
        let [high, low] = halves(address);
        let [page_high, page_low] = halves(self.page);
        let register = self.registers + DMA_ADDRESS;
        let register = core::ptr::with_exposed_provenance_mut::<u32>(index(register));
        // SAFETY: the page is the device's and ours alone; writing the low half of its address
        // starts the transfer. Whoever calls owns the destination.
        unsafe {
            at(0).write_volatile(control.to_be());
            at(4).write_volatile(length.to_be());
            at(8).write_volatile(high.to_be());
            at(12).write_volatile(low.to_be());
            crate::registers::execute!("dsb sy");
            register.write_volatile(page_high.to_be());
            register.add(1).write_volatile(page_low.to_be());
            for _ in 0..PATIENCE {
                let state = u32::from_be(at(0).read_volatile());
                if state & ERROR != 0 {
                    return Err(TransferFailed);
                }
                if state == 0 {
                    fence(Ordering::Acquire);
                    return Ok(());
                }
            }
        }
        Err(TransferFailed)
    }

    /// Reads bytes of an item to a physical address.
    fn read_at(&self, key: u16, offset: u64, to: Region) -> Result<(), TransferFailed> {
        const LARGEST: u64 = 1 << 30;
        let skipped = u32::try_from(offset).map_err(|_| TransferFailed)?;
        self.transfer(u32::from(key) << 16 | SELECT | SKIP, skipped, 0)?;
        let mut place = to.start;
        while place < to.end {
            let piece = (to.end - place).min(LARGEST);
            let length = u32::try_from(piece).map_err(|_| TransferFailed)?;
            self.transfer(READ, length, place)?;
            place += piece;
        }
        Ok(())
    }

    /// Reads a whole file to a place that is large enough.
    ///
    /// # Safety
    ///
    /// Nobody uses the memory from `address` for the size of the file.
    pub(crate) unsafe fn load(&self, file: File, address: u64) -> Result<(), TransferFailed> {
        let to = Region::new(address, file.size).ok_or(TransferFailed)?;
        self.read_at(file.key, 0, to)
    }

    /// Reads the first bytes of a file, as many as there are up to a limit.
    pub(crate) fn read_small(&self, file: File, limit: u64) -> Result<Vec<u8>, TransferFailed> {
        self.read_item(file.key, 0, file.size.min(limit))
    }

    /// Clears what [`Self::read_small`] has left in the page.
    pub(crate) fn clear_buffer(&self) {
        let start = core::ptr::with_exposed_provenance_mut::<u8>(index(self.page + BUFFER_OFFSET));
        for offset in 0..index(MAX_SMALL) {
            // SAFETY: the page is ours alone while no transfer is under way.
            unsafe { start.add(offset).write_volatile(0) };
        }
    }

    fn read_item(&self, key: u16, offset: u64, size: u64) -> Result<Vec<u8>, TransferFailed> {
        let to = Region::new(self.page + BUFFER_OFFSET, size.min(MAX_SMALL));
        let to = to.ok_or(TransferFailed)?;
        self.read_at(key, offset, to)?;
        // SAFETY: the buffer is in the page; the device is done with it.
        Ok(unsafe { crate::memory::bytes(to) }.to_vec())
    }

    /// Finds a file by its name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<File>, TransferFailed> {
        let count = self.read_item(DIRECTORY, 0, 4)?;
        let count = count
            .first_chunk()
            .map_or(0, |bytes| u32::from_be_bytes(*bytes));
        for number in 0..count.min(MAX_FILES) {
            let offset = 4 + u64::from(number) * ENTRY_SIZE;
            let entry = self.read_item(DIRECTORY, offset, ENTRY_SIZE)?;
            let (Some([s0, s1, s2, s3, k0, k1, ..]), Some(text)) =
                (entry.first_chunk::<NAME_OFFSET>(), entry.get(NAME_OFFSET..))
            else {
                return Err(TransferFailed);
            };
            if text.split(|byte| *byte == 0).next() == Some(name.as_bytes()) {
                return Ok(Some(File {
                    key: u16::from_be_bytes([*k0, *k1]),
                    size: u64::from(u32::from_be_bytes([*s0, *s1, *s2, *s3])),
                }));
            }
        }
        Ok(None)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each half is 32 bits")]
fn halves(number: u64) -> [u32; 2] {
    [(number >> 32) as u32, number as u32]
}
