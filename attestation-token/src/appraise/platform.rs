//! Comparing a machine with its reference values.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::best;
use crate::check::{Check, Reason, Subject, Verdict};
use crate::claims::{PlatformClaims, SoftwareComponent};
use crate::encoding;
use crate::policy::Policy;
use crate::reference::{ComponentReference, MaskedBytes, PlatformReference};

/// Compares with the good states for this kind of machine.
pub(super) fn compare(
    claims: &PlatformClaims,
    references: &[PlatformReference],
    policy: &Policy,
) -> Vec<Check> {
    let fitting: Vec<_> = references
        .iter()
        .filter(|reference| {
            reference
                .implementation_id
                .is_none_or(|id| id == claims.implementation_id)
        })
        .collect();
    let mut checks = alloc::vec![implementation(claims, references, !fitting.is_empty())];
    let comparisons = fitting
        .into_iter()
        .map(|reference| compare_one(claims, reference, policy));
    let nothing = PlatformReference::default();
    checks.extend(best(comparisons).unwrap_or_else(|| compare_one(claims, &nothing, policy)));
    checks
}

fn implementation(
    claims: &PlatformClaims,
    references: &[PlatformReference],
    fitting: bool,
) -> Check {
    let ids: BTreeSet<_> = references
        .iter()
        .filter_map(|reference| reference.implementation_id)
        .collect();
    let (verdict, reason) = if ids.is_empty() {
        (Verdict::NotCompared, Reason::NoReferenceValue)
    } else if ids.contains(&claims.implementation_id) {
        (Verdict::Affirmed, Reason::Matches)
    } else if fitting {
        // An entry is for machines of every kind.
        (Verdict::NotCompared, Reason::NoReferenceValue)
    } else {
        let reason = Reason::Differs {
            expected: ids.iter().map(|id| encoding::hex(id)).collect(),
            found: encoding::hex(&claims.implementation_id),
        };
        (Verdict::Failed, reason)
    };
    Check::new(Subject::ImplementationId, verdict, reason)
}

fn compare_one(
    claims: &PlatformClaims,
    reference: &PlatformReference,
    policy: &Policy,
) -> Vec<Check> {
    let mut checks = alloc::vec![masked(
        Subject::PlatformConfig,
        &reference.config,
        Some(&claims.config),
    )];
    if claims.manufacturing_config.is_some() || !reference.manufacturing_config.is_empty() {
        checks.push(masked(
            Subject::ManufacturingConfig,
            &reference.manufacturing_config,
            claims.manufacturing_config.as_deref(),
        ));
    }
    let names = names(&claims.software_components);
    for (component, name) in claims.software_components.iter().zip(names) {
        let (verdict, reason) = compare_component(component, reference, policy);
        checks.push(Check::new(
            Subject::SoftwareComponent(name),
            verdict,
            reason,
        ));
    }
    for expected in &reference.software_components {
        let is_there = claims
            .software_components
            .iter()
            .any(|component| is_same_component(component, expected));
        if !is_there && !expected.optional {
            let name = expected.component_type.clone();
            let name = name.unwrap_or_else(|| String::from("unnamed"));
            let subject = Subject::SoftwareComponent(name);
            checks.push(Check::new(subject, Verdict::Failed, Reason::Absent));
        }
    }
    checks
}

fn masked(subject: Subject, alternatives: &[MaskedBytes], found: Option<&[u8]>) -> Check {
    let (verdict, reason) = match found {
        _ if alternatives.is_empty() => (Verdict::NotCompared, Reason::NoReferenceValue),
        None => (Verdict::Failed, Reason::Absent),
        Some(found) if alternatives.iter().any(|expected| expected.matches(found)) => {
            (Verdict::Affirmed, Reason::Matches)
        }
        Some(found) => {
            let show = |expected: &MaskedBytes| match expected.mask() {
                None => encoding::hex(expected.value()),
                Some(mask) => alloc::format!(
                    "{} under mask {}",
                    encoding::hex(expected.value()),
                    encoding::hex(mask)
                ),
            };
            let reason = Reason::Differs {
                expected: alternatives.iter().map(show).collect(),
                found: encoding::hex(found),
            };
            (Verdict::Failed, reason)
        }
    };
    Check::new(subject, verdict, reason)
}

/// Names for components: their types, with a number behind those that come again.
fn names(components: &[SoftwareComponent]) -> Vec<String> {
    let mut used = BTreeSet::new();
    components
        .iter()
        .enumerate()
        .map(|(index, component)| {
            let name = match &component.component_type {
                Some(name) if used.insert(name.as_str()) => name.clone(),
                Some(name) => alloc::format!("{name}#{index}"),
                None => index.to_string(),
            };
            // Names come from outside and end up on terminals.
            name.chars().filter(|c| !c.is_control()).collect()
        })
        .collect()
}

/// Whether a reference value is for this component, good or bad.
fn is_same_component(component: &SoftwareComponent, expected: &ComponentReference) -> bool {
    match &expected.component_type {
        Some(_) => expected.component_type == component.component_type,
        None if expected.measurements.is_empty() => expected.signer_id == Some(component.signer_id),
        None => expected.measurements.contains(&component.measurement),
    }
}

fn compare_component(
    component: &SoftwareComponent,
    reference: &PlatformReference,
    policy: &Policy,
) -> (Verdict, Reason) {
    let expected: Vec<_> = reference
        .software_components
        .iter()
        .filter(|expected| is_same_component(component, expected))
        .collect();
    if expected.iter().any(|expected| matches(component, expected)) {
        return (Verdict::Affirmed, Reason::Matches);
    }
    if expected.is_empty() {
        let unlisted = !reference.software_components.is_empty() && !policy.unlisted_components;
        let verdict = if unlisted {
            Verdict::Failed
        } else {
            Verdict::NotCompared
        };
        return (verdict, Reason::NoReferenceValue);
    }
    let reason = Reason::Differs {
        expected: expected.into_iter().map(show_expected).collect(),
        found: show(component),
    };
    (Verdict::Failed, reason)
}

fn matches(component: &SoftwareComponent, expected: &ComponentReference) -> bool {
    (expected.version.is_none() || expected.version == component.version)
        && expected
            .signer_id
            .is_none_or(|signer| signer == component.signer_id)
        && (expected.measurements.is_empty()
            || expected.measurements.contains(&component.measurement))
}

fn show(component: &SoftwareComponent) -> String {
    let version = component.version.as_deref().unwrap_or("none");
    alloc::format!(
        "measurement {} (signer {}, version {version:?})",
        component.measurement,
        component.signer_id
    )
}

fn show_expected(expected: &ComponentReference) -> String {
    let measurements: Vec<_> = expected
        .measurements
        .iter()
        .map(ToString::to_string)
        .collect();
    let measurement = if measurements.is_empty() {
        String::from("any")
    } else {
        measurements.join(" or ")
    };
    let signer = expected
        .signer_id
        .map_or_else(|| String::from("any"), |signer| signer.to_string());
    let version = expected.version.as_ref().map_or_else(
        || String::from("any"),
        |version| alloc::format!("{version:?}"),
    );
    alloc::format!("measurement {measurement} (signer {signer}, version {version})")
}
