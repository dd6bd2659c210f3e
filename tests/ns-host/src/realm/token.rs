//! Tokens that come out of a Realm, and whether they are right.

use arrayvec::ArrayVec;
use attestation_token::crypto::RustCrypto;
use attestation_token::{Crypto as _, HashAlgorithm, Token, Wrapper};
use ns_host::measurement::Measurement;
use realm_payload::command::CHALLENGE_WORDS;
use realm_payload::immediate;
use realm_payload::token::TokenPiece;
use rmm_abi::rmi;
use rmm_abi::rsi::MEASUREMENT_REGISTERS;

use super::command::Replied;
use super::exit::Report;
use super::vcpu::{needs_nothing, reply_in};
use super::{Command, Exit, Options, RunningRealm, Vcpu};
use crate::outcome::{Outcome, ensure, ensure_word, fail};

/// Most bytes of a token.
const MOST_BYTES: usize = 4096;
/// Exits that a token may take.
const MOST_EXITS: usize = 20_000;

/// A challenge that is not the same anywhere in a word.
pub(crate) fn challenge(seed: u8) -> [u8; 64] {
    let mut bytes = [seed; 64];
    for (byte, number) in bytes.iter_mut().zip(0_u8..) {
        *byte ^= number.wrapping_mul(37);
    }
    bytes
}

/// A token on its way out of a Realm.
#[derive(Default)]
pub(crate) struct Arriving {
    bytes: ArrayVec<u8, MOST_BYTES>,
    /// Exits by interrupts.
    pub(crate) interruptions: usize,
}

impl Arriving {
    /// Lets the payload, which waits for a command, ask for a token.
    pub(crate) fn begin(vcpu: &mut Vcpu, challenge: &[u8; 64]) -> Outcome<(Self, Report)> {
        let mut words = [0; CHALLENGE_WORDS];
        for (word, bytes) in words.iter_mut().zip(challenge.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let report = vcpu.begin(&Command::Attest { challenge: words })?;
        Ok((Self::default(), report))
    }

    /// Looks at an exit: the token when it has come to its end, or else the REC has to run again.
    pub(crate) fn take(&mut self, report: &Report) -> Outcome<Option<&[u8]>> {
        if let Some(reply) = reply_in(report)? {
            let size = reply.done("the token")?[0];
            ensure_word!(self.bytes.len() as u64, size, "bytes that came out");
            return Ok(Some(&self.bytes));
        }
        if let Exit::HostCall {
            imm: immediate::TOKEN,
            gprs,
        } = report.exit
        {
            let Some(piece) = TokenPiece::from_registers(&gprs) else {
                return fail!("a piece of the token makes no sense: {gprs:x?}");
            };
            let (offset, size) = (piece.offset(), self.bytes.len());
            ensure!(offset == size, "a piece for {offset} after {size} bytes");
            let fits = self.bytes.try_extend_from_slice(piece.as_bytes()).is_ok();
            ensure!(fits, "the token is larger than {MOST_BYTES} bytes");
        } else {
            self.interruptions += usize::from(report.exit == Exit::Irq);
            ensure!(
                needs_nothing(report),
                "an exit while a token is made: {}",
                report.exit.name()
            );
        }
        Ok(None)
    }
}

/// Fetches a token by `run`, which lets the REC run on, and hands it to `check`. How many interrupts
/// it took.
pub(crate) fn fetch_by(
    vcpu: &mut Vcpu,
    challenge: &[u8; 64],
    mut run: impl FnMut(&mut Vcpu) -> Outcome<Report>,
    check: impl FnOnce(&[u8]) -> Outcome,
) -> Outcome<usize> {
    let (mut token, mut report) = Arriving::begin(vcpu, challenge)?;
    for _ in 0..MOST_EXITS {
        if let Some(bytes) = token.take(&report)? {
            check(bytes)?;
            return Ok(token.interruptions);
        }
        report = run(vcpu)?;
    }
    fail!("no token after {MOST_EXITS} exits")
}

/// What a token has to say.
pub(crate) struct Expected {
    pub(crate) options: Options,
    pub(crate) challenge: [u8; 64],
    pub(crate) measurements: [Measurement; MEASUREMENT_REGISTERS],
}

impl Expected {
    /// Of a Realm that has extended nothing.
    pub(crate) fn of(realm: &RunningRealm<'_>, challenge: [u8; 64]) -> Self {
        let mut measurements = [[0; 64]; MEASUREMENT_REGISTERS];
        measurements[0] = *realm.measurement.value();
        Self {
            options: realm.options,
            challenge,
            measurements,
        }
    }

    /// Whether a token says that, and nobody has changed it. Who has signed the platform token is not
    /// known here.
    pub(crate) fn check(&self, token: &[u8]) -> Outcome {
        let token = match Token::decode(token) {
            Ok(token) => token,
            Err(error) => return fail!("the token: {error}"),
        };
        ensure!(
            token.wrapper == Wrapper::Cca,
            "the token has another wrapper"
        );
        let claims = token.realm.claims();
        let algorithm = match self.options.hash {
            rmi::HashAlgorithm::Sha256 => HashAlgorithm::Sha256,
            rmi::HashAlgorithm::Sha512 => HashAlgorithm::Sha512,
        };
        ensure!(claims.hash_algorithm == algorithm, "another hash algorithm");
        ensure!(claims.challenge == self.challenge, "another challenge");
        ensure!(
            claims.personalization_value == self.options.rpv,
            "another personalization value"
        );
        let values = [&claims.initial_measurement]
            .into_iter()
            .chain(&claims.extensible_measurements);
        for (number, (value, expected)) in values.zip(&self.measurements).enumerate() {
            ensure!(
                value.as_bytes() == &expected[..algorithm.bytes()],
                "measurement {number} is {value}"
            );
        }
        let key = &claims.public_key;
        let signed = RustCrypto
            .verifying_key(key.key())
            .map_err(|_| ())
            .and_then(|verifying| {
                RustCrypto
                    .verify(
                        &verifying,
                        token.realm.to_be_signed(),
                        token.realm.signature(),
                    )
                    .map_err(|_| ())
            });
        ensure!(signed.is_ok(), "the signature is not the realm key's");
        let binding = RustCrypto.hash(claims.public_key_hash_algorithm, key.encoded());
        ensure!(
            token.platform.claims().challenge == binding,
            "the platform token is for another key"
        );
        Ok(())
    }
}
