//! A host at NS-EL2 without an operating system: drives the RMM and reports what it sees.
//!
//! `docs/development.md` says how it is loaded, what its command line is and what its report looks
//! like. Tests are one line each in `suite.rs` and live in `suite/` by family.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(
    target_os = "none",
    allow(
        clippy::result_large_err,
        reason = "a failure carries its text, and failures are rare"
    )
)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod bench;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod cpus;
#[cfg(target_os = "none")]
mod demo;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod exceptions;
#[cfg(target_os = "none")]
mod exit;
#[cfg(target_os = "none")]
mod gic;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod outcome;
#[cfg(target_os = "none")]
mod paging;
#[cfg(target_os = "none")]
mod realm;
#[cfg(target_os = "none")]
mod register;
#[cfg(target_os = "none")]
mod rmi;
#[cfg(target_os = "none")]
mod simd;
#[cfg(target_os = "none")]
mod smc;
#[cfg(target_os = "none")]
mod suite;
#[cfg(target_os = "none")]
mod time;
#[cfg(target_os = "none")]
mod timer;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("ns-host runs on bare metal: build it for aarch64-unknown-none-softfloat");
    std::process::exit(2);
}
