//! Runs Realms and ordinary virtual machines on a Linux host.

pub mod backend;
pub mod check;
pub mod client;
pub mod command_line;
pub mod configuration;
pub mod confinement;
pub mod control_socket;
pub mod device_tree;
pub mod devices;
pub mod error;
pub mod exit;
pub mod fleet;
pub mod layout;
pub mod life;
pub mod load;
pub mod machine;
pub mod measure;
pub mod messages;
pub mod progress;
pub mod rmm;
pub mod run_directory;
pub mod settings;
pub mod standard_error;
pub mod sys;
pub mod terminal;
pub mod vcpu;
pub mod worker;

#[cfg(test)]
mod test_kernel;
