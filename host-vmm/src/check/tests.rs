use std::fs;
use std::io;
use std::os::unix::net::UnixListener;

use rmm_abi::rmi::FeatureRegister0;
use tempfile::TempDir;

use super::*;
use crate::backend::abilities::tests::REGISTER;
use crate::backend::kvm::tests::Kernel;
use crate::configuration::{MemorySize, RealmOptions};
use crate::test_kernel::TestKernel;

/// The files of a host on which everything is as it should be.
const HOST: [(&str, &str); 8] = [
    ("proc/sys/kernel/arch", "aarch64\n"),
    ("proc/sys/kernel/osrelease", "7.3.4+deb13-arm64\n"),
    ("proc/cmdline", "root=/dev/vda1 quiet\n"),
    (
        "proc/meminfo",
        "MemTotal:        4038772 kB\nMemFree:         1000000 kB\nMemAvailable:    2000000 kB\n",
    ),
    ("proc/self/cgroup", "0::/system.slice/web.service\n"),
    (
        "proc/self/status",
        "Name:\thost-vmm\nCapEff:\t0000000000000000\n",
    ),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max processes             15000                15000                processes \n\
         Max open files            1024                 524288               files     \n\
         Max locked memory         8388608              8388608              bytes     \n",
    ),
    ("sys/module/realm/version", ""),
];

/// A host: its files, and its device nodes.
struct Host {
    root: TempDir,
    /// What opening the module's node and KVM's gives.
    realm: fn() -> io::Result<Kernel>,
    kvm: fn() -> io::Result<Kernel>,
}

fn absent() -> io::Result<Kernel> {
    Err(io::ErrorKind::NotFound.into())
}

fn module() -> Kernel {
    Kernel {
        rmi: (1, 0),
        features: REGISTER.word(),
        ..Kernel::module()
    }
}

impl Host {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        for (path, text) in HOST {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self {
            root,
            realm: || Ok(module()),
            kvm: || Ok(Kernel::stock()),
        }
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn check(&self, wish: &Wish) -> Findings {
        Findings::new(self.root.path(), self, wish)
    }
}

impl Devices for Host {
    type Node = Kernel;

    fn open(&self, path: &Path) -> io::Result<Kernel> {
        match path.to_str() {
            Some("/dev/realm") => (self.realm)(),
            Some("/dev/kvm") => (self.kvm)(),
            other => panic!("{other:?}"),
        }
    }
}

fn wish(change: impl FnOnce(&mut Configuration)) -> Wish {
    let mut configuration = Configuration::new("kernel".into());
    configuration.realm = Some(RealmOptions::default());
    change(&mut configuration);
    Wish {
        configuration,
        files: false,
    }
}

fn realm() -> Wish {
    wish(|_| {})
}

/// A line, by its name.
fn line<'a>(findings: &'a Findings, name: &str) -> &'a Line {
    let line = findings.lines.iter().find(|line| line.name == name);
    line.unwrap_or_else(|| panic!("{name}: {}", findings.to_text()))
}

/// There is one bad line, and it says this.
fn only_bad(findings: &Findings, name: &str, found: &str, advice: &str) {
    assert!(!findings.good);
    assert_eq!(findings.exit(), Exit::HostCannot);
    let bad: Vec<&Line> = findings
        .lines
        .iter()
        .filter(|line| line.verdict == Verdict::Bad)
        .collect();
    let [bad] = bad[..] else {
        panic!("{}", findings.to_text());
    };
    assert_eq!(bad.name, name);
    assert!(bad.found.contains(found), "{}", bad.found);
    let said = bad.advice.as_ref().unwrap();
    assert!(said.contains(advice), "{said}");
}

#[test]
fn a_host_on_which_all_is_well() {
    let findings = Host::new().check(&realm());
    assert!(findings.good, "{}", findings.to_text());
    assert_eq!(findings.exit(), Exit::Done);
    let text = findings.to_text();
    for expected in [
        "good  architecture      arm64\n",
        "good  kernel            7.3.4+deb13-arm64\n",
        "good  RMM               speaks RMI 1.0, as the module does\n",
        "40 bits of addresses, 15 vCPUs, sha-256 and sha-512, SVE 256, PMU with 4 counters, 6 breakpoints, 4 watchpoints\n",
        "\n12 good, 0 bad, 0 unknown\n",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&findings.to_json().unwrap()).unwrap();
    assert_eq!(json["good"], true);
    assert_eq!(json["lines"][0]["verdict"], "good");
}

