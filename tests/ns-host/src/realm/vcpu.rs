//! A REC as its host sees it: entered with a run page, and given commands for the payload that runs
//! in it.

use core::time::Duration;

use realm_payload::text::Line;
use realm_payload::{Command, Hello, Reply, immediate};
use rmm_abi::rmi::fid;
use rmm_abi::rmi::run::RecEnter;

use super::command::Replied;
use super::exit::{Exit, Report};
use super::run_page::RunPage;
use crate::console::note;
use crate::outcome::{Outcome, ensure, ensure_word, fail};
use crate::rmi::{self, SUCCESS};
use crate::suite::Host;
use crate::time::Deadline;
use crate::timer::{self, HostTimer};

/// How long a REC may stay away. Nothing that a test asks of the payload takes nearly that long.
const PATIENCE: Duration = Duration::from_secs(8);
/// Before the payload has said anything.
const NO_HELLO: Hello = Hello {
    rec: u64::MAX,
    secondary_entry: 0,
    scratch: 0,
    memory_end: 0,
};
/// Loops of the payload before it asks whether it shall go on.
const WORK: u64 = 1_000_000;
/// Most exits on the way to the reply to a command.
const MOST_EXITS: usize = 100_000;

/// A REC with its run page.
#[derive(Debug)]
pub(crate) struct Vcpu {
    /// Physical address of the REC.
    pub(crate) rec: u64,
    /// Its run page.
    pub(crate) page: RunPage,
    /// What the next entry says. An entry that succeeds sets it to zero.
    pub(crate) enter: RecEnter,
    /// Flags that every entry has.
    pub(crate) flags: u64,
    /// What the payload said when it started.
    pub(crate) hello: Hello,
    list_registers: usize,
}

/// List registers that the RMM offers for the interrupts of a REC.
fn list_registers() -> Outcome<usize> {
    let [code, features, ..] = rmi::command(fid::FEATURES, &[0])?;
    ensure_word!(code, SUCCESS, "FEATURES");
    Ok(usize::from((features >> 34).to_le_bytes()[0] & 0xf) + 1)
}

impl Vcpu {
    pub(super) fn new(host: &Host, rec: u64) -> Outcome<Self> {
        Ok(Self {
            rec,
            page: RunPage::new(host)?,
            enter: RecEnter::default(),
            flags: 0,
            hello: NO_HELLO,
            list_registers: list_registers()?,
        })
    }

    /// List registers that the RMM offers.
    pub(crate) const fn list_registers(&self) -> usize {
        self.list_registers
    }

    /// Enters the REC as [`Self::enter`] says. It must come back with a run page that is right to the
    /// last byte.
    pub(crate) fn run(&mut self) -> Outcome<Report> {
        self.run_by(rmi::commands::rec_enter)
    }

    /// The same with the caller's way to make the call.
    pub(crate) fn run_by(
        &mut self,
        enter: impl FnOnce(u64, u64) -> Outcome<rmi::Reply>,
    ) -> Outcome<Report> {
        self.enter.flags |= self.flags;
        self.page.write(&self.enter)?;
        HostTimer::Virtual.start(PATIENCE);
        let reply = enter(self.rec, self.page.address())?;
        let too_long = HostTimer::Virtual.fires();
        HostTimer::Virtual.stop();
        reply.done(format_args!("REC_ENTER of {:#x}", self.rec))?;
        self.page.enter_is_kept(&self.enter)?;
        let report = Report::read(&self.page.read()?, self.list_registers)?;
        ensure!(
            !too_long,
            "the REC did not come back within {PATIENCE:?}, exit: {}",
            report.exit.name()
        );
        self.enter = RecEnter::default();
        Ok(report)
    }

