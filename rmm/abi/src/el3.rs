//! The interface between an RMM and the firmware at EL3 (RMM-EL3 interface 0.x).

use crate::smc::standard_service;

/// Function identifiers of the services that EL3 offers to the RMM.
pub mod fid {
    use super::standard_service;

    /// The RMM hands the result of an RMI command to EL3 and waits for the next one.
    pub const REQUEST_COMPLETE: u64 = standard_service(0x18f);
    /// Give a granule to the Realm world: `GTSI_DELEGATE(addr)`.
    pub const GTSI_DELEGATE: u64 = standard_service(0x1b0);
    /// Give a granule back to the normal world: `GTSI_UNDELEGATE(addr)`.
    pub const GTSI_UNDELEGATE: u64 = standard_service(0x1b1);
    /// `ATTEST_GET_REALM_KEY(buffer, size, curve)` → key size.
    pub const ATTEST_GET_REALM_KEY: u64 = standard_service(0x1b2);
    /// `ATTEST_GET_PLAT_TOKEN(buffer, size, challenge size)` → piece size, remaining.
    pub const ATTEST_GET_PLATFORM_TOKEN: u64 = standard_service(0x1b3);
    /// `RMM_EL3_FEATURES(index)` → value. Since 0.4.
    pub const FEATURES: u64 = standard_service(0x1b4);
    /// `EL3_TOKEN_SIGN(opcode, …)`. Since 0.4.
    pub const TOKEN_SIGN: u64 = standard_service(0x1b5);
    /// `MEC_REFRESH(mecid and reason)`. Since 0.5.
    pub const MEC_REFRESH: u64 = standard_service(0x1b6);
    /// Program an IDE key. Since 0.6.
    pub const IDE_KEY_PROG: u64 = standard_service(0x1b7);
    /// Start using IDE keys. Since 0.6.
    pub const IDE_KEY_SET_GO: u64 = standard_service(0x1b8);
    /// Stop using IDE keys. Since 0.6.
    pub const IDE_KEY_SET_STOP: u64 = standard_service(0x1b9);
    /// Fetch the response of an IDE call that did not block. Since 0.6.
    pub const IDE_KM_PULL_RESPONSE: u64 = standard_service(0x1ba);
    /// `RESERVE_MEMORY(size, alignment and flags)` → base. During boot only. Since 0.7.
    pub const RESERVE_MEMORY: u64 = standard_service(0x1bb);
    /// The RMM has booted on this CPU, or could not: `BOOT_COMPLETE(code, activation token)`.
    pub const BOOT_COMPLETE: u64 = standard_service(0x1cf);
}

/// Return codes of the services, a signed 32-bit value in X0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum ServiceCode {
    /// Done.
    Ok = 0,
    /// Unknown error, or a service that is not there.
    Unknown = -1,
    /// An address is misaligned, out of range or not memory that may be used so.
    BadAddress = -2,
    /// The granule is not in the physical address space that the call needs.
    BadPas = -3,
    /// Out of memory.
    NoMemory = -4,
    /// An argument is wrong.
    Invalid = -5,
    /// Busy; call again.
    Again = -6,
    /// The operation failed.
    Fault = -7,
    /// The operation has started and is not finished.
    InProgress = -8,
}

impl ServiceCode {
    /// Reads X0 of a service. A code that the interface does not define is [`Self::Unknown`].
    pub const fn from_word(word: u64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the code is the low 32 bits of X0"
        )]
        match (word as u32).cast_signed() {
            0 => Self::Ok,
            -2 => Self::BadAddress,
            -3 => Self::BadPas,
            -4 => Self::NoMemory,
            -5 => Self::Invalid,
            -6 => Self::Again,
            -7 => Self::Fault,
            -8 => Self::InProgress,
            _ => Self::Unknown,
        }
    }

    /// The code as it travels in X0, sign-extended.
    pub const fn word(self) -> u64 {
        (self as i32 as i64).cast_unsigned()
    }
}

/// What an RMM tells EL3 when it has booted on a CPU, a signed value in X1 of `BOOT_COMPLETE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum BootCode {
    /// Ready.
    Success = 0,
    /// Something else went wrong.
    Unknown = -1,
    /// The interface version of EL3 does not fit.
    VersionNotValid = -2,
    /// EL3 announces more CPUs than the RMM supports.
    CpusOutOfRange = -3,
    /// The number of this CPU is not below the number of CPUs.
    CpuIdOutOfRange = -4,
    /// The shared buffer is missing, misaligned or not accessible.
    InvalidSharedBuffer = -5,
    /// The version of the boot manifest does not fit.
    ManifestVersion = -6,
    /// The boot manifest contradicts itself.
    ManifestData = -7,
}

