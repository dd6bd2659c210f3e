//! The command `host-vmm`.

use std::io::{self, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use host_vmm::check::{Findings, RealDevices};
use host_vmm::command_line::{
    Arguments, Check, Command, Config, Measure, MeasurementForm, Memory, Probe, Ps, Rmm, Stop,
};
use host_vmm::configuration::{Configuration, OnReset, RealmOptions};
use host_vmm::confinement::{self, Folders, Kind};
use host_vmm::error::Error;
use host_vmm::exit::{Ending, Exit};
use host_vmm::fleet::{self, Stopping};
use host_vmm::life::audit::{AuditLog, Event};
use host_vmm::life::notify::Notifier;
use host_vmm::life::{Life, Operator};
use host_vmm::load::{Prepared, Sources};
use host_vmm::machine::{self, Held, MachineError};
use host_vmm::measure::{self, MeasureError, report};
use host_vmm::rmm::{self, RmmError};
use host_vmm::run_directory::Claim;
use host_vmm::settings::{Effective, LogFormat};
use host_vmm::sys::confinement::lowest_priority;
use host_vmm::sys::kvm::Node;
use host_vmm::{control_socket, messages, standard_error};
use tracing::{debug, error, info, warn};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return wrong_command_line(&error).into(),
    };
    let mut json = false;
    let result = match arguments.command {
        Command::Run(arguments) => {
            json = arguments.log_format() == Some(LogFormat::Json);
            match arguments.effective() {
                Ok(effective) => {
                    json = effective.process.log_format == LogFormat::Json;
                    messages::initialize(&effective.process.log, json);
                    run(&effective)
                }
                Err(error) => {
                    messages::initialize("info", json);
                    Err(error.into())
                }
            }
        }
        Command::Measure(arguments) => measure(*arguments),
        Command::Config(arguments) => config(*arguments),
        Command::Check(arguments) => check(*arguments),
        Command::Ps(arguments) => ps(&arguments),
        Command::Probe(arguments) => probe(&arguments),
        Command::Stop(arguments) => stop(&arguments),
        Command::Rmm(arguments) => rmm(&arguments),
        Command::Memory(arguments) => memory(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "host-vmm", &mut script);
            print(&script).map(|()| Exit::Done)
        }
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = error.exit();
            if json {
                error!(target: messages::OUTCOME, exit = exit as u8, "{error}");
            } else {
                standard_error::say(format!("host-vmm: {error}\n").as_bytes());
            }
            exit.into()
        }
    }
}

/// Says in one line what is wrong; help that was asked for is printed as it is.
fn wrong_command_line(error: &clap::Error) -> Exit {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let exit = if error.use_stderr() {
            Exit::Unusable
        } else {
            Exit::Done
        };
        // Whoever reads may have enough.
        let _ = error.print();
        return exit;
    }
    let text = error.to_string();
    // What follows an empty line is usage.
    let lines = text.lines().take_while(|line| !line.is_empty());
    let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    // Nobody can be told that standard error fails.
    let _ = writeln!(io::stderr(), "host-vmm: {line}; see host-vmm --help");
    Exit::Unusable
}

fn run(effective: &Effective) -> Result<Exit, Error> {
    confinement::choose(effective.process.confinement)?;
    let audit = effective.process.audit_log.as_deref();
    let audit = audit.map(|path| {
        AuditLog::open(path).map_err(|error| Error::AuditLog {
            path: path.into(),
            error,
        })
    });
    let audit = audit.transpose()?;
    let name = &effective.configuration.name;
    let folder = effective.process.run_directory.as_deref();
    let claimed = folder.map(|folder| Claim::new(folder, name)).transpose()?;
    let (claim, listener) = claimed.unzip();
    let sockets = effective.configuration.vsocks.iter();
    let sockets = sockets.filter_map(|vsock| vsock.socket.parent());
    // A path without a folder is in the current one.
    let sockets = sockets.map(|folder| Path::new(".").join(folder));
    confinement::keep_folders(&Folders {
        own: sockets.collect(),
        removed_from: folder.map(Path::to_owned).into_iter().collect(),
    })?;
    let life = Life::new(&effective.configuration, audit);
    match Notifier::from_environment() {
        Ok(notifier) => notifier
            .into_iter()
            .for_each(|notifier| life.notify(notifier)),
        Err(error) => warn!("the service manager is not told: {error}"),
    }
    let result = live(&life, &effective.configuration, listener);
    drop(claim);
    match &result {
        Ok(exit) => life.end(*exit, None),
        Err(error) => life.end(error.exit(), Some(error)),
    }
    result
}

