//! Tokens of the RMM: the realm attestation key, and what is signed with it (DEN0137 chapter A7;
//! reference, section 10).
//!
//! | Module | What lives there |
//! |---|---|
//! | [`attester`] | key and platform token, and making tokens of them |
//! | [`entropy`] | whether random words can be trusted to be random |
//!
//! Nothing here knows the machine: `rmm-hw` brings the key from EL3, runs [`Attester::token`] where an
//! interrupt can put it aside, and wipes what it leaves in memory.
#![no_std]

extern crate alloc;

pub mod attester;
pub mod entropy;

pub use attester::{Attester, KeyError, Request, TokenError};
