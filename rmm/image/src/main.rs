//! The RMM image: the order in which things come up, and the loop that serves the host.
//!
//! `rmm-hw` has the parts, `rmm-core` the decisions.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(
    unsafe_code,
    reason = "entry points that the assembly names, and promises made once at boot, are here"
)]

#[cfg(target_os = "none")]
mod attestation;
#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod protections;
#[cfg(target_os = "none")]
mod serve;

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    match info.location() {
        Some(place) => rmm_hw::park::give_up(format_args!("panic at {place}: {}", info.message())),
        None => rmm_hw::park::give_up(format_args!("panic: {}", info.message())),
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!(
        "rmm: this program runs at R-EL2; `make image` builds it for aarch64-unknown-none-softfloat"
    );
    std::process::exit(2);
}
