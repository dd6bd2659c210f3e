//! `RMI_VERSION`.

use rmm_abi::Version;
use rmm_abi::rmi::{VERSION_1_0, fid};

use crate::outcome::{Outcome, ensure, ensure_word};
use crate::rmi::{self, ERROR_INPUT, SUCCESS};
use crate::suite::Host;

/// What the RMM supports: 1.0 and nothing else.
const ONLY: u64 = VERSION_1_0.word();

/// Requests with the expected X0. X1 and X2 are always 1.0: it is both the requested or nearest
/// revision and the highest one.
const REQUESTS: &[(u64, u64)] = &[
    (ONLY, SUCCESS),
    (Version::new(1, 1).word(), ERROR_INPUT),
    (Version::new(1, 0xffff).word(), ERROR_INPUT),
    (Version::new(2, 0).word(), ERROR_INPUT),
    (Version::new(0x7fff, 0xffff).word(), ERROR_INPUT),
    (0, ERROR_INPUT),
    (Version::new(0, 1).word(), ERROR_INPUT),
    (Version::new(0, 0xffff).word(), ERROR_INPUT),
];

fn request(word: u64, expected: u64) -> Outcome {
    let [x0, x1, x2, x3] = rmi::command(fid::VERSION, &[word])?;
    ensure_word!(x0, expected, "x0 for {word:#x}");
    ensure_word!(x1, ONLY, "lower revision for {word:#x}");
    ensure_word!(x2, ONLY, "higher revision for {word:#x}");
    ensure_word!(x3, 0, "x3 for {word:#x}");
    Ok(())
}

pub(crate) fn negotiation(_: &Host) -> Outcome {
    for (word, expected) in REQUESTS {
        request(*word, *expected)?;
    }
    // Bits 63:31 are no part of a version: a word with one of them is not the request for 1.0.
    for bit in 31..64 {
        request(ONLY | 1 << bit, ERROR_INPUT)?;
    }
    request(u64::MAX, ERROR_INPUT)?;
    request(ONLY, SUCCESS)
}

pub(crate) fn every_cpu(host: &Host) -> Outcome {
    let count = host.cpus.count();
    host.cpus.check(count, &|_| {
        for _ in 0..100 {
            request(ONLY, SUCCESS)?;
        }
        Ok(())
    })?;
    ensure!(count == host.machine.cpus.len(), "only {count} CPUs run");
    Ok(())
}
