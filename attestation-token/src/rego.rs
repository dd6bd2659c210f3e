//! The owner's policy in Rego.
//!
//! The policy is asked for `data.cca.allow`. Its input is what [`input`] makes: all claims of both
//! parts under `platform` and `realm`, the checks under `checks`, whether the built-in rules would
//! accept under `accepted`. It can refuse what the built-in rules accept; it cannot accept what
//! they refuse, and it is not asked about tokens that are not trusted.
//!
//! A policy is its owner's code. Bounds keep mistakes in it from taking a service down: on its
//! length, nesting and time, on what functions make of their arguments, and none may call itself.
//! They do not make it safe to run a policy of somebody who wants to do harm.
//!
//! ```rego
//! package cca
//!
//! default allow := false
//!
//! allow if {
//!     input.realm["cca-realm-personalization-value"] == data.owner
//!     input.platform["cca-platform-lifecycle"] == 12291
//! }
//!
//! reasons contains "another owner's Realm" if not allow
//! ```

mod calls;
mod functions;
mod limits;

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU32, NonZeroUsize};
use core::time::Duration;

use regorus::utils::limits::{ExecutionTimerConfig, PolicyLengthConfig};
use regorus::{Engine, Value};

use crate::appraise::Appraisal;
use crate::check::{Check, Reason, Subject, Verdict};
use crate::json;
use crate::token::Token;

/// The rule that decides.
const ALLOW: &str = "data.cca.allow";
/// A set of sentences that say why not. It need not be there.
const REASONS: &str = "data.cca.reasons";
/// Most reasons that are passed on.
const MAX_REASONS: usize = 16;
/// Most bytes that a policy may have.
const MAX_BYTES: usize = 128 * 1024;
/// Longest time for one token. Kept only where there is a clock: feature `rego-time-limit`.
const TIME_LIMIT: ExecutionTimerConfig = ExecutionTimerConfig {
    limit: Duration::from_secs(1),
    check_interval: NonZeroU32::new(1000).unwrap(),
};

/// A policy, parsed once and used for any number of tokens.
#[derive(Clone)]
pub struct RegoPolicy(Engine);

impl fmt::Debug for RegoPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegoPolicy")
    }
}

/// Why a policy cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RegoError {
    /// Not text, or too long.
    NotText,
    /// Brackets inside brackets, or an expression, that nobody can read.
    TooDeep,
    /// A number with more digits than any claim has, or a larger exponent.
    Number,
    /// An operator that policies do not have: multiplication, division.
    Operator(char),
    /// More additions than any policy needs.
    Additions,
    /// A function of the policy in the place of another (`with … as …`).
    Replacement,
    /// A function that calls itself, directly or by others.
    Recursion(String),
    /// An import of the policy's own package.
    OwnImport,
    /// Not Rego. Where and why.
    Syntax(String),
    /// There is no rule `allow` in package `cca`.
    NoAllow,
}

impl fmt::Display for RegoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("not text, or too long"),
            Self::TooDeep => write!(
                f,
                "more than {} brackets inside brackets, or an expression of more than {} words",
                limits::MAX_NESTING,
                limits::MAX_WORDS
            ),
            Self::Number => write!(
                f,
                "a number of more than {} digits, or with an exponent of more than two",
                limits::MAX_DIGITS
            ),
            Self::Operator(operator) => {
                write!(
                    f,
                    "the operator {operator}, which policies for tokens do not have"
                )
            }
            Self::Additions => write!(f, "more than {} additions", calls::MAX_ADDITIONS),
            Self::Replacement => f.write_str("a function of the policy in the place of another"),
            Self::Recursion(name) => write!(f, "the function {name} calls itself"),
            Self::OwnImport => f.write_str("`package cca` imports itself"),
            Self::Syntax(text) => f.write_str(text.trim()),
            Self::NoAllow => f.write_str("no rule `allow` in `package cca`"),
        }
    }
}

impl core::error::Error for RegoError {}

impl RegoPolicy {
    /// Parses a policy. `name` is for error messages; `data` becomes the policy's `data`.
    ///
    /// # Errors
    ///
    /// If it is not Rego, or has no rule `allow` in package `cca`.
    pub fn parse(
        name: &str,
        policy: &[u8],
        data: Option<serde_json::Value>,
    ) -> Result<Self, RegoError> {
        let text = core::str::from_utf8(policy).map_err(|_| RegoError::NotText)?;
        limits::check_text(text)?;
        let syntax = |error| RegoError::Syntax(alloc::format!("{error:#}"));
        let max_file_bytes = NonZeroUsize::new(MAX_BYTES).unwrap_or(NonZeroUsize::MIN);
        let mut engine = Engine::new();
        engine.set_policy_length_config(PolicyLengthConfig {
            max_file_bytes,
            ..PolicyLengthConfig::default()
        });
        engine.set_execution_timer_config(TIME_LIMIT);
        engine.set_strict_builtin_errors(true);
        let package = engine
            .add_policy(name.to_string(), text.to_string())
            .map_err(syntax)?;
        let ast = engine.get_ast_as_json().map_err(syntax)?;
        let ast = serde_json::from_str(&ast).map_err(|_| RegoError::TooDeep)?;
        calls::check(&ast)?;
        functions::add(&mut engine).map_err(syntax)?;
        if package != "data.cca"
            || !engine
                .has_declared_rule_rooted_at(name, "allow")
                .map_err(syntax)?
        {
            return Err(RegoError::NoAllow);
        }
        if let Some(data) = data {
            limits::check_data(&data)?;
            engine.add_data(Value::from(data)).map_err(syntax)?;
        }
        Ok(Self(engine))
    }

    /// Asks the policy about a token, and adds its answer to the appraisal. What is not exactly
    /// `true` is a refusal, errors included.
    pub fn apply(&self, token: &Token, appraisal: &mut Appraisal) {
        let subject = Subject::Policy("rego".to_string());
        if !appraisal.is_trusted() {
            appraisal.add(Check::new(subject, Verdict::NotChecked, Reason::NotTrusted));
            return;
        }
        // Each evaluation has an engine of its own, so that none sees what another left.
        let mut engine = self.0.clone();
        engine.set_input(Value::from(input(token, appraisal)));
        let (verdict, text) = match engine.eval_rule(ALLOW.to_string()) {
            Ok(Value::Bool(true)) => (Verdict::Affirmed, "the policy allows it".to_string()),
            Ok(_) => (Verdict::Failed, refusal(&mut engine)),
            Err(error) => (Verdict::Failed, alloc::format!("the policy fails: {error}")),
        };
        appraisal.add(Check::new(subject, verdict, Reason::Policy(text)));
    }
}

fn refusal(engine: &mut Engine) -> String {
    let reasons: Vec<_> = match engine.eval_rule(REASONS.to_string()) {
        Ok(Value::Set(reasons)) => reasons
            .iter()
            .filter_map(|reason| reason.as_string().ok())
            .map(|reason| {
                reason
                    .chars()
                    .filter(|c| !c.is_control())
                    .collect::<String>()
            })
            .take(MAX_REASONS)
            .collect(),
        _ => Vec::new(),
    };
    if reasons.is_empty() {
        "the policy does not allow it".to_string()
    } else {
        alloc::format!("the policy does not allow it: {}", reasons.join("; "))
    }
}

/// What a policy decides on.
pub fn input(token: &Token, appraisal: &Appraisal) -> serde_json::Value {
    let mut input = json::token(token);
    input["accepted"] = appraisal.is_accepted().into();
    input["compared"] = appraisal.is_compared().into();
    input["checks"] = json::checks(appraisal.checks());
    input
}
