//! Exits under which all registers are watched, and what they may change.

use rmm_abi::rsi::fid;
use rmm_abi::smc::psci;

/// A call that belongs to nobody: the vendor hypervisor range.
pub const UNKNOWN_CALL: u64 = 0xc600_0001;

/// How a REC is made to exit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// `WFI`.
    Wfi = 0,
    /// `LDR X2, [X1]` from the given address, which the host emulates.
    Load = 1,
    /// `STR X2, [X1]` to the given address, which the host emulates. The value is a pattern.
    Store = 2,
    /// SMC with [`UNKNOWN_CALL`]. The RMM answers it by itself.
    UnknownSmc = 3,
    /// Writes a pattern (X2) to `ICC_SGI1R_EL1`.
    SendSgi = 4,
    /// `RSI_IPA_STATE_SET` of the page at the given address to RAM. It must not need more than one
    /// call.
    RipasChange = 5,
    /// `RSI_HOST_CALL` with [`immediate::INVERT`](crate::immediate::INVERT) and patterns of
    /// [`Kind::HostCall`](crate::pattern::Kind::HostCall).
    HostCall = 6,
    /// PSCI `CPU_SUSPEND` with patterns as arguments.
    CpuSuspend = 7,
    /// `RSI_VERSION`. The RMM answers it by itself.
    Version = 8,
}

/// What a register holds afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Afterwards {
    /// What it held before.
    Kept,
    /// What it held before, or zero.
    KeptOrZero,
    /// This.
    Exactly(u64),
    /// A result that nobody can know beforehand.
    Anything,
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Wfi,
        Self::Load,
        Self::Store,
        Self::UnknownSmc,
        Self::SendSgi,
        Self::RipasChange,
        Self::HostCall,
        Self::CpuSuspend,
        Self::Version,
    ];

    /// The exit behind an encoding.
    pub fn from_encoding(encoding: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| *exit as u64 == encoding)
    }

    /// What a register has to hold beforehand in place of its pattern. `address` is the one given
    /// with the exit, for a host call that of its structure.
    pub const fn argument(self, register: usize, address: u64) -> Option<u64> {
        Some(match (self, register) {
            (Self::Load | Self::Store | Self::RipasChange | Self::HostCall, 1) => address,
            (Self::UnknownSmc, 0) => UNKNOWN_CALL,
            (Self::RipasChange, 0) => fid::IPA_STATE_SET,
            (Self::RipasChange, 2) => address.wrapping_add(rmm_abi::GRANULE_SIZE as u64),
            (Self::RipasChange, 3) => rmm_abi::rmi::Ripas::Ram as u64,
            (Self::RipasChange, 4) => 0,
            (Self::HostCall, 0) => fid::HOST_CALL,
            (Self::CpuSuspend, 0) => psci::CPU_SUSPEND,
            (Self::Version, 0) => fid::VERSION,
            (Self::Version, 1) => rmm_abi::rsi::VERSION_1_0.word(),
            _ => return None,
        })
    }

    /// What a register holds afterwards, with the same address.
    pub const fn afterwards(self, register: usize, address: u64) -> Afterwards {
        match (self, register) {
            (Self::Load, 2) => Afterwards::Anything,
            (Self::UnknownSmc, 0) => Afterwards::Exactly(rmm_abi::smc::NOT_SUPPORTED),
            // Nothing says what becomes of them; nobody else's value may be in them.
            (Self::UnknownSmc, 1..=3) => Afterwards::KeptOrZero,
            (Self::RipasChange, 1) => {
                Afterwards::Exactly(address.wrapping_add(rmm_abi::GRANULE_SIZE as u64))
            }
            (Self::Version, 1 | 2) => Afterwards::Exactly(rmm_abi::rsi::VERSION_1_0.word()),
            (Self::RipasChange | Self::HostCall | Self::CpuSuspend | Self::Version, 0..=3) => {
                Afterwards::Exactly(0)
            }
            _ => Afterwards::Kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Afterwards::{Anything, Exactly, Kept, KeptOrZero};
    use super::*;

    #[test]
    fn encodings_are_their_own_inverse() {
        for (encoding, exit) in (0..).zip(Exit::ALL) {
            assert_eq!(exit as u64, encoding);
            assert_eq!(Exit::from_encoding(encoding), Some(exit));
        }
        assert_eq!(Exit::from_encoding(Exit::ALL.len() as u64), None);
    }

    #[test]
    fn calls_have_their_arguments_and_results() {
        let arguments = |exit: Exit| [0, 1, 2, 3, 4, 5].map(|n| exit.argument(n, 0x7000));
        assert_eq!(
            arguments(Exit::RipasChange),
            [
                Some(0xc400_0197),
                Some(0x7000),
                Some(0x8000),
                Some(1),
                Some(0),
                None
            ]
        );
        assert_eq!(
            arguments(Exit::HostCall)[..3],
            [Some(0xc400_0199), Some(0x7000), None]
        );
        assert_eq!(arguments(Exit::Wfi), [None; 6]);
        let after = |exit: Exit| [0, 1, 2, 3, 4, 30].map(|n| exit.afterwards(n, 0x7000));
        assert_eq!(
            after(Exit::RipasChange),
            [
                Exactly(0),
                Exactly(0x8000),
                Exactly(0),
                Exactly(0),
                Kept,
                Kept
            ]
        );
        assert_eq!(
            after(Exit::UnknownSmc),
            [
                Exactly(u64::MAX),
                KeptOrZero,
                KeptOrZero,
                KeptOrZero,
                Kept,
                Kept
            ]
        );
        assert_eq!(after(Exit::Load), [Kept, Kept, Anything, Kept, Kept, Kept]);
        assert_eq!(after(Exit::Store), [Kept; 6]);
        assert_eq!(after(Exit::SendSgi), [Kept; 6]);
        assert_eq!(
            after(Exit::Version),
            [
                Exactly(0),
                Exactly(0x1_0000),
                Exactly(0x1_0000),
                Exactly(0),
                Kept,
                Kept
            ]
        );
    }
}