fn live(
    life: &Arc<Life>,
    configuration: &Configuration,
    listener: Option<UnixListener>,
) -> Result<Exit, Error> {
    let begin = Instant::now();
    let sources = Sources::open(configuration)?;
    let mut prepared = sources.prepare(configuration)?;
    let held = Held::default();
    // Before there are other threads, which must not take the signals; and no earlier, so that a
    // signal ends this process at once while it waits for a pipe.
    let operator = Operator::new().map_err(MachineError::System)?;
    let _signals = operator.listen(life).map_err(MachineError::System)?;
    let control = listener.map(|listener| control_socket::serve(listener, Arc::clone(life)));
    let _control = control.transpose().map_err(MachineError::System)?;
    info!(
        name = %configuration.name,
        memory = %configuration.memory,
        cpus = configuration.cpus.get(),
        milliseconds = milliseconds(begin),
        "files opened"
    );
    let mut measured = configuration.realm.as_ref();
    loop {
        let ending = thread::scope(|scope| {
            // Beside the launch, which takes no notice of it; once, because it stays the same.
            if let Some(options) = measured.take() {
                let prepared = &prepared;
                scope.spawn(move || {
                    // The guest does not wait for it. On a host with one CPU the launch would.
                    if let Err(error) = lowest_priority() {
                        debug!("the initial measurement is not put last: {error}");
                    }
                    confinement::enter_or_end(Kind::Device);
                    say_measurement(life, options, prepared);
                });
            }
            machine::launch(life, configuration, &prepared, &held)
        });
        let ending = ending.map_err(|error| match error {
            MachineError::Content(error) if life.launches() > 1 => Error::Again(error),
            error => error.into(),
        })?;
        match ending {
            Ending::PoweredOff => return Ok(Exit::Done),
            Ending::Ended => return Ok(Exit::Ended),
            Ending::Reset if configuration.on_reset == OnReset::Exit => return Ok(Exit::Reset),
            Ending::Reset => {
                life.record(&Event::Restart);
                info!(name = %configuration.name, "restart");
                prepared = sources.prepare(configuration).map_err(Error::Again)?;
            }
        }
    }
}

