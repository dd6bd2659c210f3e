//! Whole tokens per second on one core, beside what their two signatures cost alone with the same
//! back-end in the same run.
//!
//! `cargo bench -p attestation-token`; `-- --json` prints JSON; `-- --check` ends with exit code 1
//! if a target is missed.

#[path = "../tests/token/samples.rs"]
#[allow(dead_code)]
mod samples;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use attestation_token::appraise::appraise;
use attestation_token::crypto::RustCrypto;
use attestation_token::policy::Policy;
use attestation_token::reference::extract::from_token;
use attestation_token::{Crypto, Token, TrustAnchors, VerifiedPlatforms, Verifier};

use samples::{CHALLENGE, Sample, component};

/// Rounds of each measurement; the fastest counts, because everything else is disturbance.
const ROUNDS: usize = 15;
/// Tokens of a round.
const TOKENS: u32 = 40;
/// What a token may cost: at least this part of its time has to be signatures.
const LEAST_RATIO: f64 = 0.9;
/// Tokens per second that the fast back-end has to reach.
const LEAST_FAST: f64 = 2000.0;

struct Result {
    name: &'static str,
    tokens_per_second: f64,
    raw_per_second: f64,
    /// Tokens of machines whose platform token was verified before.
    remembered_per_second: f64,
}

impl Result {
    fn ratio(&self) -> f64 {
        self.tokens_per_second / self.raw_per_second
    }
}

/// The time that `work` takes for a round.
fn round(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..TOKENS {
        work();
    }
    start.elapsed()
}

fn measure<C: Crypto>(name: &'static str, new: impl Fn() -> C) -> Result {
    // As many components as a machine in the field has.
    let mut sample = Sample::new();
    for index in 0..11 {
        let name = format!("FIRMWARE_{index}");
        sample.platform.software_components.push(component(&name));
    }
    let bytes = sample.token();
    let token = Token::decode(&bytes).unwrap();
    let references = from_token(&token);
    let policy = Policy::default();
    let crypto = new();
    let anchors = TrustAnchors::new(&crypto, [sample.anchor()]).unwrap();
    let verifier = Verifier::new(new(), anchors);

    let whole = || {
        let token = Token::decode(black_box(&bytes)).unwrap();
        let verification = verifier.verify(&token, Some(&CHALLENGE));
        let appraisal = appraise(&token, &verification, &references, &policy);
        assert!(appraisal.is_accepted() && appraisal.is_compared());
    };
    let platform_key = crypto
        .verifying_key(&sample.platform_key.public_key())
        .unwrap();
    let realm_key = crypto
        .verifying_key(&sample.realm_key.public_key())
        .unwrap();
    let raw = || {
        for (key, message, signature) in [
            (
                &platform_key,
                token.platform.to_be_signed(),
                token.platform.signature(),
            ),
            (
                &realm_key,
                token.realm.to_be_signed(),
                token.realm.signature(),
            ),
        ] {
            crypto.verify(key, black_box(message), signature).unwrap();
        }
    };
    let mut memory = VerifiedPlatforms::new(1);
    let mut remembered = || {
        let token = Token::decode(black_box(&bytes)).unwrap();
        let verification = verifier.verify_with(&token, Some(&CHALLENGE), &mut memory);
        assert!(appraise(&token, &verification, &references, &policy).is_accepted());
    };
    // In turns, so that a disturbance hits all.
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(round(whole));
        best[1] = best[1].min(round(raw));
        best[2] = best[2].min(round(&mut remembered));
    }
    let [tokens_per_second, raw_per_second, remembered_per_second] =
        best.map(|time| f64::from(TOKENS) / time.as_secs_f64());
    Result {
        name,
        tokens_per_second,
        raw_per_second,
        remembered_per_second,
    }
}

/// A table for people.
fn print_table(results: &[Result]) {
    println!("full-chain verifications on one core: two ES384 signatures and appraisal");
    println!("back-end    tokens/s  raw pairs/s  ratio  remembered/s");
    for result in results {
        println!(
            "{:10}  {:8.0}  {:11.0}  {:5.3}  {:12.0}",
            result.name,
            result.tokens_per_second,
            result.raw_per_second,
            result.ratio(),
            result.remembered_per_second
        );
    }
    println!("raw pairs: two P-384 verifications and nothing else; remembered: the platform token");
    println!(
        "was verified before; targets: ratio {LEAST_RATIO}, {LEAST_FAST} tokens/s with aws-lc"
    );
}

fn print_json(results: &[Result]) {
    let results: Vec<_> = results
        .iter()
        .map(|result| {
            serde_json::json!({
                "back-end": result.name,
                "tokens-per-second": result.tokens_per_second.round(),
                "raw-pairs-per-second": result.raw_per_second.round(),
                "remembered-per-second": result.remembered_per_second.round(),
                "ratio": (result.ratio() * 1000.0).round() / 1000.0,
            })
        })
        .collect();
    let targets =
        serde_json::json!({ "ratio": LEAST_RATIO, "aws-lc-tokens-per-second": LEAST_FAST });
    println!(
        "{}",
        serde_json::json!({ "verification": results, "targets": targets })
    );
}

fn main() -> ExitCode {
    let asked = |option: &str| std::env::args().any(|argument| argument == option);
    #[allow(unused_mut)]
    let mut results = vec![measure("rustcrypto", || RustCrypto)];
    #[cfg(feature = "fast")]
    results.push(measure("aws-lc", || attestation_token::crypto::AwsLc));

    if asked("--json") {
        print_json(&results);
    } else {
        print_table(&results);
    }
    let missed = results.iter().any(|result| {
        result.ratio() < LEAST_RATIO
            || (result.name == "aws-lc" && result.tokens_per_second < LEAST_FAST)
    });
    if missed && asked("--check") {
        eprintln!("a target is missed: ratio {LEAST_RATIO}, {LEAST_FAST} tokens/s with aws-lc");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
