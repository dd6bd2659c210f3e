//! The host as a test bed: Realms of several sizes, one after the other and beside each other. After
//! each of them what it took has to be there again.

use super::Host;
use super::devices;
use super::guest::Guest;
use super::launch::{Launch, Memory};
use super::{memory, refusals, rmm};
use crate::log::TestLog;
use crate::session::Session;
use crate::suite::{Limits, Observer, Outcome, Report, Verdict};
use crate::systems::{self, HOST_DISK};

/// A disk of the host that guests may write to.
const OWN_DISK: &str = "/tmp/disk.img";
/// Blocks of 4 KiB that a guest copies on it, to the place behind them.
const COPIED_BLOCKS: u32 = 512;
/// MiB that a guest of so many MiB which fills its memory leaves to itself.
const fn left_mebibytes(mebibytes: u64) -> u64 {
    24 + mebibytes / 16
}
/// Exit code of `host-vmm` for a guest that has restarted itself.
const RESTARTED: i32 = 5;
/// Free memory may be this much less than before, in KiB: the kernel keeps some of what it has taken
/// for itself. A Realm has thirty-two times as much.
const KEPT_MEMORY: u64 = 8 << 10;
/// Prints it: what the kernel calls free, and the free pages that it keeps at hand for each CPU, which may be tens
/// of MiB.
const FREE_MEMORY: &str = "echo 3 >/proc/sys/vm/drop_caches; awk '/^MemFree/ { n += $2 } \
    / count:/ { n += 4 * $2 } END { print n }' /proc/meminfo /proc/zoneinfo";

/// A check, and why it fails.
type Check = fn(&mut Host<'_>) -> Result<(), String>;

/// The checks of a host that is up, in this order.
const CHECKS: &[(&str, Check)] = &[
    ("no-device-node", refusals::no_device_node),
    ("module-loads", module_loads),
    ("vmm-finds-all-well", refusals::vmm_finds_all_well),
    // Before Realms, which must be possible afterwards.
    ("sleeps-without-realms", refusals::sleeps_without_realms),
    ("restart-seen-by-caller", restart_seen_by_caller),
    ("wrong-inputs", refusals::wrong_inputs),
    ("one-cpu-restarts", one_cpu_restarts),
    ("two-cpus-write-disk", two_cpus_write_disk),
    ("four-cpus", four_cpus),
    ("devices-of-all-kinds", devices::devices_of_all_kinds),
    ("beside-each-other", beside_each_other),
    ("memory-moves", memory::memory_moves),
    (
        "refusals-while-realms-live",
        refusals::refusals_while_realms_live,
    ),
    ("rmm-counts-are-shown", rmm::counts_are_shown),
    ("module-unloads", module_unloads),
    ("no-complaints", no_complaints),
    ("power-off-ends-realms", refusals::power_off_ends_realms),
];

/// Checks without which no other can be.
const NEEDED: &[&str] = &["module-loads", "module-unloads", "power-off-ends-realms"];

/// Whether there is a check of this name.
pub(crate) fn exists(name: &str) -> bool {
    CHECKS.iter().any(|check| check.0 == name)
}

/// How many checks there are among these, or in all.
pub(crate) fn number_of(only: &[String]) -> u64 {
    1 + chosen(only).count() as u64
}

fn chosen(only: &[String]) -> impl Iterator<Item = &'static (&'static str, Check)> {
    CHECKS.iter().filter(|(name, _)| {
        only.is_empty() || NEEDED.contains(name) || only.iter().any(|wanted| wanted == name)
    })
}

/// Boots the host and runs these checks, or all.
pub(crate) fn check(
    session: &mut dyn Session,
    limits: Limits,
    only: &[String],
    log: &mut dyn TestLog,
    observer: &mut dyn Observer,
) -> Report {
    let mut run = Run::new("realm-linux", session, limits, log, observer);
    if run.check("host-boots", host_boots) {
        for (name, check) in chosen(only) {
            run.check(name, *check);
        }
    }
    run.report
}

/// Checks of one host, and what came of them.
pub(super) struct Run<'a> {
    /// What the names of its checks begin with.
    family: String,
    host: Host<'a>,
    pub(super) observer: &'a mut dyn Observer,
    pub(super) report: Report,
}

