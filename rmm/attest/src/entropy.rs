//! Whether random words can be trusted to be random.

use core::fmt;

/// 64-bit words of entropy for a signature.
pub const ENTROPY_WORDS: usize = 6;

/// Random bits from the machine, that have passed the test of [`Entropy::gather`].
#[derive(Clone)]
pub struct Entropy([u8; ENTROPY_WORDS * 8]);

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(secret)")
    }
}

/// Why there is no entropy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntropyError {
    /// The source gives none.
    Silent,
    /// The source is stuck: it gave the same word again, or a constant that broken sources give.
    Stuck,
}

impl fmt::Display for EntropyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "the source of random bits gives none",
            Self::Stuck => "the source of random bits repeats itself",
        })
    }
}

impl core::error::Error for EntropyError {}

impl Entropy {
    /// Asks a source for words. A word that comes twice, or is all zeroes or all ones, shows a broken
    /// source: the chance of that in a good one is 2⁻⁵⁹.
    ///
    /// # Errors
    ///
    /// [`EntropyError`] when the source is silent or broken.
    pub fn gather(mut source: impl FnMut() -> Option<u64>) -> Result<Self, EntropyError> {
        let mut words = [0_u64; ENTROPY_WORDS];
        for count in 0..words.len() {
            let word = source().ok_or(EntropyError::Silent)?;
            if word == 0 || word == u64::MAX || words[..count].contains(&word) {
                return Err(EntropyError::Stuck);
            }
            words[count] = word;
        }
        let mut bytes = [0; ENTROPY_WORDS * 8];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        Ok(Self(bytes))
    }

    /// The bits.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