#[test]
fn a_kernel_with_realms_needs_no_module() {
    let host = Host {
        realm: || panic!("it is not opened"),
        kvm: || Ok(Kernel::cca()),
        ..Host::new()
    };
    let findings = host.check(&realm());
    assert!(findings.good, "{}", findings.to_text());
    assert_eq!(
        line(&findings, "RMM").found,
        "this kernel's KVM makes Realms itself"
    );
    // The module was asked for.
    let host = Host {
        kvm: || panic!("it is not opened"),
        ..Host::new()
    };
    assert!(
        host.check(&wish(|machine| machine.backend = Backend::Module))
            .good
    );
    let findings = Host::new().check(&wish(|machine| machine.backend = Backend::KvmCca));
    only_bad(
        &findings,
        "RMM",
        "has no Realms",
        "--backend module or auto",
    );
}

#[test]
fn a_module_that_is_not_loaded() {
    let host = Host {
        realm: absent,
        ..Host::new()
    };
    fs::remove_dir_all(host.root.path().join("sys/module")).unwrap();
    let found = |host: &Host| {
        let findings = host.check(&realm());
        assert_eq!(line(&findings, "RMM").verdict, Verdict::Unknown);
        let node = line(&findings, "device node");
        assert_eq!(node.found, "/dev/realm is not there");
        let module = line(&findings, "realm.ko");
        (module.found.clone(), module.advice.clone().unwrap())
    };
    let (state, advice) = found(&host);
    assert_eq!(state, "not installed");
    assert!(advice.contains("KERNELS=7.3.4+deb13-arm64"), "{advice}");
    // Both sides are named when it is for another kernel.
    host.write(
        "lib/modules/6.12.95+deb13-arm64/updates/dkms/realm.ko.xz",
        "",
    );
    let (state, advice) = found(&host);
    assert_eq!(
        state,
        "installed for 6.12.95+deb13-arm64, and 7.3.4+deb13-arm64 runs"
    );
    assert!(
        advice.contains("dkms autoinstall -k 7.3.4+deb13-arm64"),
        "{advice}"
    );
    host.write("lib/modules/7.3.4+deb13-arm64/extra/realm.ko", "");
    assert_eq!(
        found(&host),
        ("installed and not loaded".into(), "modprobe realm".into())
    );
}

#[test]
fn versions_that_do_not_fit_are_named_on_both_sides() {
    let with = |realm| Host {
        realm,
        ..Host::new()
    };
    let check = |realm: fn() -> io::Result<Kernel>| with(realm).check(&self::realm());
    let findings = check(|| {
        Ok(Kernel {
            module: Some(0),
            ..module()
        })
    });
    only_bad(
        &findings,
        "module interface",
        "the module has interface 0, and this host-vmm speaks 1",
        "the module is older",
    );
    assert_eq!(line(&findings, "RMM").verdict, Verdict::Unknown);
    let findings = check(|| {
        Ok(Kernel {
            module: Some(2),
            ..module()
        })
    });
    only_bad(
        &findings,
        "module interface",
        "has interface 2",
        "this host-vmm is older",
    );
    let findings = check(|| {
        Ok(Kernel {
            rmi: (2, 0),
            features: 0,
            kind: None,
            refuses: libc::EPROTONOSUPPORT,
            ..Kernel::module()
        })
    });
    only_bad(
        &findings,
        "RMM",
        "the RMM speaks RMI 2.0, and the Realm kernel module speaks RMI 1.0",
        "the RMM is newer",
    );
    let findings = check(|| {
        Ok(Kernel {
            rmi: (0, 9),
            features: 0,
            kind: None,
            refuses: libc::EPROTONOSUPPORT,
            ..Kernel::module()
        })
    });
    only_bad(
        &findings,
        "RMM",
        "the RMM speaks RMI 0.9",
        "the RMM is older",
    );
    let findings = check(|| {
        Ok(Kernel {
            features: 0,
            kind: None,
            refuses: libc::ENODEV,
            ..Kernel::module()
        })
    });
    only_bad(&findings, "RMM", "none answers", "no RME");
}

