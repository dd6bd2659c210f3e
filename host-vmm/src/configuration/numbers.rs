//! Numbers of a machine: its memory, its vCPUs.

use std::fmt;
use std::str::FromStr;

use super::ConfigurationError;
use crate::layout::{BLOCK_BYTES, MAX_CPUS, MAX_MEMORY_BYTES};

/// Size of a machine's RAM: a multiple of 2 MiB, and no more than [`MAX_MEMORY_BYTES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MemorySize(u64);

impl MemorySize {
    /// What a machine has for which nothing else was said: 512 MiB.
    pub const DEFAULT: Self = Self(512 << 20);

    /// A number of bytes.
    ///
    /// # Errors
    ///
    /// If it is not a multiple of 2 MiB, zero or too large.
    pub const fn new(bytes: u64) -> Result<Self, ConfigurationError> {
        if bytes == 0 || !bytes.is_multiple_of(BLOCK_BYTES) {
            return Err(ConfigurationError::MemoryGranularity);
        }
        if bytes > MAX_MEMORY_BYTES {
            return Err(ConfigurationError::MemoryTooLarge);
        }
        Ok(Self(bytes))
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// As options have it.
    pub fn as_option(self) -> String {
        let mebibytes = self.0 >> 20;
        if mebibytes.is_multiple_of(1024) {
            format!("{}G", mebibytes >> 10)
        } else {
            format!("{mebibytes}M")
        }
    }
}

impl FromStr for MemorySize {
    type Err = ConfigurationError;

    /// A number with K, M, G or T behind it (powers of 1024), or of bytes alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ConfigurationError::MemoryText;
        let (digits, shift) = match text.as_bytes().last().ok_or_else(wrong)? {
            b'K' | b'k' => (&text[..text.len() - 1], 10),
            b'M' | b'm' => (&text[..text.len() - 1], 20),
            b'G' | b'g' => (&text[..text.len() - 1], 30),
            b'T' | b't' => (&text[..text.len() - 1], 40),
            _ => (text, 0),
        };
        // `parse` alone would take a sign.
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let bytes = number
            .checked_mul(1 << shift)
            .ok_or(ConfigurationError::MemoryTooLarge)?;
        Self::new(bytes)
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.0 >> 20;
        if mebibytes.is_multiple_of(1024) {
            write!(f, "{} GiB", mebibytes >> 10)
        } else {
            write!(f, "{mebibytes} MiB")
        }
    }
}

/// How many vCPUs a machine has: 1 to [`MAX_CPUS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CpuCount(u32);

impl CpuCount {
    /// A single vCPU.
    pub const ONE: Self = Self(1);

    /// A number of vCPUs.
    ///
    /// # Errors
    ///
    /// If there are none or too many.
    pub const fn new(count: u32) -> Result<Self, ConfigurationError> {
        if count == 0 || count > MAX_CPUS {
            return Err(ConfigurationError::CpuCount);
        }
        Ok(Self(count))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for CpuCount {
    type Err = ConfigurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let count = text.parse().map_err(|_| ConfigurationError::CpuCount)?;
        Self::new(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_memory() {
        let parse = |text: &str| text.parse::<MemorySize>().map(MemorySize::bytes);
        assert_eq!(parse("512M"), Ok(512 << 20));
        assert_eq!(parse("2g"), Ok(2 << 30));
        assert_eq!(parse("2048K"), Ok(2 << 20));
        assert_eq!(parse("2097152"), Ok(2 << 20));
        assert_eq!(parse("512G"), Ok(MAX_MEMORY_BYTES));
        for text in [
            "", "M", "x", "-2M", "+2M", "2 M", "2MM", "1.5G", "0x200000", "2é",
        ] {
            assert_eq!(parse(text), Err(ConfigurationError::MemoryText), "{text:?}");
        }
        for text in ["0", "0M", "1M", "3M", "2097153"] {
            assert_eq!(
                parse(text),
                Err(ConfigurationError::MemoryGranularity),
                "{text:?}"
            );
        }
        for text in ["513G", "1T", "99999999999999T", "18446744073707454464"] {
            assert_eq!(
                parse(text),
                Err(ConfigurationError::MemoryTooLarge),
                "{text:?}"
            );
        }
        for text in ["512M", "3G", "2M", "1026M"] {
            assert_eq!(text.parse::<MemorySize>().unwrap().as_option(), text);
        }
        assert_eq!(MemorySize(512 << 20).to_string(), "512 MiB");
        assert_eq!(MemorySize(3 << 30).to_string(), "3 GiB");
    }

    #[test]
    fn numbers_of_cpus() {
        let parse = |text: &str| text.parse::<CpuCount>().map(CpuCount::get);
        assert_eq!(parse("1"), Ok(1));
        assert_eq!(parse("512"), Ok(512));
        for text in ["", "0", "513", "-1", "two", "4294967297"] {
            assert_eq!(parse(text), Err(ConfigurationError::CpuCount), "{text:?}");
        }
    }
}
