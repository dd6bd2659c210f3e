//! The parts of the test host that need no hardware, so that they can be tested anywhere.

#![no_std]
#![forbid(unsafe_code)]

pub mod arguments;
pub mod fault;
pub mod measurement;
pub mod random;
