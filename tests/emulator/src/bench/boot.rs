//! How long the RMM takes to boot: EL3 counts from its entry to its `BOOT_COMPLETE`, what it asks of EL3
//! meanwhile included.

use super::{BenchError, Figure};
use crate::log::TestLog;
use crate::machine::Machine;
use crate::session::Emulator as _;
use crate::suite::{self, Request};

/// A short session in which all CPUs come up.
const COMMAND_LINE: &str = "mode=test only=version/negotiation";
/// Sizes of memory that are compared, in GiB.
const SMALL: u64 = 1;
const LARGE: u64 = 5;

/// Boots machines of two sizes, and one with a second CPU.
pub(crate) fn boots(
    machine: &Machine,
    request: &Request,
    log: &mut dyn TestLog,
) -> Result<Vec<Figure>, BenchError> {
    let mut boot = |gibibytes: u64, cpus: u32| -> Result<u64, BenchError> {
        let mut machine = Machine {
            cpus,
            memory: format!("{gibibytes}G"),
            ..machine.clone()
        };
        let mut session = machine.start(COMMAND_LINE)?;
        log.session_started();
        let last = cpus - 1;
        let mut listener = Listener {
            log,
            cpu: last,
            ticks: None,
        };
        suite::lines(session.as_mut(), request, &mut listener).map_err(BenchError::Broken)?;
        listener.ticks.ok_or(BenchError::NoBoot(last))
    };
    let small = boot(SMALL, 1)?;
    let large = boot(LARGE, 1)?;
    let warm = boot(SMALL, 2)?;
    let figure = |op: &str, instructions| Figure {
        op: op.to_owned(),
        instructions,
    };
    Ok(vec![
        figure("COLD_BOOT_1GIB", small),
        figure(
            "COLD_BOOT_PER_GIB",
            large.saturating_sub(small) / (LARGE - SMALL),
        ),
        figure("WARM_BOOT", warm),
    ])
}

/// Passes a log on, and listens to what the monitor says of one CPU.
struct Listener<'a> {
    log: &'a mut dyn TestLog,
    cpu: u32,
    ticks: Option<u64>,
}

impl TestLog for Listener<'_> {
    fn session_started(&mut self) {
        self.log.session_started();
    }

    fn test_started(&mut self) {
        self.log.test_started();
    }

    fn line(&mut self, text: &str) {
        self.log.line(text);
        if let Some(ticks) = ticks(text, self.cpu) {
            self.ticks = Some(ticks);
        }
    }

    fn keep_excerpt(&mut self, name: &str) -> Option<String> {
        self.log.keep_excerpt(name)
    }
}

/// The ticks in a line of the monitor about this CPU.
fn ticks(text: &str, cpu: u32) -> Option<u64> {
    let rest = text.strip_prefix("el3: RMM booted on CPU ")?;
    let (number, rest) = rest.split_once(" in ")?;
    let ticks = rest.strip_suffix(" ticks")?;
    (number.parse() == Ok(cpu)).then(|| ticks.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monitors_lines_are_understood() {
        let line = "el3: RMM booted on CPU 1 in 4711 ticks";
        assert_eq!(ticks(line, 1), Some(4711));
        assert_eq!(ticks(line, 0), None);
        for other in [
            "el3: RMM booted on CPU 1 in x ticks",
            "el3: RMM booted on CPU 1",
            "rmm: RMM booted on CPU 1 in 4711 ticks",
        ] {
            assert_eq!(ticks(other, 1), None, "{other}");
        }
    }
}
