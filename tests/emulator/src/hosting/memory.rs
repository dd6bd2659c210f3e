//! Memory that moves: machines that work give memory back, the host uses it, and the machines get it again.

use super::checks::{Counters, expected_disk, gives_back, number};
use super::{Guest, Host};

const FOLDER: &str = "/tmp/run";
/// Control groups, one for each machine and for who uses what it gives back.
const GROUPS: &str = "/sys/fs/cgroup";
/// Where the host writes to memory.
const USE: &str = "/tmp/use";
/// A machine's memory, in MiB.
const ALL: u64 = 192;
/// What the host writes meanwhile, in MiB, and how much more its group may have then than with a machine that has
/// all of its memory: there is room for it only because of what has come back.
const USED: u64 = 36;
const MORE: u64 = 4;
/// MiB that a machine leaves to itself when it fills its memory.
const LEFT: u64 = 36;
/// Pages of 4 KiB in a MiB.
const PAGES: u64 = 256;
/// Seconds that a move may take.
const PATIENCE: u64 = 300;

/// A Realm with the module of the guest kit, and an ordinary machine with the driver of its kernel.
const MACHINES: [Machine; 2] = [
    Machine {
        name: "realm",
        is_realm: true,
        less: 144,
    },
    Machine {
        name: "machine",
        is_realm: false,
        // Pages that nobody has touched yet go first, and the host has those already.
        less: 116,
    },
];

/// Machines that have touched all of their memory, and whose programs write to memory and compare it all the
/// time, give some of it back; the host uses that; and they have all of it again.
pub(super) fn memory_moves(host: &mut Host<'_>) -> Result<(), String> {
    gives_back(host, |host| {
        host.command(&format!(
            "mkdir -p {USE} {FOLDER} && mount -t cgroup2 none {GROUPS} && \
             echo +memory >{GROUPS}/cgroup.subtree_control"
        ))?;
        let result = there_and_back(host);
        for machine in MACHINES {
            let name = machine.name;
            host.run(&format!("umount {USE} 2>/dev/null"))?;
            host.guests(&format!(
                "host-vmm stop {name} --run-dir {FOLDER} --timeout {PATIENCE}"
            ))?;
            host.run(&format!(
                "wait $pid_{name}; rmdir {GROUPS}/{name}; rm {FOLDER}/{name}.*"
            ))?;
        }
        host.command(&format!("umount {GROUPS}"))?;
        result
    })
}

