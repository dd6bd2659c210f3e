//! The machines of a host, seen from outside: what `host-vmm ps`, `probe` and `stop` do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use thiserror::Error;

use crate::client::{self, ClientError};
use crate::configuration::{MachineName, MemorySize};
use crate::control_socket::Status;
use crate::exit::Exit;
use crate::life::Moving;
use crate::run_directory::{self, RunDirectoryError};
use crate::standard_error;

/// How often is looked whether a machine has gone.
const OFTEN: Duration = Duration::from_millis(50);
/// After that it is said that it is waited for.
const SOON: Duration = Duration::from_secs(2);

/// Why it cannot be said.
#[derive(Error, Debug)]
pub enum FleetError {
    /// The folder.
    #[error(transparent)]
    RunDirectory(#[from] RunDirectoryError),
    /// There is no such machine, or it does not answer.
    #[error("{name}: {error} ({socket})", socket = socket.display())]
    Machine {
        /// Its name.
        name: MachineName,
        /// Its control socket.
        socket: PathBuf,
        /// Why.
        error: ClientError,
    },
    /// It is there, and not what was asked.
    #[error("{name}: not {what}")]
    Not {
        /// Its name.
        name: MachineName,
        /// What was asked.
        what: &'static str,
    },
}

/// What is known of a machine.
#[derive(Serialize)]
#[serde(untagged)]
enum Seen {
    Answers(Box<Status>),
    /// `gone` if its process has left the socket behind, else `unknown`.
    #[serde(rename_all = "kebab-case")]
    Silent {
        name: String,
        state: &'static str,
        error: String,
    },
}

fn look(folder: &Path, name: &MachineName) -> Seen {
    match client::status(&run_directory::socket(folder, name)) {
        Ok(status) => Seen::Answers(Box::new(status)),
        Err(error) => Seen::Silent {
            name: name.to_string(),
            state: match error {
                ClientError::Gone => "gone",
                _ => "unknown",
            },
            error: error.to_string(),
        },
    }
}

/// How much memory a guest has and shall have, after telling it another target, and after waiting until it
/// has that.
///
/// # Errors
///
/// If there is no such machine, if it cannot do that, or if it has not done it in time.
pub fn memory(
    folder: &Path,
    name: &MachineName,
    target: Option<MemorySize>,
    wait: Option<Duration>,
) -> Result<Moving, FleetError> {
    let socket = run_directory::socket(folder, name);
    let failed = |error| FleetError::Machine {
        name: name.clone(),
        socket: socket.clone(),
        error,
    };
    let not = |what| FleetError::Not {
        name: name.clone(),
        what,
    };
    if let Some(target) = target {
        client::move_memory(&socket, target).map_err(failed)?;
    }
    let begin = Instant::now();
    let mut said = false;
    loop {
        let status = client::status(&socket).map_err(failed)?;
        let moving = status.moving;
        let moving = moving.ok_or_else(|| not("a machine whose memory moves: --balloon"))?;
        let waits = wait.filter(|_| moving.guest_bytes != moving.target_bytes);
        let Some(wait) = waits else {
            return Ok(moving);
        };
        if begin.elapsed() >= wait {
            return Err(not("at its target in time"));
        }
        if begin.elapsed() > SOON && !said {
            said = true;
            standard_error::say(format!("host-vmm: waiting for {name}\n").as_bytes());
        }
        thread::sleep(OFTEN);
    }
}

/// What there is of the machines with these names, or of all of a folder: a table, or JSON.
///
/// # Errors
///
/// If the folder cannot be read, or if one of the names is nobody's.
pub fn list(folder: &Path, names: &[MachineName], json: bool) -> Result<String, FleetError> {
    let mut seen = Vec::new();
    if names.is_empty() {
        for name in run_directory::names(folder)? {
            seen.push(look(folder, &name));
        }
    } else {
        for name in names {
            let socket = run_directory::socket(folder, name);
            match client::status(&socket) {
                Err(error @ ClientError::Gone) => {
                    let name = name.clone();
                    return Err(FleetError::Machine {
                        name,
                        socket,
                        error,
                    });
                }
                _ => seen.push(look(folder, name)),
            }
        }
    }
    if json {
        let mut text = serde_json::to_string_pretty(&seen).unwrap_or_default();
        text.push('\n');
        return Ok(text);
    }
    Ok(table(&seen))
}

const COLUMNS: [&str; 9] = [
    "NAME", "STATE", "KIND", "BACKEND", "MEMORY", "VCPUS", "PID", "UPTIME", "RIM",
];

fn table(seen: &[Seen]) -> String {
    let mut rows = vec![COLUMNS.map(ToOwned::to_owned)];
    rows.extend(seen.iter().map(row));
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max())
        .map(|width| width.unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string does not fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(seen: &Seen) -> [String; COLUMNS.len()] {
    let none = || "-".to_owned();
    match seen {
        Seen::Answers(status) => {
            let kind = if status.realm { "realm" } else { "ordinary" };
            let [done, total] = status.filled_bytes;
            let state = if status.state == "filling" && total > 0 {
                format!("filling {}%", u128::from(done) * 100 / u128::from(total))
            } else {
                status.state.clone()
            };
            let memory = MemorySize::new(status.memory_bytes);
            // What identifies it to a person; --json has all of it.
            let rim = status
                .rim
                .as_ref()
                .map(|rim| rim.chars().take(16).collect());
            [
                visible(&status.name),
                visible(&state),
                kind.to_owned(),
                visible(status.backend.as_deref().unwrap_or("-")),
                memory.map_or_else(|_| none(), MemorySize::as_option),
                status.cpus.to_string(),
                status.pid.to_string(),
                duration(status.uptime_seconds),
                rim.map_or_else(none, |rim: String| visible(&rim)),
            ]
        }
        Seen::Silent { name, state, .. } => {
            let mut row = [const { String::new() }; COLUMNS.len()];
            row.fill_with(none);
            name.clone_into(&mut row[0]);
            (*state).clone_into(&mut row[1]);
            row
        }
    }
}

/// Without what would change a terminal: it comes from another process.
fn visible(text: &str) -> String {
    let keep = |character: char| !character.is_control();
    text.chars().filter(|character| keep(*character)).collect()
}

fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        (_, _, _) => format!("{days}d{:02}h", hours % 24),
    }
}

