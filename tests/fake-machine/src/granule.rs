//! One granule: who owns it, who has it mapped, what it holds.

use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::WORDS_PER_GRANULE;

/// The content of a granule.
pub(crate) type Words = [AtomicU64; WORDS_PER_GRANULE];

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

impl Owner {
    pub(crate) fn from_word(word: u64) -> Self {
        match word & 3 {
            0 => Self::NonSecure,
            1 => Self::Realm,
            2 => Self::Secure,
            _ => Self::Root,
        }
    }
}

/// A granule. The low two bits of `owner` are the owner; the rest counts its changes, so that an
/// access can tell whether the owner changed under it. Content that nobody has touched is zero and
/// takes no memory.
#[derive(Debug)]
pub(crate) struct Granule {
    owner: AtomicU64,
    /// CPU that has the granule mapped in bits 63:16, how often in bits 15:0. Zero when none has.
    mapped: AtomicU64,
    words: OnceLock<Box<Words>>,
}

impl Granule {
    pub(crate) const fn new() -> Self {
        Self {
            owner: AtomicU64::new(0),
            mapped: AtomicU64::new(0),
            words: OnceLock::new(),
        }
    }

    /// The owner with the number of changes.
    pub(crate) fn owner_word(&self) -> u64 {
        self.owner.load(Ordering::SeqCst)
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner::from_word(self.owner_word())
    }

    /// Gives the granule to somebody else. `false` when it is not `from`'s.
    pub(crate) fn change_owner(&self, from: Option<Owner>, to: Owner) -> bool {
        self.owner
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |word| {
                let mine = from.is_none_or(|from| Owner::from_word(word) == from);
                mine.then_some((word & !3) + 4 + to as u64)
            })
            .is_ok()
    }

    /// Whether a CPU has it mapped for itself.
    pub(crate) fn is_mapped(&self) -> bool {
        self.mapped.load(Ordering::SeqCst) != 0
    }

    /// The content, which from now on takes memory.
    pub(crate) fn words(&self) -> &Words {
        self.words
            .get_or_init(|| Box::new([const { AtomicU64::new(0) }; WORDS_PER_GRANULE]))
    }

    /// The content, unless it is zero because nobody has touched it.
    pub(crate) fn touched_words(&self) -> Option<&Words> {
        self.words.get().map(AsRef::as_ref)
    }

    pub(crate) fn load(&self, word: usize) -> u64 {
        self.touched_words()
            .map_or(0, |words| words[word].load(Ordering::SeqCst))
    }

    pub(crate) fn store(&self, word: usize, value: u64) {
        self.words()[word].store(value, Ordering::SeqCst);
    }
}

/// An access of the RMM that lasts for a while.
///
/// # Panics
///
/// All of this ends the test: the granule is not in the Realm world at the beginning or has
/// another owner at the end, or another CPU has mapped it too.
#[derive(Debug)]
pub(crate) struct Access<'m> {
    granule: &'m Granule,
    address: u64,
    owner: u64,
    exclusive: bool,
}

impl<'m> Access<'m> {
    /// Begins an access by a CPU. Only one CPU at a time has an exclusive one.
    pub(crate) fn begin(granule: &'m Granule, address: u64, cpu: u64, exclusive: bool) -> Self {
        let owner = granule.owner_word();
        assert_eq!(
            Owner::from_word(owner),
            Owner::Realm,
            "the RMM reached for a granule that is not in the Realm world: {address:#x}"
        );
        if exclusive {
            let taken = granule
                .mapped
                .try_update(Ordering::SeqCst, Ordering::SeqCst, |mapped| {
                    (mapped == 0 || mapped >> 16 == cpu)
                        .then_some((cpu << 16 | mapped & 0xffff) + 1)
                });
            assert!(
                taken.is_ok(),
                "two CPUs have granule {address:#x} mapped at the same time"
            );
        }
        Self {
            granule,
            address,
            owner,
            exclusive,
        }
    }

    pub(crate) fn granule(&self) -> &'m Granule {
        self.granule
    }
}

impl Drop for Access<'_> {
    fn drop(&mut self) {
        if self.exclusive {
            let one_less = |mapped: u64| match mapped & 0xffff {
                1 => 0,
                _ => mapped - 1,
            };
            self.granule
                .mapped
                .update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        }
        if !std::thread::panicking() {
            assert_eq!(
                self.granule.owner_word(),
                self.owner,
                "granule {:#x} changed its owner while the RMM had it mapped",
                self.address
            );
        }
    }
}

impl Deref for Access<'_> {
    type Target = Words;

    fn deref(&self) -> &Words {
        self.granule.words()
    }
}
