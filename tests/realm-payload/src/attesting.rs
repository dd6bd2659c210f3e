//! A token of this Realm, fetched and handed to the host.

#![allow(unsafe_code)]

use core::fmt::Write as _;

use realm_guest_kit::attestation::fetch_token;
use realm_guest_kit::rsi::{self, TokenPage};
use realm_payload::command::CHALLENGE_WORDS;
use realm_payload::text::Line;
use realm_payload::token::TokenPiece;
use realm_payload::{Reply, SCRATCH_PAGES, immediate};

use crate::calls::{Mismatch, expect};
use crate::entry::{conduit, say};
use crate::rec::Rec;

/// Fetches the token over a challenge and hands it out, piece by piece. What cannot be done is said
/// in a line of text and fails the check: index 0 for fetching, 1 for handing out.
pub(crate) fn attest(rec: &mut Rec, challenge: &[u64; CHALLENGE_WORDS]) -> Result<Reply, Mismatch> {
    let challenge = zerocopy::transmute!(challenge.map(u64::to_le_bytes));
    let address = usize::try_from(rec.scratch()).unwrap_or_default();
    let pages = core::ptr::with_exposed_provenance_mut::<TokenPage>(address);
    // SAFETY: the scratch area has so many pages, and nothing in this program uses them meanwhile:
    // a REC carries out one command at a time.
    let pages = unsafe { core::slice::from_raw_parts_mut(pages, SCRATCH_PAGES) };
    let size = match fetch_token(&conduit(), &challenge, pages) {
        Ok(size) => usize::try_from(size).unwrap_or_default(),
        Err(error) => return failed(0, &error),
    };
    // SAFETY: pages are arrays of bytes without anything else.
    let token: &[u8] =
        unsafe { core::slice::from_raw_parts(pages.as_ptr().cast(), size_of_val(pages)) };
    let token = &token[..size.min(token.len())];
    let mut offset = 0;
    while let Some(piece) = TokenPiece::of(token, offset) {
        rec.call.imm = immediate::TOKEN;
        rec.call.gprs = piece.registers();
        if let Err(error) = rsi::host_call(&conduit(), &mut rec.call) {
            return failed(1, &error);
        }
        offset += piece.as_bytes().len();
    }
    Ok(Reply::done(&[size as u64]))
}

fn failed(index: usize, error: &dyn core::fmt::Display) -> Result<Reply, Mismatch> {
    let mut line = Line::new();
    // Writing to a line cannot fail.
    let _ = write!(line, "no token: {error}");
    say(&line);
    expect(index, 0, 1).map(|()| Reply::UnknownCommand)
}
