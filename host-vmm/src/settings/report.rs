//! Each value of a machine with its origin, as TOML for people and files, and as JSON.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use super::{Count, LogFormat, Origin, PersonalizationSource, Setting, VectorBits};
use crate::configuration::{
    Backend, ConsoleEnd, CpuCount, GuestCid, HashAlgorithm, MacAddress, MachineName, MemorySize,
    OnReset, TapSource,
};
use crate::confinement::{Sandbox, Seccomp};

/// A value as it is written in a file.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
#[serde(untagged)]
pub enum Shown {
    /// In quotes.
    Text(String),
    /// A number.
    Number(u32),
    /// `true` or `false`.
    Truth(bool),
    /// There is none.
    Nothing,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Nothing => Ok(()),
        }
    }
}

/// What can be shown.
pub trait Show {
    /// As it is written in a file.
    fn shown(&self) -> Shown;
}

/// A line of the report.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Entry {
    /// A value of the table that came last.
    Value {
        key: &'static str,
        value: Shown,
        origin: Origin,
    },
    /// A table.
    Table(&'static str),
    /// A table without values, which says something by being there.
    Present(&'static str, Origin),
    /// A table of a list.
    List(&'static str),
}

/// Each value with its origin, in the order of a file.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Report(Vec<Entry>);

/// A value of the report as JSON.
#[derive(Serialize)]
struct Line<'a> {
    key: String,
    value: &'a Shown,
    #[serde(flatten)]
    origin: JsonOrigin<'a>,
}

#[derive(Serialize)]
#[serde(tag = "origin", rename_all = "kebab-case")]
enum JsonOrigin<'a> {
    Default,
    Flag { flag: &'a str },
    Environment { variable: &'a str },
    File { file: String, line: usize },
}

impl Report {
    fn push(&mut self, key: &'static str, value: Shown, origin: Origin) {
        self.0.push(Entry::Value { key, value, origin });
    }

    /// Adds a value that was given.
    pub(super) fn add<T: Show>(&mut self, key: &'static str, setting: Setting<T>) -> T {
        self.push(key, setting.value.shown(), setting.origin);
        setting.value
    }

    /// Adds a value that was given, or else one that was not.
    pub(super) fn or<T: Show>(
        &mut self,
        key: &'static str,
        setting: Option<Setting<T>>,
        default: impl FnOnce() -> T,
    ) -> T {
        self.add(
            key,
            setting.unwrap_or_else(|| Setting {
                value: default(),
                origin: Origin::Default,
            }),
        )
    }

    /// Adds a value if it was given.
    pub(super) fn option<T: Show>(
        &mut self,
        key: &'static str,
        setting: Option<Setting<T>>,
    ) -> Option<T> {
        let Some(setting) = setting else {
            self.push(key, Shown::Nothing, Origin::Default);
            return None;
        };
        Some(self.add(key, setting))
    }

    /// A table begins.
    pub(super) fn table(&mut self, name: &'static str) {
        self.0.push(Entry::Table(name));
    }

    /// A table that has no values.
    pub(super) fn present(&mut self, name: &'static str, origin: Origin) {
        self.0.push(Entry::Present(name, origin));
    }

    /// A table of a list begins.
    pub(super) fn list(&mut self, name: &'static str) {
        self.0.push(Entry::List(name));
    }

    /// As a file that says all of it again.
    pub fn to_toml(&self) -> String {
        let lines: Vec<(String, String)> = self.0.iter().map(toml_line).collect();
        let widths = lines.iter().map(|(line, _)| line.chars().count());
        // What is much longer than the rest does not push the rest away.
        let width = widths.filter(|width| *width <= 48).max().unwrap_or(0);
        let mut text = String::new();
        for (line, origin) in lines {
            // Writing to a string cannot fail.
            let _ = if origin.is_empty() {
                writeln!(text, "{line}")
            } else {
                writeln!(text, "{line:width$}  # {origin}")
            };
        }
        text
    }

    /// As JSON: a list of objects with `key`, `value` and `origin`.
    ///
    /// # Errors
    ///
    /// None in fact: they are those of writing.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let mut place = String::new();
        let mut counts = HashMap::new();
        let mut values = Vec::new();
        for entry in &self.0 {
            match entry {
                Entry::Table(name) => place = format!("{name}."),
                Entry::Present(name, origin) => values.push(Line {
                    key: (*name).to_owned(),
                    value: &Shown::Truth(true),
                    origin: json_origin(origin),
                }),
                Entry::List(name) => {
                    let count = counts.entry(*name).or_insert(0_usize);
                    place = format!("{name}[{count}].");
                    *count += 1;
                }
                Entry::Value { key, value, origin } => values.push(Line {
                    key: format!("{place}{key}"),
                    value,
                    origin: json_origin(origin),
                }),
            }
        }
        serde_json::to_string_pretty(&values)
    }
}

fn json_origin(origin: &Origin) -> JsonOrigin<'_> {
    match origin {
        Origin::Default => JsonOrigin::Default,
        Origin::Flag(flag) => JsonOrigin::Flag { flag },
        Origin::Environment(variable) => JsonOrigin::Environment { variable },
        Origin::File { path, line } => JsonOrigin::File {
            file: path.display().to_string(),
            line: *line,
        },
    }
}

