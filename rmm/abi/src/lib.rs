//! Numbers, codes and wire structures of the interfaces around a Realm Management Monitor.
//!
//! | Module | Interface | Source |
//! |---|---|---|
//! | [`rmi`] | host → RMM | DEN0137 1.0 |
//! | [`rsi`] | Realm → RMM | DEN0137 1.0 |
//! | [`el3`] | RMM ↔ EL3 firmware | RMM-EL3 interface 0.x |
//! | [`manifest`] | boot manifest that EL3 leaves for the RMM | RMM-EL3 interface 0.x, boot manifest 0.1 to 0.5 |
//! | [`statistics`] | what the RMM counts for the operator | `docs/statistics.md` |
//! | [`smc`] | the SMC calling convention under all of them | DEN0028 |
//!
//! There is no logic here beyond packing and unpacking of fields, so hosts, guests, firmware and
//! tests share one set of definitions.
#![no_std]
#![forbid(unsafe_code)]

pub mod el3;
pub mod manifest;
pub mod rmi;
pub mod rsi;
pub mod smc;
pub mod statistics;
mod version;

pub use version::Version;

/// Size of a granule, the unit in which memory changes worlds, in bytes.
pub const GRANULE_SIZE: usize = 4096;
