//! Instruction counts, beside those of the C reference.

mod boots;

use std::fmt::Write as _;

use serde::Serialize;

use crate::log::TestLog;
use crate::protocol::Line;
use crate::session::{Emulator, StartError};
use crate::suite::{self, Request};
pub(crate) use boots::run as boots;

/// Instructions of one operation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) op: String,
    pub(crate) instructions: u64,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the bench did not come to its end: {0}")]
    Broken(String),
    #[error("the bench printed no figure")]
    Empty,
    #[error("the bench printed {0} twice")]
    Twice(String),
}

/// Instructions per operation of TF-RMM 0.7.0 (RMI 1.0) under TF-A on the same emulator, counted
/// the same way.
const REFERENCE: &[(&str, u64)] = &[
    ("EL3_ONLY", 229),
    ("RMI_VERSION", 1123),
    ("RMI_FEATURES", 1206),
    ("GRANULE_DELEGATE", 2689),
    ("GRANULE_UNDELEGATE", 2150),
    ("RTT_CREATE", 3560),
    ("RTT_DESTROY", 7646),
    ("RTT_READ_ENTRY", 2891),
    ("DATA_CREATE_UNMEASURED", 21_265),
    ("DATA_CREATE_MEASURED", 199_146),
    ("DATA_DESTROY", 3913),
    ("MAP_UNPROTECTED", 3221),
    ("UNMAP_UNPROTECTED", 3229),
    ("RTT_INIT_RIPAS", 4_019_394),
    ("REALM_CREATE", 183_887),
    ("REALM_ACTIVATE", 1459),
    ("REALM_DESTROY", 2671),
    ("REC_CREATE", 211_303),
    ("REC_DESTROY", 11_299),
    ("REC_ENTER_EXIT", 14_397),
    ("HOST_CALL_ROUND_TRIP", 15_073),
    ("RSI_VERSION", 280),
    ("PSCI_VERSION", 307),
    ("ID_REGISTER_TRAP", 298),
    ("REALM_CONFIG", 2883),
    ("IPA_STATE_GET", 2006),
    ("MEASUREMENT_READ", 565),
    ("MEASUREMENT_EXTEND", 9246),
    ("TOKEN_INIT", 19_179),
    ("TOKEN", 23_200_000),
    ("TOKEN_BYTES", 2124),
    ("REALM_1MIB_CREATE", 17_300_000),
    ("REALM_1MIB_DESTROY", 19_600_000),
];

/// Runs the bench that the payload's command line names and returns its figures in the order in which they came.
pub(crate) fn run(
    emulator: &mut dyn Emulator,
    command_line: &str,
    request: &Request,
    log: &mut dyn TestLog,
) -> Result<Vec<Figure>, BenchError> {
    let mut session = emulator.start(command_line)?;
    log.session_started();
    let lines = suite::lines(session.as_mut(), request, log).map_err(BenchError::Broken)?;
    figures(lines)
}

fn figures(lines: Vec<Line>) -> Result<Vec<Figure>, BenchError> {
    let mut figures: Vec<Figure> = Vec::new();
    for line in lines {
        if let Line::Bench { name, instructions } = line {
            if figures.iter().any(|figure| figure.op == name) {
                return Err(BenchError::Twice(name));
            }
            figures.push(Figure {
                op: name,
                instructions,
            });
        }
    }
    if figures.is_empty() {
        return Err(BenchError::Empty);
    }
    Ok(figures)
}

/// The figures as a table.
pub(crate) fn table(figures: &[Figure]) -> String {
    let widest = figures.iter().map(|figure| figure.op.len()).max();
    let width = widest.unwrap_or(0).max("operation".len());
    let mut text = format!(
        "{:width$}  {:>12} {:>12} {:>6}\n",
        "operation", "instructions", "C reference", "ratio"
    );
    for Figure { op, instructions } in figures {
        let reference = REFERENCE.iter().find(|(name, _)| name == op);
        let (reference, ratio) = match reference {
            Some((_, reference)) => (reference.to_string(), ratio(*instructions, *reference)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{op:width$}  {instructions:>12} {reference:>12} {ratio:>6}"
        );
    }
    text
}

/// Two digits after the point, rounded, without floating point.
fn ratio(ours: u64, reference: u64) -> String {
    let hundredths = (u128::from(ours) * 100 + u128::from(reference) / 2) / u128::from(reference);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(name: &str, instructions: u64) -> Line {
        Line::Bench {
            name: name.to_owned(),
            instructions,
        }
    }

    #[test]
    fn figures_come_in_order_and_once() {
        let lines = vec![
            Line::Note("x".to_owned()),
            bench("RMI_VERSION", 540),
            bench("EL3_ONLY", 100),
        ];
        let ops: Vec<_> = figures(lines).unwrap().into_iter().map(|f| f.op).collect();
        assert_eq!(ops, ["RMI_VERSION", "EL3_ONLY"]);
        assert!(matches!(figures(vec![]), Err(BenchError::Empty)));
        let twice = vec![bench("A", 1), bench("A", 2)];
        assert!(matches!(figures(twice), Err(BenchError::Twice(_))));
    }

    #[test]
    fn the_table_sets_ours_beside_the_reference() {
        let figure = |op: &str, instructions| Figure {
            op: op.to_owned(),
            instructions,
        };
        let table = table(&[figure("RMI_VERSION", 562), figure("NEW", 7)]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[1], "RMI_VERSION           562         1123   0.50");
        assert_eq!(lines[2], "NEW                     7            -      -");
    }

    #[test]
    fn json_is_a_list_of_operations() {
        let figures = figures(vec![bench("RMI_VERSION", 540)]).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&crate::summary::to_json(&figures)).unwrap();
        let expected = serde_json::json!([{"op": "RMI_VERSION", "instructions": 540}]);
        assert_eq!(json, expected);
    }
}
