//! What it costs to be a Realm: the same guest does the same work as an ordinary machine and as a Realm
//! (`tests/linux/host-load`).

mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use super::Host;
use super::launch::Launch;
use crate::log::TestLog;
use crate::session::Session;
use crate::suite::Limits;
use crate::systems::HOST_LOAD;
pub(crate) use table::Overhead;

/// What the lines of the program on the host begin with.
const SPEAKER: &str = "load: ";
/// A guest may take this long for all of its work.
const ROUND_LIMIT: Duration = Duration::from_mins(20);

/// What the guest is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// An ordinary machine.
    Machine,
    /// A Realm.
    Realm,
}

impl Kind {
    /// In the order in which they run.
    pub(crate) const ALL: [Self; 2] = [Self::Machine, Self::Realm];

    /// As the program on the host calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Machine => "VM",
            Self::Realm => "Realm",
        }
    }
}

/// What a piece of work took.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    pub(crate) name: String,
    /// By the clock of the guest, which is the machine's; of its boot by that of the host.
    pub(crate) nanoseconds: u64,
    /// By how much counters of the host have grown meanwhile.
    pub(crate) counted: BTreeMap<String, u64>,
}

/// A guest that has done all of its work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Round {
    pub(crate) pieces: Vec<Piece>,
    /// How its launch went.
    pub(crate) launch: Launch,
}

/// Boots the host and runs so many rounds, in each of which an ordinary machine and a Realm take turns.
pub(crate) fn measure(
    session: &mut dyn Session,
    limits: Limits,
    rounds: u32,
    log: &mut dyn TestLog,
) -> Result<Vec<[Round; 2]>, String> {
    let mut host = Host::new(session, log, limits);
    host.boot()?;
    host.load_module()?;
    let mut measured = Vec::new();
    for _ in 0..rounds {
        measured.push([run(&mut host, Kind::Machine)?, run(&mut host, Kind::Realm)?]);
    }
    let complaints = host.complaints()?;
    if let Some(first) = complaints.first() {
        return Err(format!("the host's kernel complains: {first}"));
    }
    host.power_off()?;
    Ok(measured)
}

fn run(host: &mut Host<'_>, kind: Kind) -> Result<Round, String> {
    let command = format!("{HOST_LOAD} overhead {}", kind.name());
    Round::among(&host.within(&command, ROUND_LIMIT)?, kind)
}

impl Round {
    /// The round on a console.
    fn among(lines: &[String], kind: Kind) -> Result<Self, String> {
        let begin = format!("{SPEAKER}{} ", kind.name());
        let mut pieces: Vec<Piece> = Vec::new();
        let mut before = BTreeMap::new();
        let mut said = Vec::new();
        for line in lines.iter().filter_map(|line| line.strip_prefix(&begin)) {
            match line.split_once(' ') {
                Some(("says:" | "vmm:", text)) => said.push(text.trim_start().to_owned()),
                Some((name, text)) => match text.split_once(' ') {
                    Some(("took", number)) => pieces.push(Piece {
                        name: name.to_owned(),
                        nanoseconds: number
                            .parse()
                            .map_err(|_| format!("{name} took {number:?} nanoseconds"))?,
                        counted: BTreeMap::new(),
                    }),
                    Some(("before", text)) => before = counters(text)?,
                    Some(("after", text)) => {
                        let piece = pieces.iter_mut().find(|piece| piece.name == name);
                        let piece = piece.ok_or_else(|| format!("{name} has no beginning"))?;
                        piece.counted = grown(&before, &counters(text)?);
                    }
                    _ => return Err(format!("{line:?} is not understood")),
                },
                None => return Err(format!("{line:?} is not understood")),
            }
        }
        Ok(Self {
            pieces,
            launch: Launch::among(&said)?,
        })
    }
}

/// Numbers with names.
fn counters(text: &str) -> Result<BTreeMap<String, u64>, String> {
    text.split_whitespace()
        .map(|word| {
            let (name, number) = word.split_once('=').unwrap_or((word, ""));
            // Seconds have two places behind the point.
            let number = number.replace('.', "").parse();
            let number = number.map_err(|_| format!("{word:?} is no counter"))?;
            Ok((name.to_owned(), number))
        })
        .collect()
}

fn grown(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let growth = |(name, number): (&String, &u64)| {
        let old = before.get(name).copied().unwrap_or(0);
        (name.clone(), number.saturating_sub(old))
    };
    after.iter().map(growth).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "\
        load: Realm boot took 485820798\n\
        load: Realm says: guest: up as a Realm after 0.40 s, kernel 7.3.4, CPUs 0\n\
        load: Realm cpu before exits=1189 IRQ=208 idle=0.04\n\
        load: Realm cpu took 243115241\n\
        load: Realm cpu after exits=1367 IRQ=211 RIPAS-change=3 idle=1.04\n\
        load: Realm vmm: host-vmm: files opened name=load memory=512 MiB cpus=1 milliseconds=11\n\
        load: Realm vmm: host-vmm: machine made on=the Realm kernel module milliseconds=0\n\
        load: Realm vmm: host-vmm: memory filled mebibytes=43 milliseconds=232\n\
        load: Realm vmm: host-vmm: started milliseconds=5\n\
        load: Realm vmm: host-vmm: ended seconds=0 taken_down_in_milliseconds=96";

    fn round(text: &str) -> Result<Round, String> {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        Round::among(&lines, Kind::Realm)
    }

    #[test]
    fn a_round_is_read_from_the_console() {
        let round = round(CONSOLE).unwrap();
        let names: Vec<_> = round
            .pieces
            .iter()
            .map(|piece| piece.name.as_str())
            .collect();
        assert_eq!(names, ["boot", "cpu"]);
        let cpu = &round.pieces[1];
        assert_eq!(cpu.nanoseconds, 243_115_241);
        assert_eq!((cpu.counted["exits"], cpu.counted["IRQ"]), (178, 3));
        assert_eq!((cpu.counted["RIPAS-change"], cpu.counted["idle"]), (3, 100));
        assert!(round.launch.to_string().contains("filling 0.2 s"));
    }

    #[test]
    fn what_is_not_a_measurement_is_no_round() {
        for (from, to) in [
            ("took 243115241", "took long"),
            ("IRQ=208", "IRQ"),
            ("cpu took", "memory took"),
            ("memory filled", "?"),
            ("cpu before", "cpu between"),
        ] {
            assert!(round(&CONSOLE.replace(from, to)).is_err(), "{from}");
        }
    }
}
