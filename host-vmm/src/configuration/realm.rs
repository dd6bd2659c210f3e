//! What only a Realm has.

use std::fmt;

use clap::ValueEnum;

use super::ConfigurationError;

/// Bytes of a personalization value.
pub const PERSONALIZATION_BYTES: usize = 64;

/// Parameters of a Realm. All but the personalization value are part of its initial measurement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RealmOptions {
    /// What the Realm is measured with.
    pub hash_algorithm: HashAlgorithm,
    /// What tokens of the Realm say, besides measurements, that it is.
    pub personalization_value: PersonalizationValue,
    /// Largest vector length, bits / 128 − 1, if the Realm has SVE.
    pub sve_vl: Option<u8>,
    /// Event counters, if the Realm has a PMU.
    pub pmu_counters: Option<u8>,
    /// Hardware breakpoints − 1, at least 1.
    pub breakpoints: u8,
    /// Hardware watchpoints − 1, at least 1.
    pub watchpoints: u8,
}

impl Default for RealmOptions {
    /// The least that a Realm can have, measured with SHA-256.
    fn default() -> Self {
        Self {
            hash_algorithm: HashAlgorithm::Sha256,
            personalization_value: PersonalizationValue::default(),
            sve_vl: None,
            pmu_counters: None,
            breakpoints: 1,
            watchpoints: 1,
        }
    }
}

/// What a Realm is measured with.
#[derive(Clone, Copy, PartialEq, Eq, Default, ValueEnum, Debug)]
pub enum HashAlgorithm {
    /// SHA-256
    #[default]
    #[value(name = "sha-256", alias = "sha256")]
    Sha256,
    /// SHA-512
    #[value(name = "sha-512", alias = "sha512")]
    Sha512,
}

impl HashAlgorithm {
    /// Its name in tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
        }
    }
}

/// The 64 bytes by which the owner of a Realm marks it; not part of the initial measurement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PersonalizationValue([u8; PERSONALIZATION_BYTES]);

impl PersonalizationValue {
    /// The value of bytes with zeroes behind them.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError::PersonalizationLength`] for more than 64 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, ConfigurationError> {
        let mut value = [0; PERSONALIZATION_BYTES];
        value
            .get_mut(..bytes.len())
            .ok_or(ConfigurationError::PersonalizationLength)?
            .copy_from_slice(bytes);
        Ok(Self(value))
    }

    /// All of it.
    pub const fn as_bytes(&self) -> &[u8; PERSONALIZATION_BYTES] {
        &self.0
    }
}

impl Default for PersonalizationValue {
    fn default() -> Self {
        Self([0; PERSONALIZATION_BYTES])
    }
}

impl fmt::Display for PersonalizationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PersonalizationValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personalization_values_have_zeroes_behind_them() {
        let value = PersonalizationValue::new(b"tenant").unwrap();
        assert_eq!(&value.as_bytes()[..6], b"tenant");
        assert!(value.as_bytes()[6..].iter().all(|byte| *byte == 0));
        assert_eq!(value.to_string().len(), 128);
        assert!(PersonalizationValue::new(&[1; 64]).is_ok());
        assert_eq!(
            PersonalizationValue::new(&[1; 65]),
            Err(ConfigurationError::PersonalizationLength)
        );
    }
}
