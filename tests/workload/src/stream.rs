//! Bytes that follow from a seed, to be written at one end and checked at the other.

use std::io::{self, Read, Write};

/// What is written or read at once.
const PIECE_BYTES: usize = 64 << 10;

/// The bytes of a seed, eight at a time.
struct Content(u64);

impl Content {
    fn new(seed: u64) -> Self {
        // The steps below never leave zero, and neighbouring seeds should have nothing in common.
        Self(
            (seed ^ 0x9E37_79B9_7F4A_7C15)
                .wrapping_mul(0xBF58_476D_1CE4_E5B9)
                .max(1),
        )
    }

    fn fill(&mut self, piece: &mut [u8]) {
        for bytes in piece.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.copy_from_slice(&self.0.to_le_bytes()[..bytes.len()]);
        }
    }
}

/// Sizes of the pieces that make so many bytes.
fn pieces(bytes: u64) -> impl Iterator<Item = usize> {
    let whole = PIECE_BYTES as u64;
    let last = usize::try_from(bytes % whole).unwrap_or_default();
    (0..bytes / whole)
        .map(|_| PIECE_BYTES)
        .chain((last > 0).then_some(last))
}

/// Writes the first bytes of a seed.
pub(crate) fn write(seed: u64, bytes: u64, output: &mut impl Write) -> io::Result<()> {
    let mut content = Content::new(seed);
    let mut piece = vec![0; PIECE_BYTES];
    for size in pieces(bytes) {
        content.fill(&mut piece[..size]);
        output.write_all(&piece[..size])?;
    }
    output.flush()
}

/// Whether the input is the first bytes of a seed and nothing else.
pub(crate) fn check(seed: u64, bytes: u64, input: &mut impl Read) -> io::Result<()> {
    let mut content = Content::new(seed);
    let (mut wanted, mut found) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut offset = 0_u64;
    for size in pieces(bytes) {
        content.fill(&mut wanted[..size]);
        let (wanted, found) = (&wanted[..size], &mut found[..size]);
        let ends = |error| io::Error::other(format!("behind byte {offset}: {error}"));
        input.read_exact(found).map_err(ends)?;
        let mut pairs = wanted.iter().zip(found.iter());
        if let Some(place) = pairs.position(|(wanted, found)| wanted != found) {
            let message = format!("byte {} is another one", offset + place as u64);
            return Err(io::Error::other(message));
        }
        offset += size as u64;
    }
    match input.read(&mut found[..1])? {
        0 => Ok(()),
        _ => Err(io::Error::other(format!(
            "there is more behind byte {bytes}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(seed: u64, bytes: u64) -> Vec<u8> {
        let mut output = Vec::new();
        write(seed, bytes, &mut output).unwrap();
        output
    }

    #[test]
    fn what_was_written_is_accepted() {
        for bytes in [0, 1, 8, 65_535, 65_536, 200_003] {
            let output = content(7, bytes);
            assert_eq!(output.len() as u64, bytes);
            check(7, bytes, &mut &output[..]).unwrap();
        }
    }

    #[test]
    fn every_difference_is_seen() {
        let output = content(7, 100_000);
        let message = |seed, input: &[u8]| {
            let mut input = input;
            check(seed, 100_000, &mut input).unwrap_err().to_string()
        };
        let mut changed = output.clone();
        changed[99_999] ^= 0x80;
        assert_eq!(message(7, &changed), "byte 99999 is another one");
        assert!(message(7, &output[..99_999]).starts_with("behind byte 65536: "));
        let more = [&output[..], &[0]].concat();
        assert_eq!(message(7, &more), "there is more behind byte 100000");
        assert!(message(8, &output).starts_with("byte 0 "));
    }

    #[test]
    fn pieces_of_a_stream_differ() {
        let output = content(7, 3 * PIECE_BYTES as u64);
        let mut pieces = output.chunks(PIECE_BYTES);
        assert!(pieces.next() != pieces.next());
    }
}
