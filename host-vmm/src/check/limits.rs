//! Memory, and what this process may have of the host.

use super::system::System;
use super::{Line, Wish, mebibytes};
use crate::configuration::Configuration;
use crate::devices::virtio::vsock::MOST_CONNECTIONS;

/// `CAP_IPC_LOCK`: a process that has it may lock as much memory as it likes.
const CAP_IPC_LOCK: u32 = 14;
/// What a Realm shares besides the buffers for its devices.
const SHARED_BESIDES: u64 = 1 << 20;
/// What a machine takes besides its memory: this process, translation tables (one page for each
/// 2 MiB at most), what the RMM wants for each vCPU.
const BESIDES: u64 = 16 << 20;
const BESIDES_PER_VCPU: u64 = 256 << 10;
/// Descriptors of this process: standard streams, nodes, machine, epolls, control socket.
const DESCRIPTORS: u64 = 48;
/// The same for each virtio device: file, interrupt, queues, epoll, twice over for the kernel.
const DESCRIPTORS_PER_DEVICE: u64 = 10;
/// The same for sockets between guest and host, which may all be connected.
const DESCRIPTORS_PER_VSOCK: u64 = MOST_CONNECTIONS as u64;
/// Threads besides those of vCPUs and devices.
const THREADS: u64 = 6;

pub(super) fn lines(system: &System, wish: &Wish) -> Vec<Line> {
    let configuration = &wish.configuration;
    let mut lines = vec![memory(system, configuration)];
    lines.extend(memory_of_group(system, configuration));
    if wish.realm() {
        lines.push(locked(system, configuration));
    }
    lines.push(descriptors(system, configuration));
    lines.push(threads(system, configuration));
    lines
}

/// Memory that a machine takes.
fn needed(configuration: &Configuration) -> u64 {
    let ram = configuration.memory.bytes();
    let vcpus = u64::from(configuration.cpus.get());
    // Sizes are bounded: this comes nowhere near 64 bits.
    ram + ram / 512 + BESIDES + vcpus * BESIDES_PER_VCPU
}

