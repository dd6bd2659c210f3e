//! Pieces of an attestation token in the registers of a host call: offset of the piece, size of the
//! token, then bytes in their order.

use crate::{Registers, SCRATCH_PAGES};

/// Most bytes of a piece. All pieces but the last have so many.
pub const PIECE: usize = size_of::<Registers>() - 2 * size_of::<u64>();

/// Most bytes of a token: it is made in the scratch area of a REC.
pub const LONGEST: usize = SCRATCH_PAGES * rmm_abi::GRANULE_SIZE;

/// A piece of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenPiece {
    offset: usize,
    size: usize,
    bytes: [u8; PIECE],
}

impl TokenPiece {
    /// The piece of a token that begins at an offset; `None` behind its end.
    pub fn of(token: &[u8], offset: usize) -> Option<Self> {
        let rest = token.get(offset..).filter(|rest| !rest.is_empty())?;
        let length = rest.len().min(PIECE);
        let mut bytes = [0; PIECE];
        bytes[..length].copy_from_slice(&rest[..length]);
        Some(Self {
            offset,
            size: token.len(),
            bytes,
        })
    }

    /// Where it begins in the token.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes of the whole token.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        let length = self.size.saturating_sub(self.offset).min(PIECE);
        &self.bytes[..length]
    }

    /// The registers that carry it.
    pub fn registers(&self) -> Registers {
        let mut registers = Registers::default();
        let [offset, size, words @ ..] = &mut registers;
        *offset = self.offset as u64;
        *size = self.size as u64;
        for (word, bytes) in words.iter_mut().zip(self.bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        registers
    }

    /// The piece in these registers; `None` if there can be no such piece.
    pub fn from_registers(registers: &Registers) -> Option<Self> {
        let [offset, size, words @ ..] = registers;
        let offset = usize::try_from(*offset).ok()?;
        let size = usize::try_from(*size).ok()?;
        if size > LONGEST || offset >= size {
            return None;
        }
        let mut bytes = [0; PIECE];
        for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        Some(Self {
            offset,
            size,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_token_again() {
        for size in [1, PIECE - 1, PIECE, PIECE + 1, 1500, LONGEST] {
            let token: Vec<u8> = (0..size).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
            let mut again: Vec<u8> = Vec::new();
            while let Some(piece) = TokenPiece::of(&token, again.len()) {
                let arrived = TokenPiece::from_registers(&piece.registers()).unwrap();
                assert_eq!(arrived.as_bytes(), piece.as_bytes());
                assert_eq!((arrived.offset(), arrived.size()), (again.len(), size));
                again.extend(arrived.as_bytes());
            }
            assert_eq!(again, token);
        }
    }

    #[test]
    fn there_is_nothing_outside_a_token() {
        assert_eq!(TokenPiece::of(&[], 0), None);
        assert_eq!(TokenPiece::of(&[1, 2], 2), None);
        for (offset, size) in [
            (0, 0),
            (8, 8),
            (0, LONGEST as u64 + 1),
            (u64::MAX, 8),
            (0, u64::MAX),
        ] {
            let mut registers = Registers::default();
            registers[0] = offset;
            registers[1] = size;
            assert_eq!(TokenPiece::from_registers(&registers), None);
        }
    }
}
