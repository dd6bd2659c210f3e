//! The boot manifest, read from a private copy of the shared page.

use rmm_abi::manifest::{self, Console, DramBank, List, Manifest};
use rmm_abi::{GRANULE_SIZE, Version};
use zerocopy::FromBytes;

use super::{BootError, MAX_GRANULES};
use crate::granule::{DramBanks, GranuleAddress, MAX_DRAM_BANKS};

/// Consoles that the RMM looks at; more are ignored.
pub const MAX_CONSOLES: usize = 4;

/// What the RMM takes from the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootManifest {
    /// Version of the manifest.
    pub version: Version,
    /// The machine's DRAM.
    pub dram: DramBanks,
    consoles: [Option<ConsoleDescription>; MAX_CONSOLES],
}

/// A console that EL3 offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleDescription {
    /// Registers.
    pub base: GranuleAddress,
    /// What kind of device it is.
    pub kind: ConsoleKind,
}

/// A console of what may be no manifest, or a damaged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessedConsole {
    /// The console.
    pub console: ConsoleDescription,
    /// The checksum of its list is right. Otherwise the device has to say itself what it is before
    /// anything is written to it.
    pub has_checksum: bool,
}

/// Kinds of console device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleKind {
    /// Arm `PrimeCell` PL011, set up by EL3.
    Pl011,
}

impl BootManifest {
    /// Reads the manifest from `page`, a copy of the shared page at `page_address`.
    /// `physical_address_bits` bounds the DRAM banks.
    ///
    /// A list that the RMM uses must lie in the page and carry the right checksum.
    ///
    /// # Errors
    ///
    /// [`BootError`], which names the field.
    pub fn read(
        page: &[u8; GRANULE_SIZE],
        page_address: GranuleAddress,
        physical_address_bits: u8,
    ) -> Result<Self, BootError> {
        let page = Page {
            bytes: page,
            address: page_address,
        };
        let manifest = page.manifest();
        let wrong_version = BootError::ManifestVersion {
            word: manifest.version,
        };
        let version = Version::from_word(manifest.version.into()).ok_or(wrong_version)?;
        if version.major() != manifest::VERSION.major() || version.minor() < 1 {
            return Err(wrong_version);
        }
        // Fields above the manifest's own version are not there, whatever their bytes say.
        let dram = if version.minor() >= 2 {
            dram_banks(&page, &manifest.dram, physical_address_bits)?
        } else {
            DramBanks::new()
        };
        let consoles = if version.minor() >= 3 {
            consoles(&page, &manifest.consoles)?
        } else {
            [None; MAX_CONSOLES]
        };
        Ok(Self {
            version,
            dram,
            consoles,
        })
    }

    /// Consoles of a kind that the RMM can print on, in the manifest's order.
    pub fn consoles(&self) -> impl Iterator<Item = ConsoleDescription> + '_ {
        self.consoles.iter().flatten().copied()
    }

    /// Consoles of what may be a manifest of any version, or none at all: for the line that says
    /// why the RMM does not boot.
    pub fn guess_consoles(
        page: &[u8; GRANULE_SIZE],
        page_address: GranuleAddress,
    ) -> impl Iterator<Item = GuessedConsole> + use<> {
        let page = Page {
            bytes: page,
            address: page_address,
        };
        let list = page.manifest().consoles;
        let bytes = page
            .list(CONSOLE_LIST, &list, size_of::<Console>())
            .unwrap_or_default();
        let has_checksum = consoles_add_up(&list, bytes);
        usable_consoles(bytes)
            .into_iter()
            .flatten()
            .map(move |console| GuessedConsole {
                console,
                has_checksum,
            })
    }
}

/// The copy of the shared page, with the address its pointers are relative to.
struct Page<'p> {
    bytes: &'p [u8; GRANULE_SIZE],
    address: GranuleAddress,
}

impl<'p> Page<'p> {
    fn manifest(&self) -> Manifest {
        // The page is far larger than the manifest.
        Manifest::read_from_prefix(self.bytes)
            .map(|(manifest, _)| manifest)
            .unwrap_or_default()
    }

