//! Writes what a package of `host-vmm` has besides the program: manual pages and completion scripts, both from the
//! parser of the command line.
//!
//! usage: `cargo run -p host-vmm --example documents -- FOLDER`

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use clap::CommandFactory as _;
use clap_complete::Shell;
use host_vmm::command_line::Arguments;

const NAME: &str = "host-vmm";

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        eprintln!("documents: say in which folder, and nothing else");
        return ExitCode::from(2);
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("documents: {}: {error}", Path::new(&folder).display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    let manual = folder.join("man");
    let completions = folder.join("completions");
    for folder in [&manual, &completions] {
        // A page of a command that there is no longer must not stay.
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(folder)?,
        }
    }
    // `host-vmm help` says nothing that the pages do not.
    let command = Arguments::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, &manual)?;
    for (shell, file) in [
        (Shell::Bash, "host-vmm"),
        (Shell::Zsh, "_host-vmm"),
        (Shell::Fish, "host-vmm.fish"),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut script);
        fs::write(completions.join(file), script)?;
    }
    Ok(())
}
