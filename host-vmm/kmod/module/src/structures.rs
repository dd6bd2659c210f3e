//! Structures that C passes, as in `shim/core.h` and `shim/realm_uapi.h`.

use realm_kmod_core::interrupts::SystemEvent;
use realm_kmod_core::realm::{Configuration, RealmError};
use realm_kmod_core::vcpu::{Action, Failure};
use rmm_abi::rmi::HashAlgorithm;

/// `struct realm_limits`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Limits {
    pub(crate) ipa_bits: u32,
    pub(crate) vcpus: u32,
    pub(crate) slots: u32,
    pub(crate) reserved: u32,
}

/// `struct realm_information`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Information {
    pub(crate) module_interface: u32,
    pub(crate) rmi_major: u16,
    pub(crate) rmi_minor: u16,
    pub(crate) features: u64,
    pub(crate) realms: u64,
    pub(crate) pages_owned: u64,
    pub(crate) pages_delegated: u64,
    pub(crate) pages_lost: u64,
}

/// `struct realm_statistics`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Statistics {
    pub(crate) pages_private: u64,
    pub(crate) blocks_private: u64,
    pub(crate) pages_shared: u64,
    pub(crate) tables: u64,
    pub(crate) populate_nanoseconds: u64,
    pub(crate) faults: u64,
    pub(crate) reserved: [u64; 2],
}

/// `struct realm_configuration`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct ConfigurationArgument {
    flags: u32,
    hash_algorithm: u8,
    sve_vl: u8,
    pmu_counters: u8,
    breakpoints: u8,
    watchpoints: u8,
    reserved: [u8; 7],
    personalization_value: [u8; 64],
}

impl ConfigurationArgument {
    /// The configuration; what makes no sense is invalid.
    pub(crate) fn parse(&self) -> Result<Configuration, RealmError> {
        const SVE: u32 = 1 << 0;
        const PMU: u32 = 1 << 1;
        let optional = |flag, value: u8| match (self.flags & flag != 0, value) {
            (true, value) => Ok(Some(value)),
            (false, 0) => Ok(None),
            (false, _) => Err(RealmError::Invalid),
        };
        if self.flags & !(SVE | PMU) != 0 || self.reserved != [0; 7] {
            return Err(RealmError::Invalid);
        }
        Ok(Configuration {
            sve_vector_length: optional(SVE, self.sve_vl)?,
            pmu_counters: optional(PMU, self.pmu_counters)?,
            breakpoints: self.breakpoints,
            watchpoints: self.watchpoints,
            hash_algorithm: HashAlgorithm::from_encoding(self.hash_algorithm)
                .ok_or(RealmError::Invalid)?,
            personalization_value: self.personalization_value,
        })
    }
}

/// `struct kvm_arm_rmi_populate`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Populate {
    pub(crate) base: u64,
    pub(crate) size: u64,
    pub(crate) source_uaddr: u64,
    pub(crate) flags: u32,
    pub(crate) reserved: u32,
}

/// `struct kvm_arm_rmi_psci_complete`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct PsciComplete {
    pub(crate) target_mpidr: u64,
    pub(crate) psci_status: u32,
    pub(crate) padding: [u32; 3],
}

/// `struct realm_action`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct ActionResult {
    kind: u32,
    reserved: u32,
    flags: u64,
    address: u64,
    size: u64,
    data: [u64; 4],
}

/// `enum realm_action_kind`.
mod kind {
    pub(super) const RUN: u32 = 0;
    pub(super) const ENTER: u32 = 1;
    pub(super) const HANDLE: u32 = 2;
    pub(super) const WAIT: u32 = 3;
    pub(super) const MMIO: u32 = 4;
    pub(super) const MEMORY_FAULT: u32 = 5;
    pub(super) const HYPERCALL: u32 = 6;
    pub(super) const SYSTEM_EVENT: u32 = 7;
    pub(super) const FAIL: u32 = 8;
}

impl From<Action> for ActionResult {
    fn from(action: Action) -> Self {
        /// `KVM_MEMORY_EXIT_FLAG_PRIVATE`.
        const PRIVATE: u64 = 1 << 3;
        /// `KVM_SYSTEM_EVENT_SHUTDOWN` and `_RESET`.
        const SHUTDOWN: u64 = 1;
        const RESET: u64 = 2;
        let nothing = Self {
            kind: kind::RUN,
            reserved: 0,
            flags: 0,
            address: 0,
            size: 0,
            data: [0; 4],
        };
        let plain = |kind| Self { kind, ..nothing };
        match action {
            Action::Run => nothing,
            Action::Enter { rec, run } => Self {
                kind: kind::ENTER,
                data: [rec.address(), run.address(), 0, 0],
                ..nothing
            },
            Action::Handle => plain(kind::HANDLE),
            Action::Wait => plain(kind::WAIT),
            Action::Mmio {
                address,
                size,
                write,
            } => Self {
                kind: kind::MMIO,
                flags: u64::from(write.is_some()),
                address,
                size: u64::from(size),
                data: [write.unwrap_or(0), 0, 0, 0],
                ..nothing
            },
            Action::MemoryFault {
                address,
                size,
                private,
            } => Self {
                kind: kind::MEMORY_FAULT,
                flags: if private { PRIVATE } else { 0 },
                address,
                size,
                ..nothing
            },
            Action::Hypercall {
                function,
                arguments: [first, second, third],
            } => Self {
                kind: kind::HYPERCALL,
                data: [function, first, second, third],
                ..nothing
            },
            Action::SystemEvent(event) => Self {
                kind: kind::SYSTEM_EVENT,
                flags: match event {
                    SystemEvent::Shutdown => SHUTDOWN,
                    SystemEvent::Reset => RESET,
                },
                ..nothing
            },
            Action::Fail(failure) => {
                let (value, what) = match failure {
                    Failure::Refused(code) => (code, 0),
                    Failure::Exception(syndrome) => (syndrome, 1),
                    Failure::Unknown(reason) => (reason, 2),
                };
                Self {
                    kind: kind::FAIL,
                    data: [value, what, 0, 0],
                    ..nothing
                }
            }
        }
    }
}

const _: () = {
    assert!(size_of::<Limits>() == 16);
    assert!(size_of::<Information>() == 48);
    assert!(size_of::<Statistics>() == 64);
    assert!(size_of::<ConfigurationArgument>() == 80);
    assert!(size_of::<Populate>() == 32);
    assert!(size_of::<PsciComplete>() == 24);
    assert!(size_of::<ActionResult>() == 64);
};
