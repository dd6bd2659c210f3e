//! Memory whose granules have owners.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rmm_abi::rmi::FeatureRegister0;
use rmm_core::Rmm;
use rmm_core::granule::{DramBanks, GranuleAddress, GranuleRecord, GranuleTable};

use crate::cpu::{El3Script, FakeCpu};

/// 64-bit words of a granule.
pub const WORDS_PER_GRANULE: usize = rmm_abi::GRANULE_SIZE / 8;

/// The physical address space that a granule is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The host.
    NonSecure,
    /// The RMM and its Realms.
    Realm,
    /// The trusted OS.
    Secure,
    /// Firmware at EL3.
    Root,
}

/// What the host sees of a granule that is not its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GranuleProtectionFault;

/// DRAM of a machine, and the records that an RMM keeps of it.
#[derive(Debug)]
pub struct Memory {
    banks: Vec<Bank>,
    records: OnceLock<Vec<GranuleRecord>>,
    script: El3Script,
}

#[derive(Debug)]
struct Bank {
    base: u64,
    granules: Vec<Granule>,
}

/// A granule. The low two bits of `owner` are the owner; the rest counts its changes, so that an
/// access can tell whether the owner changed under it.
#[derive(Debug)]
struct Granule {
    owner: AtomicU64,
    words: [AtomicU64; WORDS_PER_GRANULE],
}

impl Owner {
    fn from_word(word: u64) -> Self {
        match word & 3 {
            0 => Self::NonSecure,
            1 => Self::Realm,
            2 => Self::Secure,
            _ => Self::Root,
        }
    }
}

impl Granule {
    fn new() -> Self {
        Self {
            owner: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; WORDS_PER_GRANULE],
        }
    }

    fn owner(&self) -> Owner {
        Owner::from_word(self.owner.load(Ordering::SeqCst))
    }
}

impl Memory {
    /// DRAM of these banks, each (physical address, granules), all of it the host's and zero.
    ///
    /// # Panics
    ///
    /// When the banks are not a machine that an RMM can be told about.
    pub fn new(banks: &[(u64, u64)]) -> Self {
        let banks = banks
            .iter()
            .map(|&(base, granules)| {
                assert!(base.is_multiple_of(rmm_abi::GRANULE_SIZE as u64) && granules != 0);
                Bank {
                    base,
                    granules: (0..granules).map(|_| Granule::new()).collect(),
                }
            })
            .collect();
        Self {
            banks,
            records: OnceLock::new(),
            script: El3Script::default(),
        }
    }

