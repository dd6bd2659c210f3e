//! A stock Debian kernel as host of Realms: boots it, loads the Realm kernel module, and runs guests
//! by `host-vmm`.

mod checks;
mod devices;
mod guest;
mod kernels;
mod launch;
mod load;
mod memory;
mod overhead;
mod refusals;
mod rmm;
mod show;
mod soak;

use std::time::Duration;

use crate::console::{COMPLAINTS, Console, Exit, OUT_OF_MEMORY, complaints_among};
use crate::log::TestLog;
use crate::protocol::{self, Line};
use crate::session::Session;
use crate::suite::Limits;
use crate::systems::HOST_MODULE;
use crate::token;
pub(crate) use checks::{check, exists, number_of};
pub(crate) use guest::Guest;
pub(crate) use kernels::{CHECKS as CHECKS_OF_KERNEL, check as check_kernel, skip as skip_kernel};
pub(crate) use load::{SPEAKER as LOAD_SPEAKER, load};
pub(crate) use overhead::{Kind, Overhead, Round, measure};
pub(crate) use refusals::{CHECKS_WITHOUT_RMM, RealmWorld, check_without_rmm};
pub(crate) use show::Screen;
pub(crate) use soak::{Amounts, PROGRAM as SOAK_PROGRAM, SPEAKER as SOAK_SPEAKER, soak};

/// The command line of the host's kernel: the console, an end instead of a halt when it panics, and
/// of its messages only those that say that something is wrong. Its tests of ciphers take seconds here.
pub(crate) const COMMAND_LINE: &str = "console=ttyAMA0 panic=1 loglevel=5 cryptomgr.notests";
/// Whose lines on the console are the guest's.
const GUEST: &str = "guest";
/// Name of the token among them.
const TOKEN: &str = "realm";
/// What stands before the exit code of a command.
const STATUS: &str = "status=";
/// What the guest says when it waits for a challenge.
const ASKS: &str = "guest: challenge?";

/// From the start to the host's prompt.
const BOOT_LIMIT: Duration = Duration::from_mins(4);
/// A command of the host itself may take this long.
const COMMAND_LIMIT: Duration = Duration::from_mins(1);
/// A guest may take this long, from the command to its end.
const GUEST_LIMIT: Duration = Duration::from_mins(8);

/// A host, seen from its console.
pub(crate) struct Host<'a> {
    console: Console<'a>,
    limits: Limits,
    /// What a person may want to know of a check.
    notes: Vec<String>,
}

impl<'a> Host<'a> {
    /// The host of a machine that has just started.
    pub(crate) fn new(
        session: &'a mut dyn Session,
        log: &'a mut dyn TestLog,
        limits: Limits,
    ) -> Self {
        Self {
            console: Console::new(session, log),
            limits,
            notes: Vec::new(),
        }
    }

    /// Waits for the host's prompt.
    pub(crate) fn boot(&mut self) -> Result<(), String> {
        let deadline = self.limits.scaled(BOOT_LIMIT);
        self.console.wait(deadline, |console| console.at_prompt)
    }

    /// Loads the Realm kernel module.
    pub(crate) fn load_module(&mut self) -> Result<(), String> {
        self.command(&format!("insmod {HOST_MODULE}")).map(drop)
    }

    /// Tells a person something that decides nothing.
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Runs a command to its end and returns what it printed. One that fails is an error.
    pub(crate) fn command(&mut self, text: &str) -> Result<Vec<String>, String> {
        let started = self.start(text)?;
        self.end(&started, COMMAND_LIMIT)?.success()
    }

    /// Runs a command to its end, however that is.
    pub(crate) fn run(&mut self, text: &str) -> Result<Ended, String> {
        let started = self.start(text)?;
        self.end(&started, COMMAND_LIMIT)
    }

    /// Runs a command that may take so long and must not fail, and returns what it printed.
    pub(crate) fn within(&mut self, text: &str, limit: Duration) -> Result<Vec<String>, String> {
        let started = self.start(text)?;
        self.end(&started, limit)?.success()
    }

    /// Runs a command that runs guests.
    pub(crate) fn guests(&mut self, text: &str) -> Result<Ended, String> {
        let started = self.start(text)?;
        self.end(&started, GUEST_LIMIT)
    }

