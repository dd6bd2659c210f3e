//! The command line.

use core::fmt;

use rmm_abi::rsi::CHALLENGE_SIZE;

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Run the tests.
    #[default]
    Test,
    /// Count the instructions of each operation.
    Bench,
    /// Count the instructions of the same work on one CPU and on several.
    Scaling,
    /// Show a person what the RMM does.
    Demo,
    /// Print the names of the tests.
    List,
}

/// What goes wrong on purpose in this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InjectedFault {
    /// EL3 gives no granule back to the normal world.
    RefuseUndelegate,
}

/// The command line, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arguments<'a> {
    /// What to do.
    pub mode: Mode,
    /// Patterns of the tests to run, separated by commas; all tests without them.
    pub only: Option<&'a str>,
    /// Patterns of the tests not to run.
    pub skip: Option<&'a str>,
    /// Calls that each stress test makes.
    pub calls: u64,
    /// What goes wrong on purpose; then the tests are those of the family `parked`.
    pub fault: Option<InjectedFault>,
    /// The memory that the RMM has been told of: base and size of each bank, or `none`; without it,
    /// all memory of the machine.
    pub banks: Option<&'a str>,
    /// What a Realm is to show evidence over.
    pub challenge: Option<[u8; CHALLENGE_SIZE]>,
}

/// A word that cannot be used, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadWord<'a> {
    /// The word.
    pub word: &'a str,
    /// Why.
    pub reason: Reason,
}

/// Why a word cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// No option has this name.
    Unknown,
    /// The option was there before.
    Twice,
    /// The value is none of those that the option has.
    BadValue,
}

impl fmt::Display for BadWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command line: '{}' ", self.word)?;
        f.write_str(match self.reason {
            Reason::Unknown => {
                "is unknown; there are mode=test|bench|scaling|demo|list, only=PATTERN[,PATTERN...], skip=PATTERN[,PATTERN...], calls=NUMBER, fault=refuse-undelegate, banks=none|BASE+SIZE[,BASE+SIZE...], challenge=HEX of 64 bytes"
            }
            Reason::Twice => "is there twice",
            Reason::BadValue => "has a value that cannot be used",
        })
    }
}

/// Most calls of a stress test: their history has to fit into memory.
const MOST_CALLS: u64 = 10_000_000;

impl<'a> Arguments<'a> {
    /// Reads a command line.
    ///
    /// # Errors
    ///
    /// The first word that cannot be used.
    pub fn parse(line: &'a str) -> Result<Self, BadWord<'a>> {
        let (mut mode, mut only, mut skip, mut calls) = (None, None, None, None);
        let (mut fault, mut banks, mut challenge) = (None, None, None);
        for word in line.split_ascii_whitespace() {
            let bad = |reason| BadWord { word, reason };
            let Some((name, value)) = word.split_once('=') else {
                return Err(bad(Reason::Unknown));
            };
            let twice = match name {
                "mode" => {
                    let value = match value {
                        "test" => Mode::Test,
                        "bench" => Mode::Bench,
                        "scaling" => Mode::Scaling,
                        "demo" => Mode::Demo,
                        "list" => Mode::List,
                        _ => return Err(bad(Reason::BadValue)),
                    };
                    mode.replace(value).is_some()
                }
                "only" | "skip" => {
                    if value.split(',').any(|pattern| !is_pattern(pattern)) {
                        return Err(bad(Reason::BadValue));
                    }
                    let list = if name == "only" { &mut only } else { &mut skip };
                    list.replace(value).is_some()
                }
                "calls" => match value.parse() {
                    Ok(number @ 1..=MOST_CALLS) => calls.replace(number).is_some(),
                    _ => return Err(bad(Reason::BadValue)),
                },
                "fault" => match value {
                    "refuse-undelegate" => fault.replace(InjectedFault::RefuseUndelegate).is_some(),
                    _ => return Err(bad(Reason::BadValue)),
                },
                "banks" => {
                    if value != "none" && value.split(',').any(|text| bank(text).is_none()) {
                        return Err(bad(Reason::BadValue));
                    }
                    banks.replace(value).is_some()
                }
                "challenge" => match bytes(value) {
                    Some(bytes) => challenge.replace(bytes).is_some(),
                    None => return Err(bad(Reason::BadValue)),
                },
                _ => return Err(bad(Reason::Unknown)),
            };
            if twice {
                return Err(bad(Reason::Twice));
            }
        }
        Ok(Self {
            mode: mode.unwrap_or_default(),
            only,
            skip,
            calls: calls.unwrap_or(20_000),
            fault,
            banks,
            challenge,
        })
    }

    /// The banks that the RMM has been told of, if the command line says so.
    pub fn banks(&self) -> Option<impl Iterator<Item = (u64, u64)> + use<'a>> {
        self.banks.map(|list| list.split(',').filter_map(bank))
    }

