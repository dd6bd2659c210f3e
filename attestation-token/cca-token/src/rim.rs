//! `cca-token rim`: the initial measurement of a Realm that is not there yet.

use std::path::Path;

use attestation_token::HashAlgorithm;
use attestation_token::reference::{RealmReference, ReferenceValues, file};
use attestation_token::rim::{Content, GRANULE_BYTES, Realm, RealmParameters, Rec, RimError};
use clap::ArgMatches;
use serde_json::json;

use crate::arguments::{Rim, RimForm};
use crate::failure::{Failure, Outcome};
use crate::{input, output};

/// Level of the table entries that RAM is mapped by, unless something else is said.
const DEFAULT_LEVEL: u8 = 2;

/// What a host does to a Realm, as an option says it.
#[derive(Clone, Copy)]
enum Step {
    Ram,
    Load,
    Unmeasured,
    Rec,
}

impl Step {
    /// All of them, with the identifiers of their options.
    const ALL: [(Self, &str); 4] = [
        (Self::Ram, "ram"),
        (Self::Load, "load"),
        (Self::Unmeasured, "unmeasured"),
        (Self::Rec, "rec"),
    ];
}

pub(crate) fn run(arguments: &Rim, matches: Option<&ArgMatches>) -> Outcome {
    let algorithm = HashAlgorithm::from_name(&arguments.hash)
        .ok_or_else(|| Failure::unusable("--hash", RimError::HashAlgorithm))?;
    let parameters = RealmParameters {
        lpa2: arguments.lpa2,
        sve_vl: arguments.sve_vl,
        pmu_counters: arguments.pmu_counters,
        ipa_width: arguments.ipa_width,
        breakpoints: arguments.breakpoints,
        watchpoints: arguments.watchpoints,
        hash_algorithm: algorithm,
    };
    let mut realm = Realm::new(&parameters).map_err(|error| Failure::unusable("--hash", error))?;
    for (step, text) in steps(arguments, matches) {
        match step {
            Step::Ram => ram(&mut realm, text)?,
            Step::Load => load(&mut realm, text)?,
            Step::Unmeasured => unmeasured(&mut realm, text)?,
            Step::Rec => realm.rec(&rec(text)?),
        }
    }
    let rim = realm.initial_measurement();
    let text = match arguments.format {
        RimForm::Hex => format!("{rim}\n"),
        RimForm::Toml => {
            let values = ReferenceValues {
                platforms: Vec::new(),
                realms: vec![RealmReference {
                    initial_measurement: vec![rim],
                    ..RealmReference::default()
                }],
            };
            file::to_toml(&values).map_err(|error| Failure::unusable("rim", error))?
        }
        RimForm::Json => {
            let value = json!({
                "cca-realm-hash-algo-id": algorithm.name(),
                "cca-realm-initial-measurement": rim.to_string(),
            });
            format!("{value:#}\n")
        }
    };
    output::write(None, text.as_bytes())?;
    Ok(true)
}

/// The steps in the order of the command line.
fn steps<'a>(arguments: &'a Rim, matches: Option<&ArgMatches>) -> Vec<(Step, &'a str)> {
    let mut steps = Vec::new();
    for (step, name) in Step::ALL {
        let texts = match step {
            Step::Ram => &arguments.ram,
            Step::Load => &arguments.load,
            Step::Unmeasured => &arguments.unmeasured,
            Step::Rec => &arguments.rec,
        };
        let indices = matches.and_then(|matches| matches.indices_of(name));
        steps.extend(
            indices
                .into_iter()
                .flatten()
                .zip(texts)
                .map(|(index, text)| (index, step, text.as_str())),
        );
    }
    steps.sort_by_key(|(index, _, _)| *index);
    steps
        .into_iter()
        .map(|(_, step, text)| (step, text))
        .collect()
}

/// Start and end of `BASE+SIZE`.
fn range(name: &str, text: &str) -> Result<(u64, u64), Failure> {
    let (base, size) = text
        .split_once('+')
        .ok_or_else(|| Failure::unusable(name, format!("{text:?} is not BASE+SIZE")))?;
    let base = input::number(name, base)?;
    let top = base.checked_add(input::number(name, size)?);
    let top = top.ok_or_else(|| Failure::unusable(name, RimError::Range))?;
    Ok((base, top))
}

fn ram(realm: &mut Realm, text: &str) -> Result<(), Failure> {
    let (place, level) = match text.split_once(':') {
        None => (text, DEFAULT_LEVEL),
        Some((place, level)) => {
            let level = input::number("--ram", level)?;
            (place, u8::try_from(level).unwrap_or(u8::MAX))
        }
    };
    let (base, top) = range("--ram", place)?;
    realm
        .init_ripas(base, top, level)
        .map_err(|error| Failure::unusable(format!("--ram {text}"), error))
}

fn load(realm: &mut Realm, text: &str) -> Result<(), Failure> {
    let (ipa, path) = text
        .split_once('=')
        .ok_or_else(|| Failure::unusable("--load", format!("{text:?} is not IPA=FILE")))?;
    let mut ipa = input::number("--load", ipa)?;
    let bytes = input::read(Path::new(path))?;
    if bytes.is_empty() {
        return Err(Failure::unusable(path, "empty"));
    }
    for part in bytes.chunks(GRANULE_BYTES) {
        let mut page = [0; GRANULE_BYTES];
        page[..part.len()].copy_from_slice(part);
        realm
            .data(ipa, Content::Measured(&page))
            .map_err(|error| Failure::unusable(format!("--load {text}"), error))?;
        ipa = ipa.wrapping_add(GRANULE_BYTES as u64);
    }
    Ok(())
}

fn unmeasured(realm: &mut Realm, text: &str) -> Result<(), Failure> {
    let (mut ipa, top) = range("--unmeasured", text)?;
    let failed = |error| Failure::unusable(format!("--unmeasured {text}"), error);
    if !top.is_multiple_of(GRANULE_BYTES as u64) {
        return Err(failed(RimError::Alignment));
    }
    while ipa < top {
        realm.data(ipa, Content::Unmeasured).map_err(failed)?;
        ipa += GRANULE_BYTES as u64;
    }
    Ok(())
}

fn rec(text: &str) -> Result<Rec, Failure> {
    let mut rec = Rec::default();
    for assignment in text.split(',') {
        let wrong = || Failure::unusable("--rec", format!("{assignment:?} is not pc=N or xN=N"));
        let (register, value) = assignment.split_once('=').ok_or_else(wrong)?;
        let value = input::number("--rec", value)?;
        if register == "pc" {
            rec.pc = value;
            continue;
        }
        let index = register
            .strip_prefix('x')
            .and_then(|index| index.parse().ok());
        let register = index.and_then(|index: usize| rec.gprs.get_mut(index));
        *register.ok_or_else(wrong)? = value;
    }
    Ok(rec)
}
