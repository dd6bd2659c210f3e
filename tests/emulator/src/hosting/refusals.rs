//! What cannot be: wrong inputs, hosts without a Realm world or with another one, and what the kernel must
//! not do while Realms live. Each gets one line and an exit code, and nothing is left behind.

use super::checks::{
    Run, expected_disk, gives_back, host_boots, module_loads, module_unloads, no_complaints,
    number, power_off,
};
use super::guest::Guest;
use super::{Ended, Host};
use crate::log::TestLog;
use crate::session::Session;
use crate::suite::{Limits, Observer, Report};
use crate::systems::{HOST_INITRD, HOST_KERNEL};

/// Exit codes of `host-vmm`.
const UNUSABLE: i32 = 2;
const HOST_CANNOT: i32 = 3;
const ENDED: i32 = 4;
/// A kernel that is half there.
const HALF_A_KERNEL: &str = "/tmp/half-a-kernel";
/// Open files may be so many more than before: the kernel counts them in batches of each CPU.
const KEPT_FILES: u64 = 64;
/// The Realm that lives while the kernel is asked for what it must refuse.
const LIVING: &str = "/tmp/living";
/// Where its control socket and its audit log are.
const RUN_FOLDER: &str = "/tmp/machines";

/// A command that must be refused.
struct Refusal {
    /// What runs it.
    program: &'static str,
    /// Options beside the usual ones.
    options: &'static [&'static str],
    status: i32,
    /// What the line says.
    says: &'static str,
}

impl Refusal {
    const fn new(options: &'static [&'static str], status: i32, says: &'static str) -> Self {
        Self {
            program: "host-vmm run",
            options,
            status,
            says,
        }
    }

    /// The command. Nothing but errors is wanted of it.
    fn command(&self) -> String {
        let mut words = vec![self.program, "--realm --serial none"];
        if !self.options.contains(&"--kernel") {
            words.extend(["--kernel", HOST_KERNEL]);
        }
        if !self.options.contains(&"--initrd") {
            words.extend(["--initrd", HOST_INITRD]);
        }
        words.extend(self.options);
        format!("HOST_VMM_LOG=off {}", words.join(" "))
    }

    /// Whether it was refused as it should.
    fn judge(&self, ended: &Ended) -> Result<(), String> {
        let what = self.options.join(" ");
        if ended.status != Some(self.status) {
            return Err(format!(
                "{what}: exit code {:?}: {:?}",
                ended.status, ended.lines
            ));
        }
        match &ended.lines[..] {
            [line] if line.starts_with("host-vmm: ") && line.contains(self.says) => Ok(()),
            lines => Err(format!(
                "{what}: {lines:?} instead of a line with {:?}",
                self.says
            )),
        }
    }

    fn check(&self, host: &mut Host<'_>) -> Result<(), String> {
        self.judge(&host.run(&self.command())?)
    }
}

/// Before the module is loaded.
pub(super) fn no_device_node(host: &mut Host<'_>) -> Result<(), String> {
    Refusal::new(
        &["--backend", "module"],
        HOST_CANNOT,
        "/dev/realm: no such device: load the Realm kernel module (realm.ko)",
    )
    .check(host)?;
    vmm_judges(host, HOST_CANNOT, "BAD   realm.ko  ")
}

/// With the module: the VMM finds nothing that is in the way of a Realm.
pub(super) fn vmm_finds_all_well(host: &mut Host<'_>) -> Result<(), String> {
    vmm_judges(host, 0, "good  RMM  ")
}

/// What the VMM's own check of the host comes to: an exit code, and a line that begins so. Lines are bad only if
/// the exit code says so.
fn vmm_judges(host: &mut Host<'_>, status: i32, line: &str) -> Result<(), String> {
    let ended = host.run("host-vmm check --backend module")?;
    let found = ended
        .lines
        .iter()
        .any(|found| squeezed(found).starts_with(&squeezed(line)));
    let bad = ended
        .lines
        .iter()
        .any(|found| found.starts_with("BAD") || found.starts_with('?'));
    if ended.status == Some(status) && found && bad == (status != 0) {
        Ok(())
    } else {
        Err(format!("not exit code {status} with {line:?}: {ended:?}"))
    }
}

