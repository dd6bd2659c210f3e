//! Names of machines.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::ConfigurationError;

/// What messages call a machine, and its control socket: a name that can be a file's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Debug)]
pub struct MachineName(String);

impl MachineName {
    const MOST_BYTES: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for MachineName {
    fn default() -> Self {
        Self("guest".to_owned())
    }
}

impl FromStr for MachineName {
    type Err = ConfigurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let begins = text
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphanumeric);
        if begins && text.len() <= Self::MOST_BYTES && text.bytes().all(usable) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ConfigurationError::Name)
        }
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for text in ["guest", "web-7", "a", "7", "a.b_c", &"x".repeat(64)] {
            assert_eq!(text.parse::<MachineName>().unwrap().as_str(), text);
        }
        for text in ["", ".", "..", "-a", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(
                text.parse::<MachineName>(),
                Err(ConfigurationError::Name),
                "{text}"
            );
        }
    }
}