    /// Runs a guest that asks for a challenge on the terminal, and returns the token over it.
    pub(crate) fn token(&mut self, guest: &Guest, challenge: &str) -> Result<Vec<u8>, String> {
        let started = self.start(&guest.run().text())?;
        let deadline = self.deadline(GUEST_LIMIT);
        self.console.wait(deadline, |console| {
            let asks = |line: &String| line == ASKS;
            console.at_prompt || console.lines[started.from..].iter().any(asks)
        })?;
        if !self.console.at_prompt {
            self.console.type_line(challenge)?;
        }
        let lines = self.end(&started, GUEST_LIMIT)?.success()?;
        token_among(&lines)
    }

    /// What the kernel has complained of, on the console and in its log.
    pub(crate) fn complaints(&mut self) -> Result<Vec<String>, String> {
        let pattern = format!("{}\\|{OUT_OF_MEMORY}", COMPLAINTS.join("\\|"));
        let logged = self.command(&format!("dmesg | grep '{pattern}' || true"))?;
        let among = complaints_among(logged.iter().map(String::as_str));
        let mut complaints: Vec<_> = among.into_iter().map(str::to_owned).collect();
        // What was typed is on the console as well.
        let seen = self.console.complaints().into_iter();
        complaints.extend(
            seen.filter(|line| !line.contains(&pattern))
                .map(str::to_owned),
        );
        Ok(complaints)
    }

    /// Switches the machine off. The emulator has to end by itself.
    pub(crate) fn power_off(&mut self) -> Result<(), String> {
        self.console.type_line("poweroff -f")?;
        let deadline = self.deadline(COMMAND_LIMIT);
        let waited = self
            .console
            .wait(deadline, |console| console.ended.is_some());
        match (waited, self.console.ended) {
            (_, Some(Exit(Some(0)))) => Ok(()),
            (_, Some(Exit(code))) => Err(format!("the emulator ended with exit code {code:?}")),
            (Err(reason), None) => Err(reason),
            (Ok(()), None) => Err("the emulator runs on".to_owned()),
        }
    }

    /// Types a command, and one that prints its exit code.
    fn start(&mut self, text: &str) -> Result<Started, String> {
        let from = self.console.lines.len();
        self.console
            .type_line(&format!("{text}; echo {STATUS}$?"))?;
        Ok(Started {
            text: text.to_owned(),
            from,
        })
    }

    /// Waits for the end of a command.
    fn end(&mut self, started: &Started, limit: Duration) -> Result<Ended, String> {
        let deadline = self.deadline(limit);
        let status = |line: &String| line.strip_prefix(STATUS)?.parse::<i32>().ok();
        let waited = self.console.wait(deadline, |console| {
            let ended = console.lines[started.from..]
                .iter()
                .any(|line| status(line).is_some());
            ended && console.at_prompt
        });
        waited.map_err(|reason| format!("{:?}: {reason}", started.text))?;
        // The first line is what was typed.
        let mut lines = self.console.lines[started.from..].iter().skip(1);
        let mut printed = Vec::new();
        let status = lines.find_map(|line| {
            let status = status(line);
            if status.is_none() {
                printed.push(line.clone());
            }
            status
        });
        Ok(Ended {
            text: started.text.clone(),
            status,
            lines: printed,
        })
    }

    fn deadline(&self, limit: Duration) -> Duration {
        self.console.session.elapsed() + self.limits.scaled(limit)
    }
}

/// A command that was typed.
struct Started {
    text: String,
    /// Lines on the console before it.
    from: usize,
}

/// A command that has come to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    text: String,
    /// Its exit code.
    pub(crate) status: Option<i32>,
    /// What came over the console meanwhile.
    pub(crate) lines: Vec<String>,
}

impl Ended {
    /// The lines of a command that has not failed.
    pub(crate) fn success(self) -> Result<Vec<String>, String> {
        match self.status {
            Some(0) => Ok(self.lines),
            status => Err(format!(
                "{:?} ended with {status:?}: {}",
                self.text,
                self.lines.last().map_or("", String::as_str)
            )),
        }
    }
}

/// The token on a guest's console.
fn token_among(lines: &[String]) -> Result<Vec<u8>, String> {
    let pieces: Vec<_> = lines
        .iter()
        .filter_map(|line| match protocol::parse(GUEST, line) {
            Some(Ok(Line::Token(piece))) => Some(piece),
            _ => None,
        })
        .collect();
    token::assemble(&pieces, TOKEN).map_err(|error| format!("no token: {error}"))
}