/// With one space where there are several: columns are as wide as their contents.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// With the module: whatever is wrong is said in one line, and takes nothing from the host.
pub(super) fn wrong_inputs(host: &mut Host<'_>) -> Result<(), String> {
    host.command(&format!(
        "head -c 1000000 {HOST_KERNEL} >{HALF_A_KERNEL}; \
         mkdir -p /etc && echo user:x:1000:1000::/:/bin/sh >/etc/passwd"
    ))?;
    let unusable = |options, says| Refusal::new(options, UNUSABLE, says);
    let cannot = |options, says| Refusal::new(options, HOST_CANNOT, says);
    let refusals = [
        unusable(&["--kernel", "/init"], "/init: not a kernel"),
        unusable(&["--kernel", "/bin/busybox"], "/bin/busybox: an ELF file"),
        unusable(&["--kernel", HALF_A_KERNEL], "truncated: 1000000 bytes"),
        unusable(&["--initrd", "/nowhere"], "/nowhere: No such file"),
        unusable(&["--memory", "32M"], "memory is too small: 32 MiB"),
        unusable(&["--memory", "33M"], "33M"),
        unusable(&["--disk", "/nowhere"], "/nowhere: No such file"),
        cannot(&["--memory", "64G"], "Out of memory"),
        unusable(&["--cpus", "513"], "513"),
        cannot(
            &["--backend", "module", "--realm-device", "/dev/null"],
            "/dev/null: not a device node of the Realm kernel module",
        ),
        cannot(
            &["--backend", "module", "--realm-device", "/nowhere"],
            "/nowhere: no such device",
        ),
        Refusal {
            program: "start-stop-daemon -S -c user -x /bin/host-vmm -- run",
            ..cannot(&["--backend", "module"], "/dev/realm: no permission")
        },
    ];
    let files = "cut -f1 /proc/sys/fs/file-nr";
    gives_back(host, |host| {
        let before = number(host, files)?;
        for refusal in &refusals {
            refusal.check(host)?;
        }
        let after = number(host, files)?;
        if after.saturating_sub(before) > KEPT_FILES {
            return Err(format!("{before} open files have become {after}"));
        }
        Ok(())
    })?;
    host.command(&format!("rm {HALF_A_KERNEL}")).map(drop)
}

/// While a Realm lives, the module stays and the machine does not sleep; the Realm takes no notice.
pub(super) fn refusals_while_realms_live(host: &mut Host<'_>) -> Result<(), String> {
    gives_back(host, |host| {
        start_living(host)?;
        let first = more_beats(host, 0)?;
        for (command, says) in [
            ("rmmod realm", "unavailable"),
            ("echo freeze >/sys/power/state", "busy"),
            ("echo mem >/sys/power/state", "busy"),
        ] {
            let ended = host.run(command)?;
            let refused = ended.lines.iter().any(|line| line.contains(says));
            if ended.status == Some(0) || !refused {
                return Err(format!("{command:?} was not refused: {ended:?}"));
            }
        }
        kernel_says(host, "not going to sleep while Realms live")?;
        more_beats(host, first)?;
        let failures = host.run(&format!("grep FAILED {LIVING}"))?;
        if failures.status != Some(1) {
            return Err(format!(
                "the Realm has seen something: {:?}",
                failures.lines
            ));
        }
        stop_living(host)
    })
}

