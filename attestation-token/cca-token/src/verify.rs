//! `cca-token verify`: whether a token is accepted.

use std::fmt::Write as _;
use std::path::Path;

use attestation_token::appraise::{Appraisal, appraise, appraise_platform};
use attestation_token::check::{Check, Reason, Verdict};
use attestation_token::crypto::RustCrypto;
use attestation_token::ear::{self, EarContext, EarFormat};
use attestation_token::json;
use attestation_token::policy::Policy;
use attestation_token::reference::{ReferenceValues, corim, file};
use attestation_token::rego::RegoPolicy;
use attestation_token::{Challenge, Token, TrustAnchor, TrustAnchors, Verifier};
use serde_json::json;

use crate::arguments::{EarForm, Verify};
use crate::failure::{Failure, Outcome};
use crate::input::{self, Evidence};
use crate::{keys, output};

pub(crate) fn run(arguments: &Verify) -> Outcome {
    // Everything but the token first: what cannot be used is not the token's fault.
    let anchors = input::trust_anchors(&arguments.trust_anchor)?;
    let challenge = arguments.challenge.as_deref().map(challenge).transpose()?;
    let references = references(arguments)?;
    let policies = Policies::read(arguments)?;
    let verifier = verifier(anchors)?;

    let (evidence, appraisal) = match judge(arguments, &verifier, challenge, &references, &policies)
    {
        Err(Failure::Rejected(why)) if arguments.json => {
            output::json(&json!({ "accepted": false, "error": why }))?;
            return Ok(false);
        }
        judged => judged?,
    };
    if let (Some(path), Evidence::Whole(token)) = (&arguments.ear, &evidence) {
        write_ear(arguments, path, token, &appraisal, &policies)?;
    }
    report(arguments, &evidence, &appraisal)?;
    Ok(appraisal.is_accepted())
}

/// Reads the token and comes to a judgement.
fn judge(
    arguments: &Verify,
    verifier: &Verifier<RustCrypto>,
    challenge: Option<Challenge>,
    references: &ReferenceValues,
    policies: &Policies,
) -> Result<(Evidence, Appraisal), Failure> {
    let evidence = input::evidence(&arguments.token)?;
    let appraisal = match (&evidence, arguments.platform_only) {
        (Evidence::Whole(token), false) => {
            let verification = verifier.verify(token, challenge.as_ref());
            let mut appraisal = appraise(token, &verification, references, &policies.plain);
            for policy in &policies.rego {
                policy.apply(token, &mut appraisal);
            }
            appraisal
        }
        (Evidence::Whole(token), true) => {
            platform(&token.platform, verifier, references, policies)?
        }
        (Evidence::Platform(token), true) => platform(token, verifier, references, policies)?,
        (Evidence::Platform(_), false) => {
            let why = "a platform token alone says nothing of any Realm (see --platform-only)";
            return Err(Failure::Rejected(why.to_string()));
        }
    };
    Ok((evidence, appraisal))
}

fn platform(
    token: &attestation_token::PlatformToken,
    verifier: &Verifier<RustCrypto>,
    references: &ReferenceValues,
    policies: &Policies,
) -> Result<Appraisal, Failure> {
    if !policies.rego.is_empty() {
        let why = "policies in Rego decide on whole tokens";
        return Err(Failure::unusable("--policy", why));
    }
    let verification = verifier.verify_platform(token);
    Ok(appraise_platform(
        token,
        &verification,
        references,
        &policies.plain,
    ))
}

/// A verifier that believes the machines of `anchors`.
pub(crate) fn verifier(anchors: Vec<TrustAnchor>) -> Result<Verifier<RustCrypto>, Failure> {
    let anchors = TrustAnchors::new(&RustCrypto, anchors)
        .map_err(|error| Failure::unusable("trust anchor", error))?;
    Ok(Verifier::new(RustCrypto, anchors))
}

fn challenge(text: &str) -> Result<Challenge, Failure> {
    let bytes = input::hex("--challenge", text)?;
    Challenge::padded(&bytes).ok_or_else(|| Failure::unusable("--challenge", "not 32 to 64 bytes"))
}

fn references(arguments: &Verify) -> Result<ReferenceValues, Failure> {
    let signer = arguments
        .ref_values_signer
        .as_deref()
        .map(input::public_key)
        .transpose()?;
    let mut references = ReferenceValues::default();
    for path in &arguments.ref_values {
        let bytes = input::read(path)?;
        if corim::is_corim(&bytes) {
            let now = input::now().cast_signed();
            let endorsements = match &signer {
                None => corim::parse(&bytes, now),
                Some(signer) => corim::parse_signed(&bytes, now, &RustCrypto, signer),
            };
            let endorsements =
                endorsements.map_err(|error| Failure::unusable(path.display(), error))?;
            // Keys in it are believed only if it is given as a trust anchor.
            if endorsements.references.is_empty() {
                return Err(Failure::unusable(
                    path.display(),
                    "no reference value in it",
                ));
            }
            references.extend(endorsements.references);
        } else if signer.is_some() {
            let why = "not a CoRIM, so not signed by the key of --ref-values-signer";
            return Err(Failure::unusable(path.display(), why));
        } else {
            let values =
                file::parse(&bytes).map_err(|error| Failure::unusable(path.display(), error))?;
            references.extend(values);
        }
    }
    Ok(references)
}

