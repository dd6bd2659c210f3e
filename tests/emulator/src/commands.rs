//! What the subcommands do.

mod hosting;
mod overhead;

use std::io;
use std::time::Instant;

use crate::atomic::{self, FileError};
use crate::bench::{self, BenchError};
use crate::cli::{
    BenchArgs, BootMatrixArgs, Command, DemoArgs, EvidenceArgs, LinuxArgs, MachineArgs,
    SummaryArgs, TestArgs,
};
use crate::command_line::ProgramError;
use crate::evidence::Launch;
use crate::initramfs::Archive;
use crate::keys::KeysError;
use crate::log::{LogFolder, TestLog as _};
use crate::machine::{Clock, Console, Fault, Machine, MachineError};
use crate::owner::{Owner, OwnerError};
use crate::session::{Emulator, StartError, mortal};
use crate::show::{self, Terminal};
use crate::suite::{
    self, Limits, ListError, Outcome, Report, Request, RunError, Selection, Verdict,
};
use crate::summary::{self, Record};
use crate::systems::SystemError;
use crate::{boot_matrix, demo, evidence, linux, token};

/// How a command ended that could be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// Everything is as it should be.
    Good,
    /// Something failed and has been reported.
    Failed,
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    System(#[from] SystemError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error("no test is called {0}: `emulator list` names them all")]
    NoSuchTest(String),
    #[error("cannot build the initial RAM disk: {0}")]
    InitialRamDisk(io::Error),
    #[error("cannot start {0}: {1} (`make setup` installs the emulator)")]
    Interactive(String, io::Error),
}

/// Carries out one command.
pub(crate) fn execute(command: Command) -> Result<Status, CommandError> {
    match command {
        Command::GuestImage(args) => hosting::guest_image(&args),
        Command::HostImage(args) => hosting::host_image(&args),
        Command::Run(args) if args.interactive => hosting::interactive(&args),
        Command::Run(args) => hosting::run(&args),
        Command::Demo(args) => demo(&args),
        Command::Evidence(args) => evidence(&args),
        Command::BootMatrix(args) => boot_matrix(&args),
        Command::Test(args) => test(&args),
        Command::List(args) => list(&args),
        Command::Bench(args) => bench(&args),
        Command::Realms(args) => hosting::realms(&args),
        Command::Load(args) => hosting::load(&args),
        Command::Overhead(args) => overhead::overhead(&args),
        Command::Kernels(args) => hosting::kernels(&args),
        Command::Soak(args) => hosting::soak(&args),
        Command::Linux(args) if args.interactive => linux_interactive(&args),
        Command::Linux(args) => linux_test(&args),
        Command::Summary(args) => Ok(summary(&args)),
    }
}

/// A request without tests, for the other modes of the test host.
fn plain_request(limits: Limits) -> Request {
    Request {
        speaker: "ns-host".to_owned(),
        selection: Selection::default(),
        words: Vec::new(),
        has_command_line: true,
        restarts: 0,
        stops: 0,
        limits,
    }
}

fn demo(args: &DemoArgs) -> Result<Status, CommandError> {
    let mut machine = args.machine.machine(Clock::Wall)?;
    machine.fault = args.fault;
    machine.check()?;
    let owner = Owner::new(args.owner.cca_token.as_deref(), &args.owner.evidence)?;
    let prediction = owner.prediction(&args.machine.realm_payload)?;
    let launch = evidence::prepare(&owner, &machine, prediction)?;

    println!("== The guest owner, before the launch");
    println!("What the Realm has to measure follows from its program:");
    println!("$ {}", launch.prediction.text());
    print!("{}", launch.predicted);
    println!(
        "Evidence has to be over fresh random bytes:\n{}\n",
        launch.challenge
    );

    println!("== The machine");
    let mut session = machine.start(&launch.command_line())?;
    let limits = args.machine.limits();
    let shown = demo::show(session.as_mut(), "ns-host", limits, &mut io::stdout());
    let token = shown.and_then(|pieces| {
        let token = token::assemble(&pieces, evidence::REALM_TOKEN);
        token.map_err(|error| format!("no token: {error}"))
    });
    let token = match token {
        Ok(token) => token,
        Err(reason) => {
            eprintln!("emulator: the demonstration failed: {reason}");
            return Ok(Status::Failed);
        }
    };

    println!("\n== The guest owner");
    let accepted = judge(&owner, &launch, &args.machine, &token)?;
    Ok(if accepted {
        Status::Good
    } else {
        eprintln!("emulator: the demonstration failed: the evidence is not accepted");
        Status::Failed
    })
}