/// What a machine can be asked.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
pub enum Question {
    /// Its process is there and answers
    Live,
    /// Its vCPUs run
    Ready,
}

/// Asks a machine whether it is something.
///
/// # Errors
///
/// If it is not, or if there is no answer.
pub fn probe(folder: &Path, name: &MachineName, question: Question) -> Result<(), FleetError> {
    let socket = run_directory::socket(folder, name);
    let (path, what) = match question {
        Question::Live => ("/healthz", "live"),
        Question::Ready => ("/readyz", "ready"),
    };
    let name = name.clone();
    match client::request(&socket, "GET", path, "") {
        Ok((200, _)) => Ok(()),
        Ok((503, _)) => Err(FleetError::Not { name, what }),
        Ok((code, _)) => Err(FleetError::Machine {
            name,
            socket,
            error: ClientError::Refused(code),
        }),
        Err(error) => Err(FleetError::Machine {
            name,
            socket,
            error,
        }),
    }
}

/// How a machine was stopped, or not.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum Stopped {
    /// It has ended.
    Ended,
    /// It had to be killed.
    Killed,
    /// It is still there.
    StillThere,
    /// There was no such machine, or it did not answer.
    NotThere {
        /// Why.
        error: String,
    },
}

/// A machine, and how it was stopped.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct StopReport {
    name: MachineName,
    #[serde(flatten)]
    stopped: Stopped,
}

/// How machines are stopped.
#[derive(Clone, Copy, Debug)]
pub struct Stopping {
    /// How long they have.
    pub timeout: Duration,
    /// Whether those that are there then are killed.
    pub kill: bool,
}

/// Tells machines to end, and waits until they have: all of them at once.
pub fn stop(folder: &Path, names: &[MachineName], how: Stopping) -> Vec<StopReport> {
    let socket = |name: &MachineName| run_directory::socket(folder, name);
    let mut reports: Vec<StopReport> = names
        .iter()
        .map(|name| StopReport {
            name: name.clone(),
            stopped: match client::tell(&socket(name), "/shutdown") {
                Ok(()) => Stopped::StillThere,
                Err(error) => Stopped::NotThere {
                    error: error.to_string(),
                },
            },
        })
        .collect();
    wait(folder, &mut reports, how.timeout, &Stopped::Ended);
    if how.kill {
        for report in &reports {
            if report.stopped == Stopped::StillThere {
                // Whether it has worked is seen below.
                let _ = client::tell(&socket(&report.name), "/kill");
            }
        }
        wait(folder, &mut reports, SOON, &Stopped::Killed);
    }
    reports
}

/// Waits until those that are still there are not.
fn wait(folder: &Path, reports: &mut [StopReport], timeout: Duration, then: &Stopped) {
    let begin = Instant::now();
    let mut said = false;
    loop {
        let mut waits_for = Vec::new();
        for report in &mut *reports {
            if report.stopped != Stopped::StillThere {
                continue;
            }
            if is_there(&run_directory::socket(folder, &report.name)) {
                waits_for.push(report.name.to_string());
            } else {
                report.stopped = then.clone();
            }
        }
        let spent = begin.elapsed();
        if waits_for.is_empty() || spent >= timeout {
            return;
        }
        if !said && spent >= SOON {
            said = true;
            let names = waits_for.join(", ");
            standard_error::say(format!("host-vmm: waiting for {names} to end\n").as_bytes());
        }
        thread::sleep(OFTEN.min(timeout.saturating_sub(spent)));
    }
}

fn is_there(socket: &Path) -> bool {
    !matches!(
        std::os::unix::net::UnixStream::connect(socket).map_err(|error| error.kind()),
        Err(std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused)
    )
}

/// The reports as lines or JSON, and what they come to.
pub fn told(reports: &[StopReport], json: bool) -> (String, Exit) {
    let worst = |report: &StopReport| match report.stopped {
        Stopped::Ended | Stopped::Killed => Exit::Done,
        Stopped::NotThere { .. } => Exit::NotThere,
        Stopped::StillThere => Exit::StillThere,
    };
    let exit = reports.iter().map(worst).max_by_key(|exit| *exit as u8);
    let exit = exit.unwrap_or(Exit::Done);
    if json {
        let mut text = serde_json::to_string_pretty(reports).unwrap_or_default();
        text.push('\n');
        return (text, exit);
    }
    let mut text = String::new();
    for StopReport { name, stopped } in reports {
        // Writing to a string does not fail.
        let _ = match stopped {
            Stopped::Ended => writeln!(text, "{name}: ended"),
            Stopped::Killed => writeln!(text, "{name}: killed"),
            Stopped::StillThere => {
                writeln!(
                    text,
                    "{name}: still there; give it more with --timeout, or --kill it"
                )
            }
            Stopped::NotThere { error } => writeln!(text, "{name}: {error}"),
        };
    }
    (text, exit)
}

#[cfg(test)]
mod tests;
