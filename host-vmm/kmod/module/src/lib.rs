//! The Rust half of the Realm kernel module: what C calls, and the kernel as the core sees it.
//!
//! `shim/core.h` is the contract of both directions, with the locks that each function wants. Every
//! function here turns C's pointers into references by that contract, asks the core, and turns the
//! answer into an error number ([`error`]).
#![no_std]
#![allow(
    unsafe_code,
    reason = "C calls, and is called, by pointers; the core has no unsafe code"
)]

extern crate alloc;

mod allocator;
mod device;
mod error;
mod host;
mod panic;
mod structures;
mod vcpu;
mod vm;