/// Lets the owner judge a token, for a person to follow.
fn judge(
    owner: &Owner,
    launch: &Launch,
    machine: &MachineArgs,
    token: &[u8],
) -> Result<bool, CommandError> {
    let path = owner.file("token.cbor");
    atomic::write(&path, token)?;
    println!(
        "{} bytes of evidence have come ({}).",
        token.len(),
        path.display()
    );
    let anchor = machine.key_files()?.trust_anchor;
    let command = launch.verification(owner, &anchor, &path);
    println!("$ {}", command.text());
    let output = command.run()?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.status.success())
}

fn evidence(args: &EvidenceArgs) -> Result<Status, CommandError> {
    let start = Instant::now();
    let mut log = LogFolder::create(&args.machine.logs.join(&args.label))?;
    let owner = Owner::new(args.owner.cca_token.as_deref(), &args.owner.evidence)?;
    let machine = args.machine.machine(Clock::Wall)?;
    let mut terminal = Terminal::new(&args.label, args.verbose, false);
    let setting = evidence::Setting {
        owner: &owner,
        machine: &machine,
        payload: &args.machine.realm_payload,
        probe: &args.probe,
        trust_anchor: &args.machine.key_files()?.trust_anchor,
        limits: args.machine.limits(),
    };
    let report = evidence::check(&setting, &mut log, &mut terminal);
    terminal.finish();
    print!("{}", show::table(&report));
    let seconds = start.elapsed().as_secs_f64();
    conclude(&report, &args.label, args.record.as_deref(), seconds, true)
}

/// A wish for tests of which there are none; not when something has failed, which may be why they did not come.
fn in_vain(selection: &Selection, report: &Report) -> Result<(), CommandError> {
    let failed = |outcome: &Outcome| matches!(outcome.verdict, Verdict::Failed(_));
    if report.outcomes.iter().any(failed) {
        return Ok(());
    }
    let names: Vec<_> = report
        .outcomes
        .iter()
        .map(|outcome| outcome.name.as_str())
        .collect();
    match selection.in_vain(&names) {
        Some(pattern) => Err(CommandError::NoSuchTest(pattern.clone())),
        None => Ok(()),
    }
}

fn boot_matrix(args: &BootMatrixArgs) -> Result<Status, CommandError> {
    let start = Instant::now();
    let mut log = LogFolder::create(&args.machine.logs.join(&args.label))?;
    let machine = args.machine.machine(Clock::Wall)?;
    machine.check()?;
    let selection = Selection {
        only: args.only.clone(),
        skip: Vec::new(),
    };
    let mut terminal = Terminal::new(&args.label, args.verbose, false);
    let limits = args.machine.limits();
    let report = boot_matrix::check(&machine, limits, &selection, &mut log, &mut terminal);
    terminal.finish();
    in_vain(&selection, &report)?;
    print!("{}", show::table(&report));
    let seconds = start.elapsed().as_secs_f64();
    conclude(&report, &args.label, args.record.as_deref(), seconds, true)
}

