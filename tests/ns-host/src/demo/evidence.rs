//! A Realm proves what it is.

use core::fmt;

use crate::console::{note, say};
use crate::outcome::Outcome;
use crate::realm::token::fetch_by;
use crate::realm::{Options, RunningRealm, Vcpu};
use crate::suite::Host;

/// Name of the token in the report.
const NAME: &str = "realm";
/// Bytes of a token in a line of the report.
const LINE: usize = 32;

/// Makes a Realm, has it ask for a token over the challenge, and passes the token on.
pub(super) fn show(host: &Host, challenge: &[u8; 64]) -> Outcome {
    note!("5. The host makes a Realm, loads a program into it and lets it run. The RMM measures");
    note!("   all that goes in.");
    let mut realm = RunningRealm::greeted(host, Options::PLAIN)?;

    note!("6. The Realm asks for evidence over the challenge that its owner has sent,");
    note!("   {}...", Hex(&challenge[..LINE]));
    let size = attest(&mut realm, challenge)?;
    note!("   The host passes on what the Realm hands out, {size} bytes of evidence. It cannot");
    note!("   change a bit of it without being found out.");

    note!("7. The host takes the Realm apart.");
    realm.tear_down()?;
    note!("   It has all of its memory back, full of zeroes.");
    Ok(())
}

/// The token's size, when all of it has come out and been passed on.
fn attest(realm: &mut RunningRealm<'_>, challenge: &[u8; 64]) -> Outcome<usize> {
    let mut size = 0;
    fetch_by(realm.first(), challenge, Vcpu::run, |token| {
        size = token.len();
        let lines = (0..).step_by(LINE).zip(token.chunks(LINE));
        for (offset, bytes) in lines {
            say!("token {NAME} {offset}/{size} {}", Hex(bytes));
        }
        Ok(())
    })?;
    Ok(size)
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
