//! `realm-kit token`.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, stdout};

use base64ct::{Base64, Encoding as _};

use crate::arguments::{Format, TokenArguments};
use crate::challenge;
use crate::failure::Failure;
use crate::output;
use crate::report::{self, Configfs};

/// Gets a token and hands it out.
pub(crate) fn run(arguments: &TokenArguments) -> Result<(), Failure> {
    let challenge = challenge::parse(&arguments.challenge)?;
    let to_terminal = arguments.output.is_none() && stdout().is_terminal();
    if to_terminal && arguments.format == Format::Binary {
        return Err(Failure::Terminal);
    }
    let mut folder = Configfs::new(&arguments.tsm);
    let token = report::fetch(&mut folder, &challenge)?;
    output::write(
        arguments.output.as_deref(),
        &encode(&token, arguments.format),
    )
}

fn encode(token: &[u8], format: Format) -> Vec<u8> {
    let mut line = match format {
        Format::Binary => return token.to_vec(),
        Format::Hex => hexadecimal(token),
        Format::Base64 => Base64::encode_string(token),
    };
    line.push('\n');
    line.into_bytes()
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_what_it_says() {
        let token = [0xD9, 0x01, 0x90, 0xFF];
        assert_eq!(encode(&token, Format::Binary), token);
        assert_eq!(encode(&token, Format::Hex), b"d90190ff\n");
        assert_eq!(encode(&token, Format::Base64), b"2QGQ/w==\n");
    }
}