    /// Whether the test of this name can run in this machine: those of a fault run with it only,
    /// and the others without.
    pub fn offers(&self, name: &str) -> bool {
        name.starts_with("parked/") == self.fault.is_some()
    }

    /// Whether the test of this name is to run.
    pub fn selects(&self, name: &str) -> bool {
        self.offers(name)
            && self.only.is_none_or(|list| any_matches(list, name))
            && !self.skip.is_some_and(|list| any_matches(list, name))
    }

    /// The first pattern that none of the names matches.
    pub fn unused_pattern(
        &self,
        names: &(impl Iterator<Item = &'a str> + Clone),
    ) -> Option<&'a str> {
        [self.only, self.skip]
            .into_iter()
            .flatten()
            .flat_map(|list| list.split(','))
            .find(|pattern| !names.clone().any(|name| matches(pattern, name)))
    }
}

/// Base and size of a bank, both in hexadecimal with `0x`.
fn bank(text: &str) -> Option<(u64, u64)> {
    let number = |text: &str| {
        let digits = text.strip_prefix("0x")?;
        // The standard library would take a sign, too.
        let is_number = digits.chars().all(|digit| digit.is_ascii_hexdigit());
        u64::from_str_radix(digits, 16).ok().filter(|_| is_number)
    };
    let (base, size) = text.split_once('+')?;
    Some((number(base)?, number(size)?))
}

/// Bytes in hexadecimal.
fn bytes(text: &str) -> Option<[u8; CHALLENGE_SIZE]> {
    let mut bytes = [0; CHALLENGE_SIZE];
    let (digits, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if digits.len() != bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? << 4 | low?).ok()?;
    }
    Some(bytes)
}

