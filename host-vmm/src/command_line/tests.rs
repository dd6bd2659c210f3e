use std::path::Path;

use clap::CommandFactory as _;

use super::*;
use crate::configuration::{
    Backend, Configuration, ConfigurationError, ConsoleEnd, DeviceNodes, Disk, HashAlgorithm,
    OnReset, RealmOptions,
};

fn parse(line: &[&str]) -> Result<Run, clap::Error> {
    let line = ["host-vmm", "run", "--kernel", "k"].iter().chain(line);
    match Arguments::try_parse_from(line)?.command {
        Command::Run(run) => Ok(*run),
        _ => unreachable!(),
    }
}

/// The machine of a command line.
fn configuration(line: &[&str]) -> Configuration {
    parse(line).unwrap().effective().unwrap().configuration
}

fn refused(line: &[&str]) -> SettingsError {
    parse(line).unwrap().effective().unwrap_err()
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn what_is_not_said_has_a_default() {
    let machine = configuration(&[]);
    assert_eq!(machine.realm, None);
    assert_eq!(machine.command_line, "console=ttyS0");
    assert_eq!(machine.memory.bytes(), 512 << 20);
    assert_eq!(machine.cpus.get(), 1);
    assert_eq!(machine.serial, ConsoleEnd::Terminal);
    assert_eq!(machine.consoles, []);
    assert_eq!(machine.backend, Backend::Auto);
    assert_eq!(machine.device_nodes, DeviceNodes::default());
    assert_eq!(machine.on_reset, OnReset::Restart);
    let realm = configuration(&["--realm"]).realm.unwrap();
    assert_eq!(realm, RealmOptions::default());
}

#[test]
fn a_realm_with_everything() {
    let machine = configuration(&[
        "--realm",
        "--initrd",
        "i",
        "--cmdline",
        "quiet",
        "--memory",
        "1G",
        "--cpus",
        "4",
        "--disk",
        "a.img",
        "--disk",
        "b,c.img,readonly",
        "--serial",
        "file=log",
        "--virtio-console",
        "terminal",
        "--hash",
        "sha-512",
        "--personalization-value",
        "0x0102",
        "--sve-vl",
        "256",
        "--pmu-counters",
        "6",
        "--breakpoints",
        "4",
        "--watchpoints",
        "5",
        "--backend",
        "module",
        "--realm-device",
        "/dev/other",
        "--on-reset",
        "exit",
    ]);
    assert_eq!(machine.initrd, Some("i".into()));
    assert_eq!(machine.command_line, "quiet");
    assert_eq!(machine.memory.bytes(), 1 << 30);
    assert_eq!(machine.cpus.get(), 4);
    let disk = |path: &str, read_only| Disk {
        path: path.into(),
        read_only,
        direct: false,
    };
    assert_eq!(machine.disks, [disk("a.img", false), disk("b,c.img", true)]);
    assert_eq!(machine.serial, ConsoleEnd::File("log".into()));
    assert_eq!(machine.consoles, [ConsoleEnd::Terminal]);
    assert_eq!(machine.backend, Backend::Module);
    assert_eq!(machine.device_nodes.realm, Path::new("/dev/other"));
    assert_eq!(machine.on_reset, OnReset::Exit);
    let realm = machine.realm.unwrap();
    assert_eq!(realm.hash_algorithm, HashAlgorithm::Sha512);
    assert_eq!(realm.personalization_value.as_bytes()[..3], [1, 2, 0]);
    assert_eq!(realm.sve_vl, Some(1));
    assert_eq!(realm.pmu_counters, Some(6));
    assert_eq!((realm.breakpoints, realm.watchpoints), (3, 4));
}

#[test]
fn the_terminal_goes_to_one_console_and_the_kernel_speaks_there() {
    let machine = configuration(&["--virtio-console", "terminal"]);
    assert_eq!(machine.serial, ConsoleEnd::Nowhere);
    assert_eq!(machine.command_line, "console=hvc0");
    let machine = configuration(&["--virtio-console", "none"]);
    assert_eq!(machine.serial, ConsoleEnd::Terminal);
    assert_eq!(machine.command_line, "console=ttyS0");
    let error = refused(&["--virtio-console", "terminal", "--serial", "terminal"]);
    assert!(matches!(
        error,
        SettingsError::Configuration(ConfigurationError::OneTerminal)
    ));
}

#[test]
fn options_for_realms_need_a_realm() {
    for (option, value) in [
        ("--hash", "sha-256"),
        ("--personalization-value", "x"),
        ("--sve-vl", "128"),
        ("--pmu-counters", "1"),
        ("--breakpoints", "2"),
        ("--watchpoints", "2"),
    ] {
        let text = refused(&[option, value]).to_string();
        assert_eq!(
            text,
            format!("{option}: only a Realm has that; add --realm")
        );
        configuration(&["--realm", option, value]);
    }
    for backend in ["module", "kvm-cca"] {
        let text = refused(&["--backend", backend]).to_string();
        assert_eq!(
            text,
            format!("--backend {backend}: runs Realms; add --realm")
        );
        configuration(&["--realm", "--backend", backend]);
    }
    refused(&["--realm", "--backend", "kvm"]);
    configuration(&["--backend", "kvm"]);
}

#[test]
fn values_that_are_none() {
    for line in [
        &["--memory", "3M"][..],
        &["--memory", "much"],
        &["--cpus", "0"],
        &["--cpus", "513"],
        &["--serial", "tty"],
        &["--net", "tap0"],
        &["--net", "mac=52:54:00:12:34:56"],
        &["--net", "tap=a,tap=b"],
        &["--net", "tap=a,mac=52"],
        &["--net", "tap=a,fd=3"],
        &["--net", "fd=2"],
        &["--vsock", "cid=3"],
        &["--vsock", "cid=2,socket=s"],
        &["--vsock", "cid=3,socket="],
        &["--serial", "file="],
        &["--virtio-console", ""],
        &["--hash", "sha-384"],
        &["--sve-vl", "0"],
        &["--sve-vl", "129"],
        &["--sve-vl", "2176"],
        &["--pmu-counters", "32"],
        &["--breakpoints", "1"],
        &["--watchpoints", "65"],
        &["--backend", "xen"],
        &["--unknown"],
        &["positional"],
    ] {
        assert!(parse(line).is_err(), "{line:?}");
    }
}

#[test]
fn there_are_as_many_devices_as_slots() {
    let disks = |count| {
        let mut line = vec!["--virtio-console", "none"];
        line.extend(std::iter::repeat_n(["--disk", "d"], count).flatten());
        line
    };
    configuration(&disks(31));
    assert!(matches!(
        refused(&disks(32)),
        SettingsError::Configuration(ConfigurationError::TooManyDevices)
    ));
}

#[test]
fn network_interfaces() {
    let machine = configuration(&[
        "--net",
        "tap=tap0",
        "--net",
        "mac=52:54:00:12:34:56,fd=9",
        "--name",
        "web",
        "--rng",
        "--vsock",
        "cid=3,socket=a,b",
    ]);
    assert_eq!(machine.vsocks[0].cid.get(), 3);
    assert_eq!(machine.vsocks[0].socket, Path::new("a,b"));
    let [one, two] = <[_; 2]>::try_from(machine.nets).unwrap();
    assert_eq!(one.tap.to_string(), "tap0");
    assert_eq!(two.tap.to_string(), "descriptor 9");
    assert_ne!(one.address(&machine.name, 0), one.address(&machine.name, 1));
    assert_eq!(
        two.address(&machine.name, 1).to_string(),
        "52:54:00:12:34:56"
    );
    assert!(machine.rng.is_some());
    for end in ["tap=a", "fd=3"] {
        let error = refused(&["--net", end, "--net", "tap=b", "--net", end]);
        let error = matches!(
            error,
            SettingsError::Configuration(ConfigurationError::TapTwice)
        );
        assert!(error, "{end}");
    }
    for other in ["cid=3,socket=b", "cid=4,socket=a"] {
        let error = refused(&["--vsock", "cid=3,socket=a", "--vsock", other]);
        let error = matches!(
            error,
            SettingsError::Configuration(ConfigurationError::VsockTwice)
        );
        assert!(error, "{other}");
    }
}

#[test]
fn disks_without_the_hosts_page_cache() {
    let machine = configuration(&[
        "--disk",
        "d,direct,readonly",
        "--disk",
        "e,direct",
        "--disk",
        "f",
    ]);
    let how = machine
        .disks
        .iter()
        .map(|disk| (disk.direct, disk.read_only));
    assert_eq!(
        how.collect::<Vec<_>>(),
        [(true, true), (true, false), (false, false)]
    );
    assert_eq!(machine.disks[0].path, Path::new("d"));
}