impl<'a> Run<'a> {
    /// A host that has just been switched on.
    pub(super) fn new(
        family: &str,
        session: &'a mut dyn Session,
        limits: Limits,
        log: &'a mut dyn TestLog,
        observer: &'a mut dyn Observer,
    ) -> Self {
        Self {
            family: family.to_owned(),
            host: Host::new(session, log, limits),
            observer,
            report: Report::default(),
        }
    }

    /// Runs a check and says whether it passed.
    pub(super) fn check(
        &mut self,
        name: &str,
        check: impl FnOnce(&mut Host<'_>) -> Result<(), String>,
    ) -> bool {
        let name = format!("{}/{name}", self.family);
        self.observer.begun(&name);
        let log = &mut self.host.console.log;
        log.line(&format!("---- {name} ----"));
        log.test_started();
        let begin = self.host.console.session.elapsed();
        let result = check(&mut self.host);
        let passed = result.is_ok();
        let notes = std::mem::take(&mut self.host.notes);
        let took = self.host.console.session.elapsed().saturating_sub(begin);
        let (verdict, log) = match result {
            Ok(()) => (Verdict::Passed, None),
            Err(reason) => {
                let log = self.host.console.log.keep_excerpt(&name);
                (Verdict::Failed(reason), log)
            }
        };
        let outcome = Outcome {
            name,
            verdict,
            seconds: took.as_secs_f64(),
            log,
        };
        self.observer.ended(&outcome);
        for note in notes {
            self.observer.note(&note);
        }
        self.report.outcomes.push(outcome);
        passed
    }
}

pub(super) fn host_boots(host: &mut Host<'_>) -> Result<(), String> {
    host.boot()
}

pub(super) fn power_off(host: &mut Host<'_>) -> Result<(), String> {
    host.power_off()
}

/// Loads the module, with which nothing has been taken yet.
pub(super) fn module_loads(host: &mut Host<'_>) -> Result<(), String> {
    host.load_module()?;
    let counters = Counters::read(host)?;
    if counters == Counters::default() {
        Ok(())
    } else {
        Err(format!("the module begins with {counters:?}"))
    }
}

pub(super) fn module_unloads(host: &mut Host<'_>) -> Result<(), String> {
    host.command("rmmod realm").map(drop)
}

/// A Realm that restarts itself is made anew from the same files.
fn one_cpu_restarts(host: &mut Host<'_>) -> Result<(), String> {
    host.command(&format!("cp {HOST_DISK} {OWN_DISK}"))?;
    let guest = Guest {
        disk: OWN_DISK.to_owned(),
        ..Guest::realm(1, &["cloister.then=reboot-once"])
    };
    gives_back(host, |host| {
        let lines = host.guests(&guest.run().text())?.success()?;
        let ups = lines
            .iter()
            .filter(|line| line.starts_with("guest: up"))
            .count();
        if ups != 2 {
            return Err(format!("the guest came up {ups} times"));
        }
        expect_guest(&lines, 1, true)
    })
}

/// What a Realm writes to its disk is in the host's file, and nothing else has changed there.
fn two_cpus_write_disk(host: &mut Host<'_>) -> Result<(), String> {
    host.command(&format!("cp {HOST_DISK} {OWN_DISK}"))?;
    let copy = format!("cloister.copy={COPIED_BLOCKS}");
    let guest = Guest {
        disk: OWN_DISK.to_owned(),
        ..Guest::realm(2, &[&expected_disk(), &copy])
    };
    gives_back(host, |host| {
        let lines = host.guests(&guest.run().text())?.success()?;
        expect_line(&lines, &format!("guest: copied {COPIED_BLOCKS}"))?;
        expect_guest(&lines, 2, true)
    })?;
    let part = |from: &str, skip: u32| {
        format!("dd if={from} bs=4096 count={COPIED_BLOCKS} skip={skip} 2>/dev/null | sha256sum")
    };
    let mut sum = |from: &str, skip: u32| {
        let lines = host.command(&part(from, skip))?;
        lines
            .into_iter()
            .next()
            .ok_or_else(|| "no checksum".to_owned())
    };
    let source = sum(HOST_DISK, 0)?;
    if sum(OWN_DISK, 0)? != source {
        return Err("blocks have changed that the guest has only read".to_owned());
    }
    if sum(OWN_DISK, COPIED_BLOCKS)? != source {
        return Err("what the guest has written is not in the file".to_owned());
    }
    if sum(HOST_DISK, COPIED_BLOCKS)? == source {
        return Err("the blocks were alike before".to_owned());
    }
    Ok(())
}

/// A Realm with more vCPUs than the host has CPUs comes up, finds its disk as it is, and switches itself
/// off.
fn four_cpus(host: &mut Host<'_>) -> Result<(), String> {
    let guest = Guest::realm(4, &[&expected_disk()]);
    gives_back(host, |host| {
        let lines = host.guests(&guest.run().text())?.success()?;
        expect_guest(&lines, 4, true)
    })
}

/// Whoever wants to decide on restarts himself is told by the exit code. The Realm before has used all of its
/// memory, which it has in blocks.
fn restart_seen_by_caller(host: &mut Host<'_>) -> Result<(), String> {
    fills_memory(host, 192, "cloister.then=reboot", Some(RESTARTED))
}

/// A Realm that writes to all of its memory has it in blocks; how long its launch took is shown.
pub(super) fn fills_memory(
    host: &mut Host<'_>,
    mebibytes: u64,
    then: &str,
    status: Option<i32>,
) -> Result<(), String> {
    let left_mebibytes = left_mebibytes(mebibytes);
    let left = format!("cloister.fill={left_mebibytes}");
    let guest = Guest {
        memory: format!("{mebibytes}M"),
        ..Guest::realm(1, &[&left, then])
    };
    gives_back(host, |host| {
        let ended = host.guests(&format!("{} --on-reset exit", guest.run().text()))?;
        expect_guest(&ended.lines, 1, true)?;
        if ended.status != status {
            return Err(format!("exit code {:?}", ended.status));
        }
        host.note(format!("launch: {}", Launch::among(&ended.lines)?));
        let memory = Memory::among(&ended.lines)?;
        host.note(format!("memory: {memory}"));
        memory.expect_all_of(mebibytes, 2 * left_mebibytes)?;
        memory.expect_blocks()
    })
}

/// Two Realms and two ordinary machines at once, none of which takes notice of the others.
fn beside_each_other(host: &mut Host<'_>) -> Result<(), String> {
    let disk = expected_disk();
    let names = ["realm-1", "realm-2", "machine-1", "machine-2"];
    gives_back(host, |host| {
        // One after the other: the shell does not take a line as long as all of them.
        for name in names {
            let guest = Guest {
                is_realm: name.starts_with("realm"),
                console: format!("file=/tmp/{name}"),
                ..Guest::realm(2, &[&disk])
            };
            let run = guest.run().text();
            // Each leaves its exit code at the end of its own console.
            host.command(&format!(
                "{{ (rm -f /tmp/{name}; {run} >/tmp/{name}.log 2>&1 </dev/null; echo exit=$? >>/tmp/{name}) & }}"
            ))?;
        }
        host.guests("wait")?.success()?;
        for name in names {
            let lines = host.command(&format!("cat /tmp/{name} /tmp/{name}.log"))?;
            expect_guest(&lines, 2, name.starts_with("realm"))
                .and_then(|()| expect_line(&lines, "exit=0"))
                .map_err(|reason| format!("{name}: {reason}"))?;
        }
        Ok(())
    })
}

pub(super) fn no_complaints(host: &mut Host<'_>) -> Result<(), String> {
    let complaints = host.complaints()?;
    match complaints.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{} complaints, the first: {first}",
            complaints.len()
        )),
    }
}