fn any_matches(list: &str, name: &str) -> bool {
    list.split(',').any(|pattern| matches(pattern, name))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

fn is_pattern(pattern: &str) -> bool {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    !pattern.is_empty() && !name.contains('*')
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn nothing_means_all_tests() {
        for line in ["", "  \t\n"] {
            let arguments = Arguments::parse(line).unwrap();
            assert_eq!(arguments.mode, Mode::Test);
            assert_eq!(arguments.calls, 20_000);
            assert_eq!(arguments.fault, None);
            assert!(arguments.selects("granule/unaligned"));
        }
    }

    #[test]
    fn words_in_any_order() {
        let arguments = Arguments::parse("calls=7 skip=b/two mode=list only=a/*,b/*").unwrap();
        assert_eq!(arguments.mode, Mode::List);
        assert_eq!(arguments.calls, 7);
        assert!(arguments.selects("a/one"));
        assert!(arguments.selects("b/one"));
        assert!(!arguments.selects("b/two"));
        assert!(!arguments.selects("c/one"));
        assert_eq!(Arguments::parse("mode=demo").unwrap().mode, Mode::Demo);
        assert_eq!(Arguments::parse("mode=bench").unwrap().mode, Mode::Bench);
        let scaling = Arguments::parse("mode=scaling").unwrap();
        assert_eq!(scaling.mode, Mode::Scaling);
    }

    #[test]
    fn a_fault_has_its_own_tests() {
        let with = Arguments::parse("fault=refuse-undelegate").unwrap();
        assert_eq!(with.fault, Some(InjectedFault::RefuseUndelegate));
        assert!(with.selects("parked/a") && !with.selects("granule/a"));
        let without = Arguments::parse("").unwrap();
        assert!(!without.selects("parked/a") && without.selects("granule/a"));
        let chosen = Arguments::parse("only=parked/* fault=refuse-undelegate").unwrap();
        assert!(chosen.selects("parked/a") && !chosen.selects("granule/a"));
        assert!(
            !Arguments::parse("only=parked/*")
                .unwrap()
                .selects("parked/a")
        );
    }

    #[test]
    fn a_name_is_not_a_prefix() {
        let arguments = Arguments::parse("only=a/one").unwrap();
        assert!(arguments.selects("a/one"));
        assert!(!arguments.selects("a/one-more"));
    }

    #[test]
    fn a_challenge_is_64_bytes_in_hexadecimal() {
        use std::fmt::Write as _;
        let mut digits = std::string::String::new();
        for number in 0..64u8 {
            write!(digits, "{:02X}", number ^ 0xa5).unwrap();
        }
        let parse = |digits: &str| {
            let line = std::format!("mode=demo challenge={digits}");
            Arguments::parse(&line).ok()?.challenge
        };
        let expected = core::array::from_fn(|n| u8::try_from(n).unwrap() ^ 0xa5);
        assert_eq!(parse(&digits), Some(expected));
        assert_eq!(parse(&digits.to_lowercase()), Some(expected));
        for wrong in [
            "",
            "a5",
            &digits[1..],
            &digits[2..],
            &digits.replace("A5", "G5"),
            &digits.replace("A5", "+5"),
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse(&(digits + "00")), None);
    }

    #[test]
    fn banks_are_those_of_the_manifest() {
        let banks = |line| {
            let banks = Arguments::parse(line).unwrap().banks();
            banks.map(Iterator::collect::<std::vec::Vec<_>>)
        };
        assert_eq!(banks(""), None);
        assert_eq!(banks("banks=none"), Some(std::vec![]));
        assert_eq!(
            banks("banks=0x40000000+0x10000000,0xfff8000000+0x8000000"),
            Some(std::vec![
                (0x4000_0000, 0x1000_0000),
                (0xff_f800_0000, 0x800_0000)
            ])
        );
    }

    #[test]
    fn bad_words_are_named() {
        for (line, word, reason) in [
            ("mode=test verbose", "verbose", Reason::Unknown),
            ("colour=red", "colour=red", Reason::Unknown),
            ("=", "=", Reason::Unknown),
            ("mode=tests", "mode=tests", Reason::BadValue),
            ("mode=", "mode=", Reason::BadValue),
            ("only=", "only=", Reason::BadValue),
            ("only=a,,b", "only=a,,b", Reason::BadValue),
            ("skip=a*b", "skip=a*b", Reason::BadValue),
            ("fault=", "fault=", Reason::BadValue),
            ("fault=none", "fault=none", Reason::BadValue),
            ("banks=", "banks=", Reason::BadValue),
            ("banks=0x1000", "banks=0x1000", Reason::BadValue),
            ("banks=0x1000+0x+1", "banks=0x1000+0x+1", Reason::BadValue),
            ("banks=none,none", "banks=none,none", Reason::BadValue),
            ("calls=0", "calls=0", Reason::BadValue),
            ("calls=-1", "calls=-1", Reason::BadValue),
            ("calls=10000001", "calls=10000001", Reason::BadValue),
            (
                "calls=99999999999999999999",
                "calls=99999999999999999999",
                Reason::BadValue,
            ),
            ("only=a only=b", "only=b", Reason::Twice),
            (
                "fault=refuse-undelegate fault=refuse-undelegate",
                "fault=refuse-undelegate",
                Reason::Twice,
            ),
            ("mode=test mode=test", "mode=test", Reason::Twice),
        ] {
            assert_eq!(
                Arguments::parse(line),
                Err(BadWord { word, reason }),
                "{line}"
            );
        }
    }

    #[test]
    fn patterns_without_a_test_are_found() {
        let names = ["a/one", "b/two"];
        let unused = |line| {
            Arguments::parse(line)
                .unwrap()
                .unused_pattern(&names.into_iter())
        };
        assert_eq!(unused(""), None);
        assert_eq!(unused("only=a/* skip=b/two"), None);
        assert_eq!(unused("only=a/one,c/*"), Some("c/*"));
        assert_eq!(unused("skip=a/on"), Some("a/on"));
    }
}