fn test(args: &TestArgs) -> Result<Status, CommandError> {
    let start = Instant::now();
    let label = args.label.clone().unwrap_or_else(|| default_label(args));
    let mut log = LogFolder::create(&args.machine.logs.join(&label))?;
    let request = Request {
        speaker: args.speaker.clone(),
        selection: args.selection(),
        words: words(args),
        // The command line reaches the normal world; a payload at R-EL2 has none.
        has_command_line: args.speaker == "ns-host",
        restarts: args.restarts,
        stops: usize::from(args.fault.is_some_and(Fault::stops_the_rmm)),
        limits: args.machine.limits(),
    };
    let mut machine: Box<dyn Emulator> = match args.machine.board() {
        Some(board) => Box::new(board),
        None => Box::new(Machine {
            fault: args.fault,
            ..args.machine.machine(Clock::Wall)?
        }),
    };
    let mut terminal = Terminal::new(&label, args.verbose, args.json);
    let report = suite::run(machine.as_mut(), &request, &mut log, &mut terminal)?;
    terminal.finish();
    in_vain(&request.selection, &report)?;
    let seconds = start.elapsed().as_secs_f64();
    if args.json {
        print!(
            "{}",
            summary::to_json(&TestResult::new(&label, &report, seconds))
        );
    } else {
        print!("{}", show::table(&report));
    }
    conclude(&report, &label, args.record.as_deref(), seconds, !args.json)
}

/// What the test host is told beside the choice of tests.
fn words(args: &TestArgs) -> Vec<String> {
    let calls = args.calls.map(|calls| format!("calls={calls}"));
    let fault = args.fault.filter(|fault| fault.stops_the_rmm());
    let fault = fault.map(|fault| format!("fault={}", fault.name()));
    calls.into_iter().chain(fault).collect()
}

/// The name of a run by the machine on which it runs.
fn default_label(args: &TestArgs) -> String {
    let (smp, memory) = (args.machine.smp, &args.machine.memory);
    format!("{}-{smp}-cpus-{memory}", args.speaker)
}

/// The whole result of a run, for programs.
#[derive(serde::Serialize)]
struct TestResult<'a> {
    run: &'a str,
    seconds: f64,
    #[serde(flatten)]
    tally: crate::protocol::Tally,
    #[serde(flatten)]
    report: &'a Report,
}

impl<'a> TestResult<'a> {
    fn new(run: &'a str, report: &'a Report, seconds: f64) -> Self {
        Self {
            run,
            seconds,
            tally: report.tally(),
            report,
        }
    }
}

/// Leaves the record, prints the closing line, and decides. A run in which nothing passed shows
/// nothing, so it does not count as good.
fn conclude(
    report: &Report,
    label: &str,
    record: Option<&std::path::Path>,
    seconds: f64,
    closing_line: bool,
) -> Result<Status, CommandError> {
    let tally = report.tally();
    if let Some(path) = record {
        let record = Record {
            run: label.to_owned(),
            tally,
            seconds,
        };
        record.write(path)?;
    }
    if closing_line {
        println!("{tally}");
    }
    Ok(decide(tally))
}

fn decide(tally: crate::protocol::Tally) -> Status {
    let nothing = tally.passed == 0 && tally.skipped == 0;
    if tally.failed > 0 || nothing {
        Status::Failed
    } else {
        Status::Good
    }
}

fn list(args: &MachineArgs) -> Result<Status, CommandError> {
    let mut log = LogFolder::create(&args.logs.join("list"))?;
    let request = plain_request(args.limits());
    let mut machine: Box<dyn Emulator> = match args.board() {
        Some(board) => Box::new(board),
        None => Box::new(args.machine(Clock::Wall)?),
    };
    for name in suite::list(machine.as_mut(), &request, &Selection::default(), &mut log)? {
        println!("{name}");
    }
    Ok(Status::Good)
}

