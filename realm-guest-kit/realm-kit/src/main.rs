//! `realm-kit`: what a Linux system inside a Realm does beside the kernel, on the command line.

mod arguments;
mod challenge;
mod failure;
mod output;
mod report;
mod token;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Token(arguments) => token::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("realm-kit: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
