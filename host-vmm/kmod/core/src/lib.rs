//! What the Realm kernel module decides, without a kernel around it.
//!
//! | Module | What is in it |
//! |---|---|
//! | [`host`] | what is wanted of the kernel |
//! | [`rmi`] | the commands of the RMM, typed |
//! | [`pool`] | memory that the module owns; which pages of it may change worlds |
//! | [`granules`] | pages on their way into the Realm world and back |
//! | [`realm`] | the life of a Realm: tables, memory, RECs, measurements by their order |
//! | [`vcpu`] | what happens between two entries of a REC |
//! | [`interrupts`] | what vCPUs share while they run: interrupt controller, power, timers |
//! | [`vgic`] | the interrupt controller |
//!
//! Nothing here holds a lock. Whoever has a `&mut` of something has the lock that the kernel keeps for
//! it: the pool's through [`host::Host::with_shared`], a Realm's for [`realm::Realm`], a vCPU's for
//! [`vcpu::Vcpu`], the interrupt lock of a VM for [`interrupts::Interrupts`].
//!
//! Memory is allocated with `try_reserve` only, so that a kernel without memory is an error to report.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod granules;
pub mod host;
pub mod interrupts;
mod page_set;
pub mod pool;
pub mod realm;
pub mod rmi;
pub mod vcpu;
pub mod vgic;
pub mod vmid;

/// Bytes of a page, and of a granule.
pub const PAGE_SIZE: u64 = rmm_abi::GRANULE_SIZE as u64;
/// Bytes of a block: what an entry of a level 2 table maps.
pub const BLOCK_SIZE: u64 = BLOCK_PAGES as u64 * PAGE_SIZE;
/// Pages of a block.
pub const BLOCK_PAGES: usize = 512;