impl BootCode {
    /// Reads X1 of `BOOT_COMPLETE`. A code that the interface does not define is [`Self::Unknown`].
    pub const fn from_word(word: u64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the code is the low 32 bits of X1"
        )]
        match (word as u32).cast_signed() {
            0 => Self::Success,
            -2 => Self::VersionNotValid,
            -3 => Self::CpusOutOfRange,
            -4 => Self::CpuIdOutOfRange,
            -5 => Self::InvalidSharedBuffer,
            -6 => Self::ManifestVersion,
            -7 => Self::ManifestData,
            _ => Self::Unknown,
        }
    }

    /// The code as it travels in X1, sign-extended.
    pub const fn word(self) -> u64 {
        (self as i32 as i64).cast_unsigned()
    }
}

/// Curve selector of [`fid::ATTEST_GET_REALM_KEY`]: NIST P-384.
pub const CURVE_P384: u64 = 0;
/// Bytes of a P-384 private scalar, the answer to [`fid::ATTEST_GET_REALM_KEY`].
pub const P384_SCALAR_SIZE: usize = 48;

/// Identification at the start of a Cloister `rmm.img`.
///
/// Firmware need not read it: nothing in the RMM-EL3 interface asks for it. It lets firmware and
/// packaging tools that know it print both sides' versions and set enough memory aside before the
/// first instruction runs. All fields are little-endian.
#[derive(
    Clone,
    Copy,
    Debug,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(C)]
pub struct ImageHeader {
    /// A branch over the header: the image is entered at its first byte.
    pub entry: u64,
    /// [`ImageHeader::MAGIC`].
    pub magic: [u8; 8],
    /// Lowest RMM-EL3 interface version that the image accepts, as a version word.
    pub lowest_interface: u32,
    /// Highest RMM-EL3 interface version that the image was written for. A higher minor number
    /// of the same major is accepted.
    pub highest_interface: u32,
    /// Memory that the image needs from its load address on, in bytes: file and zeroed data, a
    /// multiple of the granule size.
    pub image_memory: u64,
    /// Memory after that for each CPU that EL3 announces, in bytes.
    pub memory_per_cpu: u64,
    /// Memory after that for each granule of the DRAM banks in the manifest, in bytes.
    pub memory_per_granule: u32,
    /// Memory after that which depends on neither, in bytes.
    pub fixed_memory: u32,
}

impl ImageHeader {
    /// Value of [`ImageHeader::magic`].
    pub const MAGIC: [u8; 8] = *b"CLSTRRMM";

    /// Bytes that the RMM needs from its load address on, for a machine with this many CPUs and
    /// granules; `None` when the sum overflows.
    pub fn memory_needed(&self, cpus: u64, granules: u64) -> Option<u64> {
        self.image_memory
            .checked_add(self.memory_per_cpu.checked_mul(cpus)?)?
            .checked_add(u64::from(self.memory_per_granule).checked_mul(granules)?)?
            .checked_add(u64::from(self.fixed_memory))
    }
}

const _: () = {
    assert!(size_of::<ImageHeader>() == 48);
    assert!(core::mem::offset_of!(ImageHeader, magic) == 8);
    assert!(core::mem::offset_of!(ImageHeader, lowest_interface) == 16);
    assert!(core::mem::offset_of!(ImageHeader, image_memory) == 24);
    assert!(core::mem::offset_of!(ImageHeader, memory_per_granule) == 40);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_travel_sign_extended_and_come_back() {
        assert_eq!(ServiceCode::BadPas.word(), 0xffff_ffff_ffff_fffd);
        // Firmware may leave the upper half of X0 clear: the code is a 32-bit value.
        assert_eq!(ServiceCode::from_word(0xffff_fffd), ServiceCode::BadPas);
        for code in [
            ServiceCode::Ok,
            ServiceCode::Unknown,
            ServiceCode::BadAddress,
            ServiceCode::BadPas,
            ServiceCode::NoMemory,
            ServiceCode::Invalid,
            ServiceCode::Again,
            ServiceCode::Fault,
            ServiceCode::InProgress,
        ] {
            assert_eq!(ServiceCode::from_word(code.word()), code);
        }
        for code in [
            BootCode::Success,
            BootCode::Unknown,
            BootCode::VersionNotValid,
            BootCode::CpusOutOfRange,
            BootCode::CpuIdOutOfRange,
            BootCode::InvalidSharedBuffer,
            BootCode::ManifestVersion,
            BootCode::ManifestData,
        ] {
            assert_eq!(BootCode::from_word(code.word()), code);
        }
    }

    #[test]
    fn memory_needed_adds_up_and_does_not_wrap() {
        let header = ImageHeader {
            entry: 0,
            magic: ImageHeader::MAGIC,
            lowest_interface: 0,
            highest_interface: 0,
            image_memory: 0x10_0000,
            memory_per_cpu: 0x8000,
            memory_per_granule: 2,
            fixed_memory: 0x4000,
        };
        assert_eq!(
            header.memory_needed(4, 0x4_0000),
            Some(0x10_0000 + 0x2_0000 + 0x8_0000 + 0x4000)
        );
        assert_eq!(header.memory_needed(u64::MAX, 1), None);
        assert_eq!(header.memory_needed(1, u64::MAX), None);
    }
}
