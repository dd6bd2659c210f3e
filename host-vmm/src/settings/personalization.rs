//! Where a personalization value comes from.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use attestation_token::encoding;

use super::error::OptionError;
use crate::configuration::{PERSONALIZATION_BYTES, PersonalizationValue};

/// A personalization value as people write it: text, hexadecimal with 0x, or @FILE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PersonalizationSource {
    /// Text, or what is no UTF-8.
    Text(Vec<u8>),
    /// Digits behind `0x`.
    Hexadecimal(String),
    /// What is in a file.
    File(PathBuf),
}

impl PersonalizationSource {
    /// What the form says that it is. A file is looked for from `folder`.
    pub fn new(text: &OsStr, folder: &Path) -> Self {
        let bytes = text.as_bytes();
        if let Some(path) = bytes.strip_prefix(b"@") {
            return Self::File(folder.join(OsStr::from_bytes(path)));
        }
        match text.to_str() {
            Some(text) if text.starts_with("0x") => Self::Hexadecimal(text.to_owned()),
            _ => Self::Text(bytes.to_vec()),
        }
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// If it is too long, has digits that are none, or if the file cannot be read.
    pub fn value(&self) -> Result<PersonalizationValue, OptionError> {
        Ok(match self {
            Self::Text(bytes) => PersonalizationValue::new(bytes)?,
            Self::Hexadecimal(text) => {
                let bytes = encoding::from_hex(text).ok_or(OptionError::Hexadecimal)?;
                PersonalizationValue::new(&bytes)?
            }
            Self::File(path) => PersonalizationValue::new(&content(path)?)?,
        })
    }
}

/// What is in a file; one byte more than a value has, so that what is too long is seen to be.
fn content(path: &Path) -> Result<Vec<u8>, OptionError> {
    let mut content = Vec::new();
    let result = File::open(path).and_then(|file| {
        file.take(PERSONALIZATION_BYTES as u64 + 1)
            .read_to_end(&mut content)
    });
    result.map_err(|error| OptionError::File {
        path: path.into(),
        error,
    })?;
    Ok(content)
}

impl fmt::Display for PersonalizationSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Self::Hexadecimal(text) => f.write_str(text),
            Self::File(path) => write!(f, "@{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::ConfigurationError;

    fn value(text: &str) -> Result<PersonalizationValue, OptionError> {
        PersonalizationSource::new(OsStr::new(text), Path::new("")).value()
    }

    #[test]
    fn personalization_values() {
        assert_eq!(
            value("tenant").unwrap(),
            PersonalizationValue::new(b"tenant").unwrap()
        );
        assert_eq!(
            value("0xfFe0").unwrap(),
            PersonalizationValue::new(&[0xff, 0xe0]).unwrap()
        );
        assert!(value(&format!("0x{}", "00".repeat(64))).is_ok());
        for text in ["0xabc", "0xzz", "0x0x00"] {
            assert!(
                matches!(value(text), Err(OptionError::Hexadecimal)),
                "{text}"
            );
        }
        for text in [
            "x".repeat(65),
            format!("0x{}", "00".repeat(65)),
            "@/dev/zero".into(),
        ] {
            assert!(matches!(
                value(&text),
                Err(OptionError::Value(
                    ConfigurationError::PersonalizationLength
                ))
            ));
        }
        assert!(matches!(value("@/nowhere"), Err(OptionError::File { .. })));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("value"), [3; 64]).unwrap();
        let source = PersonalizationSource::new(OsStr::new("@value"), folder.path());
        assert_eq!(source.value().unwrap().as_bytes(), &[3; 64]);
    }
}