    /// An RMM that has booted on this machine. Its granule records start anew only with a new
    /// machine.
    ///
    /// # Panics
    ///
    /// When the banks are not ascending.
    pub fn rmm(&self) -> Rmm<'_> {
        self.rmm_with_features(FeatureRegister0 {
            ipa_width: 48,
            ..Default::default()
        })
    }

    /// [`Self::rmm`] with another feature register.
    ///
    /// # Panics
    ///
    /// When the banks are not ascending.
    pub fn rmm_with_features(&self, features: FeatureRegister0) -> Rmm<'_> {
        let ranges = self.banks.iter().map(|bank| {
            let base = GranuleAddress::new(bank.base).expect("banks are aligned");
            (base, bank.granules.len() as u64)
        });
        let banks = DramBanks::from_ranges(ranges).expect("banks ascend");
        let records = self.records.get_or_init(|| {
            (0..banks.granules())
                .map(|_| GranuleRecord::new())
                .collect()
        });
        let granules = GranuleTable::new(banks, records).expect("a record for each granule");
        Rmm::new(granules, features)
    }

    /// A CPU of this machine.
    pub fn cpu(&self, number: usize) -> FakeCpu<'_> {
        FakeCpu::new(self, number)
    }

    /// How EL3 is to misbehave.
    pub fn el3(&self) -> &El3Script {
        &self.script
    }

    /// Who owns the granule at an address.
    ///
    /// # Panics
    ///
    /// When there is no DRAM at the address.
    pub fn owner(&self, address: u64) -> Owner {
        self.granule(address).expect("DRAM").owner()
    }

    /// Gives a granule to another owner, as EL3 does on its own account.
    ///
    /// # Panics
    ///
    /// When there is no DRAM at the address.
    pub fn set_owner(&self, address: u64, owner: Owner) {
        let granule = self.granule(address).expect("DRAM");
        let old = granule.owner.load(Ordering::SeqCst);
        granule
            .owner
            .store((old & !3) + 4 + owner as u64, Ordering::SeqCst);
    }

    /// The host reads a word of a granule.
    ///
    /// # Errors
    ///
    /// A fault when the granule is not the host's, or no DRAM.
    pub fn host_read(&self, address: u64, word: usize) -> Result<u64, GranuleProtectionFault> {
        let granule = self.granule(address).ok_or(GranuleProtectionFault)?;
        let before = granule.owner.load(Ordering::SeqCst);
        let value = granule.words[word].load(Ordering::SeqCst);
        // Hardware checks and reads in one go: a read during which the owner changed faults.
        let undisturbed = granule.owner.load(Ordering::SeqCst) == before;
        (Owner::from_word(before) == Owner::NonSecure && undisturbed)
            .then_some(value)
            .ok_or(GranuleProtectionFault)
    }

    /// The host writes a word of a granule. A write that races with a change of owner may land
    /// although it is reported as a fault, as a write does that was on its way.
    ///
    /// # Errors
    ///
    /// A fault when the granule is not the host's, or no DRAM.
    pub fn host_write(
        &self,
        address: u64,
        word: usize,
        value: u64,
    ) -> Result<(), GranuleProtectionFault> {
        let granule = self.granule(address).ok_or(GranuleProtectionFault)?;
        let owner = granule.owner.load(Ordering::SeqCst);
        if Owner::from_word(owner) != Owner::NonSecure {
            return Err(GranuleProtectionFault);
        }
        granule.words[word].store(value, Ordering::SeqCst);
        (granule.owner.load(Ordering::SeqCst) == owner)
            .then_some(())
            .ok_or(GranuleProtectionFault)
    }

    /// Looks at a word whoever owns it, as a test may and no world can.
    ///
    /// # Panics
    ///
    /// When there is no DRAM at the address.
    pub fn inspect(&self, address: u64, word: usize) -> u64 {
        self.granule(address).expect("DRAM").words[word].load(Ordering::SeqCst)
    }

    /// The RMM writes a whole granule.
    ///
    /// # Panics
    ///
    /// When the granule is not in the Realm world from the first word to the last.
    pub(crate) fn rmm_fill(&self, address: u64, value: u64) {
        let granule = self.granule(address).expect("the RMM touches DRAM only");
        let before = granule.owner.load(Ordering::SeqCst);
        assert_eq!(
            Owner::from_word(before),
            Owner::Realm,
            "the RMM wrote to a granule that is not in the Realm world: {address:#x}"
        );
        for word in &granule.words {
            word.store(value, Ordering::SeqCst);
        }
        assert_eq!(
            granule.owner.load(Ordering::SeqCst),
            before,
            "granule {address:#x} changed its owner while the RMM wrote to it"
        );
    }

    /// EL3 moves a granule from one owner to another. `false` when it is not `from`'s.
    pub(crate) fn change_owner(&self, address: u64, from: Owner, to: Owner) -> Option<bool> {
        let granule = self.granule(address)?;
        let moved = granule
            .owner
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| {
                (Owner::from_word(word) == from).then_some((word & !3) + 4 + to as u64)
            });
        Some(moved.is_ok())
    }

    fn granule(&self, address: u64) -> Option<&Granule> {
        self.banks.iter().find_map(|bank| {
            let offset = address.checked_sub(bank.base)? / rmm_abi::GRANULE_SIZE as u64;
            bank.granules.get(usize::try_from(offset).ok()?)
        })
    }
}
