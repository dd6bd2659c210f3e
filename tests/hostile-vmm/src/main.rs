//! A VMM that means harm: random calls with random arguments on `/dev/realm`, from several threads
//! that share every file descriptor, on Realms that are half built, running, or being torn down.
//!
//! The module must answer with error codes and nothing else. This program sees the answers, and at
//! the end asks the module whether everything has come back; what the kernel says on its console is
//! for the caller to look at.
//!
//! Exit code 0: everything came back. 1: it did not. 2: the device cannot be used.

mod attack;
mod calls;
mod files;
mod guest;
mod random;
mod sys;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;

use crate::attack::Attacker;
use crate::calls::Information;
use crate::files::Files;
use crate::sys::Arena;
use crate::tally::Tally;

/// Attacks the Realm kernel module with random calls.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  hostile-vmm --seconds 3600 --threads 4 --seed 7"
)]
struct Arguments {
    /// How long to go on.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86400))]
    seconds: u64,
    /// Threads that make calls.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: u64,
    /// Start of the random numbers. Threads make the order of calls unpredictable all the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The device node.
    #[arg(long, default_value = "/dev/realm")]
    device: PathBuf,
}

/// The module needs this long at most to take back what dying files held.
const SETTLING: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match attack(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("hostile-vmm: {reason}");
            ExitCode::from(2)
        }
    }
}

fn attack(arguments: &Arguments) -> Result<bool, String> {
    let device = arguments.device.to_string_lossy().into_owned();
    let before = information(&device)?;
    let arena = Arc::new(Arena::new()?);
    let files = Arc::new(Files::new(device.clone()));
    let tally = Arc::new(Tally::default());
    let over = Arc::new(AtomicBool::new(false));
    sys::ignore_kicks()?;
    let threads: Vec<_> = (0..arguments.threads)
        .map(|number| {
            let mut attacker = Attacker::new(
                number,
                arguments.seed,
                Arc::clone(&arena),
                Arc::clone(&files),
                Arc::clone(&tally),
            );
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    attacker.strike();
                }
            })
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut next_report = Instant::now() + Duration::from_secs(10);
    // A vCPU that waits for an interrupt would wait for ever: signals take it out of KVM_RUN.
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
        sys::kick_all(&threads);
        if Instant::now() > next_report {
            println!("hostile-vmm: {}", tally.line());
            next_report += Duration::from_secs(10);
        }
    }
    over.store(true, Ordering::Relaxed);
    while threads.iter().any(|thread| !thread.is_finished()) {
        sys::kick_all(&threads);
        std::thread::sleep(Duration::from_millis(1));
    }
    let panicked = threads.into_iter().filter_map(|t| t.join().err()).count();
    files.close_all();
    drop(arena);
    print!("{}", tally.table());
    let after = settled(&device, before)?;
    println!(
        "hostile-vmm: {} Realms, {} pages delegated, {} lost; {panicked} threads failed",
        after.realms, after.pages_delegated, after.pages_lost
    );
    println!("hostile-vmm: done: {}", tally.line());
    Ok(panicked == 0 && is_back(after, before))
}

/// Whether everything is back. Realms of others may have taken and given back memory meanwhile.
const fn is_back(now: Information, before: Information) -> bool {
    let others = before.realms > 0;
    now.realms == before.realms
        && now.pages_lost == before.pages_lost
        && (others || now.pages_delegated == before.pages_delegated)
}

/// What the module says of itself.
fn information(device: &str) -> Result<Information, String> {
    let file = sys::open(device).map_err(|errno| format!("{device}: error {errno}"))?;
    let information = calls::information(file);
    sys::close(file);
    information.map_err(|errno| format!("{device} gives no information: error {errno}"))
}

/// Waits until the module holds no more than before.
fn settled(device: &str, before: Information) -> Result<Information, String> {
    let end = Instant::now() + SETTLING;
    loop {
        let now = information(device)?;
        if is_back(now, before) || Instant::now() > end {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
