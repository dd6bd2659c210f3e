//! The audit log: events of a machine's life, one JSON object per line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tracing::error;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use super::Asked;
use crate::configuration::MachineName;
use crate::devices::lock;
use crate::sys::socket::Peer;

/// Something that happens once in a life or a launch.
#[derive(Serialize, Debug)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event<'a> {
    /// The command has begun.
    #[serde(rename_all = "kebab-case")]
    Begin {
        /// Of host-vmm.
        version: &'static str,
        /// Whether the machine is a Realm.
        realm: bool,
        /// Its RAM.
        memory_bytes: u64,
        /// Its vCPUs.
        cpus: u32,
    },
    /// The initial measurement is known.
    Measured {
        /// The measurement, in hexadecimal.
        rim: &'a str,
        /// By what.
        hash: &'static str,
    },
    /// The machine has been made.
    Made {
        /// On what it runs.
        on: &'static str,
        /// How often it has been.
        launch: u64,
    },
    /// Its memory has been filled.
    Filled {
        /// Bytes that had content.
        bytes: u64,
    },
    /// Its vCPUs run.
    Started,
    /// Somebody wants it to end.
    Asked(Asked),
    /// Somebody wants the guest to have more or less memory.
    #[serde(rename_all = "kebab-case")]
    Memory {
        /// How much.
        target_bytes: u64,
        /// Who.
        #[serde(flatten)]
        peer: Peer,
    },
    /// It does not run any more.
    Stopped {
        /// Why: `powered-off`, `reset`, `ended` or `failed`.
        why: &'static str,
        /// The error, if there was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// How long it ran.
        seconds: u64,
    },
    /// It has been taken down, and is made again.
    Restart,
    /// The command ends.
    End {
        /// The exit code.
        exit: u8,
        /// The error, if there was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// How long it took.
        seconds: u64,
    },
}

#[derive(Serialize)]
struct Record<'a> {
    time: String,
    /// Counted from 0, so that one can see whether one is missing.
    number: u64,
    name: &'a str,
    pid: u32,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// The time, in RFC 3339.
pub(super) fn now() -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// Where events are written to.
#[derive(Debug)]
pub struct AuditLog {
    file: Mutex<(File, u64)>,
    lost: AtomicU64,
}

impl AuditLog {
    /// Opens a file, to which records are appended. Nobody waits for the reader of a pipe.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        Ok(Self {
            file: Mutex::new((file, 0)),
            lost: AtomicU64::new(0),
        })
    }

    /// How many records could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes a record, at once.
    pub fn write(&self, name: &MachineName, event: &Event<'_>) {
        let mut file = lock(&self.file);
        let (file, number) = &mut *file;
        let record = Record {
            time: now(),
            number: *number,
            name: name.as_str(),
            pid: std::process::id(),
            event,
        };
        *number += 1;
        let result = serde_json::to_vec(&record)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                // In one piece: others may append to the same file.
                match file.write(&line) {
                    Ok(count) if count < line.len() => Err(io::ErrorKind::WriteZero.into()),
                    result => result.map(drop),
                }
            });
        if let Err(error) = result {
            self.lost.fetch_add(1, Ordering::Relaxed);
            error!("a record is missing in the audit log: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::Peer;

    fn records(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn records_are_appended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let name = "web".parse().unwrap();
        let peer = Peer { pid: 7, uid: 8 };
        for _ in 0..2 {
            let log = AuditLog::open(&path).unwrap();
            log.write(&name, &Event::Started);
            log.write(&name, &Event::Asked(Asked::Signal { signal: 15 }));
            log.write(&name, &Event::Asked(Asked::Kill(peer)));
            assert_eq!(log.lost(), 0);
        }
        let records = records(&path);
        assert_eq!(records.len(), 6);
        for (index, record) in records.iter().enumerate() {
            assert_eq!(record["number"], index % 3);
            assert_eq!(record["name"], "web");
            assert_eq!(record["pid"], std::process::id());
            let time = record["time"].as_str().unwrap();
            assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
        }
        assert_eq!(records[0]["event"], "started");
        assert_eq!(records[1]["event"], "asked");
        assert_eq!(records[1]["by"], "signal");
        assert_eq!(records[1]["signal"], 15);
        assert_eq!(records[2]["by"], "kill");
        assert_eq!(records[2]["peer-pid"], 7);
        assert_eq!(records[2]["peer-uid"], 8);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let log = AuditLog::open(Path::new("/dev/full")).unwrap();
        log.write(&MachineName::default(), &Event::Started);
        log.write(&MachineName::default(), &Event::Restart);
        assert_eq!(log.lost(), 2);
    }
}
