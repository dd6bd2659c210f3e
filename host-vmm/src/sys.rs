//! The operating system, where safe interfaces end: device nodes, mappings, signals, the terminal.
//! What is `unsafe` in this crate is here, behind functions that are not.

#![allow(unsafe_code)]

pub mod confinement;
pub mod file;
pub mod kvm;
pub mod memory;
pub mod signal;
pub mod socket;
pub mod tap;
pub mod terminal;
pub mod uapi;