/// A line of a file, and what is said behind it.
fn toml_line(entry: &Entry) -> (String, String) {
    match entry {
        Entry::Table(name) => (format!("\n[{name}]"), String::new()),
        Entry::List(name) => (format!("\n[[{name}]]"), String::new()),
        Entry::Present(name, origin) => (format!("\n[{name}]"), origin_text(origin)),
        Entry::Value { key, value, origin } => {
            let line = match value {
                // As TOML writes it.
                Shown::Text(text) => format!("{key} = {}", toml::Value::from(text.as_str())),
                Shown::Nothing => format!("# {key} ="),
                value => format!("{key} = {value}"),
            };
            (line, origin_text(origin))
        }
    }
}

fn origin_text(origin: &Origin) -> String {
    // A name of a file can have anything in it.
    origin.to_string().escape_debug().to_string()
}

impl Show for String {
    fn shown(&self) -> Shown {
        Shown::Text(self.clone())
    }
}

impl Show for bool {
    fn shown(&self) -> Shown {
        Shown::Truth(*self)
    }
}

impl Show for u32 {
    fn shown(&self) -> Shown {
        Shown::Number(*self)
    }
}

/// A path that means the same wherever the report is kept.
fn absolute(path: &Path) -> PathBuf {
    // There is none only if this process has no working directory any more.
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl Show for PathBuf {
    fn shown(&self) -> Shown {
        Shown::Text(absolute(self).display().to_string())
    }
}

impl Show for ConsoleEnd {
    fn shown(&self) -> Shown {
        let end = match self {
            Self::File(path) => Self::File(absolute(path)),
            other => other.clone(),
        };
        Shown::Text(end.to_string())
    }
}

impl Show for PersonalizationSource {
    fn shown(&self) -> Shown {
        let source = match self {
            Self::File(path) => Self::File(absolute(path)),
            other => other.clone(),
        };
        Shown::Text(source.to_string())
    }
}

impl Show for CpuCount {
    fn shown(&self) -> Shown {
        Shown::Number(self.get())
    }
}

impl Show for GuestCid {
    fn shown(&self) -> Shown {
        Shown::Number(self.get())
    }
}

impl Show for TapSource {
    fn shown(&self) -> Shown {
        match self {
            Self::Name(name) => Shown::Text(name.to_string()),
            Self::Descriptor(number) => Shown::Number(number.get()),
        }
    }
}

impl Show for VectorBits {
    fn shown(&self) -> Shown {
        Shown::Number(self.bits().into())
    }
}

impl<const LEAST: u8, const MOST: u8> Show for Count<LEAST, MOST> {
    fn shown(&self) -> Shown {
        Shown::Number(self.get().into())
    }
}

impl Show for MemorySize {
    fn shown(&self) -> Shown {
        Shown::Text(self.as_option())
    }
}

/// Values that are shown as they are written.
macro_rules! text {
    ($($type:ty),*) => {$(
        impl Show for $type {
            fn shown(&self) -> Shown {
                Shown::Text(self.to_string())
            }
        }
    )*};
}

text!(MacAddress, MachineName);

/// Values that have names.
macro_rules! name {
    ($($type:ty),*) => {$(
        impl Show for $type {
            fn shown(&self) -> Shown {
                let value = self.to_possible_value();
                Shown::Text(value.map_or_else(String::new, |value| value.get_name().to_owned()))
            }
        }
    )*};
}

name!(Backend, OnReset, HashAlgorithm, LogFormat, Seccomp, Sandbox);
