//! The owner's policy in a plain file: what beyond the built-in rules is demanded or allowed.
//!
//! ```toml
//! lifecycle = ["secured", "non-platform-rot-debug"]   # states that are allowed
//! require = ["challenge", "realm.initial-measurement"] # must have been compared, and be equal
//! unlisted-components = "accept"                       # firmware that no reference value is for
//! platform-profile = ["tag:arm.com,2023:cca_platform#1.0.0"]
//! realm-profile = ["tag:arm.com,2024:realm#2.0.0"]     # "none" for tokens without profile
//! mec-policy = "private"                               # memory encryption of the Realm's own
//! lfa-policy = "disallow"                              # no firmware update under the Realm
//! ```

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;

use crate::claims::{LfaPolicy, LifecycleState, MecPolicy, PlatformProfile, RealmProfile};

/// Most bytes that a policy may have.
pub const MAX_BYTES: usize = 1024 * 1024;

/// What an owner demands and allows.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// States of a machine's life that are accepted.
    pub lifecycle: Vec<LifecycleState>,
    /// Checks that have to be affirmed, by the beginning of their names.
    pub require: Vec<String>,
    /// Whether firmware is accepted for which an entry has no reference value though it has some
    /// for other firmware.
    pub unlisted_components: bool,
    /// Generations of the platform token that are accepted; none: all.
    pub platform_profiles: Vec<PlatformProfile>,
    /// Generations of the realm token that are accepted; none: all.
    pub realm_profiles: Vec<RealmProfile>,
    /// The policy on memory encryption that a Realm must have.
    pub mec_policy: Option<MecPolicy>,
    /// The policy on firmware updates that a Realm must have.
    pub lfa_policy: Option<LfaPolicy>,
}

impl Default for Policy {
    /// Only machines that are secured; everything else as reference values say.
    fn default() -> Self {
        Self {
            lifecycle: alloc::vec![LifecycleState::Secured],
            require: Vec::new(),
            unlisted_components: false,
            platform_profiles: Vec::new(),
            realm_profiles: Vec::new(),
            mec_policy: None,
            lfa_policy: None,
        }
    }
}

/// Why a file is not a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PolicyError {
    /// More than [`MAX_BYTES`].
    TooLong,
    /// Not text.
    NotText,
    /// Not TOML, or not JSON, of the form. Where and why.
    Syntax(String),
    /// A word that is not one of those for a rule.
    Word {
        /// The rule.
        rule: &'static str,
        /// The word.
        word: String,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("too long"),
            Self::NotText => f.write_str("not text"),
            Self::Syntax(text) => f.write_str(text.trim_end()),
            Self::Word { rule, word } => write!(f, "{rule}: {word:?} is not a word for it"),
        }
    }
}

impl core::error::Error for PolicyError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    lifecycle: Option<Vec<String>>,
    #[serde(default)]
    require: Vec<String>,
    unlisted_components: Option<String>,
    #[serde(default)]
    platform_profile: Vec<String>,
    #[serde(default)]
    realm_profile: Vec<String>,
    mec_policy: Option<String>,
    lfa_policy: Option<String>,
}

/// Names of checks that a policy can require, by their beginnings.
const CHECKS: [&str; 6] = [
    "platform.software-component",
    "platform.config",
    "platform.manufacturing-config",
    "platform.implementation-id",
    "realm.personalization-value",
    "realm.initial-measurement",
];
const CHALLENGE: &str = "challenge";
const REM: &str = "realm.extensible-measurement";

impl Policy {
    /// The policy in TOML, or in JSON (which begins with a brace).
    ///
    /// # Errors
    ///
    /// If it is neither, or has a rule or a word that is not known.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > MAX_BYTES {
            return Err(PolicyError::TooLong);
        }
        let text = core::str::from_utf8(bytes).map_err(|_| PolicyError::NotText)?;
        let file: File = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| PolicyError::Syntax(error.to_string()))?
        } else {
            toml::from_str(text).map_err(|error| PolicyError::Syntax(error.to_string()))?
        };
        Self::from_file(file)
    }

    fn from_file(file: File) -> Result<Self, PolicyError> {
        let lifecycle = match file.lifecycle {
            None => Self::default().lifecycle,
            Some(names) => words("lifecycle", names, LifecycleState::from_name)?,
        };
        let require = words("require", file.require, |name| {
            is_check(name).then(|| name.to_string())
        })?;
        Ok(Self {
            lifecycle,
            require,
            unlisted_components: word(
                "unlisted-components",
                file.unlisted_components,
                [("accept", true), ("reject", false)],
            )?
            .unwrap_or(false),
            platform_profiles: words(
                "platform-profile",
                file.platform_profile,
                PlatformProfile::from_name,
            )?,
            realm_profiles: words("realm-profile", file.realm_profile, |name| {
                if name == "none" {
                    return Some(RealmProfile::None);
                }
                RealmProfile::from_name(name)
            })?,
            mec_policy: word(
                "mec-policy",
                file.mec_policy,
                [
                    ("shared", MecPolicy::Shared),
                    ("private", MecPolicy::Private),
                ],
            )?,
            lfa_policy: word(
                "lfa-policy",
                file.lfa_policy,
                [
                    ("allow", LfaPolicy::Allow),
                    ("disallow", LfaPolicy::Disallow),
                ],
            )?,
        })
    }
}

/// Whether checks have names that are this, or begin with this and a full stop.
fn is_check(name: &str) -> bool {
    let component = name.strip_prefix("platform.software-component.");
    let rem = name.strip_prefix("realm.extensible-measurement.");
    CHECKS.contains(&name)
        || name == CHALLENGE
        || name == REM
        || component.is_some_and(|component| !component.is_empty())
        || rem.is_some_and(|index| matches!(index, "0" | "1" | "2" | "3"))
}

fn words<T>(
    rule: &'static str,
    names: Vec<String>,
    from_name: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, PolicyError> {
    names
        .into_iter()
        .map(|word| from_name(&word).ok_or(PolicyError::Word { rule, word }))
        .collect()
}

fn word<T>(
    rule: &'static str,
    word: Option<String>,
    words: [(&str, T); 2],
) -> Result<Option<T>, PolicyError> {
    let Some(word) = word else {
        return Ok(None);
    };
    match words.into_iter().find(|(name, _)| *name == word) {
        Some((_, value)) => Ok(Some(value)),
        None => Err(PolicyError::Word { rule, word }),
    }
}