/// Why there is no initial measurement.
#[derive(thiserror::Error, Debug)]
enum Unmeasured {
    #[error("somebody wants the machine to end")]
    Ending,
    #[error(transparent)]
    Measure(#[from] MeasureError),
}

/// Says what `host-vmm measure` prints. Whoever wants the machine to end does not wait for it.
fn say_measurement(life: &Life, options: &RealmOptions, prepared: &Prepared) {
    let begin = Instant::now();
    let goes_on = || match life.asked() {
        Some(_) => Err(Unmeasured::Ending),
        None => Ok(()),
    };
    match measure::initial_measurement_while(options, prepared, goes_on) {
        Ok(measurement) => {
            let hash = options.hash_algorithm.name();
            life.measured(&measurement, hash);
            info!(
                rim = %measurement,
                hash,
                milliseconds = milliseconds(begin),
                "initial measurement"
            );
        }
        Err(error @ Unmeasured::Ending) => info!("no initial measurement: {error}"),
        Err(error) => error!(%error, "no initial measurement"),
    }
}

fn milliseconds(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn measure(arguments: Measure) -> Result<Exit, Error> {
    let form = arguments.form();
    let configuration = arguments.effective()?.configuration;
    let options = configuration.realm.clone().unwrap_or_default();
    let prepared = Prepared::new(&configuration)?;
    let measurement = measure::initial_measurement(&options, &prepared)?;
    let text = match form {
        MeasurementForm::Hex => format!("{measurement}\n"),
        MeasurementForm::Toml => report::toml(&configuration, &options, measurement)?,
        MeasurementForm::Json => {
            let report = report::Report::new(&configuration, &options, &prepared, measurement)?;
            let json = serde_json::to_string_pretty(&report);
            json.map_err(|error| Error::Output(error.into()))? + "\n"
        }
    };
    print(text.as_bytes())?;
    Ok(Exit::Done)
}

fn config(arguments: Config) -> Result<Exit, Error> {
    let json = arguments.json;
    let report = arguments.effective()?.report;
    let text = if json {
        let json = report.to_json();
        json.map_err(|error| Error::Output(error.into()))? + "\n"
    } else {
        report.to_toml()
    };
    print(text.as_bytes())?;
    Ok(Exit::Done)
}

fn check(arguments: Check) -> Result<Exit, Error> {
    let (root, json) = (arguments.root.clone(), arguments.json);
    let findings = Findings::new(&root, &RealDevices, &arguments.wish()?);
    let text = if json {
        let json = findings.to_json();
        json.map_err(|error| Error::Output(error.into()))? + "\n"
    } else {
        findings.to_text()
    };
    print(text.as_bytes())?;
    Ok(findings.exit())
}

fn ps(arguments: &Ps) -> Result<Exit, Error> {
    let text = fleet::list(&arguments.run_dir, &arguments.names, arguments.json)?;
    print(text.as_bytes())?;
    if !arguments.json && text.lines().count() == 1 {
        let folder = arguments.run_dir.display();
        let hint = format!("host-vmm: no machine was started with --run-dir {folder}\n");
        standard_error::say(hint.as_bytes());
    }
    Ok(Exit::Done)
}

fn probe(arguments: &Probe) -> Result<Exit, Error> {
    fleet::probe(&arguments.run_dir, &arguments.name, arguments.question)?;
    Ok(Exit::Done)
}

fn memory(arguments: &Memory) -> Result<Exit, Error> {
    let wait = arguments
        .wait
        .map(|seconds| Duration::from_secs(seconds.into()));
    let folder = &arguments.run_dir;
    let moving = fleet::memory(folder, &arguments.name, arguments.target, wait)?;
    let text = if arguments.json {
        let json = serde_json::to_string_pretty(&moving);
        json.map_err(|error| Error::Output(error.into()))? + "\n"
    } else {
        let mebibytes = |bytes| bytes >> 20;
        format!(
            "{}: has {} MiB, shall have {} MiB\n",
            arguments.name,
            mebibytes(moving.guest_bytes),
            mebibytes(moving.target_bytes)
        )
    };
    print(text.as_bytes())?;
    Ok(Exit::Done)
}

fn stop(arguments: &Stop) -> Result<Exit, Error> {
    let how = Stopping {
        timeout: Duration::from_secs(arguments.timeout.into()),
        kill: arguments.kill,
    };
    let reports = fleet::stop(&arguments.run_dir, &arguments.names, how);
    let (text, exit) = fleet::told(&reports, arguments.json);
    print(text.as_bytes())?;
    Ok(exit)
}

fn rmm(arguments: &Rmm) -> Result<Exit, Error> {
    let device = &arguments.realm_device;
    let node = Node::open(device).map_err(|error| RmmError::Open {
        device: device.clone(),
        error,
    })?;
    let report = rmm::read(&node, device)?;
    let text = if arguments.json {
        let json = report.to_json();
        json.map_err(|error| Error::Output(error.into()))? + "\n"
    } else {
        report.to_text(arguments.events.into())
    };
    print(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Writes to standard output.
fn print(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // Whoever reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Error::Output),
    }
}
