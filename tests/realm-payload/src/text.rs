//! Lines of text in the registers of a host call: bytes in their order, zeros behind the end.

use core::fmt;

use crate::Registers;

/// Most bytes of a line; what is longer is cut off.
pub const LENGTH: usize = size_of::<Registers>();

/// A line of text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    bytes: [u8; LENGTH],
    length: usize,
}

impl Line {
    /// An empty line.
    pub const fn new() -> Self {
        Self {
            bytes: [0; LENGTH],
            length: 0,
        }
    }

    /// The line that came in these registers.
    pub fn from_registers(registers: &Registers) -> Self {
        let mut line = Self::new();
        for (bytes, register) in line.bytes.chunks_exact_mut(8).zip(registers) {
            bytes.copy_from_slice(&register.to_le_bytes());
        }
        line.length = line
            .bytes
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(LENGTH);
        line
    }

    /// The registers that carry the line.
    pub fn registers(&self) -> Registers {
        let mut registers = Registers::default();
        for (register, bytes) in registers.iter_mut().zip(self.bytes.as_chunks().0) {
            *register = u64::from_le_bytes(*bytes);
        }
        registers
    }

    /// The text, as far as it is text.
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..self.length];
        match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        }
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let text = text.as_bytes();
        let length = text.len().min(LENGTH - self.length);
        self.bytes[self.length..self.length + length].copy_from_slice(&text[..length]);
        self.length += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::*;

    #[test]
    fn a_line_travels_in_registers() {
        let mut line = Line::new();
        write!(line, "REC {} is here", 3).unwrap();
        let registers = line.registers();
        assert_eq!(registers[0], u64::from_le_bytes(*b"REC 3 is"));
        assert_eq!(Line::from_registers(&registers), line);
        assert_eq!(line.as_str(), "REC 3 is here");
        assert_eq!(Line::from_registers(&Registers::default()).as_str(), "");
    }

    #[test]
    fn what_is_too_long_is_cut_off() {
        let mut line = Line::new();
        for _ in 0..100 {
            line.write_str("12345678").unwrap();
        }
        assert_eq!(line.as_str().len(), 248);
        assert_eq!(Line::from_registers(&line.registers()), line);
    }

    #[test]
    fn bytes_that_are_no_text_end_it() {
        let registers = core::array::from_fn(|n| if n == 0 { 0xff_6b6f } else { 0 });
        assert_eq!(Line::from_registers(&registers).as_str(), "ok");
    }
}