fn memory(system: &System, configuration: &Configuration) -> Line {
    let name = "memory";
    let needed = needed(configuration);
    let text = system.read("/proc/meminfo").unwrap_or_default();
    let available = text.lines().find_map(|line| {
        let rest = line.strip_prefix("MemAvailable:")?;
        rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    let Some(available) = available.and_then(|kibibytes| kibibytes.checked_mul(1024)) else {
        return Line::unknown(name, "/proc/meminfo has no MemAvailable");
    };
    let found = format!(
        "{} available, {} wanted",
        mebibytes(available),
        mebibytes(needed)
    );
    if available >= needed {
        Line::good(name, found)
    } else {
        let advice = "end something else, or give the machine less with --memory";
        Line::bad(name, found, advice)
    }
}

/// The group of this process in the hierarchy of control groups, and those above it.
fn groups(system: &System) -> Vec<String> {
    let text = system.read("/proc/self/cgroup").unwrap_or_default();
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let Some(path) = path else {
        return Vec::new();
    };
    let mut groups = vec![String::new()];
    let mut group = String::new();
    for part in path
        .split('/')
        .filter(|part| !part.is_empty() && *part != "..")
    {
        group.push('/');
        group.push_str(part);
        groups.push(group.clone());
    }
    groups
}

/// The least that a file of the groups leaves over: of `limit`, less what `current` says.
fn left(system: &System, limit: &str, current: &str) -> Option<(u64, String)> {
    let groups = groups(system);
    let left = groups.iter().filter_map(|group| {
        let number = |file: &str| {
            let text = system.read(&format!("/sys/fs/cgroup{group}/{file}"))?;
            text.parse::<u64>().ok()
        };
        // "max" is no number, and no limit.
        let limit = number(limit)?;
        Some((limit.saturating_sub(number(current).unwrap_or(0)), group))
    });
    left.min().map(|(left, group)| (left, group.clone()))
}

/// Private memory counts in the memory cgroup, too.
fn memory_of_group(system: &System, configuration: &Configuration) -> Option<Line> {
    let name = "memory of the control group";
    let (left, group) = left(system, "memory.max", "memory.current")?;
    let needed = needed(configuration);
    let found = format!(
        "{} left in {group}, {} wanted",
        mebibytes(left),
        mebibytes(needed)
    );
    Some(if left >= needed {
        Line::good(name, found)
    } else {
        let advice = "raise MemoryMax= of the unit, or the memory limit of the container";
        Line::bad(name, found, advice)
    })
}

/// A soft limit of this process, and the most that there is if there is none; `None` if nobody
/// knows.
fn limit(system: &System, name: &str) -> Option<u64> {
    let text = system.read("/proc/self/limits")?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// A limit for people.
fn shown(limit: u64, unit: fn(u64) -> String) -> String {
    if limit == u64::MAX {
        "without a limit".to_owned()
    } else {
        format!("{} allowed", unit(limit))
    }
}

/// What a Realm shares with the host is pinned, and counts as locked memory.
fn locked(system: &System, configuration: &Configuration) -> Line {
    let name = "locked memory";
    let capabilities = system.read("/proc/self/status").and_then(|text| {
        let rest = text.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(rest.trim(), 16).ok()
    });
    if capabilities.is_some_and(|set| set >> CAP_IPC_LOCK & 1 == 1) {
        return Line::good(name, "without a limit (CAP_IPC_LOCK)");
    }
    let Some(limit) = limit(system, "Max locked memory") else {
        return Line::unknown(name, "/proc/self/limits cannot be read");
    };
    let needed = configuration.bounce_buffers() + SHARED_BESIDES;
    let found = format!(
        "{}, {} wanted for what the Realm shares",
        shown(limit, mebibytes),
        mebibytes(needed)
    );
    if limit >= needed {
        Line::good(name, found)
    } else {
        let advice = "raise it: ulimit -l, LimitMEMLOCK=infinity in a unit, or CAP_IPC_LOCK";
        Line::bad(name, found, advice)
    }
}

fn descriptors(system: &System, configuration: &Configuration) -> Line {
    let name = "open files";
    let devices = configuration.virtio_devices().count() as u64;
    let vcpus = u64::from(configuration.cpus.get());
    let vsocks = configuration.vsocks.len() as u64;
    let needed =
        DESCRIPTORS + vcpus + devices * DESCRIPTORS_PER_DEVICE + vsocks * DESCRIPTORS_PER_VSOCK;
    let Some(limit) = limit(system, "Max open files") else {
        return Line::unknown(name, "/proc/self/limits cannot be read");
    };
    let found = format!("{}, {needed} wanted", shown(limit, |n| n.to_string()));
    if limit >= needed {
        Line::good(name, found)
    } else {
        Line::bad(
            name,
            found,
            "raise it: ulimit -n, or LimitNOFILE= in a unit",
        )
    }
}

fn threads(system: &System, configuration: &Configuration) -> Line {
    let name = "threads";
    let devices = configuration.virtio_devices().count() as u64;
    let needed = THREADS + u64::from(configuration.cpus.get()) + devices;
    let of_user = limit(system, "Max processes");
    let of_group = left(system, "pids.max", "pids.current");
    let least = of_group
        .map(|(left, _)| left)
        .into_iter()
        .chain(of_user)
        .min();
    let Some(least) = least else {
        return Line::unknown(name, "/proc/self/limits cannot be read");
    };
    let found = format!("{}, {needed} wanted", shown(least, |n| n.to_string()));
    if least >= needed {
        Line::good(name, found)
    } else {
        let advice = "raise it: ulimit -u, TasksMax= in a unit, or the limit of the container";
        Line::bad(name, found, advice)
    }
}
