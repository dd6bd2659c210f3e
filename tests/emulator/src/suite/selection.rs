//! Which tests of a payload to run.

use std::collections::HashSet;

/// A choice of tests, as the command line of the payload expresses it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Selection {
    /// Names, or prefixes that end in `*`; nothing means everything.
    pub(crate) only: Vec<String>,
    /// Names that are left out.
    pub(crate) skip: Vec<String>,
}

/// Whether a name, or a prefix that ends in `*`, means a test.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

impl Selection {
    /// The words of the command line for this choice.
    pub(crate) fn words(&self) -> impl Iterator<Item = String> {
        [("only", &self.only), ("skip", &self.skip)]
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(key, names)| format!("{key}={}", names.join(",")))
    }

    /// The first wish that none of these names is meant by.
    pub(crate) fn in_vain(&self, names: &[&str]) -> Option<&String> {
        let mut wishes = self.only.iter();
        wishes.find(|pattern| !names.iter().any(|name| matches(pattern, name)))
    }

    /// Whether a test is chosen.
    pub(crate) fn includes(&self, name: &str) -> bool {
        let wanted = |pattern: &String| matches(pattern, name);
        (self.only.is_empty() || self.only.iter().any(wanted))
            && !self.skip.iter().any(|skipped| skipped == name)
    }

    /// The same choice without these tests.
    pub(crate) fn without(&self, finished: &HashSet<String>) -> Self {
        let mut skip = self.skip.clone();
        skip.extend(finished.iter().cloned());
        skip.sort();
        skip.dedup();
        Self {
            only: self.only.clone(),
            skip,
        }
    }

    /// Choices that together name exactly these tests, each as long as `fits` allows.
    pub(crate) fn parts(
        names: impl Iterator<Item = String>,
        fits: impl Fn(&Self) -> bool,
    ) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        for name in names {
            if let Some(part) = parts.last_mut() {
                part.only.push(name);
                if fits(part) {
                    continue;
                }
                let overflow = part.only.split_off(part.only.len() - 1);
                parts.push(Self {
                    only: overflow,
                    skip: Vec::new(),
                });
            } else {
                parts.push(Self {
                    only: vec![name],
                    skip: Vec::new(),
                });
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(only: &[&str], skip: &[&str]) -> Selection {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Selection {
            only: owned(only),
            skip: owned(skip),
        }
    }

    #[test]
    fn words_are_what_the_payload_reads() {
        let words: Vec<_> = selection(&["granule/*", "psci/on"], &["granule/twice"])
            .words()
            .collect();
        assert_eq!(words, ["only=granule/*,psci/on", "skip=granule/twice"]);
        assert_eq!(Selection::default().words().count(), 0);
    }

    #[test]
    fn patterns_choose_as_the_payload_does() {
        let chosen = selection(&["granule/*", "psci/on"], &["granule/twice"]);
        assert!(chosen.includes("granule/unaligned") && chosen.includes("psci/on"));
        assert!(!chosen.includes("granule/twice") && !chosen.includes("psci/on-again"));
        assert!(Selection::default().includes("anything"));
    }

    #[test]
    fn parts_name_everything_once_and_fit() {
        let names: Vec<_> = (0..10).map(|n| format!("test-{n}")).collect();
        let parts = Selection::parts(names.iter().cloned(), |part| part.only.len() <= 4);
        let sizes: Vec<_> = parts.iter().map(|part| part.only.len()).collect();
        assert_eq!(sizes, [4, 4, 2]);
        let all: Vec<_> = parts.into_iter().flat_map(|part| part.only).collect();
        assert_eq!(all, names);
    }
}
