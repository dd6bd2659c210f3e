//! `cca-token`: attestation tokens of Arm CCA on the command line.

mod arguments;
mod failure;
mod input;
mod keys;
mod output;
mod ref_values;
mod rim;
mod show;
mod sign;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use arguments::{Arguments, Command};
use failure::Failure;

/// Accepted, or simply done.
const ACCEPTED: u8 = 0;
/// The token is not accepted.
const REJECTED: u8 = 1;
/// Something that was given cannot be used.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let result = match &arguments.command {
        Command::Show(arguments) => show::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Keygen(arguments) => keys::generate(arguments),
        Command::Sign(arguments) => sign::run(arguments),
        Command::RefValues(arguments) => ref_values::run(arguments),
        Command::Rim(arguments) => rim::run(arguments, matches.subcommand().map(|(_, rim)| rim)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "cca-token", &mut script);
            output::write(None, &script).map(|()| true)
        }
    };
    match result {
        Ok(true) => ExitCode::from(ACCEPTED),
        Ok(false) => ExitCode::from(REJECTED),
        Err(Failure::Rejected(text)) => {
            eprintln!("rejected: {text}");
            ExitCode::from(REJECTED)
        }
        Err(Failure::Unusable(text)) => {
            eprintln!("cca-token: {text}");
            ExitCode::from(UNUSABLE)
        }
    }
}
