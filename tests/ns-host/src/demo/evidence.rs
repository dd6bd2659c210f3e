//! A Realm proves what it is.

use core::fmt;

use realm_payload::command::CHALLENGE_WORDS;
use realm_payload::immediate;
use realm_payload::token::TokenPiece;

use crate::console::{note, say};
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::realm::{Command, Exit, Options, Replied, RunningRealm};
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
fn attest(realm: &mut RunningRealm<'_>, challenge: &[u8; 64]) -> Outcome<u64> {
    let mut words = [0; CHALLENGE_WORDS];
    for (word, bytes) in words.iter_mut().zip(challenge.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let RunningRealm { realm, vcpus, .. } = realm;
    let vcpu = &mut vcpus[0];
    let mut next = 0;
    let mut report = vcpu.begin(&Command::Attest { challenge: words })?;
    let reply = loop {
        let (reply, last) = vcpu.until_reply(&report)?;
        if let Some(reply) = reply {
            break reply;
        }
        match last.exit {
            Exit::HostCall {
                imm: immediate::TOKEN,
                gprs,
            } => match TokenPiece::from_registers(&gprs) {
                Some(piece) => {
                    ensure_word!(piece.offset() as u64, next, "offset of a piece");
                    pass_on(&piece);
                    next += piece.as_bytes().len() as u64;
                }
                None => return fail!("a piece of the token makes no sense: {gprs:x?}"),
            },
            _ => realm.attend(vcpu, &last.exit)?,
        }
        report = vcpu.run()?;
    };
    let [size, ..] = reply.done("the Realm's token")?;
    ensure!(
        size > 0 && size == next,
        "{next} bytes of a token of {size} have come out"
    );
    Ok(size)
}

/// Prints a piece of the token.
fn pass_on(piece: &TokenPiece) {
    let lines = piece.as_bytes().chunks(LINE);
    for (offset, bytes) in (piece.offset()..).step_by(LINE).zip(lines) {
        say!("token {NAME} {offset}/{} {}", piece.size(), Hex(bytes));
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
