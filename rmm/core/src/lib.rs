//! The Realm Management Monitor, without the hardware it runs on.
//!
//! A call of the host enters at [`Rmm::call`] with its registers and leaves with the registers of
//! the reply. Whatever the RMM does to the machine in between goes through the trait
//! [`Machine`], so the same code runs at R-EL2 (`rmm-hw`) and on the development machine against
//! a fake whose memory knows which world owns each granule (`tests/fake-machine`).
//!
//! | Module | What lives there |
//! |---|---|
//! | [`boot`] | checks of what EL3 hands over: registers, manifest; the memory that follows from it |
//! | [`features`] | what the CPU offers to Realms, as the RMI reports it |
//! | [`granule`] | state of every granule, locks, tokens for granules in motion |
//! | `dispatch` | one match: function identifier → command; checks after every call |
//! | `rmi` | one file per family of commands |
//! | `session` | a REC in the CPU |
//! | `run` | what the RMM handles itself until it exits |
//! | `rsi`, `psci` | what a Realm calls |
//! | `exit` | the only place where registers of a REC become visible to the host |
//! | [`cpu_view`] | what a Realm sees of the CPU |
//! | [`vgic`] | the virtual interrupt controller |
//! | [`statistics`] | what is counted for the operator |
//! | [`rate_limit`] | how often the console may be used for errors |
//! | [`error`] | *reply* (a code for the caller) and *fatal* (the RMM stops serving) |
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod boot;
mod context;
pub mod cpu_view;
mod dispatch;
pub mod error;
mod exit;
pub mod features;
pub mod granule;
pub mod machine;
mod measurement;
mod psci;
pub mod rate_limit;
pub mod realm;
pub mod rec;
mod rmi;
mod rsi;
pub mod rtt;
mod run;
mod session;
pub mod statistics;
mod syndrome;
mod version;
pub mod vgic;

pub use context::Rmm;
pub use dispatch::{Call, Reply};
pub use machine::{GranuleWords, HostFault, Machine, Run, WORDS_PER_GRANULE};
