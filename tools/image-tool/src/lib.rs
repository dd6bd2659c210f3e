//! Makes the flat images of bare-metal programs, checks the ELF files they come from, and describes
//! them: sizes against a budget, a bill of materials, the measurement in platform tokens.

pub mod atomic;
mod budget;
mod cargo;
mod cli;
mod commands;
mod elf;
mod flat;
mod hole;
mod inspect;
mod licences;
mod measurement;
mod memory;
mod sbom;
mod size;

use std::process::ExitCode;

use clap::Parser as _;

/// The command: reads its arguments, does what they say, and says what went wrong on standard error.
pub fn main() -> ExitCode {
    match commands::execute(cli::Cli::parse().command) {
        Ok(commands::Status::Good) => ExitCode::SUCCESS,
        Ok(commands::Status::Bad) => ExitCode::from(1),
        Err(error) => {
            eprintln!("image-tool: {error}");
            ExitCode::from(2)
        }
    }
}