/// Tells a guest what its disk has to have.
pub(super) fn expected_disk() -> String {
    format!("cloister.disk={}", systems::disk_checksum())
}

/// Whether a guest has come to its end as it should.
pub(super) fn expect_guest(lines: &[String], cpus: u32, is_realm: bool) -> Result<(), String> {
    let machine = if is_realm { "Realm" } else { "virtual machine" };
    let online = match cpus {
        1 => "CPUs 0".to_owned(),
        _ => format!("CPUs 0-{}", cpus - 1),
    };
    let mut guest = lines.iter().filter(|line| line.starts_with("guest: "));
    if let Some(failure) = guest.clone().find(|line| line.contains("FAILED")) {
        return Err(failure.clone());
    }
    let up = guest.find(|line| line.starts_with("guest: up"));
    let up = up.ok_or("the guest did not come up")?;
    if !up.contains(&format!(" {machine} ")) || !up.ends_with(&online) {
        return Err(format!("a {machine} with {online} was wanted, {up:?} came"));
    }
    if guest.any(|line| line.starts_with("guest: done")) {
        Ok(())
    } else {
        Err("the guest did not come to its end".to_owned())
    }
}

pub(super) fn expect_line(lines: &[String], wanted: &str) -> Result<(), String> {
    if lines.iter().any(|line| line == wanted) {
        Ok(())
    } else {
        Err(format!("there is no line {wanted:?}"))
    }
}

