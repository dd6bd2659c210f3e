//! What a program inside a Realm calls: the Realm Services Interface ([`rsi`], DEN0137 1.0 chapter
//! B5) and the Power State Coordination Interface ([`psci`], DEN0022 and DEN0137 chapter B6), with
//! typed arguments and results, plus the loops that every caller of them needs ([`memory`],
//! [`attestation`]).
//!
//! Calls travel through a [`Conduit`]. On a CPU that is `Smc`; a test on another machine brings its
//! own and sees the registers of each call.
//!
//! ```
//! use realm_guest_kit::{Conduit, REGISTERS, rsi};
//! use rmm_abi::rsi::VERSION_1_0;
//!
//! /// An RMM that implements RSI 1.0 and answers nothing but `RSI_VERSION`.
//! struct Fake;
//!
//! impl Conduit for Fake {
//!     fn call(&self, mut registers: [u64; REGISTERS]) -> [u64; REGISTERS] {
//!         registers[0] = u64::from(registers[1] != 0x1_0000);
//!         registers[1] = 0x1_0000;
//!         registers[2] = 0x1_0000;
//!         registers
//!     }
//! }
//!
//! // In a Realm: `let conduit = unsafe { Smc::new() };`, once, at boot.
//! let conduit = Fake;
//! let offer = rsi::version(&conduit, VERSION_1_0)?;
//! assert!(offer.compatible);
//! assert_eq!(offer.lower, VERSION_1_0);
//! # Ok::<(), rsi::Error>(())
//! ```
#![cfg_attr(not(test), no_std)]

/// Keeps the example of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod attestation;
mod conduit;
#[cfg(test)]
mod fake;
pub mod memory;
pub mod psci;
pub mod rsi;
#[cfg(target_arch = "aarch64")]
mod smc;

pub use conduit::{Conduit, REGISTERS};
#[cfg(target_arch = "aarch64")]
pub use smc::Smc;
