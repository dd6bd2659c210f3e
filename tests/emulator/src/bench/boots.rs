//! Instructions of the RMM's boot, from its entry to `BOOT_COMPLETE`: the first CPU's, and what
//! memory and CPUs add to it; another CPU's. What EL3 does for the RMM meanwhile is included.

use super::{BenchError, Figure};
use crate::console::Console;
use crate::log::TestLog;
use crate::machine::Machine;
use crate::session::Emulator as _;
use crate::suite::Limits;

/// GiB of the larger machine.
const LARGE: u64 = 5;
/// CPUs of the machine with as many as there can be.
const MANY: u64 = 512;

/// Boots machines of several kinds.
pub(crate) fn run(
    machine: &Machine,
    limits: Limits,
    log: &mut dyn TestLog,
) -> Result<Vec<Figure>, BenchError> {
    let mut boot = |cpus: u32, gibibytes: u64, words: &str, cpu: u32| {
        let machine = Machine {
            cpus,
            memory: format!("{gibibytes}G"),
            hand_over: Some(format!("ticks {words}")),
            ..machine.clone()
        };
        ticks(machine, cpu, limits, log)
    };
    let cold = boot(1, 1, "", 0)?;
    let large = boot(1, LARGE, "", 0)?;
    let many = boot(1, 1, &format!("cpus={MANY}"), 0)?;
    let warm = boot(2, 1, "", 1)?;
    let figure = |op: &str, instructions| Figure {
        op: op.to_owned(),
        instructions,
    };
    Ok(vec![
        figure("COLD_BOOT_1GIB", cold),
        figure(
            "COLD_BOOT_PER_GIB",
            large.saturating_sub(cold) / (LARGE - 1),
        ),
        figure("COLD_BOOT_PER_CPU", many.saturating_sub(cold) / (MANY - 1)),
        figure("WARM_BOOT", warm),
    ])
}

/// What EL3 says of a CPU's boot.
fn ticks(
    mut machine: Machine,
    cpu: u32,
    limits: Limits,
    log: &mut dyn TestLog,
) -> Result<u64, BenchError> {
    let start = format!("el3: the RMM's boot on CPU {cpu} took ");
    let mut session = machine.start("mode=test only=version/every-cpu")?;
    log.session_started();
    let mut console = Console::new(session.as_mut(), log);
    let said = |console: &Console<'_>| {
        console.lines.iter().find_map(|line| {
            line.strip_prefix(&start)?
                .strip_suffix(" ticks")?
                .parse()
                .ok()
        })
    };
    console
        .wait(limits.scaled(limits.boot), |console| {
            said(console).is_some()
        })
        .map_err(|reason| BenchError::Broken(format!("boot of CPU {cpu}: {reason}")))?;
    said(&console).ok_or(BenchError::Empty)
}
