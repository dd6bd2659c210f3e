//! A guest's RAM in this process.

use std::io;
use std::sync::Arc;

use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap, MmapRegion};

use crate::layout::{PAGE_BYTES, Range};

/// RAM of a machine, as this process sees it: all of an ordinary machine's, and what a Realm
/// shares of its own. Nothing of it is taken from the host before it is touched.
#[derive(Clone, Debug)]
pub struct Ram {
    region: Arc<GuestRegionMmap>,
    memory: GuestMemoryMmap,
    range: Range,
}

impl Ram {
    /// RAM at `range` of the guest's addresses. The guest tells devices addresses with
    /// `shared_bit`, which is 0 for an ordinary machine.
    ///
    /// # Errors
    ///
    /// If there is no room for it.
    pub fn new(range: Range, shared_bit: u64) -> io::Result<Self> {
        let size = usize::try_from(range.size).map_err(io::Error::other)?;
        let mapping = MmapRegion::new(size).map_err(io::Error::other)?;
        let base = GuestAddress(range.base | shared_bit);
        let region = GuestRegionMmap::new(mapping, base)
            .ok_or_else(|| io::Error::other("RAM behind the last address"))?;
        let region = Arc::new(region);
        let memory = GuestMemoryMmap::from_arc_regions(vec![Arc::clone(&region)]);
        Ok(Self {
            region,
            memory: memory.map_err(io::Error::other)?,
            range,
        })
    }

    /// What devices reach: the RAM at the addresses that the guest tells them.
    pub fn for_devices(&self) -> GuestMemoryMmap {
        self.memory.clone()
    }

    /// Where the guest has it, without the shared bit.
    pub fn range(&self) -> Range {
        self.range
    }

    /// The mapping itself.
    pub(super) fn region(&self) -> &Arc<GuestRegionMmap> {
        &self.region
    }

    /// Gives the pages of a range of RAM, without the shared bit, back to the host. Whoever looks
    /// at them again finds zeroes.
    ///
    /// # Errors
    ///
    /// If the range is not whole pages of RAM, or if the kernel refuses.
    pub fn discard(&self, range: Range) -> io::Result<()> {
        let inside = range
            .base
            .checked_sub(self.range.base)
            .filter(|offset| {
                offset.is_multiple_of(PAGE_BYTES)
                    && range.size.is_multiple_of(PAGE_BYTES)
                    && offset
                        .checked_add(range.size)
                        .is_some_and(|end| end <= self.range.size)
            })
            .and_then(|offset| usize::try_from(offset).ok());
        let (Some(offset), Ok(size)) = (inside, usize::try_from(range.size)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // SAFETY: `offset` and `size` are inside of a mapping that belongs to `self.region`, and so
        // stays while this call lasts. Its bytes are accessed as volatile memory only, never
        // through references, and may change at any time because a guest writes to them; becoming
        // zero is one such change.
        let result = unsafe {
            let start = self.region.as_ptr().add(offset);
            libc::madvise(start.cast(), size, libc::MADV_DONTNEED)
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::Bytes as _;

    use super::*;

    #[test]
    fn devices_find_ram_at_shared_addresses_only() {
        let ram = Ram::new(Range::new(0x8000_0000, 0x4000), 1 << 32).unwrap();
        let memory = ram.for_devices();
        memory
            .write_obj(7_u32, GuestAddress(0x1_8000_0000))
            .unwrap();
        assert!(memory.read_obj::<u32>(GuestAddress(0x8000_0000)).is_err());
        assert!(memory.read_obj::<u32>(GuestAddress(0x1_8000_3ffd)).is_err());
    }

    #[test]
    fn what_is_discarded_is_zero() {
        let ram = Ram::new(Range::new(0x8000_0000, 0x4000), 0).unwrap();
        let memory = ram.for_devices();
        for page in 0..4 {
            memory
                .write_obj(7_u32, GuestAddress(0x8000_0000 + page * 0x1000))
                .unwrap();
        }
        ram.discard(Range::new(0x8000_1000, 0x2000)).unwrap();
        let seen: Vec<u32> = (0..4)
            .map(|page| memory.read_obj(GuestAddress(0x8000_0000 + page * 0x1000)))
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(seen, [7, 0, 0, 7]);
    }

    #[test]
    fn only_whole_pages_of_ram_are_discarded() {
        let ram = Ram::new(Range::new(0x8000_0000, 0x4000), 0).unwrap();
        for (base, size) in [
            (0x8000_0800, 0x1000),
            (0x8000_0000, 0x800),
            (0x7fff_f000, 0x1000),
            (0x8000_3000, 0x2000),
            (0x8000_0000, u64::MAX - 0xfff),
            (u64::MAX - 0xfff, 0x1000),
        ] {
            assert!(ram.discard(Range::new(base, size)).is_err(), "{base:#x}");
        }
    }
}
