//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What a Linux system inside a Realm of Arm CCA needs beside its kernel.
#[derive(Parser)]
#[command(name = "realm-kit", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Token(TokenArguments),
}

/// Get evidence of what this Realm is: an attestation token over a challenge, from the RMM by way of
/// the kernel's driver arm-cca-guest
///
/// Who wants to trust this Realm sends the challenge, fresh random bytes, and judges the token with
/// `cca-token verify`. Needs Linux 6.13 or newer with the module arm-cca-guest, configfs, and root.
#[derive(Args)]
#[command(after_help = "\
Examples:
  mount -t configfs none /sys/kernel/config && modprobe arm-cca-guest
  realm-kit token --challenge $CHALLENGE --output token.cbor
  realm-kit token --challenge $CHALLENGE --format base64

Exit code: 0 the token has been written, 1 the kernel gave no token, 2 something that was given cannot
be used, 3 there is no evidence here (no Realm, module not loaded, configfs not mounted).")]
pub(crate) struct TokenArguments {
    /// What the token is over: 32 to 64 bytes in hexadecimal; fewer than 64 have zeroes behind them
    #[arg(long, value_name = "HEX")]
    pub(crate) challenge: String,
    /// How the token is written
    #[arg(long, value_enum, default_value_t = Format::Binary)]
    pub(crate) format: Format,
    /// Where it is written, instead of standard output; the file is complete or not there
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The kernel's folder for reports
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/sys/kernel/config/tsm/report"
    )]
    pub(crate) tsm: PathBuf,
}

/// How a token is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// As it is: CBOR
    Binary,
    /// One line of hexadecimal digits
    Hex,
    /// One line of base64
    Base64,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
