//! What the Realm kernel module decides: granules, Realms, RECs, interrupts, without a kernel.
#![no_std]
#![forbid(unsafe_code)]

pub mod vgic;
