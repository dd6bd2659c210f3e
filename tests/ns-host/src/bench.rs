//! Instructions of each operation.
//!
//! With one instruction to a nanosecond (`-icount shift=0`) and a counter at 1 GHz, a tick is an
//! instruction. The figures include what reading the counter twice takes.

mod realm;
mod run;
mod scaling;
mod timed;
mod token;

pub(crate) use scaling::scaling;

use rmm_abi::rmi::{VERSION_1_0, fid};
use rmm_abi::smc::SMCCC_VERSION;

use crate::console::{note, say};
use crate::exit::ExitCode;
use crate::outcome::{Outcome, Stop};
use crate::suite::Host;
use crate::{rmi, time};
use timed::{floor, timed, timed_success};

const REPETITIONS: usize = 32;
const GIGAHERTZ: u64 = 1_000_000_000;

/// Prints the figures that `measure` takes.
pub(crate) fn run(host: &Host, measure: fn(&Host) -> Outcome) -> ExitCode {
    say!("plan 0");
    let code = if time::frequency() == GIGAHERTZ {
        match rmi::must_be_there().and_then(|()| measure(host)) {
            Ok(()) => ExitCode::Passed,
            Err(Stop::Fail(text) | Stop::Skip(text)) => {
                note!("{text}");
                ExitCode::Failed
            }
        }
    } else {
        note!(
            "the counter runs at {} Hz; a tick is an instruction only at {GIGAHERTZ} Hz with -icount shift=0",
            time::frequency()
        );
        ExitCode::Usage
    };
    say!("done 0 passed, 0 failed, 0 skipped");
    code
}

/// Each operation alone.
pub(crate) fn operations(host: &Host) -> Outcome {
    let floor = (0..REPETITIONS).map(|_| floor()).min().unwrap_or(0);
    note!("reading the counter takes {floor} of the instructions of each figure");
    let version = VERSION_1_0.word();
    minimum("EL3_ONLY", || Ok(timed(SMCCC_VERSION, &[]).ticks))?;
    minimum("RMI_VERSION", || timed_success(fid::VERSION, &[version]))?;
    minimum("RMI_FEATURES", || timed_success(fid::FEATURES, &[0]))?;
    let granule = host.granule()?;
    minimum("GRANULE_DELEGATE", || {
        let ticks = timed_success(fid::GRANULE_DELEGATE, &[granule])?;
        timed_success(fid::GRANULE_UNDELEGATE, &[granule])?;
        Ok(ticks)
    })?;
    minimum("GRANULE_UNDELEGATE", || {
        timed_success(fid::GRANULE_DELEGATE, &[granule])?;
        timed_success(fid::GRANULE_UNDELEGATE, &[granule])
    })?;
    realm::operations(host)?;
    run::operations(host)?;
    token::operations(host)
}

fn minimum(name: &str, mut operation: impl FnMut() -> Outcome<u64>) -> Outcome {
    let mut least = u64::MAX;
    for _ in 0..REPETITIONS {
        least = least.min(operation()?);
    }
    say!("bench {name} {least}");
    Ok(())
}

/// The least ticks of an operation and of the one that undoes it.
fn minimum_of_both(names: [&str; 2], mut operations: impl FnMut() -> Outcome<[u64; 2]>) -> Outcome {
    let mut least = [u64::MAX; 2];
    for _ in 0..REPETITIONS {
        let ticks = operations()?;
        for (least, ticks) in least.iter_mut().zip(ticks) {
            *least = ticks.min(*least);
        }
    }
    for (name, ticks) in names.into_iter().zip(least) {
        say!("bench {name} {ticks}");
    }
    Ok(())
}
