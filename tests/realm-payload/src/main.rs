//! A program at R-EL1 that does what a test host tells it: see the library of this package.
//!
//! Each REC runs [`serve`] on a stack of its own and shares nothing with the others but the
//! translation tables and routines that the first one prepares.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod access;
#[cfg(target_os = "none")]
mod attesting;
#[cfg(target_os = "none")]
mod calls;
#[cfg(target_os = "none")]
mod canaries;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod exceptions;
#[cfg(target_os = "none")]
mod execute;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
mod measuring;
#[cfg(target_os = "none")]
mod rec;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
mod serve;
#[cfg(target_os = "none")]
mod soaking;
#[cfg(target_os = "none")]
mod timers;
#[cfg(target_os = "none")]
mod translation;
#[cfg(target_os = "none")]
mod vectors;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("realm-payload runs in a Realm: build it for aarch64-unknown-none-softfloat");
    std::process::exit(2);
}
