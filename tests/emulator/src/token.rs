//! Tokens that come over the console in lines of hexadecimal (`docs/development.md`).

/// No token is longer. What RMM and monitor make are 1 to 3 KiB.
const LONGEST: usize = 64 << 10;
/// Most bytes of a line.
const LONGEST_PIECE: usize = 256;

/// A line of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// Which token.
    pub(crate) name: String,
    /// Where the piece begins.
    pub(crate) offset: usize,
    /// Bytes of the whole token.
    pub(crate) size: usize,
    /// What the piece has.
    pub(crate) bytes: Vec<u8>,
}

impl Piece {
    /// Reads `NAME OFFSET/SIZE HEX`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (name, place, digits) = (words.next()?, words.next()?, words.next()?);
        let (offset, size) = place.split_once('/')?;
        let piece = Self {
            name: name.to_owned(),
            offset: number(offset)?,
            size: number(size).filter(|size| *size <= LONGEST)?,
            bytes: bytes(digits)?,
        };
        let end = piece.offset.checked_add(piece.bytes.len())?;
        (words.next().is_none() && !name.is_empty() && end <= piece.size).then_some(piece)
    }
}

/// Digits only, without a sign.
fn number(text: &str) -> Option<usize> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// One byte or more in hexadecimal.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let (digits, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || !(1..=LONGEST_PIECE).contains(&digits.len()) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    digits
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok())
        .collect()
}

/// Why there is no token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum AssemblyError {
    #[error("it did not come over the console")]
    Absent,
    #[error("a piece begins at {found} instead of {expected}")]
    Gap { found: usize, expected: usize },
    #[error("one piece is of {0} bytes, another of {1}")]
    Size(usize, usize),
    #[error("only {0} of {1} bytes came")]
    Truncated(usize, usize),
}

/// Puts the token of this name together. Every piece has to follow the one before.
pub(crate) fn assemble<'a>(
    pieces: impl IntoIterator<Item = &'a Piece>,
    name: &str,
) -> Result<Vec<u8>, AssemblyError> {
    let mut token = Vec::new();
    let mut whole = None;
    for piece in pieces.into_iter().filter(|piece| piece.name == name) {
        let size = *whole.get_or_insert(piece.size);
        if piece.size != size {
            return Err(AssemblyError::Size(size, piece.size));
        }
        if piece.offset != token.len() {
            return Err(AssemblyError::Gap {
                found: piece.offset,
                expected: token.len(),
            });
        }
        token.extend(&piece.bytes);
    }
    match whole {
        None => Err(AssemblyError::Absent),
        Some(size) if size != token.len() => Err(AssemblyError::Truncated(token.len(), size)),
        Some(_) => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as a payload prints them.
    fn lines(name: &str, token: &[u8]) -> Vec<String> {
        let size = token.len();
        let pieces = (0..).step_by(32).zip(token.chunks(32));
        pieces
            .map(|(offset, piece)| format!("{name} {offset}/{size} {}", Hex(piece)))
            .collect()
    }

    struct Hex<'a>(&'a [u8]);

    impl std::fmt::Display for Hex<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }

    fn token() -> Vec<u8> {
        (0..100).map(|n: u8| n.wrapping_mul(37)).collect()
    }

    fn read(lines: &[String]) -> Result<Vec<u8>, AssemblyError> {
        let pieces: Option<Vec<_>> = lines.iter().map(|line| Piece::parse(line)).collect();
        assemble(&pieces.expect("a line that is none"), "a")
    }

    #[test]
    fn lines_make_the_token_again() {
        assert_eq!(read(&lines("a", &token())), Ok(token()));
        assert_eq!(read(&lines("a", &[7])), Ok(vec![7]));
        let mut mixed = lines("a", &token());
        mixed.splice(2..2, lines("b", &[1; 50]));
        assert_eq!(read(&mixed), Ok(token()));
    }

    #[test]
    fn what_is_missing_or_out_of_order_is_no_token() {
        let all = lines("a", &token());
        assert_eq!(read(&[]), Err(AssemblyError::Absent));
        assert_eq!(read(&lines("b", &token())), Err(AssemblyError::Absent));
        assert_eq!(read(&all[..3]), Err(AssemblyError::Truncated(96, 100)));
        let gap = |found, expected| Err(AssemblyError::Gap { found, expected });
        assert_eq!(read(&all[1..]), gap(32, 0));
        let without_one = [&all[..1], &all[2..]].concat();
        assert_eq!(read(&without_one), gap(64, 32));
        let twice = [&all[..2], &all[1..]].concat();
        assert_eq!(read(&twice), gap(32, 64));
        let again = [all.as_slice(), &all].concat();
        assert_eq!(read(&again), gap(0, 100));
        let other_size = [&all[..3], &["a 96/101 0001020304".to_owned()]].concat();
        assert_eq!(read(&other_size), Err(AssemblyError::Size(100, 101)));
    }

    #[test]
    fn garbled_lines_are_no_lines_of_a_token() {
        assert!(Piece::parse("a 0/2 0aFf").is_some());
        for line in [
            "",
            "a",
            "a 0/2",
            "a 0/2 ",
            "a 0/2 0",
            "a 0/2 000",
            "a 0/2 0g",
            "a 0/2 +0",
            "a 0/2 é0",
            "a 0/2 000102",
            "a 1/2 0001",
            "a 0/2 00 01",
            " 0/2 00",
            "a 0 0001",
            "a 0/ 00",
            "a -0/2 00",
            "a +0/2 00",
            "a 0x0/2 00",
            "a 0/65537 00",
            "a 18446744073709551615/2 00",
            "a 0/99999999999999999999 00",
        ] {
            assert_eq!(Piece::parse(line), None, "{line:?}");
        }
        let long = format!("a 0/1000 {}", "00".repeat(LONGEST_PIECE + 1));
        assert_eq!(Piece::parse(&long), None);
        assert!(Piece::parse(&long[..long.len() - 2]).is_some());
    }
}
