//! What the Realm kernel module and the patches for Arm CCA hosts add to KVM's interface:
//! `host-vmm/kmod/shim/realm_uapi.h`, in Rust.

use kvm_bindings::KVMIO;
use vmm_sys_util::{ioctl_ior_nr, ioctl_iow_nr, ioctl_iowr_nr};

/// Answers a PSCI call (`struct kvm_arm_rmi_psci_complete`).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PsciComplete {
    /// Whom the call was about.
    pub target_mpidr: u64,
    /// The answer: a PSCI status.
    pub psci_status: u32,
    /// Zero.
    pub padding: [u32; 3],
}

/// The content of private memory is measured.
pub const POPULATE_FLAGS_MEASURE: u32 = 1;

/// Fills private memory (`struct kvm_arm_rmi_populate`). The kernel advances it by what it did.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Populate {
    /// Where it goes.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// Where it comes from, in this process.
    pub source_uaddr: u64,
    /// [`POPULATE_FLAGS_MEASURE`].
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// The Realm has SVE.
pub const CONFIGURE_SVE: u32 = 1 << 0;
/// The Realm has a PMU.
pub const CONFIGURE_PMU: u32 = 1 << 1;
/// It is measured with SHA-256.
pub const HASH_SHA256: u8 = 0;
/// It is measured with SHA-512.
pub const HASH_SHA512: u8 = 1;

/// Parameters of a Realm (`struct realm_configuration`).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RealmConfiguration {
    /// [`CONFIGURE_SVE`], [`CONFIGURE_PMU`].
    pub flags: u32,
    /// [`HASH_SHA256`], [`HASH_SHA512`].
    pub hash_algorithm: u8,
    /// Vector length / 128 bits − 1.
    pub sve_vl: u8,
    /// Event counters.
    pub pmu_counters: u8,
    /// Number − 1.
    pub breakpoints: u8,
    /// Number − 1.
    pub watchpoints: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// The personalization value.
    pub personalization_value: [u8; 64],
}

/// The interface that this program speaks.
pub const MODULE_INTERFACE: u32 = 1;

/// What the module knows of the RMM (`struct realm_information`).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Information {
    /// [`MODULE_INTERFACE`].
    pub module_interface: u32,
    /// RMI version.
    pub rmi_major: u16,
    /// RMI version.
    pub rmi_minor: u16,
    /// `RMI_FEATURES(0)`.
    pub features: u64,
    /// Realms that live.
    pub realms: u64,
    /// Pages of the module, delegated or not.
    pub pages_owned: u64,
    /// Pages in the Realm world.
    pub pages_delegated: u64,
    /// Pages that the RMM did not give back.
    pub pages_lost: u64,
}

/// How a Realm's memory is mapped (`struct realm_statistics`).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Statistics {
    /// 4 KiB pages that the Realm has, those in blocks included.
    pub pages_private: u64,
    /// Blocks of 2 MiB.
    pub blocks_private: u64,
    /// Pages of this process that are pinned.
    pub pages_shared: u64,
    /// Translation tables.
    pub tables: u64,
    /// How long populating took.
    pub populate_nanoseconds: u64,
    /// Faults of private memory.
    pub faults: u64,
    /// Zero.
    pub reserved: [u64; 2],
}

/// A question about what the RMM has counted, and its answer (`struct realm_rmm_statistics`).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RmmStatistics {
    /// `rmm_abi::statistics::Query`.
    pub index: u64,
    /// X1 to X3.
    pub words: [u64; 3],
    /// The counter of the machine after the answer.
    pub counter: u64,
    /// Its frequency, in Hz.
    pub frequency: u64,
}

/// The macros make functions without documentation.
#[allow(missing_docs)]
mod numbers {
    use super::{
        Information, KVMIO, Populate, PsciComplete, RealmConfiguration, RmmStatistics, Statistics,
        ioctl_ior_nr, ioctl_iow_nr, ioctl_iowr_nr,
    };

    ioctl_iow_nr!(KVM_ARM_VCPU_RMI_PSCI_COMPLETE, KVMIO, 0xd6, PsciComplete);
    ioctl_iowr_nr!(KVM_ARM_RMI_POPULATE, KVMIO, 0xd7, Populate);
    ioctl_iow_nr!(REALM_CONFIGURE, KVMIO, 0xf0, RealmConfiguration);
    ioctl_ior_nr!(REALM_INFORMATION, KVMIO, 0xf1, Information);
    ioctl_ior_nr!(REALM_STATISTICS, KVMIO, 0xf2, Statistics);
    ioctl_iowr_nr!(REALM_RMM_STATISTICS, KVMIO, 0xf3, RmmStatistics);
}

pub use numbers::*;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_header() {
        // Direction, size, type and number, as Linux puts them together.
        assert_eq!(KVM_ARM_VCPU_RMI_PSCI_COMPLETE(), 0x4018_aed6);
        assert_eq!(KVM_ARM_RMI_POPULATE(), 0xc020_aed7);
        assert_eq!(REALM_CONFIGURE(), 0x4050_aef0);
        assert_eq!(REALM_INFORMATION(), 0x8030_aef1);
        assert_eq!(REALM_STATISTICS(), 0x8040_aef2);
        assert_eq!(REALM_RMM_STATISTICS(), 0xc030_aef3);
    }
}