    /// The bytes of a list, `element` bytes each.
    fn list(&self, name: &'static str, list: &List, element: usize) -> Result<&'p [u8], BootError> {
        let outside = BootError::ListOutside {
            list: name,
            count: list.count,
            address: list.address,
        };
        if list.count == 0 {
            return Ok(&[]);
        }
        let offset = list
            .address
            .checked_sub(self.address.get())
            .filter(|offset| offset.is_multiple_of(8))
            .and_then(|offset| usize::try_from(offset).ok())
            .ok_or(outside)?;
        let size = usize::try_from(list.count)
            .ok()
            .and_then(|count| count.checked_mul(element))
            .ok_or(outside)?;
        let end = offset.checked_add(size).ok_or(outside)?;
        self.bytes.get(offset..end).ok_or(outside)
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes
        .chunks_exact(8)
        .filter_map(|word| word.try_into().ok())
        .map(u64::from_le_bytes)
}

/// Count, address, checksum and the given words, modulo 2^64. Zero when the checksum is right.
fn sum(list: &List, words: impl Iterator<Item = u64>) -> u64 {
    words.fold(
        list.count
            .wrapping_add(list.address)
            .wrapping_add(list.checksum),
        u64::wrapping_add,
    )
}

fn dram_banks(page: &Page<'_>, list: &List, address_bits: u8) -> Result<DramBanks, BootError> {
    const NAME: &str = "DRAM";
    if list.count == 0 {
        return Err(BootError::NoDram);
    }
    if list.count > MAX_DRAM_BANKS as u64 {
        return Err(BootError::TooManyDramBanks { count: list.count });
    }
    let bytes = page.list(NAME, list, size_of::<DramBank>())?;
    if sum(list, words(bytes)) != 0 {
        return Err(BootError::ListChecksum { list: NAME });
    }
    let mut banks = DramBanks::new();
    for (index, bank) in bytes.chunks_exact(size_of::<DramBank>()).enumerate() {
        let DramBank { base, size } = DramBank::read_from_bytes(bank).unwrap_or_default();
        let wrong = BootError::DramBank { index, base, size };
        let first = GranuleAddress::new(base)
            .filter(|first| first.get() != 0)
            .ok_or(wrong)?;
        let whole = size.is_multiple_of(GRANULE_SIZE as u64);
        let inside = base
            .checked_add(size)
            .is_some_and(|end| end <= 1 << address_bits);
        if !whole || !inside {
            return Err(wrong);
        }
        banks
            .push(first, size / GRANULE_SIZE as u64)
            .map_err(|_| wrong)?;
    }
    let granules = banks.granules();
    if granules > MAX_GRANULES {
        return Err(BootError::TooMuchDram { granules });
    }
    Ok(banks)
}

/// Name of the console list, for people.
const CONSOLE_LIST: &str = "console";

fn consoles(
    page: &Page<'_>,
    list: &List,
) -> Result<[Option<ConsoleDescription>; MAX_CONSOLES], BootError> {
    let bytes = page.list(CONSOLE_LIST, list, size_of::<Console>())?;
    if list.count != 0 && !consoles_add_up(list, bytes) {
        return Err(BootError::ListChecksum { list: CONSOLE_LIST });
    }
    Ok(usable_consoles(bytes))
}

fn console_elements(bytes: &[u8]) -> impl Iterator<Item = Console> + '_ {
    bytes
        .chunks_exact(size_of::<Console>())
        .map(|console| Console::read_from_bytes(console).unwrap_or_default())
}

/// Whether the checksum of the console list is right. Firmware before TF-A 2.12 leaves name and
/// flags out of the sum, without another version number (reference, section 11.7).
fn consoles_add_up(list: &List, bytes: &[u8]) -> bool {
    let without_name = console_elements(bytes).flat_map(|console| {
        [
            console.base,
            console.map_pages,
            console.clock_hz,
            console.baud_rate,
        ]
    });
    sum(list, words(bytes)) == 0 || sum(list, without_name) == 0
}

/// The first consoles of a kind that the RMM can print on.
fn usable_consoles(bytes: &[u8]) -> [Option<ConsoleDescription>; MAX_CONSOLES] {
    let mut known = console_elements(bytes).filter_map(|console| {
        let kind = match &console.name {
            b"pl011\0\0\0" => ConsoleKind::Pl011,
            _ => return None,
        };
        let base = GranuleAddress::new(console.base).filter(|base| base.get() != 0)?;
        (console.map_pages != 0).then_some(ConsoleDescription { base, kind })
    });
    core::array::from_fn(|_| known.next())
}