fn there_and_back(host: &mut Host<'_>) -> Result<(), String> {
    for machine in MACHINES {
        machine.start(host)?;
    }
    let mut before = Vec::new();
    for machine in MACHINES {
        let beat = machine.beats(host, 1)?;
        before.push((machine, beat, machine.amount(host)?));
    }
    for machine in MACHINES {
        machine.is_to_have(host, machine.less, 0)?;
    }
    for (machine, beat, amount) in &before {
        machine.is_to_have(host, machine.less, PATIENCE)?;
        machine.expect_given_back(host, amount)?;
        let now = machine.beats_after(host)?;
        let total = beat.total.saturating_sub(ALL - machine.less);
        if now.total.abs_diff(total) > 1 {
            return Err(format!(
                "{} has {} MiB instead of {total}",
                machine.name, now.total
            ));
        }
    }
    for machine in MACHINES {
        machine.is_to_have(host, ALL, 0)?;
    }
    for (machine, beat, _) in &before {
        let name = machine.name;
        machine.is_to_have(host, ALL, PATIENCE)?;
        let now = machine.beats_after(host)?;
        if now.total != beat.total {
            return Err(format!(
                "{name} has {} MiB again, it had {}",
                now.total, beat.total
            ));
        }
        host.command(&format!("! grep FAILED {FOLDER}/{name}.console"))?;
        host.note(format!(
            "{name} has compared its memory {} times",
            now.number
        ));
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Machine {
    name: &'static str,
    is_realm: bool,
    /// MiB that it is to have meanwhile.
    less: u64,
}

impl Machine {
    /// Starts it in a group of its own, and leaves the number of the process in a variable of the shell.
    fn start(self, host: &mut Host<'_>) -> Result<(), String> {
        let name = self.name;
        let words = [
            &expected_disk(),
            &format!("cloister.fill={LEFT}"),
            "cloister.memory=moves",
            "cloister.then=churn",
        ];
        let guest = Guest {
            is_realm: self.is_realm,
            memory: format!("{ALL}M"),
            console: format!("file={FOLDER}/{name}.console"),
            ..Guest::realm(1, &words)
        };
        let run = guest.run().text();
        host.command(&format!(
            "mkdir {GROUPS}/{name}; {{ (echo 0 >{GROUPS}/{name}/cgroup.procs; exec {run} --balloon --name {name} \
             --run-dir {FOLDER} >{FOLDER}/{name}.log 2>&1 </dev/null) & }}; pid_{name}=$!"
        ))
        .map(drop)
    }

    /// Tells it how much it is to have, and waits until it has.
    fn is_to_have(self, host: &mut Host<'_>, mebibytes: u64, seconds: u64) -> Result<(), String> {
        let memory = format!("host-vmm memory {} --run-dir {FOLDER}", self.name);
        let wait = match seconds {
            0 => String::new(),
            // What it has come to is the last line when it fails.
            _ => format!(" --wait {seconds} || ! {memory}"),
        };
        let ended = host.guests(&format!("{memory} {mebibytes}M{wait}"))?;
        ended.success().map(drop)
    }

    /// Whether the host can use what it has given back, but for little.
    fn expect_given_back(self, host: &mut Host<'_>, before: &Amount) -> Result<(), String> {
        let name = self.name;
        let now = self.amount(host)?;
        let given = ALL - self.less;
        let owned = before.owned.saturating_sub(now.owned) / PAGES;
        host.note(format!(
            "{name} has given {given} MiB back: {} MiB less are charged, the module has {owned} MiB less",
            before.charged.saturating_sub(now.charged) >> 10,
        ));
        if self.is_realm && owned < USED - MORE {
            return Err(format!("of {given} MiB {owned} came back from the module"));
        }
        let most = before.charged + (MORE << 10);
        host.command(&format!(
            "echo $(({most} << 10)) >{GROUPS}/{name}/memory.max; mount -t tmpfs none {USE}"
        ))?;
        host.command(&format!(
            "(echo 0 >{GROUPS}/{name}/cgroup.procs; exec dd if=/dev/zero of={USE}/file bs=1M count={USED})"
        ))?;
        host.command(&format!(
            "umount {USE}; echo max >{GROUPS}/{name}/memory.max"
        ))
        .map(drop)
    }

    fn amount(self, host: &mut Host<'_>) -> Result<Amount, String> {
        let charged = number(host, &format!("cat {GROUPS}/{}/memory.current", self.name))?;
        Ok(Amount {
            charged: charged >> 10,
            owned: Counters::read(host)?.owned,
        })
    }

    /// A beat that has begun after now.
    fn beats_after(self, host: &mut Host<'_>) -> Result<Beat, String> {
        let seen = self.beats(host, 1)?.number;
        self.beats(host, seen + 2)
    }

    /// Waits until there have been so many beats; the last one.
    fn beats(self, host: &mut Host<'_>, least: u64) -> Result<Beat, String> {
        let name = self.name;
        let console = format!("{FOLDER}/{name}.console");
        host.guests(&format!(
            "while [ 0$(grep -cs '^guest: beat' {console}) -lt {least} ] && kill -0 $pid_{name}; \
             do usleep 100000; done"
        ))?
        .success()?;
        let field = |number: u32| {
            format!(
                "grep '^guest: beat' {console} | tail -n 1 | cut -d ' ' -f {number} | tr -dc 0-9; echo"
            )
        };
        let beats = number(host, &field(3)).unwrap_or(0);
        if beats < least {
            let log = host.run(&format!(
                "tail -n 1 {FOLDER}/{name}.log; tail -n 1 {console}"
            ))?;
            return Err(format!("{name} has ended: {:?}", log.lines));
        }
        Ok(Beat {
            number: beats,
            total: number(host, &field(4))?,
        })
    }
}

/// What there is at a time.
struct Amount {
    /// What the group is charged with, in KiB.
    charged: u64,
    /// Pages of the module.
    owned: u64,
}

/// The guest has written to its memory and compared it.
struct Beat {
    number: u64,
    /// MiB that it has then.
    total: u64,
}
