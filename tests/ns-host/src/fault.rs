//! What an exception syndrome says about a failed access.

use core::fmt;

/// An access that ended in an exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// `ESR_EL2`.
    pub syndrome: u64,
}

/// Why an access failed. Levels are those of the translation tables, −1 to 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The granule is not in a physical address space that the access may use.
    GranuleProtection,
    /// The same for a translation table.
    GranuleProtectionOnWalk(i8),
    /// The address is wider than the tables or the physical address space.
    AddressSize(i8),
    /// Nothing is mapped there.
    Translation(i8),
    /// The mapping has its access flag clear.
    AccessFlag(i8),
    /// The mapping forbids it.
    Permission(i8),
    /// The memory system refused it.
    ExternalAbort,
    /// The memory system refused a translation table.
    ExternalAbortOnWalk(i8),
    /// The address is not aligned.
    Alignment,
    /// The instruction does not exist. It was fetched.
    UndefinedInstruction,
    /// Something else.
    Other,
}

impl Fault {
    const UNKNOWN: u64 = 0x00;
    const INSTRUCTION_ABORT: u64 = 0x21;
    const DATA_ABORT: u64 = 0x25;

    /// Exception class.
    pub const fn class(self) -> u64 {
        self.syndrome >> 26 & 0x3f
    }

    /// Whether it was an instruction fetch that failed.
    pub const fn is_fetch(self) -> bool {
        self.class() == Self::INSTRUCTION_ABORT
    }

    /// Whether it was a store that failed.
    pub const fn is_write(self) -> bool {
        self.class() == Self::DATA_ABORT && self.syndrome >> 6 & 1 == 1
    }

    /// Why it failed.
    pub const fn kind(self) -> FaultKind {
        match self.class() {
            Self::UNKNOWN => return FaultKind::UndefinedInstruction,
            Self::DATA_ABORT | Self::INSTRUCTION_ABORT => {}
            _ => return FaultKind::Other,
        }
        let status = (self.syndrome & 0x3f) as i8;
        match status {
            0x00..=0x03 => FaultKind::AddressSize(status),
            0x04..=0x07 => FaultKind::Translation(status - 0x04),
            0x08..=0x0b => FaultKind::AccessFlag(status - 0x08),
            0x0c..=0x0f => FaultKind::Permission(status - 0x0c),
            0x10 => FaultKind::ExternalAbort,
            0x13..=0x17 => FaultKind::ExternalAbortOnWalk(status - 0x14),
            0x21 => FaultKind::Alignment,
            0x23..=0x27 => FaultKind::GranuleProtectionOnWalk(status - 0x24),
            0x28 => FaultKind::GranuleProtection,
            0x29 => FaultKind::AddressSize(-1),
            0x2b => FaultKind::Translation(-1),
            _ => FaultKind::Other,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            FaultKind::GranuleProtection => f.write_str("granule protection fault"),
            FaultKind::GranuleProtectionOnWalk(level) => {
                write!(f, "granule protection fault on a table of level {level}")
            }
            FaultKind::AddressSize(level) => write!(f, "address size fault at level {level}"),
            FaultKind::Translation(level) => write!(f, "translation fault at level {level}"),
            FaultKind::AccessFlag(level) => write!(f, "access flag fault at level {level}"),
            FaultKind::Permission(level) => write!(f, "permission fault at level {level}"),
            FaultKind::ExternalAbort => f.write_str("external abort"),
            FaultKind::ExternalAbortOnWalk(level) => {
                write!(f, "external abort on a table of level {level}")
            }
            FaultKind::Alignment => f.write_str("alignment fault"),
            FaultKind::UndefinedInstruction => f.write_str("undefined instruction"),
            FaultKind::Other => write!(f, "exception with syndrome {:#x}", self.syndrome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(status: u64) -> Fault {
        Fault {
            syndrome: 0x25 << 26 | 1 << 25 | status,
        }
    }

    #[test]
    fn kinds() {
        for (status, kind) in [
            (0x00, FaultKind::AddressSize(0)),
            (0x07, FaultKind::Translation(3)),
            (0x09, FaultKind::AccessFlag(1)),
            (0x0f, FaultKind::Permission(3)),
            (0x10, FaultKind::ExternalAbort),
            (0x13, FaultKind::ExternalAbortOnWalk(-1)),
            (0x17, FaultKind::ExternalAbortOnWalk(3)),
            (0x21, FaultKind::Alignment),
            (0x23, FaultKind::GranuleProtectionOnWalk(-1)),
            (0x24, FaultKind::GranuleProtectionOnWalk(0)),
            (0x27, FaultKind::GranuleProtectionOnWalk(3)),
            (0x28, FaultKind::GranuleProtection),
            (0x2b, FaultKind::Translation(-1)),
            (0x3f, FaultKind::Other),
        ] {
            assert_eq!(data(status).kind(), kind, "{status:#x}");
        }
        assert_eq!(
            Fault { syndrome: 1 << 25 }.kind(),
            FaultKind::UndefinedInstruction
        );
        // A trapped SMC has no fault status.
        assert_eq!(
            Fault {
                syndrome: 0x17 << 26 | 0x28
            }
            .kind(),
            FaultKind::Other
        );
    }

    #[test]
    fn direction() {
        let write = Fault {
            syndrome: data(0x28).syndrome | 1 << 6,
        };
        let fetch = Fault {
            syndrome: 0x21 << 26 | 1 << 25 | 0x28,
        };
        assert!(write.is_write() && !write.is_fetch());
        assert!(!data(0x28).is_write() && !data(0x28).is_fetch());
        assert!(fetch.is_fetch() && !fetch.is_write());
        assert_eq!(fetch.kind(), FaultKind::GranuleProtection);
    }
}
