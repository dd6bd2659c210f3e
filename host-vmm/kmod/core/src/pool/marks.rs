//! Sets of small numbers in which the next one is found at once, however many there could be.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

const BITS: usize = u64::BITS as usize;
/// One bit of the last level stands for 64^2 numbers; what lies above it is searched word by word.
const LEVELS: usize = 3;

/// A set of numbers: a bit for each, and above that a bit for each word that is not zero, twice.
#[derive(Debug, Default)]
pub(super) struct Marks {
    levels: [Vec<u64>; LEVELS],
}

impl Marks {
    /// None.
    pub(super) const fn new() -> Self {
        Self {
            levels: [const { Vec::new() }; LEVELS],
        }
    }

    /// Makes room for all numbers below `count`; those that are there stay.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    pub(super) fn prepare(&mut self, count: usize) -> Result<(), TryReserveError> {
        let mut bits = count;
        for words in &mut self.levels {
            bits = bits.div_ceil(BITS);
            if let Some(more) = bits.checked_sub(words.len()) {
                words.try_reserve(more)?;
                words.resize(bits, 0);
            }
        }
        Ok(())
    }

    /// Puts a number in, or takes it out. There is room for it.
    pub(super) fn set(&mut self, number: usize, marked: bool) {
        let (mut place, mut marked) = (number, marked);
        for words in &mut self.levels {
            let Some(word) = words.get_mut(place / BITS) else {
                return;
            };
            let bit = 1_u64 << (place % BITS);
            if (*word & bit != 0) == marked {
                return;
            }
            *word ^= bit;
            // The level above knows whether the word is zero.
            (place, marked) = (place / BITS, *word != 0);
        }
    }

    /// The lowest number.
    pub(super) fn first(&self) -> Option<usize> {
        self.next(0)
    }

    /// The lowest number that is `from` or higher.
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        // Up, until a level has a bit at `from` or beyond it in the same word; then down to its lowest.
        let mut from = from;
        for (level, words) in self.levels.iter().enumerate() {
            let word = words.get(from / BITS)? >> (from % BITS);
            if word != 0 {
                return self.lowest_below(level, from + word.trailing_zeros() as usize);
            }
            from = from / BITS + 1;
        }
        let last = self.levels.last()?;
        let (index, word) = (last.iter().enumerate().skip(from)).find(|&(_, &word)| word != 0)?;
        self.lowest_below(LEVELS - 1, index * BITS + word.trailing_zeros() as usize)
    }

    /// The lowest number that a bit of a level stands for.
    fn lowest_below(&self, level: usize, bit: usize) -> Option<usize> {
        self.levels
            .iter()
            .take(level)
            .rev()
            .try_fold(bit, |bit, words| {
                let word = words.get(bit)?;
                Some(bit * BITS + word.trailing_zeros() as usize)
            })
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Marks;

    /// More than one word of the last level has.
    const NUMBERS: usize = 64 * 64 * 64 + 64 * 64 + 70;

    fn number() -> impl Strategy<Value = usize> {
        // Near each other, so that some meet, and far apart.
        prop_oneof![0..200_usize, 0..NUMBERS, NUMBERS - 140..NUMBERS]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn as_a_set(changes in proptest::collection::vec((number(), any::<bool>()), 1..80)) {
            let (mut marks, mut model) = (Marks::new(), BTreeSet::new());
            prop_assert_eq!(marks.first(), None);
            for (number, marked) in changes {
                // Grows as it is needed, and keeps what is there.
                marks.prepare(number + 1).expect("memory");
                marks.set(number, marked);
                if marked { model.insert(number); } else { model.remove(&number); }
                prop_assert_eq!(marks.first(), model.first().copied());
                for from in [0, number, number + 1, number.saturating_sub(65), NUMBERS + 5] {
                    prop_assert_eq!(marks.next(from), model.range(from..).next().copied());
                }
            }
        }
    }

    #[test]
    fn a_number_without_room_is_none() {
        let mut marks = Marks::new();
        marks.set(0, true);
        assert_eq!(marks.first(), None);
        marks.prepare(1).expect("memory");
        marks.set(64, true);
        assert_eq!(marks.first(), None);
    }
}