/// The owner's policies.
struct Policies {
    plain: Policy,
    rego: Vec<RegoPolicy>,
    /// All their texts, for their identifier.
    texts: Vec<u8>,
}

impl Policies {
    fn read(arguments: &Verify) -> Result<Self, Failure> {
        let mut policies = Self {
            plain: Policy::default(),
            rego: Vec::new(),
            texts: Vec::new(),
        };
        let mut has_plain = false;
        for path in &arguments.policy {
            let bytes = input::read(path)?;
            if path
                .extension()
                .is_some_and(|extension| extension == "rego")
            {
                let policy = RegoPolicy::parse(&path.display().to_string(), &bytes, None);
                let policy = policy.map_err(|error| Failure::unusable(path.display(), error))?;
                policies.rego.push(policy);
            } else if has_plain {
                return Err(Failure::unusable(path.display(), "a second plain policy"));
            } else {
                has_plain = true;
                policies.plain = Policy::parse(&bytes)
                    .map_err(|error| Failure::unusable(path.display(), error))?;
            }
            policies.texts.extend(bytes);
        }
        Ok(policies)
    }
}

fn write_ear(
    arguments: &Verify,
    path: &Path,
    token: &Token,
    appraisal: &Appraisal,
    policies: &Policies,
) -> Result<(), Failure> {
    let Some(key) = &arguments.ear_key else {
        return Err(Failure::unusable("--ear-key", "missing"));
    };
    let mut key = keys::read(key)?;
    let nonce = match &arguments.ear_nonce {
        None => None,
        Some(text) => Some(input::hex("--ear-nonce", text)?),
    };
    if nonce
        .as_ref()
        .is_some_and(|nonce| !(8..=64).contains(&nonce.len()))
    {
        return Err(Failure::unusable("--ear-nonce", "not 8 to 64 bytes"));
    }
    let issued_at = input::now();
    let policy_id = ear::policy_id(&policies.texts);
    let context = EarContext {
        format: match arguments.ear_format {
            EarForm::Draft04 => EarFormat::Draft04,
            EarForm::Veraison2023 => EarFormat::Veraison2023,
        },
        developer: "cloister",
        build: concat!("cca-token ", env!("CARGO_PKG_VERSION")),
        issued_at,
        expires: arguments
            .ear_lifetime
            .map(|lifetime| issued_at.saturating_add(lifetime)),
        nonce: nonce.as_deref(),
        policy_id: Some(&policy_id),
    };
    let Ok(jwt) = ear::sign(token, appraisal, &context, &mut key);
    output::write(Some(path), format!("{jwt}\n").as_bytes())
}

fn report(arguments: &Verify, evidence: &Evidence, appraisal: &Appraisal) -> Result<(), Failure> {
    if arguments.json {
        let mut result = json::appraisal(appraisal);
        // What nobody vouches for is nothing to pass on.
        if appraisal.is_trusted() {
            match evidence {
                Evidence::Whole(token) if !arguments.platform_only => {
                    result["token"] = json::token(token);
                }
                Evidence::Whole(token) => {
                    result["token"]["platform"] = json::platform(token.platform.claims());
                }
                Evidence::Platform(token) => {
                    result["token"]["platform"] = json::platform(token.claims());
                }
            }
        }
        // The result of the check goes to standard output, unless that is where the EAR went.
        if arguments.ear.as_deref() == Some(Path::new("-")) {
            return Ok(());
        }
        return output::json(&result);
    }
    let text = table(appraisal, !arguments.ref_values.is_empty());
    if arguments.ear.as_deref() == Some(Path::new("-")) {
        eprint!("{text}");
        return Ok(());
    }
    output::write(None, text.as_bytes())
}

/// The checks as a table, and the verdict.
fn table(appraisal: &Appraisal, has_references: bool) -> String {
    let width = appraisal
        .checks()
        .iter()
        .map(|check| check.subject.to_string().chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for check in appraisal.checks() {
        let subject = check.subject.to_string();
        let _ = writeln!(
            text,
            "{subject:width$}  {:12}  {}",
            check.verdict,
            reason(check)
        );
    }
    let verdict = if appraisal.is_accepted() {
        "accepted"
    } else {
        "rejected"
    };
    let _ = write!(text, "{verdict}");
    if appraisal.is_trusted() && !appraisal.is_compared() {
        let why = if has_references {
            "no reference value is for this token"
        } else {
            "no reference values were given"
        };
        let _ = write!(
            text,
            "; nothing was compared, because {why}: nothing is known of what runs"
        );
    }
    let failed = |check: &&Check| check.verdict == Verdict::Failed;
    let failed: Vec<_> = appraisal.checks().iter().filter(failed).collect();
    if !failed.is_empty() {
        let names: Vec<_> = failed
            .iter()
            .map(|check| check.subject.to_string())
            .collect();
        let _ = write!(text, ": {}", names.join(", "));
    }
    text.push('\n');
    text
}

/// A reason, with long values on lines of their own.
fn reason(check: &Check) -> String {
    match &check.reason {
        Reason::Differs { expected, found } => {
            let mut text = format!("differs\n    found     {found}");
            for (index, expected) in expected.iter().enumerate() {
                let word = if index == 0 { "expected" } else { "or      " };
                let _ = write!(text, "\n    {word}  {expected}");
            }
            text
        }
        other => other.to_string(),
    }
}
