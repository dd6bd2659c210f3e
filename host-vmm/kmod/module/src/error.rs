//! Errors of the core as error numbers of the kernel.

use core::ffi::c_int;

use realm_kmod_core::realm::RealmError;
use realm_kmod_core::rmi::NoRmm;
use realm_kmod_core::vgic;

/// Numbers of `errno.h`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Errno {
    NoEntry = 2,
    Interrupted = 4,
    Io = 5,
    NoSuchDeviceOrAddress = 6,
    NoMemory = 12,
    Fault = 14,
    Busy = 16,
    Exists = 17,
    NoDevice = 19,
    Invalid = 22,
    ProtocolNotSupported = 93,
}

impl Errno {
    /// What a function returns for it.
    pub(crate) const fn code(self) -> c_int {
        -(self as c_int)
    }
}

impl From<RealmError> for Errno {
    fn from(error: RealmError) -> Self {
        match error {
            RealmError::OutOfMemory => Self::NoMemory,
            RealmError::BadAddress => Self::Fault,
            RealmError::Interrupted => Self::Interrupted,
            RealmError::Invalid => Self::Invalid,
            RealmError::Busy => Self::Busy,
            RealmError::Exists => Self::Exists,
            RealmError::NoSuchRegister => Self::NoEntry,
            RealmError::NoSuchThing => Self::NoSuchDeviceOrAddress,
            RealmError::Rmm(_) => Self::Io,
        }
    }
}

impl From<NoRmm> for Errno {
    fn from(error: NoRmm) -> Self {
        match error {
            NoRmm::Missing => Self::NoDevice,
            NoRmm::Version(_) => Self::ProtocolNotSupported,
        }
    }
}

impl From<vgic::Error> for Errno {
    fn from(error: vgic::Error) -> Self {
        match error {
            // There is no interrupt controller, or none with this interrupt.
            vgic::Error::Incomplete => Self::NoSuchDeviceOrAddress,
            vgic::Error::NoSuchInterrupt => Self::Invalid,
            other => RealmError::from(other).into(),
        }
    }
}

/// What a function returns that has nothing else to say.
pub(crate) fn code<E: Into<Errno>>(result: Result<(), E>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.into().code(),
    }
}
