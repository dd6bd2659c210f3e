//! The hardware side of the RMM: everything that needs `unsafe` or assembly.
//!
//! | Module | What lives there |
//! |---|---|
//! | `entry.S` | from EL3 with the MMU off to Rust at the linked address, cold and warm |
//! | [`layout`] | virtual addresses: image, windows, stacks with guards, slots, granule records |
//! | [`translation`] | stage 1 tables of the RMM |
//! | [`slot`] | per-CPU windows through which granules are touched |
//! | [`memory`] | wiping; reads that may fault |
//! | [`el3`] | calls to EL3 |
//! | [`cpu`] | the core's `Machine` on this CPU; identification of the CPU |
//! | [`console`] | one PL011, shared with other worlds |
//! | [`exception`] | vectors: expected faults become values, others end in a report |
//! | [`park`] | what the RMM does when it no longer serves |
//!
//! Nothing here knows a board: addresses come from EL3 at boot.
#![no_std]
#![cfg(target_os = "none")]
#![allow(
    unsafe_code,
    reason = "this crate is the room for it; each block argues its case"
)]

pub mod console;
pub mod cpu;
pub mod el3;
pub mod exception;
pub mod layout;
pub mod memory;
pub mod park;
pub mod slot;
pub mod translation;

mod entry;

pub use entry::{announce_cpus, cold_boot_done, continue_on_cpu_stack};