/// What the module counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Counters {
    realms: u64,
    pub(super) owned: u64,
    delegated: u64,
    lost: u64,
}

impl Counters {
    pub(super) fn read(host: &mut Host<'_>) -> Result<Self, String> {
        Ok(Self {
            realms: number(host, "cat /sys/class/misc/realm/realms")?,
            owned: number(host, "cat /sys/class/misc/realm/pages_owned")?,
            delegated: number(host, "cat /sys/class/misc/realm/pages_delegated")?,
            lost: number(host, "cat /sys/class/misc/realm/pages_lost")?,
        })
    }
}

/// A command that prints a number.
pub(super) fn number(host: &mut Host<'_>, command: &str) -> Result<u64, String> {
    let lines = host.command(command)?;
    let number = lines.iter().find_map(|line| line.trim().parse().ok());
    number.ok_or_else(|| format!("{command:?} printed no number but {lines:?}"))
}

/// Runs something after which the module must own nothing, and the host have its memory again.
pub(super) fn gives_back(
    host: &mut Host<'_>,
    action: impl FnOnce(&mut Host<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let before = number(host, FREE_MEMORY)?;
    action(host)?;
    let counters = Counters::read(host)?;
    if counters != Counters::default() {
        return Err(format!("afterwards the module has {counters:?}"));
    }
    let after = number(host, FREE_MEMORY)?;
    if before.saturating_sub(after) > KEPT_MEMORY {
        return Err(format!("of {before} KiB free memory {after} KiB are left"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    const GOOD: &str = "\
        host-vmm: started\n\
        guest: up as a Realm after 4.20 s, kernel 7.3.4, CPUs 0-1\n\
        guest: done, poweroff follows\n\
        host-vmm: ended";

    #[test]
    fn a_guest_that_did_everything_is_good() {
        assert_eq!(expect_guest(&lines(GOOD), 2, true), Ok(()));
        let machine = GOOD.replace("Realm", "virtual machine");
        assert_eq!(expect_guest(&lines(&machine), 2, false), Ok(()));
        let alone = GOOD.replace("0-1", "0");
        assert_eq!(expect_guest(&lines(&alone), 1, true), Ok(()));
    }

    #[test]
    fn whatever_a_guest_lacks_is_a_failure() {
        let reason = |text: &str, cpus, is_realm| {
            expect_guest(&lines(text), cpus, is_realm).expect_err("that is good?")
        };
        assert!(reason(GOOD, 4, true).contains("CPUs 0-3 was wanted"));
        assert!(reason(GOOD, 2, false).contains("a virtual machine"));
        assert!(reason("host-vmm: ended", 2, true).contains("did not come up"));
        let (unfinished, _) = GOOD.split_at(GOOD.find("guest: done").unwrap());
        assert!(reason(unfinished, 2, true).contains("to its end"));
        let failed = GOOD.replace("guest: done", "guest: FAILED disk\nguest: done");
        assert_eq!(reason(&failed, 2, true), "guest: FAILED disk");
    }
}
