//! The subcommands around a Debian host that runs Realms.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{CommandError, Status, conclude, hand_over, judge};
use crate::cli::{
    GuestImageArgs, HostImageArgs, HostPartsArgs, KernelsArgs, LoadArgs, MachineArgs, RealmsArgs,
    RunArgs, SoakArgs, SystemArgs,
};
use crate::evidence;
use crate::hosting::{self, Amounts, Guest, Host, RealmWorld, Screen};
use crate::log::{LogFolder, TestLog};
use crate::machine::{Clock, Fault, Machine};
use crate::owner::Owner;
use crate::session::{Emulator as _, Session};
use crate::show::{Followed, Terminal};
use crate::suite::{Limits, Observer, Report};
use crate::systems::{self, GuestParts, HostParts, LoadParts, System};

/// Puts the guest together.
pub(super) fn guest_image(args: &GuestImageArgs) -> Result<Status, CommandError> {
    let parts = GuestParts {
        kernel: &args.kernel,
        busybox: &args.busybox,
        init: &args.init,
        modules: &args.modules,
        realm_kit: &args.realm_kit,
        stream_end: &args.stream_end,
        memory_module: &args.memory_module,
    };
    systems::build_guest(&parts, &args.out)?;
    Ok(Status::Good)
}

/// Puts the host together.
pub(super) fn host_image(args: &HostImageArgs) -> Result<Status, CommandError> {
    let tun = Some(args.tun.as_path());
    let load = args.load.as_deref().map(|system| LoadParts {
        system,
        workload: &args.workload,
        host_script: &args.host_load,
        guest_script: &args.guest_load,
    });
    build_host(
        &args.parts,
        &args.kernel,
        &args.module,
        tun,
        load,
        &args.out,
    )?;
    Ok(Status::Good)
}

/// Puts a host with this kernel together.
fn build_host(
    parts: &HostPartsArgs,
    kernel: &Path,
    module: &Path,
    tun: Option<&Path>,
    load: Option<LoadParts<'_>>,
    out: &Path,
) -> Result<(), CommandError> {
    let parts = HostParts {
        kernel,
        busybox: &parts.busybox,
        init: &parts.init,
        module,
        tun,
        host_vmm: &parts.host_vmm,
        soak: &parts.soak,
        hostile_vmm: &parts.hostile_vmm,
        stream_end: &parts.stream_end,
        load,
        guest: &System::in_folder(&parts.guest),
    };
    Ok(systems::build_host(&parts, out)?)
}

/// The machine with a Debian host.
fn hosting_machine(machine: &MachineArgs, systems: &SystemArgs) -> Result<Machine, CommandError> {
    let host = System::in_folder(&systems.host);
    Ok(Machine {
        normal_world: host.kernel,
        initrd: Some(host.initrd),
        ..machine.machine(Clock::Wall)?
    })
}

/// Boots the host and hands its console to a person.
pub(super) fn interactive(args: &RunArgs) -> Result<Status, CommandError> {
    hand_over(
        &hosting_machine(&args.machine, &args.systems)?,
        hosting::COMMAND_LINE,
    )
}

/// Runs a Realm on a Debian host, for a person to follow.
pub(super) fn run(args: &RunArgs) -> Result<Status, CommandError> {
    let mut machine = hosting_machine(&args.machine, &args.systems)?;
    machine.check()?;
    let owner = Owner::new(args.owner.cca_token.as_deref(), &args.owner.evidence)?;
    let checksum = systems::disk_checksum();
    let disk = format!("cloister.disk={checksum}");
    let guest = Guest::realm(args.guest_cpus, &[&disk, "cloister.challenge=ask"]);
    let measured = System::in_folder(&args.systems.guest);
    let host_vmm = program(args.systems.host_vmm.as_deref(), "host-vmm");

    println!("== The guest owner, before the launch");
    println!(
        "What the Realm has to measure follows from its files and from the command that runs it:"
    );
    let prediction = guest.measure(&host_vmm, &measured);
    println!("$ {}", prediction.text());
    let launch = evidence::prepare(&owner, &machine, prediction)?;
    print!("{}", launch.predicted);
    println!(
        "Evidence has to be over fresh random bytes:\n{}\n",
        launch.challenge
    );

    println!("== The machine");
    let log = LogFolder::create(&args.machine.logs.join("run"))?;
    let mut out = io::stdout();
    let mut screen = Screen::new(log, &mut out);
    let mut session = machine.start(hosting::COMMAND_LINE)?;
    screen.session_started();
    let limits = args.machine.limits();
    let challenge = launch.challenge.to_string();
    let mut host = Host::new(session.as_mut(), &mut screen, limits);
    let token = host
        .boot()
        .and_then(|()| host.load_module())
        .and_then(|()| host.token(&guest, &challenge));
    let token = match token {
        Ok(token) => token,
        Err(reason) => {
            let log = screen.keep_excerpt("failed").unwrap_or_default();
            eprintln!("emulator: the run failed: {reason} [{log}]");
            return Ok(Status::Failed);
        }
    };

    drop(session);

    println!("\n== The guest owner");
    let accepted = judge(&owner, &launch, &args.machine, &token)?;
    screen.end("verdict");
    println!("\n{}", screen.table());
    Ok(if accepted {
        Status::Good
    } else {
        eprintln!("emulator: the run failed: the evidence is not accepted");
        Status::Failed
    })
}

