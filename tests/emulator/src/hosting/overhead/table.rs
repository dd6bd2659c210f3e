//! Rounds, as a table and as figures for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::{Kind, Piece, Round};

/// What is measured: its name, what it is, and how much longer it may take in a Realm.
const PIECES: &[(&str, &str, f64)] = &[
    ("boot", "from the VMM's start to the first program", 1.3),
    ("cpu", "arithmetic", 1.05),
    (
        "first-touch",
        "64 MiB written and read that nobody has used",
        1.05,
    ),
    ("memory", "64 MiB written and read, six times", 1.05),
    ("faults", "64 MiB of fresh pages, three times", 1.05),
    ("processes", "200 programs started by a shell", 1.05),
    ("block-read", "fio, random 4 KiB, one after the other", 1.2),
    ("block-write", "the same, written", 1.2),
    (
        "block-stream",
        "fio, 64 MiB in order, 256 KiB, four at once",
        1.2,
    ),
    ("network-out", "iperf3, 32 MiB from the guest", 1.2),
    ("network-in", "iperf3, 32 MiB to the guest", 1.2),
];

/// All that was measured.
#[derive(Serialize)]
pub(crate) struct Overhead {
    /// Rounds by the clock on the wall.
    pub(crate) rounds: usize,
    pub(crate) pieces: Vec<Figures>,
    /// Milliseconds of launch phases, of machine and Realm, in the machine whose clock counts instructions:
    /// millions of instructions.
    pub(crate) launch: Vec<(&'static str, [u64; 2])>,
}

/// What one piece of work took, as an ordinary machine and as a Realm.
#[derive(Serialize)]
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// How much longer it may take in a Realm.
    pub(crate) goal: f64,
    /// Instructions of the whole machine.
    pub(crate) instructions: Option<Pair>,
    /// Milliseconds on the wall, medians.
    pub(crate) milliseconds: Option<Pair>,
    /// Exits of vCPUs for each thousand million instructions.
    pub(crate) exits: Option<Pair>,
    /// Exits that the VMM has seen, likewise.
    pub(crate) vmm_exits: Option<Pair>,
    /// Exits of vCPUs in a second on the wall, medians.
    pub(crate) exits_per_second: Option<Pair>,
}

/// A figure of both.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Pair {
    pub(crate) machine: f64,
    pub(crate) realm: f64,
}

impl Pair {
    fn new(figures: [Option<f64>; 2]) -> Option<Self> {
        let [machine, realm] = figures;
        Some(Self {
            machine: machine?,
            realm: realm?,
        })
    }

    /// How much more it is in a Realm.
    fn ratio(self) -> f64 {
        self.realm / self.machine
    }
}

impl Overhead {
    /// What comes of rounds in a machine whose clock counts instructions, and in one with the clock on the wall.
    pub(crate) fn of(counted: &[[Round; 2]], timed: &[[Round; 2]]) -> Self {
        let pieces = PIECES.iter().map(|&(name, what, goal)| {
            let counted = |figure: fn(&Piece) -> Option<f64>| median(counted, name, figure);
            let timed = |figure: fn(&Piece) -> Option<f64>| median(timed, name, figure);
            Figures {
                name,
                what,
                goal,
                instructions: counted(|piece| Some(seconds(piece) * 1e9)),
                milliseconds: timed(|piece| Some(seconds(piece) * 1e3)),
                exits: counted(|piece| per_second(piece, piece.counted.get("exits").copied()?)),
                vmm_exits: counted(|piece| per_second(piece, vmm_exits(piece)?)),
                exits_per_second: timed(|piece| {
                    per_second(piece, piece.counted.get("exits").copied()?)
                }),
            }
        });
        let launch = counted.first().map_or_else(Vec::new, |[machine, realm]| {
            let phases = machine.launch.phases().iter().zip(realm.launch.phases());
            phases
                .map(|((name, machine), (_, realm))| (*name, [*machine, *realm]))
                .collect()
        });
        Self {
            rounds: timed.len(),
            pieces: pieces.collect(),
            launch,
        }
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{:12} {:>5}  {:>9} {:>9} {:>6}  {:>9} {:>9} {:>6}  {:>8} {:>8}  {:>8} {:>8}\n",
            "",
            "goal",
            "VM",
            "Realm",
            "ratio",
            "VM",
            "Realm",
            "ratio",
            "VM",
            "Realm",
            "VM",
            "Realm"
        );
        text.insert_str(
            0,
            &format!(
                "{:12} {:>5}  {:^26}  {:^26}  {:^17}  {:^17}\n",
                "piece", "", "million instructions", "milliseconds", "exits/G instr.", "exits/s"
            ),
        );
        for piece in &self.pieces {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:12} {:>5}  {}  {}  {}  {}",
                piece.name,
                piece.goal,
                compared(piece.instructions, 1e6, piece.goal),
                compared(piece.milliseconds, 1.0, piece.goal),
                both(piece.exits),
                both(piece.exits_per_second),
            );
        }
        if !self.launch.is_empty() {
            text.push_str("\nphases of boot, in million instructions:\n");
            for (name, [machine, realm]) in &self.launch {
                let _ = writeln!(text, "{name:18} {machine:>9} {realm:>9}");
            }
        }
        text
    }
}