    /// The entry must be refused with this code, and nothing be written.
    pub(crate) fn refused(&self, code: u64, what: impl core::fmt::Display) -> Outcome {
        self.page.write(&self.enter)?;
        HostTimer::Virtual.start(PATIENCE);
        let reply = self.page.enter(self.rec);
        HostTimer::Virtual.stop();
        let reply = reply?;
        if reply.code == SUCCESS && code != SUCCESS {
            let report = Report::read(&self.page.read()?, self.list_registers)?;
            return fail!(
                "{what}: REC_ENTER is not refused with {code:#x}, exit: {}",
                report.exit.name()
            );
        }
        reply.refused(code, &what)?;
        self.page.enter_is_kept(&self.enter)?;
        self.page.exit_is_untouched()
    }

    /// Runs the payload until it is ready for its first command.
    pub(crate) fn greet(&mut self) -> Outcome<Hello> {
        let report = self.run()?;
        let reply = self.finish(&report)?;
        let Some(hello) = Hello::from_reply(&reply) else {
            return fail!("the payload starts with {reply:x?} instead of a greeting");
        };
        self.hello = hello;
        Ok(hello)
    }

    /// Hands a command to the payload, which waits for one, and runs it to its first exit.
    pub(crate) fn begin(&mut self, command: &Command) -> Outcome<Report> {
        self.enter.gprs = command.encode();
        self.run()
    }

    /// Runs the payload on to its reply, through interrupts of the host and lines of text.
    pub(crate) fn finish(&mut self, report: &Report) -> Outcome<Reply> {
        match self.until_reply(report)? {
            (Some(reply), _) => Ok(reply),
            (None, report) => fail!(
                "the payload came out with {} instead of a reply: {:x?}",
                report.exit.name(),
                report.exit
            ),
        }
    }

    /// Runs the payload on to its reply or to an exit that somebody has to deal with.
    pub(crate) fn until_reply(&mut self, report: &Report) -> Outcome<(Option<Reply>, Report)> {
        let mut report = *report;
        for _ in 0..MOST_EXITS {
            if let Some(reply) = reply_in(&report)? {
                return Ok((Some(reply), report));
            }
            if !needs_nothing(&report) {
                return Ok((None, report));
            }
            report = self.run()?;
        }
        fail!("the payload had {MOST_EXITS} exits without a reply")
    }

    /// Lets the payload carry out a command that needs nothing of the host.
    pub(crate) fn command(&mut self, command: &Command) -> Outcome<Reply> {
        let report = self.begin(command)?;
        self.finish(&report)
    }

    /// Keeps the payload at work until something brings it out.
    pub(crate) fn work(&mut self) -> Outcome<Report> {
        let deadline = Deadline::after(PATIENCE);
        while !deadline.passed() {
            let report = self.begin(&Command::Yield { count: WORK })?;
            if !matches!(report.exit, Exit::HostCall { .. }) {
                return Ok(report);
            }
        }
        fail!("nothing brings the payload out of its work")
    }

    /// Lets the payload come to the end of that work.
    pub(crate) fn stop_work(&mut self) -> Outcome {
        let report = self.run()?;
        self.finish(&report)?.done("work").map(|_| ())
    }
}

/// The reply to a command, if the payload came out with it.
pub(crate) fn reply_in(report: &Report) -> Outcome<Option<Reply>> {
    match report.exit {
        Exit::HostCall {
            imm: immediate::SERVE,
            gprs,
        } => match Reply::decode(&gprs) {
            Some(reply) => Ok(Some(reply)),
            None => fail!("the payload's reply makes no sense: {gprs:x?}"),
        },
        _ => Ok(None),
    }
}

/// Deals with interrupts of the host and with lines of text; whether it was one of them.
pub(crate) fn needs_nothing(report: &Report) -> bool {
    match report.exit {
        Exit::Irq => timer::acknowledge(),
        Exit::HostCall {
            imm: immediate::TEXT,
            gprs,
        } => note!("realm: {}", Line::from_registers(&gprs).as_str()),
        _ => return false,
    }
    true
}