/// Runs Realms on a Debian host and checks what comes of them; then boots it where Realms cannot be.
pub(super) fn realms(args: &RealmsArgs) -> Result<Status, CommandError> {
    let machine = hosting_machine(&args.machine, &args.systems)?;
    let absent = Machine {
        rmm: None,
        ..machine.clone()
    };
    let foreign = Machine {
        fault: Some(Fault::OtherRmi),
        ..machine.clone()
    };
    let mut bench = Bench::new(&args.machine, &args.label)?;
    let others = [(absent, RealmWorld::Absent), (foreign, RealmWorld::Foreign)];
    let others = if args.only.is_empty() {
        &others[..]
    } else {
        &[]
    };
    let checks = others.len() as u64 * hosting::CHECKS_WITHOUT_RMM;
    bench
        .terminal
        .planned(hosting::number_of(&args.only) + checks);
    bench.boot(machine, |session, limits, log, observer| {
        hosting::check(session, limits, &args.only, log, observer)
    })?;
    for (machine, world) in others {
        bench.boot(machine.clone(), |session, limits, log, observer| {
            hosting::check_without_rmm(*world, session, limits, log, observer)
        })?;
    }
    bench.conclude(args.record.as_deref())
}

/// Uses a Debian host long and roughly.
pub(super) fn soak(args: &SoakArgs) -> Result<Status, CommandError> {
    let amounts = Amounts {
        memory: args.realm_memory,
        launches: args.launches,
        kills: args.kills,
        races: args.races,
        pressure: args.pressure,
        hotplugs: args.hotplugs,
        moves: args.moves,
        hostile: args.hostile,
        starts: args.starts,
        crowd: args.crowd,
    };
    let machine = hosting_machine(&args.machine, &args.systems)?;
    let mut bench = Bench::new(&args.machine, &args.label)?;
    bench.boot(machine, |session, limits, log, observer| {
        hosting::soak(session, limits, amounts, log, observer)
    })?;
    bench.conclude(args.record.as_deref())
}

/// Puts guests under load, network and disk, and sees that nothing is changed on its way.
pub(super) fn load(args: &LoadArgs) -> Result<Status, CommandError> {
    let host = System::in_folder(&args.host);
    let machine = Machine {
        normal_world: host.kernel,
        initrd: Some(host.initrd),
        // By the clock on the wall, an emulated machine is so slow that TCP takes packets for lost that are not.
        ..args.machine.machine(Clock::Instructions)?
    };
    let mut bench = Bench::new(&args.machine, &args.label)?;
    bench.follow(hosting::LOAD_SPEAKER);
    bench.boot(machine, |session, limits, log, observer| {
        hosting::load(session, limits, args.mebibytes, log, observer)
    })?;
    bench.conclude(args.record.as_deref())
}

/// Boots one kernel after the other as host, and runs a Realm on each.
pub(super) fn kernels(args: &KernelsArgs) -> Result<Status, CommandError> {
    let mut bench = Bench::new(&args.machine, &args.label)?;
    let folder = args.machine.logs.join(&args.label).join("host");
    bench
        .terminal
        .planned(args.releases.len() as u64 * hosting::CHECKS_OF_KERNEL);
    for release in &args.releases {
        let kernel = args.kernels.join(release).join("vmlinuz");
        let module = args.modules.join(release).join("realm.ko");
        if !kernel.exists() {
            hosting::skip_kernel(release, &mut bench.report, &mut bench.terminal);
            continue;
        }
        build_host(&args.parts, &kernel, &module, None, None, &folder)?;
        let host = System::in_folder(&folder);
        let machine = Machine {
            normal_world: host.kernel,
            initrd: Some(host.initrd),
            ..args.machine.machine(Clock::Wall)?
        };
        bench.boot(machine, |session, limits, log, observer| {
            hosting::check_kernel(release, session, limits, log, observer)
        })?;
    }
    bench.conclude(args.record.as_deref())
}

/// Checks of Debian hosts, one after the other, under one name.
struct Bench<'a> {
    label: &'a str,
    limits: Limits,
    start: Instant,
    terminal: Terminal,
    log: Followed<LogFolder>,
    report: Report,
}

impl<'a> Bench<'a> {
    fn new(machine: &MachineArgs, label: &'a str) -> Result<Self, CommandError> {
        let start = Instant::now();
        let log = LogFolder::create(&machine.logs.join(label))?;
        let terminal = Terminal::new(label, true, false);
        Ok(Self {
            label,
            limits: machine.limits(),
            start,
            log: Followed::new(log, &terminal, hosting::SOAK_SPEAKER),
            terminal,
            report: Report::default(),
        })
    }

    /// Shows lines that begin like this.
    fn follow(&mut self, speaker: &'static str) {
        self.log.follow(speaker);
    }

    /// Boots a host and runs checks of it.
    fn boot(
        &mut self,
        mut machine: Machine,
        checks: impl FnOnce(&mut dyn Session, Limits, &mut dyn TestLog, &mut dyn Observer) -> Report,
    ) -> Result<(), CommandError> {
        let mut session = machine.start(hosting::COMMAND_LINE)?;
        self.log.session_started();
        let (log, terminal) = (&mut self.log, &mut self.terminal);
        let report = checks(session.as_mut(), self.limits, log, terminal);
        self.report.outcomes.extend(report.outcomes);
        Ok(())
    }

    /// Leaves the count of all checks in a record.
    fn conclude(self, record: Option<&Path>) -> Result<Status, CommandError> {
        self.terminal.finish();
        let seconds = self.start.elapsed().as_secs_f64();
        conclude(&self.report, self.label, record, seconds, true)
    }
}

/// The program that was asked for, or the one beside this program.
fn program(asked: Option<&Path>, name: &str) -> PathBuf {
    asked.map_or_else(
        || env::current_exe().unwrap_or_default().with_file_name(name),
        Path::to_path_buf,
    )
}
