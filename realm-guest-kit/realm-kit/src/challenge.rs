//! What a token is over.

/// Bytes of a challenge, as the Realm Services Interface takes it.
pub(crate) const SIZE: usize = 64;
/// With fewer random bytes somebody could collect tokens beforehand. Kernel and verifier draw the
/// same line.
const FEWEST: usize = 32;

/// Why a text is no challenge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ChallengeError {
    #[error("not hexadecimal: two digits for each byte, nothing else")]
    Digits,
    #[error("{0} bytes; {FEWEST} to {SIZE} are a challenge")]
    Size(usize),
}

/// Reads a challenge; one of fewer bytes has zeroes behind it.
pub(crate) fn parse(text: &str) -> Result<[u8; SIZE], ChallengeError> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ChallengeError::Digits);
    }
    let mut challenge = [0; SIZE];
    for (number, [high, low]) in pairs.iter().enumerate() {
        let byte = digit(*high)? << 4 | digit(*low)?;
        if let Some(place) = challenge.get_mut(number) {
            *place = byte;
        }
    }
    if (FEWEST..=SIZE).contains(&pairs.len()) {
        Ok(challenge)
    } else {
        Err(ChallengeError::Size(pairs.len()))
    }
}

fn digit(byte: u8) -> Result<u8, ChallengeError> {
    let value = char::from(byte)
        .to_digit(16)
        .ok_or(ChallengeError::Digits)?;
    u8::try_from(value).map_err(|_| ChallengeError::Digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_challenge_has_zeroes_behind_it() {
        let challenge = parse(&"aB".repeat(32)).unwrap();
        assert_eq!(challenge[..32], [0xAB; 32]);
        assert_eq!(challenge[32..], [0; 32]);
        assert_eq!(parse(&"01".repeat(64)), Ok([1; 64]));
    }

    #[test]
    fn other_sizes_and_other_letters_are_refused() {
        for bytes in [0, 1, 31, 65, 1000] {
            let text = "00".repeat(bytes);
            assert_eq!(parse(&text), Err(ChallengeError::Size(bytes)));
        }
        for text in ["0", "+1", "0x", "é", "g0", "0 "] {
            let text = text.repeat(33);
            assert_eq!(parse(&text), Err(ChallengeError::Digits), "{text}");
        }
    }
}