#[test]
fn nodes_that_must_not_be_opened_or_are_something_else() {
    let host = Host {
        realm: || Err(io::ErrorKind::PermissionDenied.into()),
        ..Host::new()
    };
    let findings = host.check(&realm());
    only_bad(
        &findings,
        "device node",
        "/dev/realm must not be opened",
        "udev",
    );
    let host = Host {
        realm: || Ok(Kernel::stock()),
        ..Host::new()
    };
    let findings = host.check(&realm());
    only_bad(
        &findings,
        "RMM",
        "/dev/realm is not the module's",
        "--realm-device",
    );
}

#[test]
fn what_the_rmm_does_not_have() {
    let host = Host {
        realm: || {
            let register = FeatureRegister0 {
                sve_vector_length: None,
                ..REGISTER
            };
            Ok(Kernel {
                features: register.word(),
                ..module()
            })
        },
        ..Host::new()
    };
    let findings = host.check(&wish(|machine| {
        machine.realm.as_mut().unwrap().sve_vl = Some(1);
    }));
    only_bad(
        &findings,
        "Realm features",
        "SVE; leave out --sve-vl",
        "another host",
    );
}

#[test]
fn an_ordinary_machine_needs_kvm_alone() {
    let ordinary = wish(|machine| machine.realm = None);
    let host = Host {
        realm: || panic!("it is not opened"),
        ..Host::new()
    };
    host.write("proc/cmdline", "irqchip.gicv3_pseudo_nmi=1");
    let findings = host.check(&ordinary);
    assert!(findings.good, "{}", findings.to_text());
    let host = Host {
        kvm: absent,
        ..Host::new()
    };
    only_bad(
        &host.check(&ordinary),
        "KVM",
        "/dev/kvm is not there",
        "EL2",
    );
}

#[test]
fn kernels_that_do_not_fit() {
    let host = Host::new();
    host.write("proc/cmdline", "quiet irqchip.gicv3_pseudo_nmi=1");
    only_bad(
        &host.check(&realm()),
        "pseudo-NMIs",
        "on",
        "irqchip.gicv3_pseudo_nmi",
    );
    host.write(
        "proc/cmdline",
        "irqchip.gicv3_pseudo_nmi=1 irqchip.gicv3_pseudo_nmi=0",
    );
    assert!(host.check(&realm()).good);
    host.write("proc/sys/kernel/arch", "x86_64");
    only_bad(&host.check(&realm()), "architecture", "x86_64", "arm64");
    let host = Host::new();
    host.write("proc/sys/kernel/osrelease", "6.1.0-13-arm64");
    let module = wish(|machine| machine.backend = Backend::Module);
    only_bad(&host.check(&module), "kernel", "6.1.0-13-arm64", "6.12");
    host.write("proc/sys/kernel/osrelease", "custom");
    assert_eq!(
        line(&host.check(&realm()), "kernel").verdict,
        Verdict::Unknown
    );
}

