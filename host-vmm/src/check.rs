//! Whether a host can run a machine: what `host-vmm check` does before anything is started.
//!
//! Each line says what was found, whether that is good, and what to do if it is not. What cannot be
//! found out because something else is missing is unknown.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::configuration::{Backend, Configuration};
use crate::exit::Exit;

mod files;
mod limits;
mod realms;
mod system;

pub use realms::{Devices, RealDevices};
use system::System;

/// Whether something is as it has to be.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is.
    Good,
    /// It is not.
    Bad,
    /// Nobody knows.
    Unknown,
}

/// Something that was looked at.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct Line {
    /// What.
    pub name: &'static str,
    /// Whether it is as it has to be.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Line {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Good,
            found: found.into(),
            advice: None,
        }
    }

    fn bad(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Bad,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    fn unknown(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Unknown,
            found: found.into(),
            advice: None,
        }
    }
}

/// What a host is asked.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The machine that it is to run. Its files are looked at only if `files` says so.
    pub configuration: Configuration,
    /// Whether kernel, initial RAM disk and disks are known.
    pub files: bool,
}

impl Wish {
    fn realm(&self) -> bool {
        self.configuration.realm.is_some()
    }

    /// Whether the Realm kernel module could be what the machine runs on.
    fn module(&self) -> bool {
        self.realm() && self.configuration.backend != Backend::KvmCca
    }
}

/// All that was looked at.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct Findings {
    /// Whether the machine can be run, as far as one can tell.
    pub good: bool,
    /// One after the other.
    pub lines: Vec<Line>,
}

impl Findings {
    /// Looks at a host whose `/proc`, `/sys` and `/lib` are under `root`.
    pub fn new(root: &Path, devices: &impl Devices, wish: &Wish) -> Self {
        let system = System::new(root);
        let mut lines = vec![system.architecture(), system.kernel(wish)];
        if wish.module() {
            lines.push(system.pseudo_nmi());
        }
        lines.extend(realms::lines(&system, devices, wish));
        lines.extend(limits::lines(&system, wish));
        if wish.files {
            lines.extend(files::lines(&wish.configuration));
        }
        Self {
            good: lines.iter().all(|line| line.verdict == Verdict::Good),
            lines,
        }
    }

    /// The exit code that belongs to them.
    pub fn exit(&self) -> Exit {
        if self.good {
            Exit::Done
        } else {
            Exit::HostCannot
        }
    }

    /// As JSON.
    ///
    /// # Errors
    ///
    /// None in fact: they are those of writing.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let width = self.lines.iter().map(|line| line.name.len()).max();
        let width = width.unwrap_or(0);
        let mut text = String::new();
        for line in &self.lines {
            let verdict = match line.verdict {
                Verdict::Good => "good",
                Verdict::Bad => "BAD",
                Verdict::Unknown => "?",
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "{verdict:4}  {:width$}  {}", line.name, line.found);
            if let Some(advice) = &line.advice {
                let _ = writeln!(text, "      {:width$}  -> {advice}", "");
            }
        }
        let count = |verdict| {
            let lines = self.lines.iter();
            lines.filter(|line| line.verdict == verdict).count()
        };
        let _ = writeln!(
            text,
            "{} good, {} bad, {} unknown",
            count(Verdict::Good),
            count(Verdict::Bad),
            count(Verdict::Unknown)
        );
        text
    }
}

/// A number of bytes, for people.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// A path under another root.
fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests;
