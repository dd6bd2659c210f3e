//! The protocol between a test host and `realm-payload`, the program that it runs in a Realm.
//!
//! Everything travels in `RsiHostCall.gprs` of `RSI_HOST_CALL`; the immediate says what it is
//! ([`immediate`]). A REC starts with a [`Hello`]. From then on each return of the host from the
//! call brings a [`Command`], and the next call carries the [`Reply`] to it.
//!
//! Nothing here touches the machine: the host links the same code, and all of it has tests on the
//! development machine.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod canary;
pub mod command;
pub mod exit;
mod image;
pub mod measure;
mod measurement;
pub mod pattern;
mod random;
mod register;
mod reply;
pub mod soak;
pub mod text;
pub mod token;

pub use command::Command;
pub use image::{IMAGE_BASE, ImageHeader, MAGIC, MAXIMUM_MEMORY};
pub use measurement::Measurement;
pub use random::Random;
pub use register::SystemRegister;
pub use reply::{Hello, Reply, outcome};

/// RECs that the program has room for.
pub const MAXIMUM_RECS: usize = 8;

/// Pages of memory that each REC leaves to the host.
pub const SCRATCH_PAGES: usize = 4;

/// The registers of a host call.
pub type Registers = [u64; rmm_abi::rmi::run::GENERAL_PURPOSE_REGISTERS];

/// Immediates of host calls.
pub mod immediate {
    /// A [`Reply`](crate::Reply) goes out, a [`Command`](crate::Command) comes back.
    pub const SERVE: u16 = 0x0c10;
    /// A line of [`text`](crate::text) for the log. What comes back is not looked at.
    pub const TEXT: u16 = 0x0c11;
    /// The host answers each register with its bitwise inverse.
    pub const INVERT: u16 = 0x0c12;
    /// The host comes back at once. What comes back is not looked at.
    pub const NOTHING: u16 = 0x0c13;
    /// A piece of a [`token`](crate::token). What comes back is not looked at.
    pub const TOKEN: u16 = 0x0c14;
}
