//! Runs Realms and ordinary virtual machines on a Linux host.

pub mod configuration;
pub mod device_tree;
pub mod layout;
pub mod load;
pub mod measure;