/// Ends the living Realm by its control socket, which must know it, and leaves nothing behind.
fn stop_living(host: &mut Host<'_>) -> Result<(), String> {
    let at = format!("living --run-dir {RUN_FOLDER}");
    host.command(&format!("host-vmm probe ready {at}"))?;
    let listed = host.command(&format!("host-vmm ps {at}"))?;
    let row = squeezed(listed.last().map_or("", String::as_str));
    if !row.starts_with("living running realm module 256M 1 ") {
        return Err(format!("host-vmm lists the Realm as {listed:?}"));
    }
    // In one line: at its prompt the shell forgets what has ended.
    let ended = host.run(&format!("host-vmm stop {at} && wait $!"))?;
    let stopped = ended.lines.iter().any(|line| line == "living: ended");
    if ended.status != Some(ENDED) || !stopped {
        return Err(format!(
            "host-vmm was told to end, and did so with {ended:?}"
        ));
    }
    let events = host.command(&format!(
        "sed 's/.*\"event\":\"\\([a-z]*\\)\".*/\\1/' {RUN_FOLDER}/audit"
    ))?;
    let mut events: Vec<&str> = events.iter().map(String::as_str).collect();
    // That is found out beside the launch.
    events.retain(|event| *event != "measured");
    if events
        != [
            "begin", "made", "filled", "started", "asked", "stopped", "end",
        ]
    {
        return Err(format!("the audit log has {events:?}"));
    }
    host.command(&format!(
        "rm {LIVING} {LIVING}.log {RUN_FOLDER}/audit && rmdir {RUN_FOLDER}"
    ))
    .map(drop)
}

/// When no Realm lives the machine may sleep; its clock wakes it up.
pub(super) fn sleeps_without_realms(host: &mut Host<'_>) -> Result<(), String> {
    host.command("echo +2 >/sys/class/rtc/rtc0/wakealarm && echo freeze >/sys/power/state")
        .map(drop)
}

/// Whoever switches the machine off while a Realm lives ends the Realm first, and its pages are the host's again:
/// by the same way a kernel that kexec starts finds all of its memory. Nobody may refuse this.
pub(super) fn power_off_ends_realms(host: &mut Host<'_>) -> Result<(), String> {
    host.load_module()?;
    start_living(host)?;
    host.guests(&format!(
        "until grep -q 'host-vmm: started' {LIVING}.log; do kill -0 $! || break; usleep 100000; done"
    ))?
    .success()?;
    let delegated = number(host, "cat /sys/class/misc/realm/pages_delegated")?;
    if delegated == 0 {
        return Err("there is no Realm".to_owned());
    }
    power_off(host)?;
    let lines = &host.console.lines;
    match lines
        .iter()
        .find(|line| line.contains("still belong to the Realm world"))
    {
        Some(line) => Err(line.clone()),
        None => Ok(()),
    }
}

/// Starts a Realm that lives on beside the commands.
fn start_living(host: &mut Host<'_>) -> Result<(), String> {
    let guest = Guest {
        console: format!("file={LIVING}"),
        ..Guest::realm(1, &[&expected_disk(), "cloister.then=beat"])
    };
    let run = guest.run().text();
    host.command(&format!(
        "mkdir -p {RUN_FOLDER}; {{ (rm -f {LIVING}; exec {run} --name living --run-dir {RUN_FOLDER} \
         --audit-log {RUN_FOLDER}/audit >{LIVING}.log 2>&1 </dev/null) & }}"
    ))
    .map(drop)
}

/// Waits until the living Realm has read its disk more often than so; returns how often.
fn more_beats(host: &mut Host<'_>, seen: u64) -> Result<u64, String> {
    // The file is there as soon as the machine has its console.
    let beats = format!("cat {LIVING} 2>/dev/null | grep -c '^guest: beat'");
    host.guests(&format!(
        "while [ $({beats}) -le {seen} ] && kill -0 $!; do usleep 100000; done"
    ))?
    .success()?;
    let beats = number(host, &format!("{beats} || true"))?;
    if beats > seen {
        Ok(beats)
    } else {
        let log = host.run(&format!("tail -n 1 {LIVING}.log"))?;
        Err(format!("the Realm has ended: {:?}", log.lines))
    }
}