#[test]
fn too_little_of_something() {
    let memory = |text: &str| wish(|machine| machine.memory = text.parse().unwrap());
    let host = Host::new();
    only_bad(
        &host.check(&memory("2G")),
        "memory",
        "1953 MiB available, 2068 MiB wanted",
        "--memory",
    );
    // A limit of any group above counts, by what is left of it.
    host.write("sys/fs/cgroup/system.slice/web.service/memory.max", "max");
    assert!(host.check(&memory("1G")).good);
    host.write("sys/fs/cgroup/system.slice/memory.max", "1200000000");
    host.write("sys/fs/cgroup/system.slice/memory.current", "1000000000");
    only_bad(
        &host.check(&memory("512M")),
        "memory of the control group",
        "190 MiB left in /system.slice, 529 MiB wanted",
        "MemoryMax=",
    );
    assert!(host.check(&memory("128M")).good);

    let buffers = |units: &str| wish(|machine| machine.command_line = format!("quiet {units}"));
    let host = Host::new();
    assert!(host.check(&buffers("swiotlb=3584")).good);
    only_bad(
        &host.check(&buffers("swiotlb=2048 swiotlb=4096,force")),
        "locked memory",
        "8 MiB allowed, 9 MiB wanted",
        "LimitMEMLOCK=infinity",
    );
    host.write("proc/self/status", "CapEff:\t0000000000004000\n");
    assert!(host.check(&buffers("swiotlb=4096")).good);

    let host = Host::new();
    host.write(
        "proc/self/limits",
        "Max processes   7   7\nMax open files  48  9\nMax locked memory  unlimited  x\n",
    );
    let findings = host.check(&realm());
    assert_eq!(line(&findings, "locked memory").verdict, Verdict::Good);
    assert_eq!(line(&findings, "threads").verdict, Verdict::Good);
    only_bad(
        &findings,
        "open files",
        "48 allowed, 49 wanted",
        "LimitNOFILE=",
    );
    // Each connection has one.
    let sockets = wish(|machine| {
        machine.vsocks.push(crate::configuration::Vsock {
            cid: "3".parse().unwrap(),
            socket: "/absent".into(),
        });
    });
    let findings = host.check(&sockets);
    let found = &line(&findings, "open files").found;
    assert_eq!(found, "48 allowed, 315 wanted");
    let host = Host::new();
    host.write("sys/fs/cgroup/pids.max", "10");
    host.write("sys/fs/cgroup/pids.current", "4");
    only_bad(
        &host.check(&realm()),
        "threads",
        "6 allowed, 7 wanted",
        "TasksMax=",
    );
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let host = Host {
        root: TempDir::new().unwrap(),
        ..Host::new()
    };
    let findings = host.check(&realm());
    assert!(!findings.good);
    for name in [
        "kernel",
        "pseudo-NMIs",
        "memory",
        "locked memory",
        "open files",
        "threads",
    ] {
        assert_eq!(line(&findings, name).verdict, Verdict::Unknown, "{name}");
    }
}

#[test]
fn files_are_looked_at_if_they_are_known() {
    let folder = TempDir::new().unwrap();
    let kernel = folder.path().join("kernel");
    fs::write(&kernel, TestKernel::default().build()).unwrap();
    let with_files = |change: &dyn Fn(&mut Configuration)| {
        let mut wish = wish(|machine| {
            machine.kernel.clone_from(&kernel);
            machine.memory = MemorySize::new(16 << 20).unwrap();
            change(machine);
        });
        wish.files = true;
        Host::new().check(&wish)
    };
    assert!(with_files(&|_| {}).good);
    let findings = with_files(&|machine| machine.initrd = Some("/absent".into()));
    only_bad(
        &findings,
        "kernel and initial RAM disk",
        "/absent: No such file",
        "others",
    );
    let findings = with_files(&|machine| {
        machine.disks.push(crate::configuration::Disk {
            path: "/absent".into(),
            read_only: true,
            direct: false,
        });
    });
    only_bad(&findings, "disk", "/absent: No such file", "raw image");
    // Interfaces and sockets, too.
    let findings = with_files(&|machine| {
        machine.nets.push(crate::configuration::Net {
            tap: crate::configuration::TapSource::Name("absent".parse().unwrap()),
            mac: None,
        });
    });
    only_bad(&findings, "network interface", "absent: ", "");
    let socket = folder.path().join("vsock");
    let with_vsock = || {
        with_files(&|machine| {
            machine.vsocks.push(crate::configuration::Vsock {
                cid: "3".parse().unwrap(),
                socket: socket.clone(),
            });
        })
    };
    let findings = with_vsock();
    assert!(findings.good, "{}", findings.to_text());
    assert!(!socket.exists(), "it is gone again");
    let taken = UnixListener::bind(&socket).unwrap();
    only_bad(
        &with_vsock(),
        "socket of the guest",
        "another process",
        "folder",
    );
    drop(taken);
}
