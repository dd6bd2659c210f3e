//! Which VMIDs are in use.

use core::sync::atomic::{AtomicU64, Ordering};

const BITS: usize = 1 << 16;
const WORDS: usize = BITS / 64;

/// One bit for each VMID.
#[derive(Debug)]
pub struct VmidTable([AtomicU64; WORDS]);

impl Default for VmidTable {
    fn default() -> Self {
        Self::new()
    }
}

impl VmidTable {
    /// No VMID is in use.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    /// Takes a VMID. `false` when a Realm has it already.
    pub(crate) fn take(&self, vmid: u16) -> bool {
        let (word, bit) = self.place(vmid);
        word.fetch_or(bit, Ordering::Acquire) & bit == 0
    }

    /// Gives a VMID back.
    pub(crate) fn give_back(&self, vmid: u16) {
        let (word, bit) = self.place(vmid);
        word.fetch_and(!bit, Ordering::Release);
    }

    fn place(&self, vmid: u16) -> (&AtomicU64, u64) {
        (&self.0[usize::from(vmid) / 64], 1 << (vmid % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vmid_has_one_owner() {
        let table = VmidTable::new();
        for vmid in [0, 1, 63, 64, 255, 256, u16::MAX] {
            assert!(table.take(vmid));
            assert!(!table.take(vmid));
        }
        table.give_back(64);
        assert!(table.take(64));
        assert!(!table.take(63));
    }
}
