//! What it costs to be a Realm.

use super::{CommandError, Status};
use crate::atomic;
use crate::cli::OverheadArgs;
use crate::hosting::{self, Kind, Overhead, Round};
use crate::log::{LogFolder, TestLog};
use crate::machine::{Clock, Machine};
use crate::session::Emulator as _;
use crate::summary;
use crate::systems::System;

/// Counts instructions in one machine and takes the time in another.
pub(super) fn overhead(args: &OverheadArgs) -> Result<Status, CommandError> {
    let mut log = Progress(LogFolder::create(&args.machine.logs.join("overhead"))?);
    let mut rounds = |clock, rounds| -> Result<Option<Vec<[Round; 2]>>, CommandError> {
        if rounds == 0 {
            return Ok(Some(Vec::new()));
        }
        let host = System::in_folder(&args.host);
        let machine = args.machine.machine(clock)?;
        let mut machine = Machine {
            normal_world: host.kernel,
            initrd: Some(host.initrd),
            // With more CPUs than one, what they do at the same time would be counted twice.
            cpus: match clock {
                Clock::Instructions => 1,
                Clock::Wall => machine.cpus,
            },
            ..machine
        };
        let mut session = machine.start(hosting::COMMAND_LINE)?;
        log.session_started();
        match hosting::measure(session.as_mut(), args.machine.limits(), rounds, &mut log) {
            Ok(rounds) => Ok(Some(rounds)),
            Err(reason) => {
                let log = log.keep_excerpt("failed").unwrap_or_default();
                eprintln!("emulator: nothing is measured: {reason} [{log}]");
                Ok(None)
            }
        }
    };
    let counted = rounds(Clock::Instructions, u32::from(!args.no_instructions))?;
    let Some(counted) = counted else {
        return Ok(Status::Failed);
    };
    let Some(timed) = rounds(Clock::Wall, args.rounds)? else {
        return Ok(Status::Failed);
    };
    let overhead = Overhead::of(&counted, &timed);
    let json = summary::to_json(&overhead);
    atomic::write(&args.out, json.as_bytes())?;
    if args.json {
        print!("{json}");
    } else {
        print!("{}", overhead.table());
    }
    Ok(Status::Good)
}

/// The log, with a line for people for each piece of work that is done.
struct Progress(LogFolder);

impl TestLog for Progress {
    fn session_started(&mut self) {
        eprintln!("overhead: the host boots");
        self.0.session_started();
    }

    fn test_started(&mut self) {
        self.0.test_started();
    }

    fn line(&mut self, text: &str) {
        self.0.line(text);
        if let Some((kind, piece, nanoseconds)) = took(text) {
            let milliseconds = nanoseconds / 1_000_000;
            eprintln!("overhead: {kind:5} {piece:12} {milliseconds:>7} ms by its own clock");
        }
    }

    fn keep_excerpt(&mut self, name: &str) -> Option<String> {
        self.0.keep_excerpt(name)
    }
}

/// What a line says of a piece of work that is done.
fn took(line: &str) -> Option<(&'static str, &str, u64)> {
    let line = line.strip_prefix("load: ")?;
    Kind::ALL.iter().find_map(|kind| {
        let (piece, nanoseconds) = line
            .strip_prefix(kind.name())?
            .strip_prefix(' ')?
            .split_once(" took ")?;
        Some((kind.name(), piece, nanoseconds.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::took;

    #[test]
    fn a_person_sees_what_is_done() {
        assert_eq!(took("load: VM cpu took 7"), Some(("VM", "cpu", 7)));
        assert_eq!(took("load: Realm boot took 8"), Some(("Realm", "boot", 8)));
        for line in [
            "load: VM cpu took long",
            "VM cpu took 7",
            "load: VM cpu after exits=7",
        ] {
            assert_eq!(took(line), None, "{line}");
        }
    }
}
