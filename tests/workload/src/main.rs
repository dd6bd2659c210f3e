//! Work for guests, to see what it costs, and streams whose content can be checked.

mod stream;
mod work;

use std::env;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode};
use std::time::{Instant, SystemTime};

const USAGE: &str = "\
usage: workload WHAT NUMBER...
       workload now
       workload time PROGRAM [ARGUMENT...]

  cpu STEPS              so many thousand steps of arithmetic, without memory
  memory MIB PASSES      writes and reads that much memory so many times
  faults MIB ROUNDS      takes that much memory from the kernel, writes to each page, gives it back
  stream SEED BYTES      writes bytes that follow from the seed to standard output
  check SEED BYTES       standard input must be these bytes, and end behind them
  time PROGRAM           runs a program and says how many nanoseconds it took: took NANOSECONDS
  now                    nanoseconds since 1970

Exit codes: 0, 1 if the content is not as it should be or the program failed, 2 for wrong use.

Examples: workload time workload cpu 20000
          workload stream 7 1000000 | nc 10.7.0.1 7000";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("workload: {error}");
            ExitCode::from(1)
        }
    }
}

/// Whether the arguments were understood.
fn run(arguments: &[String]) -> io::Result<bool> {
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    if let ["time", program, arguments @ ..] = &words[..] {
        time(program, arguments)?;
        return Ok(true);
    }
    if words == ["now"] {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_err(io::Error::other)?.as_nanos();
        writeln!(io::stdout(), "{now}")?;
        return Ok(true);
    }
    let Some((what, numbers)) = words.split_first() else {
        return Ok(false);
    };
    let numbers: Result<Vec<u64>, _> = numbers.iter().map(|number| number.parse()).collect();
    match (*what, numbers.as_deref()) {
        ("cpu", Ok(&[steps])) => work::cpu(steps),
        ("memory", Ok(&[mebibytes, passes])) => work::memory(bytes_of(mebibytes)?, passes),
        ("faults", Ok(&[mebibytes, rounds])) => work::faults(bytes_of(mebibytes)?, rounds),
        ("stream", Ok(&[seed, bytes])) => stream::write(seed, bytes, &mut io::stdout().lock())?,
        ("check", Ok(&[seed, bytes])) => stream::check(seed, bytes, &mut io::stdin().lock())?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn bytes_of(mebibytes: u64) -> io::Result<usize> {
    mebibytes
        .checked_mul(1 << 20)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| io::Error::other("so much memory cannot be"))
}

/// Runs a program and says how long it took.
fn time(program: &str, arguments: &[&str]) -> io::Result<()> {
    let start = Instant::now();
    let status = Command::new(program).args(arguments).status()?;
    let took = start.elapsed().as_nanos();
    if !status.success() {
        return Err(io::Error::other(format!("{program}: {status}")));
    }
    writeln!(io::stdout(), "took {took}")
}
