//! The EL3 monitor: entry, worlds and devices. What it decides is in the library.
//!
//! | Module | What |
//! |---|---|
//! | `boot` | from reset to the normal world, on every CPU |
//! | `context`, `worlds` | the registers of a world; entering one |
//! | `handlers` | calls and traps of lower levels |
//! | `rmm` | load, measure and boot the RMM |
//! | `features` | what the CPU has |
//! | `mmu`, `protection` | translation tables of EL3; granule protection |
//! | `console`, `firmware_config`, `gic`, `power` | devices |
//! | `crash` | the last words |
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod context;
#[cfg(target_os = "none")]
mod crash;
#[cfg(target_os = "none")]
mod features;
#[cfg(target_os = "none")]
mod firmware_config;
#[cfg(target_os = "none")]
mod gic;
#[cfg(target_os = "none")]
mod handlers;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod mmu;
#[cfg(target_os = "none")]
mod platform;
#[cfg(target_os = "none")]
mod power;
#[cfg(target_os = "none")]
mod protection;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
mod rmm;
#[cfg(target_os = "none")]
mod worlds;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("el3-monitor runs on a bare machine: build it for aarch64-unknown-none-softfloat");
    std::process::exit(2);
}