/// Exits of vCPUs that have come to the VMM.
fn vmm_exits(piece: &Piece) -> Option<u64> {
    let exits = piece
        .counted
        .iter()
        .filter(|(name, _)| name.starts_with("vmm-"));
    let exits: Vec<u64> = exits.map(|(_, number)| *number).collect();
    (!exits.is_empty()).then(|| exits.iter().sum())
}

fn per_second(piece: &Piece, number: u64) -> Option<f64> {
    let number = u32::try_from(number).ok()?;
    (piece.nanoseconds > 0).then(|| f64::from(number) / seconds(piece))
}

const fn seconds(piece: &Piece) -> f64 {
    Duration::from_nanos(piece.nanoseconds).as_secs_f64()
}

/// A figure of a piece, the median of all rounds.
fn median(
    rounds: &[[Round; 2]],
    name: &str,
    figure: impl Fn(&Piece) -> Option<f64>,
) -> Option<Pair> {
    let of = |kind: Kind| {
        let rounds = rounds.iter().map(|round| &round[kind as usize]);
        let pieces = rounds.flat_map(|round| &round.pieces);
        let figures = pieces
            .filter(|piece| piece.name == name)
            .filter_map(&figure);
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        if figures.len().is_multiple_of(2) && middle > 0 {
            Some(f64::midpoint(figures[middle - 1], figures[middle]))
        } else {
            figures.get(middle).copied()
        }
    };
    Pair::new(Kind::ALL.map(of))
}

/// Two figures and their ratio, with a mark if that is more than the goal.
fn compared(pair: Option<Pair>, unit: f64, goal: f64) -> String {
    let Some(pair) = pair else {
        return format!("{:>9} {:>9} {:>6}", "-", "-", "-");
    };
    let ratio = pair.ratio();
    let mark = if ratio > goal { '!' } else { ' ' };
    format!(
        "{:>9.1} {:>9.1} {ratio:>5.2}{mark}",
        pair.machine / unit,
        pair.realm / unit
    )
}

fn both(pair: Option<Pair>) -> String {
    match pair {
        None => format!("{:>8} {:>8}", "-", "-"),
        Some(pair) => format!("{:>8.0} {:>8.0}", pair.machine, pair.realm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosting::launch::Launch;

    fn round(kind: Kind, milliseconds: u64) -> Round {
        let pieces = ["cpu", "block-read"].map(|name| Piece {
            name: name.to_owned(),
            nanoseconds: milliseconds * 1_000_000,
            counted: [("exits", 50), ("vmm-read", 3), ("vmm-write", 4)]
                .map(|(name, number)| (name.to_owned(), number))
                .into(),
        });
        Round {
            pieces: pieces.into(),
            launch: Launch::of(&[("filling", if kind == Kind::Realm { 232 } else { 7 })]),
        }
    }

    fn rounds(milliseconds: &[[u64; 2]]) -> Vec<[Round; 2]> {
        let both = |[machine, realm]: &[u64; 2]| {
            [round(Kind::Machine, *machine), round(Kind::Realm, *realm)]
        };
        milliseconds.iter().map(both).collect()
    }

    #[test]
    fn figures_are_medians_and_ratios() {
        let timed = rounds(&[[100, 110], [500, 104], [99, 900]]);
        let overhead = Overhead::of(&rounds(&[[200, 211]]), &timed);
        let cpu = overhead
            .pieces
            .iter()
            .find(|piece| piece.name == "cpu")
            .unwrap();
        let milliseconds = cpu.milliseconds.unwrap();
        assert_eq!((milliseconds.machine, milliseconds.realm), (100.0, 110.0));
        assert!((cpu.instructions.unwrap().ratio() - 1.055).abs() < 1e-9);
        assert!((cpu.exits.unwrap().machine - 250.0).abs() < 1e-9);
        assert!((cpu.vmm_exits.unwrap().machine - 35.0).abs() < 1e-9);
        assert_eq!(overhead.launch, [("filling", [7, 232])]);
        assert!(overhead.pieces[0].instructions.is_none());
    }

    #[test]
    fn the_table_marks_what_is_above_its_goal() {
        let table = Overhead::of(&rounds(&[[200, 211]]), &[]).table();
        let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(
            line("cpu").contains("1.05!") || line("cpu").contains("1.06!"),
            "{table}"
        );
        assert!(line("block-read").contains("1.05 ") || line("block-read").contains("1.06 "));
        assert!(!line("boot").contains('!'));
        assert!(table.contains("filling"));
    }
}
