//! Runs Realms and ordinary virtual machines on a Linux host.

pub mod configuration;
pub mod layout;
