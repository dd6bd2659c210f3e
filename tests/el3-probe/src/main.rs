//! A program in the place of the RMM that checks the EL3 side of the RMM-EL3 interface: how the
//! RMM is entered, the boot manifest, and every service with its documented errors.
//!
//! It runs at R-EL2 with the MMU off, where every access is to Realm memory, does all of it before
//! it would report that it has booted, and ends QEMU itself. Nothing here knows which firmware is
//! at EL3.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod exceptions;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
mod report;
#[cfg(target_os = "none")]
mod smc;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod tests;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("el3-probe runs on a bare machine: build it for aarch64-unknown-none-softfloat");
    std::process::exit(2);
}
