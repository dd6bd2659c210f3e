//! Comparing what a token says with what its owner expects.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

mod platform;
mod realm;

use crate::check::{Check, Reason, Subject, Verdict};
use crate::claims::{LifecycleState, PlatformClaims};
use crate::policy::Policy;
use crate::reference::ReferenceValues;
use crate::token::{PlatformToken, Token};
use crate::verify::Verification;

/// What came of a token: every check, and the verdict over all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appraisal {
    checks: Vec<Check>,
    trusted: bool,
}

impl Appraisal {
    /// Every check.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Whether signatures, binding and challenge were right.
    pub const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether the token is accepted: trusted, and no check failed.
    pub fn is_accepted(&self) -> bool {
        self.trusted
            && !self
                .checks
                .iter()
                .any(|check| check.verdict == Verdict::Failed)
    }

    /// Whether anything at all was compared with a reference value.
    pub fn is_compared(&self) -> bool {
        self.checks.iter().any(|check| {
            is_reference_check(&check.subject)
                && matches!(check.verdict, Verdict::Affirmed | Verdict::Failed)
        })
    }

    /// The outcome of one check.
    pub fn verdict(&self, subject: &Subject) -> Option<Verdict> {
        self.checks
            .iter()
            .find(|check| check.subject == *subject)
            .map(|check| check.verdict)
    }

    /// Adds what another policy says.
    pub fn add(&mut self, check: Check) {
        self.checks.push(check);
    }
}

/// Whether a check compares with reference values.
fn is_reference_check(subject: &Subject) -> bool {
    matches!(
        subject,
        Subject::ImplementationId
            | Subject::SoftwareComponent(_)
            | Subject::PlatformConfig
            | Subject::ManufacturingConfig
            | Subject::InitialMeasurement
            | Subject::ExtensibleMeasurement(_)
            | Subject::PersonalizationValue
    )
}

/// Appraises a whole token. If it is not trusted, nothing that it says is looked at.
pub fn appraise(
    token: &Token,
    verification: &Verification,
    references: &ReferenceValues,
    policy: &Policy,
) -> Appraisal {
    let trusted = verification.is_trusted();
    let platform = token.platform.claims();
    let realm = token.realm.claims();
    let mut checks = alloc::vec![lifecycle(platform, policy)];
    checks.extend(platform::compare(platform, &references.platforms, policy));
    checks.extend(realm::compare(realm, &references.realms));
    checks.extend(profiles(token, policy));
    checks.extend(realm::demands(realm, policy));
    conclude(verification, trusted, checks, policy)
}

/// Appraises the machine's part alone. It says nothing of any Realm.
pub fn appraise_platform(
    token: &PlatformToken,
    verification: &Verification,
    references: &ReferenceValues,
    policy: &Policy,
) -> Appraisal {
    let claims = token.claims();
    let mut checks = alloc::vec![lifecycle(claims, policy)];
    checks.extend(platform::compare(claims, &references.platforms, policy));
    checks.extend(platform_profile(claims, policy));
    conclude(verification, verification.is_trusted(), checks, policy)
}

fn conclude(
    verification: &Verification,
    trusted: bool,
    appraised: Vec<Check>,
    policy: &Policy,
) -> Appraisal {
    let mut checks = verification.checks().to_vec();
    if trusted {
        checks.extend(appraised);
        let required = policy.require.iter().map(|name| require(name, &checks));
        let required: Vec<_> = required.flatten().collect();
        checks.extend(required);
    } else {
        checks.extend(
            appraised
                .into_iter()
                .map(|check| Check::new(check.subject, Verdict::NotChecked, Reason::NotTrusted)),
        );
    }
    Appraisal { checks, trusted }
}

fn lifecycle(claims: &PlatformClaims, policy: &Policy) -> Check {
    let state = claims.lifecycle.state();
    let allowed = state.is_some_and(|state| policy.lifecycle.contains(&state));
    let verdict = match (allowed, state) {
        (true, Some(LifecycleState::Secured)) => Verdict::Affirmed,
        (true, _) => Verdict::Warning,
        (false, _) => Verdict::Failed,
    };
    Check::new(
        Subject::Lifecycle,
        verdict,
        Reason::Lifecycle(claims.lifecycle),
    )
}

fn profiles(token: &Token, policy: &Policy) -> Vec<Check> {
    let mut checks: Vec<_> = platform_profile(token.platform.claims(), policy)
        .into_iter()
        .collect();
    let profile = token.realm.claims().profile;
    if !policy.realm_profiles.is_empty() {
        let allowed = policy.realm_profiles.contains(&profile);
        let name = profile.name().unwrap_or("none");
        checks.push(rule("realm-profile", allowed, name.to_string()));
    }
    checks
}

fn platform_profile(claims: &PlatformClaims, policy: &Policy) -> Option<Check> {
    (!policy.platform_profiles.is_empty()).then(|| {
        let allowed = policy.platform_profiles.contains(&claims.profile);
        rule(
            "platform-profile",
            allowed,
            claims.profile.name().to_string(),
        )
    })
}

/// The outcome of a rule in the policy.
fn rule(name: &str, allowed: bool, found: String) -> Check {
    let verdict = if allowed {
        Verdict::Affirmed
    } else {
        Verdict::Failed
    };
    Check::new(
        Subject::Policy(name.to_string()),
        verdict,
        Reason::Policy(found),
    )
}

/// A failed check unless those with this name were affirmed.
fn require(name: &str, checks: &[Check]) -> Option<Check> {
    let mut found = false;
    for check in checks {
        let subject = check.subject.to_string();
        let under = subject
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if under {
            found = true;
            if check.verdict != Verdict::Affirmed {
                let text = format!(
                    "the policy requires {name}, and {subject} is {}",
                    check.verdict
                );
                return Some(rule("require", false, text));
            }
        }
    }
    (!found).then(|| {
        rule(
            "require",
            false,
            format!("the policy requires {name}, and there is none"),
        )
    })
}

/// Compares a value with the alternatives for it.
fn among<T: PartialEq>(
    subject: Subject,
    alternatives: &[T],
    found: &T,
    show: impl Fn(&T) -> String,
) -> Check {
    if alternatives.is_empty() {
        Check::new(subject, Verdict::NotCompared, Reason::NoReferenceValue)
    } else if alternatives.contains(found) {
        Check::new(subject, Verdict::Affirmed, Reason::Matches)
    } else {
        let reason = Reason::Differs {
            expected: alternatives.iter().map(&show).collect(),
            found: show(found),
        };
        Check::new(subject, Verdict::Failed, reason)
    }
}

/// The comparison with the fewest failures; the first of them if several have as few.
fn best(comparisons: impl Iterator<Item = Vec<Check>>) -> Option<Vec<Check>> {
    comparisons.min_by_key(|checks| {
        checks
            .iter()
            .filter(|check| check.verdict == Verdict::Failed)
            .count()
    })
}
