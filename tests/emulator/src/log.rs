//! What is kept of the console: everything in one file, and an excerpt for each failure.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::atomic::{self, FileError};

/// Lines kept from before a test began: what came right before often explains it.
const LINES_BEFORE: usize = 20;
/// Lines kept of one test, the last ones.
const LINES_OF_TEST: usize = 2000;

/// Takes the console of a run.
pub(crate) trait TestLog {
    /// The emulator was started.
    fn session_started(&mut self);
    /// A test begins with the line before.
    fn test_started(&mut self);
    /// A console line.
    fn line(&mut self, text: &str);
    /// Keeps what belongs to the current or last test. Returns where.
    fn keep_excerpt(&mut self, name: &str) -> Option<String>;
}

/// A log in a folder of its own: `console.log`, and `TEST.log` for each failure.
pub(crate) struct LogFolder {
    folder: PathBuf,
    console: BufWriter<File>,
    recent: VecDeque<String>,
    sessions: u32,
}

impl LogFolder {
    /// Starts a new log in `folder`, without the files of the last run.
    pub(crate) fn create(folder: &Path) -> Result<Self, FileError> {
        atomic::create_folder(folder)?;
        let failed = || atomic::because("clear the log folder", folder);
        for entry in std::fs::read_dir(folder).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                std::fs::remove_file(&path).map_err(failed())?;
            }
        }
        let path = folder.join("console.log");
        let console = File::create(&path).map_err(atomic::because("write", &path))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            console: BufWriter::new(console),
            recent: VecDeque::new(),
            sessions: 0,
        })
    }
}

impl TestLog for LogFolder {
    fn session_started(&mut self) {
        self.sessions += 1;
        self.recent.clear();
        if self.sessions > 1 {
            self.line(&format!("---- emulator start {} ----", self.sessions));
        }
    }

    fn test_started(&mut self) {
        // The `begin` line itself has been taken already and stays.
        while self.recent.len() > LINES_BEFORE + 1 {
            self.recent.pop_front();
        }
    }

    fn line(&mut self, text: &str) {
        // A full disk must not change the verdict of a test.
        let _ = writeln!(self.console, "{text}");
        if self.recent.len() >= LINES_OF_TEST {
            self.recent.pop_front();
        }
        self.recent.push_back(text.to_owned());
    }

    fn keep_excerpt(&mut self, name: &str) -> Option<String> {
        let _ = self.console.flush();
        let path = self.folder.join(format!("{}.log", file_name(name)));
        let mut content = String::new();
        for line in &self.recent {
            content.push_str(line);
            content.push('\n');
        }
        let written = atomic::write(&path, content.as_bytes());
        written.ok().map(|()| path.display().to_string())
    }
}

/// A test's name as a file name: nothing that comes from the console leads out of the folder.
fn file_name(name: &str) -> String {
    let keep = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => letter,
        _ => '.',
    };
    let name: String = name.chars().map(keep).collect();
    name.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_has_the_test_and_a_little_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogFolder::create(folder.path()).unwrap();
        log.session_started();
        for number in 0..100 {
            log.line(&format!("before {number}"));
        }
        log.line("begin");
        log.test_started();
        log.line("inside");
        let path = log.keep_excerpt("granule/twice").unwrap();
        assert!(path.ends_with("granule.twice.log"), "{path}");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("before 80\n") && text.ends_with("before 99\nbegin\ninside\n"));
        let console = std::fs::read_to_string(folder.path().join("console.log")).unwrap();
        assert_eq!(console.lines().count(), 102);
    }

    #[test]
    fn a_new_run_clears_the_old_logs_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("old.log"), "x").unwrap();
        std::fs::write(folder.path().join("kept.txt"), "x").unwrap();
        LogFolder::create(folder.path()).unwrap();
        assert!(!folder.path().join("old.log").exists());
        assert!(folder.path().join("kept.txt").exists());
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        assert_eq!(file_name("../../etc/x"), "etc.x");
        assert_eq!(file_name("a/../b"), "a....b");
    }
}
