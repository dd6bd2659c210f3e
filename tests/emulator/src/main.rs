//! Starts the emulator, follows the report of a payload, and says how it ended.

mod bench;
mod boot_matrix;
mod cli;
mod command_line;
mod commands;
mod console;
mod demo;
mod evidence;
mod hosting;
mod initramfs;
mod keys;
mod libraries;
mod linux;
mod log;
mod machine;
mod modules;
mod owner;
mod protocol;
mod session;
mod show;
mod suite;
mod summary;
mod systems;
mod token;

use std::process::ExitCode;

use clap::Parser as _;
use image_tool::atomic;

fn main() -> ExitCode {
    match commands::execute(cli::Cli::parse().command) {
        Ok(commands::Status::Good) => ExitCode::SUCCESS,
        Ok(commands::Status::Failed) => ExitCode::from(1),
        Err(error) => {
            eprintln!("emulator: {error}");
            ExitCode::from(2)
        }
    }
}