fn bench(args: &BenchArgs) -> Result<Status, CommandError> {
    let mut log = LogFolder::create(&args.machine.logs.join("bench"))?;
    let request = plain_request(args.machine.limits());
    // More than one CPU would share the count, which is what the scaling is about.
    let (cpus, command_line) = if args.scaling {
        (4, "mode=scaling")
    } else {
        (1, "mode=bench")
    };
    let mut machine = Machine {
        cpus,
        ..args.machine.machine(Clock::Instructions)?
    };
    let mut figures = bench::run(&mut machine, command_line, &request, &mut log)?;
    if !args.scaling {
        let limits = args.machine.limits();
        figures.extend(bench::boots(&machine, limits, &mut log)?);
    }
    let json = summary::to_json(&figures);
    if !args.scaling {
        atomic::write(&args.out, json.as_bytes())?;
    }
    if args.json {
        print!("{json}");
    } else {
        print!("{}", bench::table(&figures));
    }
    Ok(Status::Good)
}

fn linux_test(args: &LinuxArgs) -> Result<Status, CommandError> {
    let start = Instant::now();
    let mut log = LogFolder::create(&args.machine.logs.join(&args.label))?;
    let mut machine = linux_machine(args)?;
    let limits = args.machine.limits();
    let mut terminal = Terminal::new(&args.label, true, false);
    let mut session = machine.start(linux::COMMAND_LINE)?;
    log.session_started();
    let expectation = linux::Expectation {
        cpus: args.machine.smp,
        limit: limits.scaled(std::time::Duration::from_secs(args.limit)),
        scale: limits.scale,
    };
    let report = linux::check(session.as_mut(), expectation, &mut log, &mut terminal);
    terminal.finish();
    let seconds = start.elapsed().as_secs_f64();
    conclude(&report, &args.label, args.record.as_deref(), seconds, true)
}

fn linux_interactive(args: &LinuxArgs) -> Result<Status, CommandError> {
    hand_over(&linux_machine(args)?, linux::COMMAND_LINE)
}

/// Hands the console of a machine to a person.
fn hand_over(machine: &Machine, command_line: &str) -> Result<Status, CommandError> {
    machine.check()?;
    eprintln!("emulator: Ctrl-A X ends the emulator, Ctrl-A H shows its other keys");
    let arguments = machine.arguments(command_line, Console::Person)?;
    let status = mortal(&machine.qemu).args(arguments).status();
    let status = status
        .map_err(|error| CommandError::Interactive(machine.qemu.display().to_string(), error))?;
    Ok(if status.success() {
        Status::Good
    } else {
        Status::Failed
    })
}

/// The machine for a kernel, with a fresh initial RAM disk among the logs.
fn linux_machine(args: &LinuxArgs) -> Result<Machine, CommandError> {
    let busybox = atomic::read(&args.busybox)?;
    let disk = Archive::new(&busybox, &atomic::read(&args.init)?)
        .and_then(Archive::finish)
        .map_err(CommandError::InitialRamDisk)?;
    let path = args.machine.logs.join(&args.label).join("initramfs.cpio");
    atomic::write(&path, &disk)?;
    Ok(Machine {
        normal_world: args.kernel.clone(),
        initrd: Some(path),
        ..args.machine.machine(Clock::Wall)?
    })
}

fn summary(args: &SummaryArgs) -> Status {
    let sum = summary::add_up(&args.records, &args.runs);
    if args.json {
        print!("{}", summary::to_json(&sum));
    } else {
        print!("{}", summary::table(&sum));
        println!("{}", sum.tally);
    }
    decide(sum.tally)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Tally;

    #[test]
    fn a_failure_or_nothing_at_all_is_not_good() {
        let tally = |passed, failed, skipped| Tally {
            passed,
            failed,
            skipped,
        };
        assert_eq!(decide(tally(3, 0, 1)), Status::Good);
        assert_eq!(decide(tally(0, 0, 1)), Status::Good);
        assert_eq!(decide(tally(3, 1, 0)), Status::Failed);
        assert_eq!(decide(tally(0, 0, 0)), Status::Failed);
    }
}
