//! What an image may take: a file in the repository, so that growth is somebody's decision.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::size::Sizes;

/// Why a budget cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BudgetError {
    #[error("it is no UTF-8 text")]
    NoText,
    #[error("it cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
}

/// Upper limits, in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Budget {
    /// Of the flat file.
    pub(crate) image: u64,
    /// Of the flat file with its zeroed data, in memory.
    pub(crate) memory: u64,
    /// Of each section. One that is not named may not be there.
    pub(crate) section: BTreeMap<String, u64>,
    /// Of the code of each crate.
    pub(crate) code: BTreeMap<String, u64>,
    /// Of the code of each crate that `code` does not name.
    pub(crate) other_code: u64,
}

/// More than the budget allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Excess {
    what: String,
    size: u64,
    limit: u64,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, size, limit } = self;
        write!(
            f,
            "{what}: {size} bytes, {} more than its budget of {limit}",
            size - limit
        )
    }
}

impl Budget {
    /// Reads a budget (TOML).
    pub(crate) fn parse(content: &[u8]) -> Result<Self, BudgetError> {
        let text = str::from_utf8(content).map_err(|_| BudgetError::NoText)?;
        Ok(toml::from_str(text)?)
    }

    /// The limit for a crate's code.
    pub(crate) fn of_crate(&self, name: &str) -> u64 {
        self.code.get(name).copied().unwrap_or(self.other_code)
    }

    /// Everything that is too large.
    pub(crate) fn excesses(&self, sizes: &Sizes) -> Vec<Excess> {
        let image = ("the image".to_owned(), sizes.image, self.image);
        let memory = ("the image in memory".to_owned(), sizes.memory, self.memory);
        let sections = sizes.sections.iter().map(|(name, size)| {
            let limit = self.section.get(name).copied().unwrap_or(0);
            (format!("the section {name}"), *size, limit)
        });
        let crates = sizes
            .crates
            .iter()
            .map(|(name, size)| (format!("the code of {name}"), *size, self.of_crate(name)));
        [image, memory]
            .into_iter()
            .chain(sections)
            .chain(crates)
            .filter(|(_, size, limit)| size > limit)
            .map(|(what, size, limit)| Excess { what, size, limit })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: &str = "
        image = 1000
        memory = 3000
        other-code = 10
        [section]
        '.text' = 800
        '.bss' = 2000
        [code]
        'rmm/core' = 500
    ";

    fn budget() -> Budget {
        Budget::parse(BUDGET.as_bytes()).unwrap()
    }

    fn sizes() -> Sizes {
        let map = |rows: &[(&str, u64)]| {
            let rows = rows.iter().map(|(name, size)| ((*name).to_owned(), *size));
            rows.collect::<BTreeMap<_, _>>()
        };
        Sizes {
            image: 1000,
            memory: 3000,
            sections: map(&[(".text", 800), (".bss", 2000)]),
            crates: map(&[("rmm/core", 500), ("spin", 10)]),
        }
    }

    fn excesses(sizes: &Sizes) -> Vec<String> {
        let excesses = budget().excesses(sizes);
        excesses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_fits_to_the_byte_fits() {
        assert!(excesses(&sizes()).is_empty());
    }

    #[test]
    fn each_byte_too_many_is_named() {
        let with = |change: &dyn Fn(&mut Sizes)| {
            let mut sizes = sizes();
            change(&mut sizes);
            excesses(&sizes).join("\n")
        };
        let text = with(&|sizes| sizes.image += 1);
        assert_eq!(
            text,
            "the image: 1001 bytes, 1 more than its budget of 1000"
        );
        let text = with(&|sizes| sizes.memory += 1);
        assert!(text.starts_with("the image in memory: 3001"), "{text}");
        let text = with(&|sizes| *sizes.sections.get_mut(".text").unwrap() += 1);
        assert!(text.starts_with("the section .text: 801"), "{text}");
        let text = with(&|sizes| *sizes.crates.get_mut("rmm/core").unwrap() += 1);
        assert!(text.starts_with("the code of rmm/core: 501"), "{text}");
        let text = with(&|sizes| *sizes.crates.get_mut("spin").unwrap() += 1);
        assert!(text.starts_with("the code of spin: 11"), "{text}");
    }

    #[test]
    fn a_section_that_nobody_knows_is_too_large() {
        let mut sizes = sizes();
        sizes.sections.insert(".ctors".to_owned(), 8);
        assert!(excesses(&sizes)[0].starts_with("the section .ctors: 8 bytes"));
    }

    #[test]
    fn a_budget_with_something_unknown_is_refused() {
        let text = format!("{BUDGET}\n[sections]\n");
        assert!(Budget::parse(text.as_bytes()).is_err());
        assert!(Budget::parse(b"image = 5").is_err());
        assert!(matches!(Budget::parse(b"\xff"), Err(BudgetError::NoText)));
    }
}