/// Whether the kernel's log has a line with this text.
fn kernel_says(host: &mut Host<'_>, text: &str) -> Result<(), String> {
    let found = host.run(&format!("dmesg | grep -c 'realm: .*{text}'"))?;
    if found.status == Some(0) {
        Ok(())
    } else {
        Err(format!("the kernel's log has no line with {text:?}"))
    }
}

/// A Realm world that this module cannot work with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RealmWorld {
    /// There is none.
    Absent,
    /// Its RMM speaks another version.
    Foreign,
}

impl RealmWorld {
    const fn family(self) -> &'static str {
        match self {
            Self::Absent => "no-rmm",
            Self::Foreign => "other-rmm",
        }
    }

    /// What the kernel says when the module is loaded.
    const fn kernel_says(self) -> &'static str {
        match self {
            Self::Absent => "no RMM on this machine: there will be no Realms",
            Self::Foreign => {
                "the RMM speaks RMI 2.0, this module speaks another version: there will be no Realms"
            }
        }
    }

    /// What the VMM's check of the host says.
    const fn check_says(self) -> &'static str {
        match self {
            Self::Absent => "BAD RMM none answers",
            Self::Foreign => {
                "BAD RMM the RMM speaks RMI 2.0, and the Realm kernel module speaks RMI 1.0"
            }
        }
    }

    /// What the VMM says.
    const fn vmm_says(self) -> &'static str {
        match self {
            Self::Absent => "there is no Realm Management Monitor",
            Self::Foreign => {
                "the Realm Management Monitor speaks RMI 2.0, and the Realm kernel module speaks RMI 1.0"
            }
        }
    }
}

/// Boots the host of a machine with such a Realm world: the module loads and says what is wrong, and there
/// are no Realms.
pub(crate) fn check_without_rmm(
    world: RealmWorld,
    session: &mut dyn Session,
    limits: Limits,
    log: &mut dyn TestLog,
    observer: &mut dyn Observer,
) -> Report {
    let mut run = Run::new(world.family(), session, limits, log, observer);
    if run.check("host-boots", host_boots) {
        run.check("module-says-so", |host| {
            module_loads(host)?;
            kernel_says(host, world.kernel_says())
        });
        run.check("no-realm", |host| {
            gives_back(host, |host| {
                Refusal::new(&["--backend", "module"], HOST_CANNOT, world.vmm_says())
                    .check(host)?;
                vmm_judges(host, HOST_CANNOT, world.check_says())
            })
        });
        run.check("module-unloads", module_unloads);
        run.check("no-complaints", no_complaints);
        run.check("power-off", power_off);
    }
    run.report
}
/// Checks of such a machine.
pub(crate) const CHECKS_WITHOUT_RMM: u64 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_and_its_exit_code() {
        let refusal = Refusal::new(&["--memory", "32M"], UNUSABLE, "too small");
        let command = refusal.command();
        assert!(command.starts_with("HOST_VMM_LOG=off host-vmm run --realm "));
        assert!(command.ends_with(" --memory 32M") && command.contains(HOST_KERNEL));
        let judge = |status, lines: &[&str]| {
            refusal.judge(&Ended {
                text: command.clone(),
                status,
                lines: lines.iter().map(ToString::to_string).collect(),
            })
        };
        assert_eq!(judge(Some(2), &["host-vmm: memory is too small"]), Ok(()));
        for (status, lines) in [
            (Some(3), &["host-vmm: memory is too small"][..]),
            (None, &["host-vmm: memory is too small"]),
            (Some(2), &["host-vmm: something else"]),
            (Some(2), &["memory is too small"]),
            (Some(2), &[]),
            (Some(2), &["host-vmm: memory is too small", "and more"]),
        ] {
            assert!(judge(status, lines).is_err(), "{status:?} {lines:?}");
        }
    }

    #[test]
    fn options_take_the_place_of_the_usual_ones() {
        let refusal = Refusal::new(&["--kernel", "/init"], UNUSABLE, "not a kernel");
        assert!(!refusal.command().contains(HOST_KERNEL));
    }
}
