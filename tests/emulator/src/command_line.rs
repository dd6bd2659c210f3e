//! Command lines that are run here, shown to people, and typed at other machines.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A program that could not be run.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {program}: {source}")]
pub(crate) struct ProgramError {
    program: String,
    source: io::Error,
}

/// A program and its arguments.
pub(crate) struct CommandLine {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl CommandLine {
    /// A program without arguments.
    pub(crate) fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
        }
    }

    /// Adds words as they are.
    pub(crate) fn add(&mut self, words: &[&str]) -> &mut Self {
        self.arguments.extend(words.iter().map(OsString::from));
        self
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, path: &Path) -> &mut Self {
        self.arguments.push(path.into());
        self
    }

    /// Adds an option with a file.
    pub(crate) fn path(&mut self, option: &str, path: &Path) -> &mut Self {
        self.arguments.extend([option.into(), path.into()]);
        self
    }

    /// As a person would type it in this folder.
    pub(crate) fn text(&self) -> String {
        let here = env::current_dir().unwrap_or_default();
        let program = self.program.strip_prefix(here).unwrap_or(&self.program);
        let mut text = program.display().to_string();
        for argument in &self.arguments {
            let argument = argument.to_string_lossy();
            let is_plain =
                |letter: char| letter.is_ascii_alphanumeric() || "-_./=,:+@".contains(letter);
            if argument.chars().all(is_plain) && !argument.is_empty() {
                let _ = write!(text, " {argument}");
            } else {
                let _ = write!(text, " '{}'", argument.replace('\'', r"'\''"));
            }
        }
        text
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Result<Output, ProgramError> {
        Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| ProgramError {
                program: self.program.display().to_string(),
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_the_text_for_what_it_is() {
        let words = [
            "-c",
            "printf '%s|' \"$@\"",
            "sh",
            "a b",
            "it's",
            "",
            "$HOME",
            "k=v",
            "é",
        ];
        let mut command = CommandLine::new("sh");
        command.add(&words);
        let direct = command.run().unwrap();
        let mut through_shell = CommandLine::new("sh");
        through_shell.add(&["-c", &command.text()]);
        let typed = through_shell.run().unwrap();
        assert_eq!(direct.stdout, "a b|it's||$HOME|k=v|é|".as_bytes());
        assert_eq!(typed.stdout, direct.stdout);
    }
}
