//! The boot manifest, and memory as this world sees it.
#![allow(unsafe_code)]

use core::mem::{offset_of, size_of};

use rmm_abi::GRANULE_SIZE;
use rmm_abi::manifest::{Console, DramBank, List, Manifest};
use zerocopy::FromBytes;

use crate::exceptions::{Exception, catch};
use crate::report::{Outcome, fail};

/// A copy of the page that EL3 leaves at boot; services use the page later.
pub(crate) struct ManifestPage {
    address: u64,
    words: [u64; GRANULE_SIZE / 8],
}

impl ManifestPage {
    /// Copies the page, if that can be its address.
    pub(crate) fn copy(address: u64) -> Option<Self> {
        if address == 0 || !address.is_multiple_of(GRANULE_SIZE as u64) {
            return None;
        }
        let mut words = [0; GRANULE_SIZE / 8];
        for (word, place) in words.iter_mut().zip((address..).step_by(8)) {
            *word = read(place).ok()?;
        }
        Some(Self { address, words })
    }

    /// Its address.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    fn bytes(&self) -> &[u8] {
        zerocopy::IntoBytes::as_bytes(&self.words)
    }

    /// The fixed part.
    pub(crate) fn manifest(&self) -> Manifest {
        let (manifest, _) = Manifest::read_from_prefix(self.bytes()).unwrap_or_default();
        manifest
    }

    /// The elements of a list, where they are inside the page.
    fn elements(&self, list: &List, size: usize) -> Option<&[u8]> {
        let start = usize::try_from(list.address.checked_sub(self.address)?).ok()?;
        let length = usize::try_from(list.count).ok()?.checked_mul(size)?;
        self.bytes().get(start..start.checked_add(length)?)
    }

    /// The DRAM banks.
    pub(crate) fn banks(&self) -> impl Iterator<Item = DramBank> {
        let bytes = self.elements(&self.manifest().dram, size_of::<DramBank>());
        let pieces = bytes
            .unwrap_or_default()
            .chunks_exact(size_of::<DramBank>());
        pieces.filter_map(|piece| DramBank::read_from_bytes(piece).ok())
    }

    /// The first console.
    pub(crate) fn console(&self) -> Option<Console> {
        let bytes = self.elements(&self.manifest().consoles, size_of::<Console>())?;
        let (console, _) = Console::read_from_prefix(bytes).ok()?;
        Some(console)
    }

    /// Whether count, address, elements and checksum of a list add up to zero.
    pub(crate) fn check_sum(&self, list: &List, size: usize) -> Outcome {
        let Some(bytes) = self.elements(list, size) else {
            fail!(
                "list of {} at {:#x} is not in the page",
                list.count,
                list.address
            );
        };
        let mut sum = list.count.wrapping_add(list.address);
        for word in bytes.chunks_exact(8) {
            let word = word
                .first_chunk()
                .map_or(0, |word| u64::from_le_bytes(*word));
            sum = sum.wrapping_add(word);
        }
        if sum.wrapping_add(list.checksum) != 0 {
            fail!("the checksum of the list at {:#x} is wrong", list.address);
        }
        Ok(())
    }
}

const _: () = assert!(offset_of!(Manifest, version) == 0);

/// Reads a word of Realm memory.
pub(crate) fn read(address: u64) -> Result<u64, Exception> {
    catch(|| {
        let mut value = 0_u64;
        // SAFETY: a load that may fault, which is caught; wherever it may go, reading is harmless.
        unsafe {
            core::arch::asm!(
                "ldr {}, [{}]",
                inout(reg) value,
                in(reg) address,
                options(nostack, preserves_flags, readonly)
            );
        }
        value
    })
}

/// Writes a word of a granule that a test owns.
pub(crate) fn write(address: u64, value: u64) -> Result<(), Exception> {
    catch(|| {
        // SAFETY: the granule is the test's, or the store faults.
        unsafe {
            core::arch::asm!(
                "str {}, [{}]",
                in(reg) value,
                in(reg) address,
                options(nostack, preserves_flags)
            );
        }
    })
}

unsafe extern "C" {
    #[link_name = "header"]
    static IMAGE: u8;
}

/// Where this program was loaded.
pub(crate) fn own_address() -> u64 {
    &raw const IMAGE as u64
}
