//! How much memory an RMM needs, by the header at the start of its image.

use std::fmt;

use rmm_abi::GRANULE_SIZE;
use rmm_abi::el3::ImageHeader;
use zerocopy::FromBytes as _;

/// Why that cannot be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum NeedError {
    #[error("no image of this RMM: it does not begin with its header")]
    NoHeader,
    #[error("so many CPUs and so much DRAM cannot be")]
    TooMuch,
}

/// Bytes of Realm memory, from the load address on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Need {
    image: u64,
    cpus: u64,
    granules: u64,
    fixed: u64,
    /// All of it, in whole granules.
    pub(crate) whole: u64,
}

impl Need {
    /// What the image needs on a machine with so many CPUs and bytes of DRAM.
    pub(crate) fn of(image: &[u8], cpus: u64, dram: u64) -> Result<Self, NeedError> {
        let header = ImageHeader::read_from_prefix(image)
            .map(|(header, _)| header)
            .ok()
            .filter(|header| header.magic == ImageHeader::MAGIC)
            .ok_or(NeedError::NoHeader)?;
        let granules = dram.div_ceil(GRANULE_SIZE as u64);
        let whole = header
            .memory_needed(cpus, granules)
            .and_then(|bytes| bytes.checked_next_multiple_of(GRANULE_SIZE as u64))
            .ok_or(NeedError::TooMuch)?;
        // None of the parts can overflow where the sum does not.
        Ok(Self {
            image: header.image_memory,
            cpus: header.memory_per_cpu * cpus,
            granules: u64::from(header.memory_per_granule) * granules,
            fixed: header.fixed_memory.into(),
            whole,
        })
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, bytes) in [
            ("image", self.image),
            ("CPUs", self.cpus),
            ("DRAM", self.granules),
            ("fixed", self.fixed),
            ("all", self.whole),
        ] {
            writeln!(
                f,
                "{name:6} {bytes:>12} bytes {:>9} KiB",
                bytes.div_ceil(1024)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes as _;

    use super::*;

    fn image(magic: [u8; 8]) -> Vec<u8> {
        let header = ImageHeader {
            entry: 0,
            magic,
            lowest_interface: 2,
            highest_interface: 8,
            image_memory: 0x9_0000,
            memory_per_cpu: 0xd100,
            memory_per_granule: 2,
            fixed_memory: 0x6000,
        };
        [header.as_bytes(), b"code"].concat()
    }

    #[test]
    fn the_parts_add_up_to_whole_granules() {
        let need = Need::of(&image(ImageHeader::MAGIC), 3, 1 << 30).unwrap();
        let sum: u64 = 0x9_0000 + 3 * 0xd100 + 2 * 0x4_0000 + 0x6000;
        assert_eq!(need.whole, sum.next_multiple_of(4096));
        assert_eq!(need.image + need.cpus + need.granules + need.fixed, sum);
        assert!(
            need.to_string()
                .contains("DRAM         524288 bytes       512 KiB"),
            "{need}"
        );
    }

    #[test]
    fn other_files_and_absurd_machines_are_refused() {
        let error = Need::of(&image(*b"SOMEMAGC"), 1, 0);
        assert_eq!(error, Err(NeedError::NoHeader));
        assert_eq!(Need::of(b"short", 1, 0), Err(NeedError::NoHeader));
        let error = Need::of(&image(ImageHeader::MAGIC), u64::MAX, 0);
        assert_eq!(error, Err(NeedError::TooMuch));
    }
}
