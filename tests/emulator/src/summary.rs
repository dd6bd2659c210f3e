//! The counts of several runs, added up.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic::{self, FileError};
use crate::protocol::Tally;
use crate::show;

/// What a run leaves for the summary.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The run's name.
    pub(crate) run: String,
    /// Its counts.
    #[serde(flatten)]
    pub(crate) tally: Tally,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// The sum over all runs.
#[derive(PartialEq, Debug, Serialize)]
pub(crate) struct Sum {
    pub(crate) runs: Vec<Record>,
    #[serde(flatten)]
    pub(crate) tally: Tally,
}

impl Record {
    /// Leaves the record in a file.
    pub(crate) fn write(&self, path: &Path) -> Result<(), FileError> {
        atomic::write(path, to_json(self).as_bytes())
    }
}

/// Reads the records of these runs. A run without a readable record has not come to its end, and
/// counts as one failure.
pub(crate) fn add_up(folder: &Path, runs: &[String]) -> Sum {
    let runs: Vec<Record> = runs.iter().map(|run| read(folder, run)).collect();
    let mut tally = Tally::default();
    for record in &runs {
        tally.passed = tally.passed.saturating_add(record.tally.passed);
        tally.failed = tally.failed.saturating_add(record.tally.failed);
        tally.skipped = tally.skipped.saturating_add(record.tally.skipped);
    }
    Sum { runs, tally }
}

fn read(folder: &Path, run: &str) -> Record {
    std::fs::read(folder.join(format!("{run}.json")))
        .ok()
        .and_then(|content| serde_json::from_slice(&content).ok())
        .unwrap_or_else(|| Record {
            run: run.to_owned(),
            tally: Tally {
                failed: 1,
                ..Tally::default()
            },
            seconds: 0.0,
        })
}

/// The table over all runs.
pub(crate) fn table(sum: &Sum) -> String {
    let rows = sum.runs.iter();
    show::rows(
        "run",
        rows.map(|record| (record.run.as_str(), record.tally, record.seconds)),
    )
}

/// JSON for people and programs. The types here have no value that JSON cannot express.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| unreachable!("{error}")) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_add_up_and_a_missing_or_broken_one_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let tally = Tally {
            passed: 3,
            failed: 1,
            skipped: 2,
        };
        let record = Record {
            run: "one".to_owned(),
            tally,
            seconds: 2.0,
        };
        record.write(&folder.path().join("one.json")).unwrap();
        std::fs::write(folder.path().join("cut.json"), "{\"run\": \"cu").unwrap();
        let runs = ["one", "cut", "absent"].map(str::to_owned);
        let sum = add_up(folder.path(), &runs);
        assert_eq!(sum.runs[0], record);
        assert_eq!(sum.tally.to_string(), "3 passed, 3 failed, 2 skipped");
    }
}
