//! Sources of entropy that cannot be trusted.

use rmm_attest::entropy::{ENTROPY_WORDS, Entropy, EntropyError};

/// A word for each place that no source which is asked twice would give again.
fn word(number: usize) -> u64 {
    0x0123_4567_89ab_cdef_u64.rotate_left(7 * u32::try_from(number).unwrap())
}

/// What comes of a source that gives these words; and how often it was asked.
fn gather(words: &[Option<u64>]) -> (Option<EntropyError>, usize) {
    let mut asked = 0;
    let outcome = Entropy::gather(|| {
        asked += 1;
        words[asked - 1]
    });
    (outcome.err(), asked)
}

fn good() -> Vec<Option<u64>> {
    (0..ENTROPY_WORDS)
        .map(|number| Some(word(number)))
        .collect()
}

#[test]
fn a_good_source() {
    assert_eq!(gather(&good()), (None, ENTROPY_WORDS));
    // Words that look odd but are not known to be wrong.
    let odd: Vec<_> = (0..ENTROPY_WORDS as u64)
        .map(|word| Some(word + 1))
        .collect();
    assert_eq!(gather(&odd), (None, ENTROPY_WORDS));
}

/// It ends at the first word that does not come, or is wrong.
#[test]
fn a_source_that_is_silent_or_stuck() {
    for position in 0..ENTROPY_WORDS {
        let mut words = good();
        words[position] = None;
        let silent = (Some(EntropyError::Silent), position + 1);
        assert_eq!(gather(&words), silent);
        for constant in [0, u64::MAX] {
            words[position] = Some(constant);
            let stuck = (Some(EntropyError::Stuck), position + 1);
            assert_eq!(gather(&words), stuck, "{constant:#x}");
        }
        for earlier in 0..position {
            words[position] = Some(word(earlier));
            let stuck = (Some(EntropyError::Stuck), position + 1);
            assert_eq!(gather(&words), stuck, "{earlier} again");
        }
    }
}

#[test]
fn nothing_is_printed() {
    let entropy = super::samples::entropy(3);
    assert_eq!(format!("{entropy:?}"), "Entropy(secret)");
}
