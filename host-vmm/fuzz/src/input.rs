//! What a fuzzer hands over, read from its beginning to its end.

/// An input, from its beginning to its end.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.number(1) as u8
    }

    /// A number of so many bytes; what is missing is zero.
    pub fn number(&mut self, bytes: usize) -> u64 {
        let count = bytes.min(self.0.len());
        let (now, later) = self.0.split_at(count);
        self.0 = later;
        now.iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Up to 255 bytes.
    pub fn bytes(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte()).min(self.0.len());
        let (now, later) = self.0.split_at(count);
        self.0 = later;
        now
    }

    /// How long a buffer is: mostly what fits, else up to 4 GiB.
    pub fn length(&mut self) -> u32 {
        match self.byte() % 8 {
            0 => self.number(4) as u32,
            1 => 16 * (self.number(2) as u32),
            2 => u32::MAX - self.byte() as u32,
            _ => self.number(2) as u32 % 4096,
        }
    }
}
