//! What the EL3 monitor decides, apart from the hardware it acts on.
//!
//! Everything here builds and is tested on the development machine; the binary beside it does
//! the entry, the register switching and the devices.
//!
//! | Module | Decides |
//! |---|---|
//! | [`machine`] | what the machine is made of, from its device tree |
//! | [`kernel_image`] | how much memory the normal-world program wants |
//! | [`layout`] | where everything goes: carve-outs, images, tables |
//! | [`granule_protection`] | the granule protection tables and their updates |
//! | [`boot_manifest`] | what the RMM is told |
//! | [`device_tree`] | what the normal world is told |
//! | [`interface`] | whether the RMM image and the monitor fit together |
//! | [`services`] | the calls of the RMM |
//! | [`attestation`] | platform tokens |
//! | [`fault`] | what goes wrong on purpose |
//! | [`hand_over`] | what the RMM is told that is not so |
//! | [`psci`] | the power state of the CPUs |
//! | [`normal_calls`] | the calls of the normal world |
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod attestation;
pub mod boot_manifest;
pub mod device_tree;
pub mod fault;
pub mod granule_protection;
pub mod hand_over;
pub mod interface;
pub mod kernel_image;
pub mod layout;
pub mod machine;
pub mod normal_calls;
pub mod psci;
pub mod region;
pub mod services;
#[cfg(test)]
mod test_trees;

pub use region::Region;

/// A register-sized number as an index; this monitor is for 64-bit machines only.
#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits")]
pub const fn index(number: u64) -> usize {
    const { assert!(size_of::<usize>() == 8) };
    number as usize
}
