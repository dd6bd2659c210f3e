//! Operations whose cost the program measures.

/// An operation. What is measured lies between two reads of `CNTVCT_EL0`; the registers are set up
/// before the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Operation {
    /// The two reads and nothing between them: the floor of all others.
    Nothing = 0,
    /// `RSI_VERSION`.
    Version = 1,
    /// `PSCI_VERSION`.
    PsciVersion = 2,
    /// A read of `ID_AA64PFR0_EL1`.
    IdRegister = 3,
    /// `RSI_REALM_CONFIG`, to the first page of the REC's scratch area.
    RealmConfig = 4,
    /// `RSI_IPA_STATE_GET` of the 2 MiB at the given address.
    IpaStateGet = 5,
    /// `RSI_MEASUREMENT_READ` of the RIM.
    MeasurementRead = 6,
    /// `RSI_MEASUREMENT_EXTEND` of the first REM by 64 bytes.
    MeasurementExtend = 7,
    /// `RSI_HOST_CALL` with [`immediate::NOTHING`](crate::immediate::NOTHING).
    HostCall = 8,
    /// A load of a doubleword from the given address, which the host emulates.
    EmulatedRead = 9,
    /// `RSI_IPA_STATE_SET` of the 2 MiB at the given address, to empty in every odd repetition and
    /// back to RAM in every even one → the least ticks of either, empty first. Each has to be done
    /// in one call; the check's index is the repetition, its values those of X1.
    RipasChange = 10,
    /// `RSI_ATTESTATION_TOKEN_INIT`.
    TokenInit = 11,
    /// From `RSI_ATTESTATION_TOKEN_INIT` to the last byte of the token, which goes to the first page of
    /// the REC's scratch area → the least ticks, the bytes of the token.
    Token = 12,
}

/// Bytes of the range operations.
pub const RANGE: u64 = 2 << 20;

impl Operation {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Nothing,
        Self::Version,
        Self::PsciVersion,
        Self::IdRegister,
        Self::RealmConfig,
        Self::IpaStateGet,
        Self::MeasurementRead,
        Self::MeasurementExtend,
        Self::HostCall,
        Self::EmulatedRead,
        Self::RipasChange,
        Self::TokenInit,
        Self::Token,
    ];

    /// The operation behind an encoding.
    pub fn from_encoding(encoding: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| *operation as u64 == encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_their_own_inverse() {
        for (encoding, operation) in (0..).zip(Operation::ALL) {
            assert_eq!(operation as u64, encoding);
            assert_eq!(Operation::from_encoding(encoding), Some(operation));
        }
        assert_eq!(Operation::from_encoding(Operation::ALL.len() as u64), None);
    }
}
