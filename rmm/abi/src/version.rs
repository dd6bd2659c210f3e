//! The version word that RMI, RSI, the RMM-EL3 interface and the boot manifest have in common.

use core::fmt;

/// An interface revision: minor in bits 15:0, major in bits 30:16 (DEN0137 "`RmiInterfaceVersion`").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version(u32);

impl Version {
    /// Revision `major.minor`. Bit 15 of `major` does not fit the word and is dropped.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self(((major as u32 & 0x7fff) << 16) | minor as u32)
    }

    /// Reads a version word. `None` when a bit above the major number is set.
    pub const fn from_word(word: u64) -> Option<Self> {
        if word >> 31 == 0 {
            #[expect(clippy::cast_possible_truncation, reason = "bits 63:31 are zero")]
            Some(Self(word as u32))
        } else {
            None
        }
    }

    /// The word as it travels in a register or structure.
    pub const fn word(self) -> u64 {
        self.0 as u64
    }

    /// Major number. Different majors are incompatible.
    pub const fn major(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Minor number. A higher minor of the same major only adds.
    pub const fn minor(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_specification_puts_them() {
        assert_eq!(Version::new(1, 0).word(), 0x1_0000);
        assert_eq!(Version::new(0x7fff, 0xffff).word(), 0x7fff_ffff);
        let version = Version::from_word(0x0002_0003).unwrap();
        assert_eq!((version.major(), version.minor()), (2, 3));
        assert_eq!(Version::from_word(1 << 31), None);
        assert_eq!(Version::from_word(u64::MAX), None);
    }

    #[test]
    fn order_is_by_major_then_minor() {
        assert!(Version::new(0, 9) < Version::new(1, 0));
        assert!(Version::new(1, 0) < Version::new(1, 1));
    }
}
