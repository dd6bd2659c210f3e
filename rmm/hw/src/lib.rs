//! The hardware side of the RMM: everything that needs `unsafe` or assembly.
//!
//! | Module | What lives there |
//! |---|---|
//! | `entry.S` | from EL3 with the MMU off to Rust at the linked address, cold and warm |
//! | [`layout`] | virtual addresses: image, windows, stacks with guards, slots, granule records |
//! | [`translation`] | stage 1 tables of the RMM |
//! | [`slot`] | per-CPU windows through which granules are touched |
//! | [`memory`] | wiping; reads that may fault, of the host's memory above all |
//! | [`tlb`] | translation tables of Realms: when all CPUs see and when they forget |
//! | [`simd`] | borrowing the vector registers, which are not the RMM's |
//! | [`sha`] | SHA-256 and SHA-512 |
//! | [`el3`] | calls to EL3 |
//! | [`cpu`] | the core's `Machine` on this CPU |
//! | [`identity`] | what this CPU is: number, identification registers |
//! | `run.S` | into a Realm and back |
//! | [`realm_cpu`] | EL2's controls: what traps, which tables translate |
//! | [`system_state`], [`vector_state`], [`debug_state`], [`pmu_state`], [`gic_state`] | registers that are the host's or a Realm's |
//! | [`resident`] | all of these on one CPU, and throwing a Realm out when the RMM stops |
//! | [`workroom`], [`heap`] | making tokens, which interrupts can put aside |
//! | [`entropy`] | random bits |
//! | [`console`] | one PL011, shared with other worlds |
//! | [`fetch`] | instruction fetches see what was written |
//! | [`exception`] | vectors: expected faults become values, others end in a report |
//! | [`park`] | what the RMM does when it no longer serves |
//!
//! Nothing here knows a board: addresses come from EL3 at boot.
//! Off the bare machine only what is portable is there, for its tests.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    not(target_os = "none"),
    allow(rustdoc::broken_intra_doc_links, reason = "most modules are not there")
)]
#![allow(
    unsafe_code,
    reason = "this crate is the room for it; each block argues its case"
)]

pub mod sha;
pub mod tlb;

#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub mod cpu;
#[cfg(target_os = "none")]
pub mod debug_state;
#[cfg(target_os = "none")]
pub mod el3;
#[cfg(target_os = "none")]
pub mod entropy;
#[cfg(target_os = "none")]
pub mod exception;
#[cfg(target_os = "none")]
pub mod fetch;
#[cfg(target_os = "none")]
pub mod gic_state;
#[cfg(target_os = "none")]
pub mod heap;
#[cfg(target_os = "none")]
pub mod identity;
#[cfg(any(target_os = "none", test))]
pub mod layout;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
pub mod park;
#[cfg(target_os = "none")]
pub mod pmu_state;
#[cfg(target_os = "none")]
pub mod realm_cpu;
#[cfg(target_os = "none")]
pub mod resident;
#[cfg(target_os = "none")]
pub mod simd;
#[cfg(target_os = "none")]
pub mod slot;
#[cfg(target_os = "none")]
pub mod system_state;
#[cfg(target_os = "none")]
pub mod translation;
#[cfg(target_os = "none")]
pub mod vector_state;
#[cfg(target_os = "none")]
pub mod workroom;

#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod frame;

#[cfg(target_os = "none")]
pub use entry::{announce_cpus, cold_boot_done, continue_on_cpu_stack, wipe_boot_stack};
