use super::*;

fn parsed(text: &str) -> Settings {
    parse(Path::new("/etc/machines/web.toml"), text).unwrap()
}

fn refused(text: &str) -> String {
    let error = parse(Path::new("web.toml"), text).unwrap_err();
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

/// The value of a setting, and the line that it is in.
fn at<T>(setting: Option<Setting<T>>) -> (T, usize) {
    let setting = setting.unwrap();
    match setting.origin {
        Origin::File { path, line } => {
            assert_eq!(&*path, Path::new("/etc/machines/web.toml"));
            (setting.value, line)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_can_be_said() {
    let text = r#"
name = "web-7"
kernel = "vmlinuz"
initrd = "/boot/initrd.img"
cmdline = "console=ttyS0 quiet"
memory = "1G"
cpus = 2
serial = "file=serial.log"
backend = "module"
realm-device = "/dev/other"
kvm-device = "kvm"
on-reset = "exit"
log = "debug"
log-format = "json"
audit-log = "audit"
run-dir = "/run/machines"

[realm]
hash = "sha-512"
personalization-value = "@value"
sve-vl = 256
pmu-counters = 0
breakpoints = 4
watchpoints = 0x5

[[console]]
to = "none"

[[block]]
path = "root.img"
[[block]]
path = "data.img"
read-only = true
direct = false

[[net]]
tap = "tap0"
mac = "52:54:00:12:34:56"

[[vsock]]
cid = 7
socket = "vsock"

[rng]
[balloon]
"#;
    let Settings {
        machine,
        realm,
        devices,
        process,
    } = parsed(text);
    assert_eq!(at(machine.name), ("web-7".parse().unwrap(), 2));
    assert_eq!(at(machine.kernel), ("/etc/machines/vmlinuz".into(), 3));
    assert_eq!(at(machine.initrd), ("/boot/initrd.img".into(), 4));
    assert_eq!(at(machine.cmdline), ("console=ttyS0 quiet".into(), 5));
    assert_eq!(at(machine.memory), (MemorySize::new(1 << 30).unwrap(), 6));
    assert_eq!(at(machine.cpus), (CpuCount::new(2).unwrap(), 7));
    let serial = ConsoleEnd::File("/etc/machines/serial.log".into());
    assert_eq!(at(machine.serial), (serial, 8));
    assert_eq!(at(machine.backend), (Backend::Module, 9));
    assert_eq!(at(machine.realm_device), ("/dev/other".into(), 10));
    assert_eq!(at(machine.kvm_device), ("/etc/machines/kvm".into(), 11));
    assert_eq!(at(machine.on_reset), (OnReset::Exit, 12));
    assert_eq!(at(process.log), ("debug".into(), 13));
    assert_eq!(at(process.log_format), (LogFormat::Json, 14));
    assert_eq!(at(process.audit_log), ("/etc/machines/audit".into(), 15));
    assert_eq!(at(process.run_dir), ("/run/machines".into(), 16));
    assert_eq!(at(machine.realm), (true, 18));
    assert_eq!(at(realm.hash), (HashAlgorithm::Sha512, 19));
    let value = PersonalizationSource::File("/etc/machines/value".into());
    assert_eq!(at(realm.personalization_value), (value, 20));
    assert_eq!(at(realm.sve_vl).0.encoded(), 1);
    assert_eq!(at(realm.pmu_counters).0.get(), 0);
    assert_eq!(at(realm.breakpoints).0.get(), 4);
    assert_eq!(at(realm.watchpoints).0.get(), 5);

    let [console] = <[_; 1]>::try_from(devices.consoles).unwrap();
    assert_eq!(at(Some(console.to)), (ConsoleEnd::Nowhere, 27));
    let [one, two] = <[_; 2]>::try_from(devices.blocks).unwrap();
    assert_eq!(at(Some(one.path)), ("/etc/machines/root.img".into(), 30));
    assert!(one.read_only.is_none() && one.direct.is_none());
    assert_eq!(at(two.read_only), (true, 33));
    assert_eq!(at(two.direct), (false, 34));
    let [net] = <[_; 1]>::try_from(devices.nets).unwrap();
    assert_eq!(at(Some(net.tap)).0.to_string(), "tap0");
    assert_eq!(at(net.mac).0.to_string(), "52:54:00:12:34:56");
    let [vsock] = <[_; 1]>::try_from(devices.vsocks).unwrap();
    assert_eq!(at(Some(vsock.cid)).0.get(), 7);
    assert_eq!(at(Some(vsock.socket)).0, Path::new("/etc/machines/vsock"));
    assert_eq!(at(devices.rng), (true, 44));
    assert_eq!(at(devices.balloon), (true, 45));
}

#[test]
fn nothing_need_be_said() {
    let settings = parsed("");
    assert!(settings.machine.kernel.is_none());
    assert!(settings.machine.realm.is_none());
    assert!(settings.devices.blocks.is_empty());
}

#[test]
fn what_nobody_knows_is_an_error_with_a_suggestion() {
    for (text, expected) in [
        (
            "cpus = 1\nmemroy = \"1G\"\n",
            "web.toml:2: no key 'memroy' is known; did you mean 'memory'?",
        ),
        (
            "command-line = \"quiet\"",
            "web.toml:1: no key 'command-line' is known; there are name, kernel, firmware, initrd, cmdline, ",
        ),
        (
            "[realm]\n\nhsah = \"sha-256\"",
            "web.toml:3: no key 'hsah' is known in realm; did you mean 'hash'?",
        ),
        (
            "[[block]]\npath = \"a\"\n[[block]]\npath = \"b\"\nreadonly = true",
            "web.toml:5: no key 'readonly' is known in block[1]; did you mean 'read-only'?",
        ),
        (
            "[rng]\nsource = \"a\"",
            "web.toml:2: no key 'source' is known in rng: there are none",
        ),
        (
            "[blocks]\n",
            "web.toml:1: no key 'blocks' is known; did you mean 'block'?",
        ),
        // The first of several.
        ("z = 1\na = 1", "web.toml:1: no key 'z'"),
    ] {
        let line = refused(text);
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn values_of_another_kind_and_values_that_are_not_allowed() {
    for (text, expected) in [
        ("name = 7", "web.toml:1: name: text in quotes is wanted"),
        (
            "kernel = \"\"",
            "web.toml:1: kernel: a path cannot be empty",
        ),
        ("cpus = true", "web.toml:1: cpus: a number is wanted"),
        ("cpus = 0", "web.toml:1: cpus: a machine has 1 to 512 vCPUs"),
        (
            "cpus = -1",
            "web.toml:1: cpus: a machine has 1 to 512 vCPUs",
        ),
        (
            "\nmemory = \"3M\"",
            "web.toml:2: memory: memory comes in multiples of 2 MiB",
        ),
        (
            "memory = 99999999999999999999999999999999999999999999",
            "web.toml:1: ",
        ),
        (
            "backend = \"xen\"",
            "web.toml:1: backend: 'xen' is none of auto, module, kvm, kvm-cca",
        ),
        ("realm = true", "web.toml:1: realm: a table is wanted"),
        (
            "[realm]\nbreakpoints = 1",
            "web.toml:2: realm.breakpoints: a number from 2 to 64 is wanted",
        ),
        (
            "[realm]\nsve-vl = 129",
            "web.toml:2: realm.sve-vl: a multiple of 128",
        ),
        (
            "[block]\npath = \"a\"",
            "web.toml:1: block: a list of tables",
        ),
        ("block = [1]", "web.toml:1: block: a list of tables"),
        (
            "[[block]]\ndirect = false",
            "web.toml:1: block[0] has no key 'path'",
        ),
        (
            "[[console]]\nto = \"tty\"",
            "web.toml:2: console[0].to: write terminal, none or file=PATH",
        ),
        (
            "[[net]]\ntap = \"a/b\"",
            "web.toml:2: net[0].tap: not the name",
        ),
        ("[[net]]", "web.toml:1: net[0] has no key 'tap'"),
        ("[[net]]\nfd = 2", "web.toml:2: net[0].fd: the descriptor"),
        (
            "[[net]]\ntap = \"a\"\nfd = 3",
            "web.toml:3: net[0].fd: a network interface needs either tap or fd",
        ),
    ] {
        let line = refused(text);
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn what_is_no_toml() {
    for (text, expected) in [
        ("kernel = \"a\"\nkernel = \"b\"", "web.toml:2: "),
        ("kernel = vmlinuz", "web.toml:1: "),
        ("[realm\n", "web.toml:1: "),
        ("=", "web.toml:1: "),
    ] {
        let line = refused(text);
        assert!(line.starts_with(expected), "{line}");
    }
    // Deep nesting ends with an error.
    refused(&format!("a = {}", "[".repeat(100_000)));
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings");
    let text = |path: &Path| read(path).unwrap_err().to_string();
    assert!(text(&path).contains("settings: No such file"));
    std::fs::write(&path, b"\xff").unwrap();
    assert!(text(&path).ends_with("settings: not text"));
    std::fs::write(&path, vec![b'\n'; 1 << 20]).unwrap();
    read(&path).unwrap();
    std::fs::write(&path, vec![b'\n'; (1 << 20) + 1]).unwrap();
    assert!(text(&path).ends_with("settings: more than 1024 KiB"));
    assert!(text(Path::new("/dev/zero")).contains("more than"));
}
