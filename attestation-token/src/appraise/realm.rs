//! Comparing a Realm with its reference values.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::{among, best, rule};
use crate::check::{Check, Subject};
use crate::claims::{HashValue, LfaPolicy, MecPolicy, RealmClaims};
use crate::encoding;
use crate::policy::Policy;
use crate::reference::RealmReference;

/// Compares with the good states.
pub(super) fn compare(claims: &RealmClaims, references: &[RealmReference]) -> Vec<Check> {
    let comparisons = references
        .iter()
        .map(|reference| compare_one(claims, reference));
    let nothing = RealmReference::default();
    best(comparisons).unwrap_or_else(|| compare_one(claims, &nothing))
}

fn compare_one(claims: &RealmClaims, reference: &RealmReference) -> Vec<Check> {
    let mut checks = alloc::vec![among(
        Subject::InitialMeasurement,
        &reference.initial_measurement,
        &claims.initial_measurement,
        HashValue::to_string,
    )];
    let rems = reference
        .extensible_measurements
        .iter()
        .zip(&claims.extensible_measurements);
    for (index, (alternatives, found)) in (0..).zip(rems) {
        let subject = Subject::ExtensibleMeasurement(index);
        checks.push(among(subject, alternatives, found, HashValue::to_string));
    }
    checks.push(among(
        Subject::PersonalizationValue,
        &reference.personalization_value,
        &claims.personalization_value,
        |value| encoding::hex(value),
    ));
    checks
}

/// What the policy demands of any Realm.
pub(super) fn demands(claims: &RealmClaims, policy: &Policy) -> Vec<Check> {
    let mut checks = Vec::new();
    if policy.mec_policy.is_some() {
        let found = match claims.mec_policy {
            None => "the token does not say",
            Some(MecPolicy::Shared) => "shared",
            Some(MecPolicy::Private) => "private",
        };
        let allowed = policy.mec_policy == claims.mec_policy;
        checks.push(rule("mec-policy", allowed, String::from(found)));
    }
    if policy.lfa_policy.is_some() {
        let found = match claims.lfa_policy {
            None => "the token does not say",
            Some(LfaPolicy::Disallow) => "disallow",
            Some(LfaPolicy::Allow) => "allow",
        };
        let allowed = policy.lfa_policy == claims.lfa_policy;
        checks.push(rule("lfa-policy", allowed, String::from(found)));
    }
    checks
}
